from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mudrock_cli.image.micrograph import Micrograph, open_micrograph

Grey = npt.NDArray[np.uint8]
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


def nm(micrograph: Micrograph) -> float | None:
    return micrograph.pixel_size.nm if micrograph.pixel_size else None


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
