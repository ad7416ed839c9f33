"""Facts from the open conventions: OME-XML and the description that ImageJ writes."""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import NAMESPACE, parse_xml
from mudrock_cli.image.types import Facts, PixelSize, Samples

_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?")
_PAIR = re.compile(r"\s*(\d+)\s*[x×*, ]\s*(\d+)\s*", re.IGNORECASE)
_LONGEST = 60
"""No number with its unit is longer; hostile ones would keep a regular expression busy."""


def decode_text(raw: bytes) -> str:
    """Decode text of an unknown encoding: UTF-16 and UTF-8, with or without mark, or ANSI."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")
    if raw.startswith(codecs.BOM_UTF8):
        return raw.decode("utf-8-sig", "replace")
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = raw[offset:200:2]
        if len(half) > 4 and half.count(0) > 0.8 * len(half):
            return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def whole_lines(text: str) -> list[str]:
    """Return the lines of a text without the last one where nothing ends it.

    The file may have been cut there, and half a number is another number.
    """
    lines = text.splitlines(keepends=True)
    if lines and lines[-1] and lines[-1][-1] not in "\r\n\0":
        lines.pop()
    return [line.strip().strip("\0") for line in lines]


def parse_entries(text: str) -> dict[str, str]:
    """Read ``[Section]`` and ``key=value`` lines.

    Returns
    -------
    dict
        Values under ``key`` (its first occurrence) and under ``Section/key``.
    """
    entries: dict[str, str] = {}
    section = ""
    for line in whole_lines(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif "=" in line:
            key, value = (part.strip() for part in line.split("=", 1))
            entries.setdefault(key, value)
            entries.setdefault(f"{section}/{key}", value)
    return entries


def parse_number(text: str | None) -> float | None:
    """Read a positive number, with a point or a comma; None when it is none."""
    match = _NUMBER.fullmatch(text.strip()) if text and len(text) <= _LONGEST else None
    if match is None:
        return None
    number = float(match[0].replace(",", "."))
    return number if 0 < number < float("inf") else None


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read ``1280x960``, ``1024 * 768`` or ``1280 960`` (width first) as (rows, columns)."""
    match = _PAIR.fullmatch(text) if text and len(text) <= _LONGEST else None
    if match is None:
        return None
    width, height = int(match[1]), int(match[2])
    return (height, width) if width and height else None


def parse_nm(text: str | None) -> float | None:
    """Read a length with its unit, such as ``5,86 nm``, as nanometres; None when it is none."""
    if not text or len(text) > _LONGEST:
        return None
    try:
        return PixelSize.parse(text.replace(",", "."), "text").nm
    except MudrockError:
        return None


def square(width: float | None, height: float | None) -> tuple[float, float] | None:
    """Return width and height of a pixel, square when only its width is told."""
    if width is None:
        return None
    return width, height if height is not None else width


def named(**facts: str | None) -> dict[str, str]:
    """Return the facts that are told."""
    return {key: value.strip()[:200] for key, value in facts.items() if value and value.strip()}


_PRINT_UNITS = {"inch", "cm"}
# ImageJ turns a bare print resolution into these, so they say nothing of the specimen.
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def parse_ome(description: bytes) -> Facts | None:
    """Read ``PhysicalSizeX`` of the first image of an OME-XML; its unit is µm if not told."""
    text = decode_text(description)
    root = parse_xml(text) if "<OME" in text else None
    if root is None:
        return None
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    width, height = (
        parse_nm(
            f"{pixels.get(f'PhysicalSize{axis}', '')} {pixels.get(f'PhysicalSize{axis}Unit', 'µm')}"
        )
        for axis in "XY"
    )
    frame = None
    rows, columns = pixels.get("SizeY", ""), pixels.get("SizeX", "")
    if rows.isdecimal() and columns.isdecimal() and len(rows) < 10 and len(columns) < 10:
        frame = (int(rows), int(columns))
    return Facts("OME-XML PhysicalSizeX", square(width, height), frame, 0) if width else None


def parse_imagej(description: bytes, resolution: tuple[float, float] | None) -> Facts | None:
    """Read ImageJ's ``unit=`` with XResolution, which counts pixels per unit then.

    Parameters
    ----------
    description : bytes
        ImageDescription.
    resolution : tuple of float, optional
        XResolution and YResolution.
    """
    text = decode_text(description)
    if not text.startswith("ImageJ=") or resolution is None:
        return None
    entries = parse_entries(text)
    unit = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), entries.get("unit", ""))
    if not unit or unit.lower() in _PRINT_UNITS or min(resolution) <= 0:
        return None
    width, height = (parse_nm(f"{1 / density!r} {unit}") for density in resolution)
    return Facts("ImageJ unit and XResolution", square(width, height)) if width else None


