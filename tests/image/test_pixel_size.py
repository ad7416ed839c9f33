"""The pixel size of a file: what vendors, OME and ImageJ tell, and what is believed of it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from mudrock_cli.image.micrograph import Micrograph, open_micrograph

Grey = npt.NDArray[np.uint8]
ROWS, COLUMNS = 60, 90

FEI = """[User]\r\nDate=12/26/2025\r\n[System]\r\nSystemType=Quanta FEG\r\n[Beam]\r\nHV=10000\r
[{section}]\r\nPixelWidth={width}\r\nPixelHeight={height}\r
[Image]\r\nResolutionX={columns}\r\nResolutionY={rows}\r
[PrivateFei]\r\nDatabarHeight={bar}\r\n"""
ZEISS = """0\r\n5.859541e-009\r\nDP_IMAGE_STORE\r\nStore resolution = {columns} * {rows}\r
AP_FIB\r\nFIB Pixel Size = 765.2 nm\r\nAP_PIXEL_SIZE\r\nPixel Size = {pixel}\r
{image}DP_SEM\r\nSem = NVision 40\r\n"""
PHENOM = """<?xml version="1.0" encoding="UTF-8"?><FeiImage><pixelWidth unit="{unit}">{size}\
</pixelWidth><pixelHeight unit="{unit}">{size}</pixelHeight><databarHeight>0</databarHeight>\
</FeiImage>"""


def open_with(path: Path, image: Grey, *tags: tuple[int, bytes], **options: object) -> Micrograph:
    extra = [(code, 7, len(value), value, True) for code, value in tags]
    tifffile.imwrite(path / "a.tif", image, extratags=extra, metadata=None, **options)
    return open_micrograph(path / "a.tif")


def fei(**changes: object) -> bytes:
    values = {
        "section": "Scan",
        "width": "1.34896e-007",
        "height": "1.34896e-007",
        "columns": COLUMNS,
        "rows": ROWS,
        "bar": 0,
    }
    return FEI.format(**values | changes).encode()


def nm(micrograph: Micrograph) -> float | None:
    return micrograph.pixel_size.nm if micrograph.pixel_size else None


@pytest.mark.parametrize("section", ["Scan", "EScan", "IScan"])
def test_fei(tmp_path: Path, noise: Grey, section: str) -> None:
    micrograph = open_with(tmp_path, noise, (34682, fei(section=section)))
    assert nm(micrograph) == pytest.approx(134.896)
    assert micrograph.pixel_size is not None
    assert micrograph.pixel_size.source == f"FEI tag 34682 [{section}] PixelWidth"
    assert micrograph.instrument["vendor"] == "FEI / Thermo Fisher"
    assert micrograph.instrument["voltage"] == "10000 V"


def test_older_fei(tmp_path: Path, noise: Grey) -> None:
    assert nm(open_with(tmp_path, noise, (34680, fei()))) == pytest.approx(134.896)


def test_pixels_that_are_not_square_are_refused(tmp_path: Path, noise: Grey) -> None:
    micrograph = open_with(tmp_path, noise, (34682, fei(height="1.4e-007")))
    assert micrograph.pixel_size is None
    assert "not square" in micrograph.instrument["pixel_size_note"]
    assert nm(open_with(tmp_path, noise, (34682, fei(height="1.3489e-007")))) is not None


def test_a_cropped_or_rescaled_image_has_no_certain_size(tmp_path: Path, noise: Grey) -> None:
    micrograph = open_with(tmp_path, noise, (34682, fei(columns=180, rows=120)))
    assert micrograph.pixel_size is None
    assert "180 x 120" in micrograph.instrument["pixel_size_note"]
    assert nm(open_with(tmp_path, noise, (34682, fei(rows=200)))) == pytest.approx(134.896)


def test_a_frame_scaled_with_its_bar_is_certain(tmp_path: Path, noise: Grey) -> None:
    tag = fei(columns=180, rows=100, bar=20)
    micrograph = open_with(tmp_path, noise, (34682, tag))
    assert nm(micrograph) == pytest.approx(2 * 134.896)
    assert micrograph.pixel_size is not None
    assert "scaled by 0.5" in micrograph.pixel_size.source


def zeiss(image: str = "Image Pixel Size = 5.860 nm\r\n", pixel: str = "9.9 nm") -> bytes:
    text = ZEISS.format(columns=COLUMNS, rows=ROWS, image=f"AP\r\n{image}", pixel=pixel)
    return text.encode("cp1252")


def test_zeiss_image_pixel_size_comes_first(tmp_path: Path, noise: Grey) -> None:
    assert nm(open_with(tmp_path, noise, (34118, zeiss()))) == pytest.approx(5.86)
    only = open_with(tmp_path, noise, (34118, zeiss("")))
    assert nm(only) == pytest.approx(9.9)
    assert only.pixel_size is not None
    assert only.pixel_size.source == "Zeiss tag 34118 Pixel Size"


@pytest.mark.parametrize(
    ("text", "expected"), [("0.2050 µm", 205), ("5,86 nm", 5.86), ("1.2e3 pm", 1.2)]
)
def test_zeiss_units_and_commas(tmp_path: Path, noise: Grey, text: str, expected: float) -> None:
    tag = zeiss(f"Image Pixel Size = {text}\r\n")
    assert nm(open_with(tmp_path, noise, (34118, tag))) == pytest.approx(expected)


def test_tescan_behind_a_thumbnail(tmp_path: Path, noise: Grey) -> None:
    text = b"AccFrames=2\nDevice=TESCAN AMBER\nPixelSizeX=0.000000004537772\n"
    text += b"PixelSizeY=0.000000004537772\n\x00v\x04\x00Detector=E-T\nHV=1000.0\n"
    thumbnail = bytes(np.random.default_rng(0).integers(0, 256, 3000, np.uint8)) + b"\0\0\2\0"
    micrograph = open_with(tmp_path, noise, (50431, thumbnail + text))
    assert nm(micrograph) == pytest.approx(4.537772)
    assert micrograph.instrument["detector"] == "E-T"
    assert micrograph.instrument["model"] == "TESCAN AMBER"


@pytest.mark.parametrize(("unit", "size", "expected"), [("nm", 42.5, 42.5), ("um", 0.5, 500)])
def test_phenom(tmp_path: Path, noise: Grey, unit: str, size: float, expected: float) -> None:
    tag = PHENOM.format(unit=unit, size=size).encode()
    assert nm(open_with(tmp_path, noise, (34683, tag))) == pytest.approx(expected)


def test_phenom_without_unit_tells_nothing(tmp_path: Path, noise: Grey) -> None:
    tag = PHENOM.replace(' unit="{unit}"', "").format(size=5).encode()
    assert nm(open_with(tmp_path, noise, (34683, tag))) is None


def test_entities_are_not_expanded(tmp_path: Path, noise: Grey) -> None:
    bomb = "<!DOCTYPE x [<!ENTITY a '1'>]>" + PHENOM.format(unit="nm", size="&a;")[38:]
    assert nm(open_with(tmp_path, noise, (34683, bomb.encode()))) is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeX": 0.01, "PhysicalSizeY": 0.01}, 10),
        ({"PhysicalSizeX": 4.5, "PhysicalSizeXUnit": "nm"}, 4.5),
        ({"PhysicalSizeX": 2, "PhysicalSizeXUnit": "pixel"}, None),
        ({}, None),
    ],
)
def test_ome(
    tmp_path: Path, noise: Grey, metadata: dict[str, object], expected: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise, ome=True, metadata={"axes": "YX"} | metadata)
    assert nm(open_micrograph(tmp_path / "a.tif")) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("um", 100, 10),
        ("micron", 100, 10),
        ("\\u00B5m", 100, 10),
        ("nm", 0.2, 5),
        ("inch", 300, None),
        ("cm", 118, None),
        ("pixel", 1, None),
    ],
)
def test_imagej(
    tmp_path: Path, noise: Grey, unit: str, per_unit: float, expected: float | None
) -> None:
    description = f"ImageJ=1.54f\nunit={unit}\nmin=0\n"
    tifffile.imwrite(
        tmp_path / "a.tif",
        noise,
        description=description,
        metadata=None,
        resolution=(per_unit, per_unit),
    )
    assert nm(open_micrograph(tmp_path / "a.tif")) == pytest.approx(expected)


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER", "NONE"])
def test_a_bare_resolution_is_never_believed(tmp_path: Path, noise: Grey, unit: str) -> None:
    options = {"resolution": (300, 300), "resolutionunit": unit}
    assert nm(open_with(tmp_path, noise, **options)) is None


def test_sources_that_disagree_are_named(tmp_path: Path, noise: Grey) -> None:
    (tmp_path / "a.hdr").write_text("[MAIN]\nPixelSizeX=2e-7\nPixelSizeY=2e-7\n")
    micrograph = open_with(tmp_path, noise, (34682, fei()))
    assert nm(micrograph) == pytest.approx(134.896)
    assert "200 nm, not 134.896 nm" in micrograph.instrument["pixel_size_note"]
    assert any("200 nm, not 134.896 nm" in line for line in micrograph.warnings)


@pytest.mark.parametrize(
    "number", ["0", "-1e-9", "1e-14", "1e305", "nan", "inf", "1e999", "", "1" * 5000, "1e-9x"]
)
def test_impossible_numbers_tell_nothing(tmp_path: Path, noise: Grey, number: str) -> None:
    assert nm(open_with(tmp_path, noise, (34682, fei(width=number)))) is None
    tag = f"\0PixelSizeX={number}\n".encode()
    assert nm(open_with(tmp_path, noise, (50431, tag))) is None


ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig", "cp1252"]
HITACHI = """[SemImageFile]\r\nInstructName=TM4000\r\nSampleName=Schiefer µ\r\nDataSize=90x60\r
PixelSize=165.3646\r\nSignalName=BSE\r\nMagnification=600\r\n"""
JEOL = """$SEM_DATA_VERSION 1\r\n$CM_INSTRUMENT JSM-7001F µ\r\n$CM_FULL_SIZE 90 60\r
$CM_ACCEL_VOLT 15.00\r\n$$SM_MICRON_BAR 124\r\n$$SM_MICRON_MARKER 100nm\r\n"""
TESCAN = (
    "[MAIN]\r\nDevice=MIRA µ\r\nPixelSizeX=4.5e-009\r\nPixelSizeY=4.5e-009\r\n[SEM]\r\nHV=5000\r\n"
)


@pytest.fixture
def image(tmp_path: Path, noise: Grey) -> Path:
    Image.fromarray(noise).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("name", "text", "vendor", "expected"),
    [
        ("a.txt", HITACHI, "Hitachi", 165.3646),
        ("a.txt", JEOL, "JEOL", 100 / 124),
        ("a.hdr", TESCAN, "TESCAN", 4.5),
    ],
)
def test_every_encoding(
    image: Path, encoding: str, name: str, text: str, vendor: str, expected: float
) -> None:
    image.with_name(name).write_bytes(text.encode(encoding))
    micrograph = open_micrograph(image)
    assert nm(micrograph) == pytest.approx(expected)
    assert micrograph.instrument["vendor"] == vendor
    assert micrograph.pixel_size is not None
    assert micrograph.pixel_size.source.startswith(vendor)
    if "model" in micrograph.instrument and vendor != "Hitachi":
        assert micrograph.instrument["model"].endswith("µ")


@pytest.mark.parametrize("name", ["a.hdr", "a.HDR", "a-png.hdr", "a.png.hdr"])
def test_names_of_tescan_headers(image: Path, name: str) -> None:
    image.with_name(name).write_text(TESCAN, "utf-8")
    assert nm(open_micrograph(image)) == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("marker", "bar", "expected"),
    [("1um", "100", 10), ("0,5 µm", "50", 10), ("10", "100", None), ("1um", "0", None)],
)
def test_jeol_markers(image: Path, marker: str, bar: str, expected: float | None) -> None:
    text = JEOL.replace("100nm", marker).replace("BAR 124", f"BAR {bar}")
    image.with_name("a.txt").write_text(text, "utf-8")
    assert nm(open_micrograph(image)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", [HITACHI.replace("90x60", "1280x960"), JEOL.replace("90 60", "1280 960")]
)
def test_a_sidecar_of_another_size_is_not_believed(image: Path, text: str) -> None:
    image.with_name("a.txt").write_text(text, "utf-8")
    micrograph = open_micrograph(image)
    assert micrograph.pixel_size is None
    assert "1280 x 960" in micrograph.instrument["pixel_size_note"]


def test_jeol_full_size_leaves_the_bar_out(tmp_path: Path, noise: Grey) -> None:
    bar = np.zeros((18, 90), np.uint8)
    bar[5:9, 10:40:3] = 255
    Image.fromarray(np.vstack([noise, bar])).save(tmp_path / "a.bmp")
    (tmp_path / "a.txt").write_text(JEOL, "utf-8")
    assert open_micrograph(tmp_path / "a.bmp").specimen.bottom == 60


def test_notes_beside_an_image_tell_nothing(image: Path) -> None:
    image.with_name("a.txt").write_text("PixelSize=5\nfield 3, good contrast\n")
    assert nm(open_micrograph(image)) is None
    image.with_name("a.txt").write_bytes(bytes(range(256)) * 50)
    assert nm(open_micrograph(image)) is None
