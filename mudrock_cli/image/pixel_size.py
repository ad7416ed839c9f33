"""The pixel size of a file and its instrument: vendors' tags and sidecars, OME-XML, ImageJ."""

import codecs
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import NAMESPACE, parse_xml
from mudrock_cli.image.types import Facts, PixelSize, Samples

# Texts of unknown encoding, numbers in any of the ways in which they are written.

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


def _parse_count(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 6 else None


def _gather(
    source: str,
    vendor: str,
    width: float | None,
    height: float | None,
    entries: Mapping[str, str],
    *,
    frame: tuple[int, int] | None = None,
    bar_rows: int | None = None,
    **keys: str,
) -> Facts | None:
    """Return what one source tells; nothing without the width of a pixel in nanometres.

    `keys` say where a fact of the instrument stands, in what unit, or where else:
    ``voltage="HV [V]"``, ``detector="Detector|Detector0"``.
    """
    if width is None:
        return None
    instrument = {"vendor": vendor}
    for name, key in keys.items():
        for choice in key.split("|"):
            entry, _, unit = choice.partition(" [")
            value = (entries.get(entry) or "").strip()
            if value:
                instrument[name] = f"{value} {unit.rstrip(']')}".strip()[:200]
                break
    pixel = width, height if height is not None else width
    return Facts(source, pixel, frame, bar_rows, instrument)


def _metres(text: str | None) -> float | None:
    """Return a number of metres as nanometres."""
    number = parse_number(text)
    return number * 1e9 if number else None


# The open conventions: OME-XML, and the description that ImageJ writes.

_PRINT_UNITS = {"inch", "cm"}
# ImageJ turns a bare print resolution into these, so they say nothing of the specimen.
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def parse_ome(description: bytes) -> Facts | None:
    """Read ``PhysicalSizeX`` of the first image of an OME-XML; its unit is µm if not told."""
    text = decode_text(description)
    root = parse_xml(text) if "<OME" in text else None
    nodes = () if root is None else root.iter()
    pixels = next((node for node in nodes if node.tag.endswith("}Pixels")), None)
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
    if width is None:
        return None
    return Facts("OME-XML PhysicalSizeX", (width, height or width), frame, 0)


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
    unit = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), parse_entries(text).get("unit", ""))
    if not unit or unit.lower() in _PRINT_UNITS or min(resolution) <= 0:
        return None
    width, height = (parse_nm(f"{1 / density!r} {unit}") for density in resolution)
    return Facts("ImageJ unit and XResolution", (width, height or width)) if width else None


# The private TIFF tags of FEI/Thermo Fisher, Zeiss, TESCAN, Phenom and Hitachi.

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
    told = (
        part for part in ("Scan", "EScan", "IScan") if _metres(entries.get(f"{part}/PixelWidth"))
    )
    section = next(told, "Scan")
    return _gather(
        f"FEI tag {code} [{section}] PixelWidth",
        "FEI / Thermo Fisher",
        _metres(entries.get(f"{section}/PixelWidth")),
        _metres(entries.get(f"{section}/PixelHeight")),
        entries,
        frame=parse_size(
            f"{entries.get('Image/ResolutionX', '')} {entries.get('Image/ResolutionY', '')}"
        ),
        bar_rows=_parse_count(entries.get("PrivateFei/DatabarHeight")),
        model="System/SystemType",
        detector="Detectors/Name",
        voltage="Beam/HV [V]",
        working_distance="EBeam/WD [m]",
        date="User/Date",
    )


def parse_zeiss(raw: bytes) -> Facts | None:
    """Read Zeiss' tag 34118: ``Image Pixel Size`` before ``Pixel Size``, units in the text."""
    text = decode_text(raw)
    entries = parse_entries(text)
    # "Pixel Size" is of the image as scanned: no stand-in where that of the stored one is damaged.
    told = any(mark in text for mark in _ZEISS_IMAGE)
    key = "Image Pixel Size" if told else "Pixel Size"
    if text[-1:] not in ("\n", "\r", "\0") and not told:  # cut
        return None
    return _gather(
        f"Zeiss tag 34118 {key}",
        "Zeiss",
        parse_nm(entries.get(key)),
        None,
        entries,
        frame=parse_size(entries.get("Store resolution")),
        bar_rows=0,  # drawn into the picture, which keeps its height
        model="Sem",
        detector="Signal A",
        voltage="EHT",
        working_distance="WD",
        magnification="Mag",
        date="Date",
    )