# Facts from the private TIFF tags of FEI/Thermo Fisher, Zeiss, TESCAN, Phenom and Hitachi.

_NM_PER_M = 1e9
_TESCAN_WIDTH = re.compile(rb"(?:^|[\r\n\0])PixelSizeX\s*=")
_ZEISS_IMAGE = ("AP_IMAGE_PIXEL_SIZE", "Image Pixel Size")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]+")


def read_vendor_tags(tags: Mapping[int, bytes]) -> list[Facts]:
    """Return what the private tags of a TIFF file tell, best first.

    Parameters
    ----------
    tags : mapping
        TIFF tag codes to raw values.
    """
    found = (parse(tags[code]) for code, parse in _PARSERS.items() if code in tags)
    return [facts for facts in found if facts is not None]


def parse_fei(raw: bytes, code: int = 34682) -> Facts | None:
    """Read FEI's tag 34682, or 34680 of older files: INI text, metres, the frame without bar."""
    entries = parse_entries(decode_text(raw))
    for section in ("Scan", "EScan", "IScan"):
        width = parse_number(entries.get(f"{section}/PixelWidth"))
        if width is not None:
            break
    else:
        return None
    height = parse_number(entries.get(f"{section}/PixelHeight"))
    frame = parse_size(
        f"{entries.get('Image/ResolutionX', '')} {entries.get('Image/ResolutionY', '')}"
    )
    bar = entries.get("PrivateFei/DatabarHeight", "")
    return Facts(
        source=f"FEI tag {code} [{section}] PixelWidth",
        pixel=square(width * _NM_PER_M, height * _NM_PER_M if height else None),
        frame=frame,
        bar_rows=int(bar) if bar.isdecimal() and len(bar) < 6 else None,
        instrument=named(
            vendor="FEI / Thermo Fisher",
            model=entries.get("System/SystemType"),
            detector=entries.get("Detectors/Name"),
            voltage=_with_unit(entries.get("Beam/HV"), "V"),
            working_distance=_with_unit(entries.get("EBeam/WD"), "m"),
            date=entries.get("User/Date"),
        ),
    )


def parse_zeiss(raw: bytes) -> Facts | None:
    """Read Zeiss' tag 34118: ``Image Pixel Size`` before ``Pixel Size``, units in the text."""
    text = decode_text(raw)
    entries = parse_entries(text)
    # "Pixel Size" is of the image as scanned: no stand-in where that of the stored one is damaged.
    told = any(mark in text for mark in _ZEISS_IMAGE)
    key = "Image Pixel Size" if told else "Pixel Size"
    width = parse_nm(entries.get(key))
    cut = text[-1:] not in ("\n", "\r", "\0")
    if width is None or (cut and not told):
        return None
    return Facts(
        source=f"Zeiss tag 34118 {key}",
        pixel=(width, width),
        frame=parse_size(entries.get("Store resolution")),
        bar_rows=0,  # drawn into the picture, which keeps its height
        instrument=named(
            vendor="Zeiss",
            model=entries.get("Sem"),
            detector=entries.get("Signal A"),
            voltage=entries.get("EHT"),
            working_distance=entries.get("WD"),
            magnification=entries.get("Mag"),
            date=entries.get("Date"),
        ),
    )


def parse_tescan(raw: bytes) -> Facts | None:
    """Read TESCAN's tag 50431: plain text, metres, behind an embedded thumbnail."""
    match = _TESCAN_WIDTH.search(raw)
    if match is None:
        return None
    thumbnail_end = raw.rfind(b"\0", 0, match.start()) + 1
    text = _NO_TEXT.sub(b"\n", raw[thumbnail_end:])
    return tescan_facts(parse_entries(decode_text(text)), "TESCAN tag 50431")


def tescan_facts(entries: Mapping[str, str], source: str) -> Facts | None:
    """Return the facts of TESCAN's entries, which tag and ``.hdr`` file share."""
    width = parse_number(entries.get("PixelSizeX"))
    if width is None:
        return None
    height = parse_number(entries.get("PixelSizeY"))
    strip = entries.get("ImageStripSize", "")
    return Facts(
        source=f"{source} PixelSizeX",
        pixel=square(width * _NM_PER_M, height * _NM_PER_M if height else None),
        bar_rows=int(strip) if strip.isdecimal() and len(strip) < 6 else None,
        instrument=named(
            vendor="TESCAN",
            model=entries.get("Device"),
            detector=entries.get("Detector") or entries.get("Detector0"),
            voltage=_with_unit(entries.get("HV"), "V"),
            working_distance=_with_unit(entries.get("WD"), "m"),
            magnification=entries.get("Magnification"),
            date=entries.get("Date"),
        ),
    )


