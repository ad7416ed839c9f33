"""Valid images of every format, small and made here, for `hostile_breaks` to break."""

import hashlib
import io
import json
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

ROWS, COLUMNS = 72, 96
VENDOR_FILES = Path(__file__).resolve().parents[4] / "shared" / "data" / "vendor"

FEI = (
    "[User]\r\nDate=12/26/2025\r\n[System]\r\nSystemType=Quanta FEG\r\n[Beam]\r\nHV=10000\r\n"
    "[{section}]\r\nPixelWidth=1.34896e-008\r\nPixelHeight=1.34896e-008\r\n[Image]\r\n"
    f"ResolutionX={COLUMNS}\r\nResolutionY={ROWS}\r\n[PrivateFei]\r\nDatabarHeight=0\r\n"
)
ZEISS = (
    "0\r\n5.86e-009\r\nDP_IMAGE_STORE\r\n"
    f"Store resolution = {COLUMNS} * {ROWS}\r\nAP_PIXEL_SIZE\r\nPixel Size = 11.72 nm\r\n"
    "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 5.86 nm\r\nDP_SEM\r\nSem = NVision 40\r\n"
)
PHENOM = (
    '<?xml version="1.0" encoding="UTF-8"?><FeiImage><pixelWidth unit="nm">42.5</pixelWidth>'
    '<pixelHeight unit="nm">42.5</pixelHeight><databarHeight>0</databarHeight></FeiImage>'
)
TESCAN = (
    "[MAIN]\r\nDevice=MIRA µ\r\nPixelSizeX=4.537772e-009\r\nPixelSizeY=4.537772e-009\r\n"
    "[SEM]\r\nHV=5000\r\n"
)
HITACHI = (
    "[SemImageFile]\r\nInstructName=TM4000\r\nSampleName=Schiefer µ\r\n"
    f"DataSize={COLUMNS}x{ROWS}\r\nPixelSize=165.3646\r\nSignalName=BSE\r\nMagnification=600\r\n"
)
JEOL = (
    "$SEM_DATA_VERSION 1\r\n$CM_INSTRUMENT JSM-7001F µ\r\n"
    f"$CM_FULL_SIZE {COLUMNS} {ROWS}\r\n$CM_ACCEL_VOLT 15.00\r\n$$SM_MICRON_BAR 125\r\n"
    "$$SM_MICRON_MARKER 100nm\r\n$$SM_TITL a\r\n"
)
TIFF_CODECS = (
    "lzw", "packbits", "zstd", "lzma", "lerc", "jpeg", "jpeg2000", "webp", "jpegxl", "png",
)  # fmt: skip


@dataclass(frozen=True)
class Seed:
    """A valid input.

    Parameters
    ----------
    format : str
        What it counts under in the tally.
    kind : str
        Which reader opens it, see `hostile_readers`.
    files : dict of bytes
        By name; the first is what is opened, the others lie beside it.
    nm : float or None
        Its pixel size.
    secrets : tuple of bytes
        What spells the pixel size: a changed one is another honest size, so flips leave it alone.
    """

    format: str
    kind: str
    files: dict[str, bytes]
    nm: float | None = None
    secrets: tuple[bytes, ...] = ()

    def spared(self, name: str) -> list[tuple[int, int]]:
        """Return the spans of a file that flips leave alone: secrets and what adjoins them."""
        data, spans = self.files[name], []
        for secret in self.secrets:
            at = data.find(secret)
            while at >= 0:
                spans.append((at - 4, at + len(secret) + 4))
                at = data.find(secret, at + 1)
        return spans


def make_seeds() -> list[Seed]:
    """Return micrographs and masks of every format."""
    return [*_vendors(), *_sidecars(), *_images(), *_codecs(), *_masks()]