def parse_tescan(raw: bytes) -> Facts | None:
    """Read TESCAN's tag 50431: plain text, metres, behind an embedded thumbnail."""
    match = _TESCAN_WIDTH.search(raw)
    if match is None:
        return None
    thumbnail_end = raw.rfind(b"\0", 0, match.start()) + 1
    return parse_tescan_header(decode_text(_NO_TEXT.sub(b"\n", raw[thumbnail_end:])), "tag 50431")


def parse_tag_34683(raw: bytes) -> Facts | None:
    """Read tag 34683: the XML of Phenom (``pixelWidth``) or of FEI (``PixelSize``)."""
    root = parse_xml(decode_text(raw))
    if root is None:
        return None
    entries = {node.tag: node.text or "" for node in reversed(list(root.iter()))}
    bar = parse_number(entries.get("databarHeight"))
    return _gather(
        "Phenom tag 34683 pixelWidth",
        "Phenom",
        _xml_length(root, "pixelWidth"),
        _xml_length(root, "pixelHeight"),
        entries,
        bar_rows=round(bar) if bar is not None and bar < 1e5 else None,
        detector="detector",
        voltage="acceleratingVoltage [V]",
        magnification="magnification",
    ) or _gather(
        "FEI tag 34683 PixelSize",
        "FEI / Thermo Fisher",
        _xml_length(root, "PixelSize/X"),
        _xml_length(root, "PixelSize/Y"),
        entries,
    )


def _xml_length(root: ElementTree.Element, name: str) -> float | None:
    """Return the length of an element in nanometres; without a unit it is none."""
    element = root.find(f".//{name}")
    if element is None or not element.text or not element.get("unit"):
        return None
    return parse_nm(f"{element.text.strip()} {element.get('unit')}")


def read_comment(tags: Mapping[int, bytes]) -> list[Facts]:
    """Read the copy of Hitachi's sidecar in the Windows comment, tag 40092: nanometres."""
    entries = parse_entries(decode_text(tags.get(40092, b"")))
    width = parse_number(entries.get("PixelSize")) if "DataNumber" in entries else None
    source = "Hitachi tag 40092 PixelSize"
    facts = _gather(source, "Hitachi", width, None, entries, detector="SignalName")
    return [facts] if facts else []


_PARSERS = {
    34682: parse_fei,
    34680: lambda raw: parse_fei(raw, 34680),
    34118: parse_zeiss,
    50431: parse_tescan,
    34683: parse_tag_34683,
}


# The text files that Hitachi, JEOL and TESCAN write beside an image.

_MAX_BYTES = 1 << 20


def _read_sidecars(image: Path) -> Iterator[Facts]:
    """Yield what the files beside an image tell, their suffixes in either case.

    For ``a.tif``: ``a.txt`` of Hitachi or JEOL, ``a.hdr`` or ``a-tif.hdr`` of TESCAN.
    """
    kind = image.suffix.lstrip(".")
    names = [f"{image.stem}.txt", f"{image.stem}.TXT", f"{image.name}.txt"]
    for suffix in ("hdr", "HDR"):
        names += [f"{stem}.{suffix}" for stem in (image.stem, f"{image.stem}-{kind}", image.name)]
    for name in names:
        path = image.with_name(name)
        if path.is_file() and path != image and (facts := _parse(path)) is not None:
            yield facts


def _parse(path: Path) -> Facts | None:
    """Return the facts of a sidecar; a file that cannot be read tells nothing."""
    try:
        with path.open("rb") as file:
            text = decode_text(file.read(_MAX_BYTES))
    except OSError:
        return None
    if path.suffix.lower() == ".hdr":
        return parse_tescan_header(text, path.suffix.lower())
    return parse_hitachi(text) or parse_jeol(text)


def parse_hitachi(text: str) -> Facts | None:
    """Read Hitachi's ``[SemImageFile]``: ``PixelSize`` in nanometres."""
    entries = parse_entries(text)
    return _gather(
        "Hitachi .txt PixelSize",
        "Hitachi",
        parse_number(entries.get("PixelSize")) if "[SemImageFile]" in text else None,
        None,
        entries,
        frame=parse_size(entries.get("DataSize")),
        model="InstructName",
        detector="SignalName",
        voltage="AcceleratingVoltage",
        working_distance="WorkingDistance",
        magnification="Magnification",
        date="Date",
    )