def parse_tag_34683(raw: bytes) -> Facts | None:
    """Read tag 34683: the XML of Phenom (``pixelWidth``) or of FEI (``PixelSize``)."""
    root = parse_xml(decode_text(raw))
    if root is None:
        return None
    width, height = _xml_length(root, "pixelWidth"), _xml_length(root, "pixelHeight")
    bar = parse_number(root.findtext(".//databarHeight"))
    if width is not None:
        return Facts(
            source="Phenom tag 34683 pixelWidth",
            pixel=square(width, height),
            bar_rows=round(bar) if bar is not None and bar < 1e5 else None,
            instrument=named(
                vendor="Phenom",
                detector=root.findtext(".//detector"),
                voltage=_with_unit(root.findtext(".//acceleratingVoltage"), "V"),
                magnification=root.findtext(".//magnification"),
            ),
        )
    width, height = _xml_length(root, "PixelSize/X"), _xml_length(root, "PixelSize/Y")
    if width is None:
        return None
    return Facts(
        source="FEI tag 34683 PixelSize",
        pixel=square(width, height),
        instrument=named(vendor="FEI / Thermo Fisher"),
    )


def read_comment(tags: Mapping[int, bytes]) -> list[Facts]:
    """Read the copy of Hitachi's sidecar in the Windows comment, tag 40092: nanometres."""
    entries = parse_entries(decode_text(tags.get(40092, b"")))
    width = parse_number(entries.get("PixelSize"))
    if width is None or "DataNumber" not in entries:
        return []
    instrument = named(vendor="Hitachi", detector=entries.get("SignalName"))
    return [Facts("Hitachi tag 40092 PixelSize", (width, width), instrument=instrument)]


def _xml_length(root: ElementTree.Element, name: str) -> float | None:
    """Return the length of an element in nanometres; without a unit it is none."""
    element = root.find(f".//{name}")
    if element is None or not element.text or not element.get("unit"):
        return None
    return parse_nm(f"{element.text.strip()} {element.get('unit')}")


def _with_unit(text: str | None, unit: str) -> str | None:
    return f"{text} {unit}" if text else None


_PARSERS: dict[int, Callable[[bytes], Facts | None]] = {
    34682: parse_fei,
    34680: lambda raw: parse_fei(raw, 34680),
    34118: parse_zeiss,
    50431: parse_tescan,
    34683: parse_tag_34683,
}


# Facts from the text files that Hitachi, JEOL and TESCAN write beside an image.

_MAX_BYTES = 1 << 20


def read_sidecars(image: Path) -> list[Facts]:
    """Return what the files beside an image tell.

    Parameters
    ----------
    image : Path
        For ``a.tif``: ``a.txt`` of Hitachi or JEOL, ``a.hdr`` or ``a-tif.hdr`` of TESCAN.
    """
    return [facts for path in _beside(image) if (facts := _parse(path)) is not None]


def parse_hitachi(text: str, source: str) -> Facts | None:
    """Read Hitachi's ``[SemImageFile]``: ``PixelSize`` in nanometres."""
    entries = parse_entries(text)
    width = parse_number(entries.get("PixelSize"))
    if "[SemImageFile]" not in text or width is None:
        return None
    return Facts(
        source=f"Hitachi {source} PixelSize",
        pixel=(width, width),
        frame=parse_size(entries.get("DataSize")),
        instrument=named(
            vendor="Hitachi",
            model=entries.get("InstructName"),
            detector=entries.get("SignalName"),
            voltage=entries.get("AcceleratingVoltage"),
            working_distance=entries.get("WorkingDistance"),
            magnification=entries.get("Magnification"),
            date=entries.get("Date"),
        ),
    )