def read_vendor_files(folder: Path = VENDOR_FILES) -> list[Seed]:
    """Return the real files of microscopes, where they are there."""
    told = {
        "fei_nova_134.896nm": (134.896, (b"1.34896e-007",)),
        "zeiss_5.86nm": (5.86, (b"5.86 nm", b"5.859541e-009")),
        "tescan_uint16": (4.537772, (b"0.000000004537772",)),
        "hitachi_tm4000": (165.3646, _spell("165.3646")),
    }
    seeds = []
    for stem, (nm, secrets) in told.items():
        paths = sorted(folder.glob(f"{stem}.*"))
        if paths:
            files = {path.name: path.read_bytes() for path in paths}
            seeds.append(Seed(f"real {stem.split('_')[0]}", "micrograph", files, nm, secrets))
    return seeds


def _grey() -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(1).normal(128, 30, (ROWS, COLUMNS))
    return noise.clip(0, 255).astype(np.uint8)


def make_phases() -> npt.NDArray[np.uint8]:
    """Return phases of all four values without structure."""
    return np.random.default_rng(2).choice(np.uint8([0, 1, 2, 255]), (ROWS, COLUMNS))


def _tiff(image: npt.NDArray[Any], *tags: tuple[int, bytes], **options: Any) -> bytes:
    stream = io.BytesIO()
    extra = [(code, 7, len(value), value, True) for code, value in tags]
    tifffile.imwrite(stream, image, **{"metadata": None, "extratags": extra, **options})
    return stream.getvalue()