def parse_jeol(text: str) -> Facts | None:
    """Read JEOL's ``$$SM_MICRON_MARKER`` (a length) over ``$$SM_MICRON_BAR`` (pixels)."""
    entries: dict[str, str] = {}
    for line in whole_lines(text):
        key, _, value = line.partition(" ")
        if key.startswith("$"):
            entries.setdefault(key.lstrip("$"), value.strip())
    length = parse_nm(entries.get("SM_MICRON_MARKER"))
    pixels = parse_number(entries.get("SM_MICRON_BAR"))
    return _gather(
        "JEOL .txt $$SM_MICRON_MARKER / $$SM_MICRON_BAR",
        "JEOL",
        length / pixels if length and pixels else None,
        None,
        entries,
        frame=parse_size(entries.get("CM_FULL_SIZE")),
        model="CM_INSTRUMENT",
        detector="CM_SIGNAL_NAME|CM_SIGNAL",
        voltage="CM_ACCEL_VOLT [kV]",
        magnification="CM_MAG",
        date="CM_DATE",
    )


def parse_tescan_header(text: str, source: str) -> Facts | None:
    """Read TESCAN's entries, which the tag and the ``.hdr`` file share: metres."""
    entries = parse_entries(text)
    return _gather(
        f"TESCAN {source} PixelSizeX",
        "TESCAN",
        _metres(entries.get("PixelSizeX")),
        _metres(entries.get("PixelSizeY")),
        entries,
        bar_rows=_parse_count(entries.get("ImageStripSize")),
        model="Device",
        detector="Detector|Detector0",
        voltage="HV [V]",
        working_distance="WD [m]",
        magnification="Magnification",
        date="Date",
    )


# What to believe of everything that a file and its sidecars tell.

_DESCRIPTION = 270
_SQUARE = 0.01
"""Width and height of a pixel may differ by this share."""
_AGREEMENT = 0.01
_BAR_ROWS, _BAR_SHARE = 3, 0.005
"""By which the edge of a data bar is found inexactly."""


class Calibration(NamedTuple):
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
    description = samples.tags.get(_DESCRIPTION, b"")
    conventions = parse_ome(description), parse_imagej(description, samples.resolution)
    facts = [
        *read_vendor_tags(samples.tags),
        *_read_sidecars(samples.path),
        *read_comment(samples.tags),
        *(told for told in conventions if told is not None),
        *samples.facts,
    ]
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


def doubt_scale(told: Calibration, bar: int) -> Calibration:
    """Return a calibration without a pixel size that speaks of a data bar of another height.

    Where a source tells the rows of the bar and not those of the frame, that alone shows that the
    image was rescaled.

    Parameters
    ----------
    told : Calibration
        From `calibrate`.
    bar : int
        Rows of the data bar that the image shows.
    """
    for facts in told.facts:
        claimed = facts.bar_rows if facts.frame is None else None
        size = told.pixel_size
        if claimed and bar and size and size.source == facts.source and is_other_bar(claimed, bar):
            note = (
                f"{facts.source}: describes a data bar of {claimed} rows, the image has {bar}; it "
                "was rescaled"
            )
            return told._replace(pixel_size=None, note="; ".join(filter(None, (told.note, note))))
    return told


def is_other_bar(claimed: int, found: int) -> bool:
    """Tell whether the rows of a data bar are not those that a file tells of."""
    return abs(found - claimed) > _BAR_ROWS + _BAR_SHARE * claimed


def _believe(told: Facts, shape: tuple[int, int]) -> tuple[PixelSize | None, str]:
    """Return the pixel size that a source tells for an image of `shape`, or why it is none.

    An image as wide as the frame that the source describes is as the microscope wrote it, with its
    bar or without. One of another width was rescaled or cropped: only when the whole frame with its
    bar was scaled by one factor, which a crop would hit by rare chance, is the new pixel size
    certain.
    """
    if told.pixel is None:
        return None, ""
    width, height = told.pixel
    if not PixelSize.LEAST_NM <= width < math.inf:
        return None, f"{told.source}: a pixel size of {width:g} nm is impossible"
    if abs(width / height - 1) > _SQUARE:
        return None, f"{told.source}: pixels of {width:g} x {height:g} nm are not square"
    if told.frame is None or told.frame[1] == shape[1]:
        return PixelSize(width, told.source), ""
    rows, columns = told.frame
    factor = shape[1] / columns
    if told.bar_rows and abs((rows + told.bar_rows) * factor - shape[0]) <= 1:
        return PixelSize(width / factor, f"{told.source}, image scaled by {factor:.4g}"), ""
    return None, (
        f"{told.source}: describes {columns} x {rows} pixels, the image has "
        f"{shape[1]} x {shape[0]}; it was cropped or rescaled"
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
    """Write the OME-XML of a mask, without time or UUID: same mask, same bytes.

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
    ).encode()  # as "&#181;m" Bio-Formats, and so Fiji and QuPath, would not know the unit


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