def parse_jeol(text: str, source: str) -> Facts | None:
    """Read JEOL's ``$$SM_MICRON_MARKER`` (a length) over ``$$SM_MICRON_BAR`` (pixels)."""
    entries: dict[str, str] = {}
    for line in whole_lines(text):
        key, _, value = line.partition(" ")
        if key.startswith("$"):
            entries.setdefault(key.lstrip("$"), value.strip())
    length = parse_nm(entries.get("SM_MICRON_MARKER"))
    pixels = parse_number(entries.get("SM_MICRON_BAR"))
    if length is None or pixels is None:
        return None
    return Facts(
        source=f"JEOL {source} $$SM_MICRON_MARKER / $$SM_MICRON_BAR",
        pixel=(length / pixels, length / pixels),
        frame=parse_size(entries.get("CM_FULL_SIZE")),
        instrument=named(
            vendor="JEOL",
            model=entries.get("CM_INSTRUMENT"),
            detector=entries.get("CM_SIGNAL_NAME") or entries.get("CM_SIGNAL"),
            voltage=_kilovolts(entries.get("CM_ACCEL_VOLT")),
            magnification=entries.get("CM_MAG"),
            date=entries.get("CM_DATE"),
        ),
    )


def parse_tescan_header(text: str, source: str) -> Facts | None:
    """Read TESCAN's ``.hdr``: metres."""
    return tescan_facts(parse_entries(text), f"TESCAN {source}")


def _beside(image: Path) -> Iterator[Path]:
    """Yield the sidecars that exist, suffixes in either case."""
    kind = image.suffix.lstrip(".")
    names = [f"{image.stem}.txt", f"{image.stem}.TXT", f"{image.name}.txt"]
    for suffix in ("hdr", "HDR"):
        names += [
            f"{image.stem}.{suffix}",
            f"{image.stem}-{kind}.{suffix}",
            f"{image.name}.{suffix}",
        ]
    for name in names:
        path = image.with_name(name)
        if path.is_file() and path != image:
            yield path


def _parse(path: Path) -> Facts | None:
    """Return the facts of a sidecar; a file that cannot be read tells nothing."""
    try:
        with path.open("rb") as file:
            text = decode_text(file.read(_MAX_BYTES))
    except OSError:
        return None
    if path.suffix.lower() == ".hdr":
        return parse_tescan_header(text, path.suffix.lower())
    return parse_hitachi(text, ".txt") or parse_jeol(text, ".txt")


def _kilovolts(text: str | None) -> str | None:
    return f"{text} kV" if text else None


# Choose what to believe of everything that a file and its sidecars tell.

_DESCRIPTION = 270
_SQUARE = 0.01
"""Width and height of a pixel may differ by this share."""
_AGREEMENT = 0.01


class _Scale(NamedTuple):
    """How much an image was enlarged after the microscope wrote it, or why that is unknown."""

    factor: float | None
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """What is believed of a file.

    Parameters
    ----------
    pixel_size : PixelSize or None
        Size of a pixel.
    note : str
        Why a pixel size that is told is not believed, or what else to know of it.
    instrument : dict of str
        Vendor, model, detector and so on.
    facts : tuple of Facts
        Everything told, best first.
    """

    pixel_size: PixelSize | None
    note: str
    instrument: dict[str, str]
    facts: tuple[Facts, ...]


def calibrate(samples: Samples) -> Calibration:
    """Find the pixel size of a file and what it tells of the instrument.

    The vendor's tag is believed before the vendor's sidecar, then OME-XML, ImageJ, OME-Zarr. A bare
    resolution tag is nearly always print resolution and is never believed.

    Parameters
    ----------
    samples : Samples
        An open file.
    """
    facts = read_facts(samples.path, samples)
    instrument: dict[str, str] = {}
    for told in facts:
        instrument = {**told.instrument, **instrument}
    believed = [(told, *_believe(told, samples.shape)) for told in facts]
    refused = [told.pixel for told, size, _ in believed if told.pixel and size is None]
    notes = [note for *_, note in believed if note]
    # Two copies of one number: when one is refused, because it knows of which frame it speaks,
    # the other is refused with it.
    sizes = [size for told, size, _ in believed if size is not None and told.pixel not in refused]
    for other in sizes[1:]:
        if abs(other.nm / sizes[0].nm - 1) > _AGREEMENT:
            notes.append(f"{other.source} tells {other.nm:g} nm, not {sizes[0].nm:g} nm")
    return Calibration(sizes[0] if sizes else None, "; ".join(notes), instrument, tuple(facts))


def read_facts(path: Path, samples: Samples) -> list[Facts]:
    """Return everything that a file and the files beside it tell, best first."""
    description = samples.tags.get(_DESCRIPTION, b"")
    conventions = (parse_ome(description), parse_imagej(description, samples.resolution))
    return [
        *read_vendor_tags(samples.tags),
        *read_sidecars(path),
        *read_comment(samples.tags),
        *(told for told in conventions if told is not None),
        *samples.facts,
    ]