def _pillow(image: npt.NDArray[Any], kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def _spell(text: str) -> tuple[bytes, ...]:
    """Return a text in the encodings that sidecars come in."""
    return tuple(text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def _vendors() -> Iterator[Seed]:
    grey = _grey()
    wide, tall = b"1.34896e-008", b"PixelHeight=1.34896e-008"
    for section, code in (("Scan", 34682), ("EScan", 34682), ("Scan", 34680)):
        data = _tiff(grey, (code, FEI.format(section=section).encode()))
        yield Seed("TIFF of FEI", "micrograph", {"a.tif": data}, 13.4896, (wide, tall))
    xml = PHENOM.replace("pixelWidth", "X").replace("pixelHeight", "Y")
    xml = xml.replace("<FeiImage>", "<FeiImage><PixelSize>").replace(
        "<databarHeight>", "</PixelSize><databarHeight>"
    )
    data = _tiff(grey, (34683, xml.encode()))
    yield Seed("TIFF of FEI", "micrograph", {"a.tif": data}, 42.5, (b'unit="nm">42.5',))
    data = _tiff(grey, (34118, ZEISS.encode("cp1252")))
    sizes = (b"5.86 nm", b"11.72 nm")
    yield Seed("TIFF of Zeiss", "micrograph", {"a.tif": data}, 5.86, sizes)
    thumbnail = bytes(np.random.default_rng(0).integers(0, 256, 900, np.uint8)) + b"\0\0\2\0"
    data = _tiff(grey, (50431, thumbnail + TESCAN.encode("cp1252")))
    yield Seed("TIFF of TESCAN", "micrograph", {"a.tif": data}, 4.537772, (b"4.537772e-009",))
    data = _tiff(grey.astype(np.uint16) * 256, (34683, PHENOM.encode()))
    yield Seed("TIFF of Phenom", "micrograph", {"a.tif": data}, 42.5, (b'unit="nm">42.5',))


def _sidecars() -> Iterator[Seed]:
    tiff, png = _tiff(_grey()), _pillow(_grey(), "PNG")
    bmp = _pillow(_grey(), "BMP")
    for encoding in ("utf-16", "utf-8", "cp1252"):
        files = {"a.tif": tiff, "a.txt": HITACHI.encode(encoding)}
        yield Seed("TIFF and text of Hitachi", "micrograph", files, 165.3646, _spell("165.3646"))
    secrets = (*_spell("BAR 125"), *_spell("MARKER 100nm"))
    yield Seed("BMP and text of JEOL", "micrograph", {"a.bmp": bmp, "a.txt": JEOL.encode()}, 0.8,
               secrets)  # fmt: skip
    files = {"a.png": png, "a-png.hdr": TESCAN.encode("cp1252")}
    yield Seed("PNG and header of TESCAN", "micrograph", files, 4.537772, (b"4.537772e-009",))


def _images() -> Iterator[Seed]:
    grey = _grey()
    deep = grey.astype(np.uint16) * 256
    told = {"axes": "YX", "PhysicalSizeX": 0.0125, "PhysicalSizeY": 0.0125,
            "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}  # fmt: skip
    data = _tiff(grey, ome=True, metadata=told, tile=(16, 32), compression="zlib")
    secrets = (b'PhysicalSizeX="0.0125', b'PhysicalSizeY="0.0125', b"SizeXUnit=", b"SizeYUnit=",
               "Unit=\"µm\"".encode())  # fmt: skip
    yield Seed("OME-TIFF", "micrograph", {"a.ome.tif": data}, 12.5, secrets)
    data = _tiff(grey, imagej=True, resolution=(80, 80), metadata={"unit": "um"})
    secrets = (struct.pack(">II", 80, 1), b"unit=um")
    yield Seed("TIFF of ImageJ", "micrograph", {"a.tif": data}, 12.5, secrets)
    pyramid = io.BytesIO()
    with tifffile.TiffWriter(pyramid, bigtiff=True) as writer:
        for step in (1, 2, 4):
            reduced = int(step > 1)
            writer.write(deep[::step, ::step], tile=(16, 16), subfiletype=reduced, metadata=None,
                         compression="zlib", predictor=True)  # fmt: skip
    yield Seed("BigTIFF pyramid", "micrograph", {"a.tif": pyramid.getvalue()})
    colours = np.dstack([grey, grey, grey])
    planes = np.stack([grey, grey, grey])
    yield Seed("TIFF of colours", "micrograph",
               {"a.tif": _tiff(planes, photometric="rgb", planarconfig="separate")})  # fmt: skip
    yield Seed("TIFF of floats", "micrograph", {"a.tif": _tiff(grey.astype(np.float32))})
    yield Seed("TIFF of libtiff", "micrograph",
               {"a.tif": _pillow(grey, "TIFF", compression="tiff_lzw", dpi=(96, 96))})  # fmt: skip
    yield Seed("TIFF of fax", "micrograph",
               {"a.tif": _pillow(grey > 128, "TIFF", compression="group4")})  # fmt: skip
    yield Seed("PNG", "micrograph", {"a.png": _pillow(grey, "PNG", dpi=(96, 96))})
    yield Seed("PNG", "micrograph", {"a.png": _pillow(deep, "PNG")})
    yield Seed("PNG", "micrograph", {"a.png": _pillow(np.dstack([colours, grey]), "PNG")})
    yield Seed("JPEG", "micrograph", {"a.jpg": _pillow(grey, "JPEG")})
    yield Seed("JPEG", "micrograph", {"a.jpg": _pillow(colours, "JPEG", progressive=True)})
    yield Seed("BMP", "micrograph", {"a.bmp": _pillow(colours, "BMP")})


def _codecs() -> Iterator[Seed]:
    for name in TIFF_CODECS:
        image = np.dstack([_grey()] * 3) if name == "webp" else _grey()
        data = _tiff(image, compression=name, tile=(32, 32))
        yield Seed(f"TIFF of {name}", "micrograph", {"a.tif": data})


def _masks() -> Iterator[Seed]:
    from mudrock_cli.image.mask import PhaseMask, write_mask
    from mudrock_cli.image.types import COLOURS, Phase, PixelSize

    phases = make_phases()
    mask = PhaseMask.from_array("m", phases, PixelSize(7.25, "test"), {"method": "segment"})
    with tempfile.TemporaryDirectory() as folder:
        write_mask(Path(folder, "m.tif"), mask)
        data = Path(folder, "m.tif").read_bytes()
    secrets = (b'X="0.00725', b'Y="0.00725', b'"pixel_size_nm": 7.25', b"Unit=", b"7.25")
    yield Seed("mask of mudrock", "mask", {"m.tif": data}, 7.25, secrets)
    yield Seed("mask as PNG", "mask", {"m.png": _pillow(phases, "PNG")})
    table = np.zeros((256, 3), np.uint8)
    for phase in Phase:
        table[phase] = COLOURS[phase]
    yield Seed("mask in colours", "mask", {"m.png": _pillow(table[phases], "PNG")})
    yield Seed("mask in colours", "mask", {"m.tif": _tiff(table[phases], photometric="rgb")})


def make_record_seeds() -> list[Seed]:
    """Return everything that is no image."""
    return [*_tables(), *_texts()]


def _tables() -> Iterator[Seed]:
    from typer.testing import CliRunner

    from mudrock_cli.cli import app
    from mudrock_cli.image.mask import PhaseMask, write_mask
    from mudrock_cli.image.types import PixelSize

    with tempfile.TemporaryDirectory() as folder:
        phases = np.repeat(np.repeat(make_phases() % 3, 4, 0), 4, 1)
        mask = PhaseMask.from_array("m", phases, PixelSize(500, "test"), {"method": "segment"})
        write_mask(Path(folder, "m.tif"), mask)
        out = Path(folder, "report.parquet")
        done = CliRunner().invoke(app, ["stats", folder, "--out", str(out)])
        if done.exit_code:
            raise RuntimeError(done.output)
        instances = out.read_bytes()
        summary = out.with_name("report.summary.parquet").read_bytes()
    first = {"report.parquet": instances, "report.summary.parquet": summary}
    yield Seed("instance table", "tables", first)
    yield Seed("summary table", "summary", dict(reversed(first.items())))


def _texts() -> Iterator[Seed]:
    from mudrock_cli.classical.recipe import WorkflowRecipe
    from mudrock_cli.config import to_toml
    from mudrock_cli.deeplab.recipe import Recipe

    recipe = Recipe().to_toml().encode()
    yield Seed("recipe of a network", "recipe", {"recipe.toml": recipe})
    workflow = to_toml(WorkflowRecipe()).encode()
    yield Seed("recipe of the workflow", "workflow", {"recipe.toml": workflow})
    yield Seed("random forest", "forest", _forest())
    yield Seed(
        "split as CSV", "split", {"split.csv": b"name,part\na,train\nb,validation\nc,test\n"}
    )
    groups = b"name,sample,depth\na,one,10\nb,two,20\n"
    yield Seed("groups as CSV", "groups", {"groups.csv": groups})
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **{"a/kernel": np.ones((3, 3)), "a/bias": np.zeros(3, np.float32)})
    yield Seed("weights", "weights", {"weights.npz": arrays.getvalue()})
    yield _model(recipe, arrays.getvalue())


def _forest() -> dict[str, bytes]:
    from mudrock_cli.classical.forest import Forest, ForestRecipe, Trees, name_responses

    recipe = ForestRecipe(trees=2, depth=2, scales=(1.0,))
    count = len(name_responses(recipe.scales))
    high, nothing = np.ones(count, np.float32), np.zeros((2, 4), np.uint8)
    trees = Trees(nothing, nothing, np.full((2, 4, 3), 1 / 3, np.float16))
    forest = Forest(recipe, -high, high, trees, np.full(3, 1 / 3, np.float32))
    with tempfile.TemporaryDirectory() as folder:
        forest.save(Path(folder))
        names = ("recipe.toml", "weights.npz")
        return {name: Path(folder, name).read_bytes() for name in names}


def _model(recipe: bytes, weights: bytes) -> Seed:
    files = {"recipe.toml": recipe, "weights.npz": weights}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    card = json.dumps({"temperature": 1.25, "iou": {"clay": 0.5}, "sha256": hashes}, indent=1)
    return Seed("model folder", "model", {"card.json": card.encode(), **files})