def _believe(told: Facts, shape: tuple[int, int]) -> tuple[PixelSize | None, str]:
    """Return the pixel size that a source tells for an image of `shape`, or why it is none."""
    if told.pixel is None:
        return None, ""
    width, height = told.pixel
    if abs(width / height - 1) > _SQUARE:
        return None, f"{told.source}: pixels of {width:g} x {height:g} nm are not square"
    scale = _scale(told, shape)
    if scale.factor is None:
        return None, f"{told.source}: {scale.reason}"
    if scale.factor == 1:
        return PixelSize(width, told.source), ""
    return PixelSize(width / scale.factor, f"{told.source}, image scaled by {scale.factor:.4g}"), ""


def _scale(told: Facts, shape: tuple[int, int]) -> _Scale:
    """Compare the image with the frame that the source describes.

    An image as wide as the frame is as the microscope wrote it, with its bar or without. One of
    another width was rescaled or cropped: only when the whole frame with its bar was scaled by
    one factor, which a crop would hit by rare chance, is the new pixel size certain.
    """
    if told.frame is None or told.frame[1] == shape[1]:
        return _Scale(1.0)
    factor = shape[1] / told.frame[1]
    if told.bar_rows:
        expected = (told.frame[0] + told.bar_rows) * factor
        if abs(expected - shape[0]) <= 1:
            return _Scale(factor)
    rows, columns = told.frame
    return _Scale(
        None,
        f"describes {columns} x {rows} pixels, the image has {shape[1]} x {shape[0]}; "
        "it was cropped or rescaled",
    )


# What a mask file says about itself: OME-XML with the pixel size and the provenance.

_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_NOT_XML = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_ome_xml(
    name: str,
    shape: tuple[int, int],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
) -> bytes:
    """Write the OME-XML of a mask, in ASCII and without time or UUID: same mask, same bytes.

    Parameters
    ----------
    name : str
        Name of the image.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None leaves the physical size out.
    provenance : mapping
        Values that JSON can hold.
    """
    height, width = shape
    size = ""
    facts = dict(provenance)
    if pixel_size is not None:
        size = "".join(
            f' PhysicalSize{axis}="{pixel_size.um!r}" PhysicalSize{axis}Unit="µm"' for axis in "XY"
        )
        facts |= {"pixel_size_nm": pixel_size.nm, "pixel_size_source": pixel_size.source}
    value = escape(json.dumps(facts, sort_keys=True, allow_nan=False))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{_SCHEMA}" Creator="mudrock">'
        f'<Image ID="Image:0" Name={quoteattr(_NOT_XML.sub("?", name))}>'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT"'
        f' Type="uint8" SizeX="{width}" SizeY="{height}" SizeC="1" SizeZ="1" SizeT="1"{size}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"/>'
        '</Pixels><AnnotationRef ID="Annotation:0"/></Image><StructuredAnnotations>'
        f'<CommentAnnotation ID="Annotation:0" Namespace="{NAMESPACE}"><Value>{value}</Value>'
        "</CommentAnnotation></StructuredAnnotations></OME>"
    ).encode("ascii", "xmlcharrefreplace")


def parse_provenance(description: bytes, shape: tuple[int, int]) -> dict[str, Any] | None:
    """Read back the provenance that `to_ome_xml` wrote.

    Parameters
    ----------
    description : bytes
        The ImageDescription of a TIFF file.
    shape : tuple of int
        Rows and columns of the image that carries it.

    Returns
    -------
    dict or None
        None when mudrock did not write it, or wrote it for an image of another size.
    """
    text = decode_text(description)
    root = parse_xml(text) if NAMESPACE in text else None
    if root is None:
        return None
    try:
        pixels = root.find(f".//{{{_SCHEMA}}}Pixels")
        value = root.find(
            f".//{{{_SCHEMA}}}CommentAnnotation[@Namespace='{NAMESPACE}']/{{{_SCHEMA}}}Value"
        )
        if pixels is None or value is None or not value.text:
            return None
        if (int(pixels.get("SizeY", 0)), int(pixels.get("SizeX", 0))) != shape:
            return None
        facts = json.loads(value.text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def stored_pixel_size(provenance: Mapping[str, Any]) -> PixelSize | None:
    """Return the pixel size that a provenance holds, or None."""
    size, source = provenance.get("pixel_size_nm"), provenance.get("pixel_size_source")
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not isinstance(source, str):
        return None
    try:
        return PixelSize(float(size), source)
    except (MudrockError, OverflowError):
        return None
