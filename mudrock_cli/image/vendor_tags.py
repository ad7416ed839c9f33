"""Facts from the private TIFF tags of FEI/Thermo Fisher, Zeiss, TESCAN, Phenom and Hitachi."""

import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from mudrock_cli.image.facts import (
    Facts,
    decode_text,
    named,
    parse_entries,
    parse_nm,
    parse_number,
    parse_size,
    parse_tree,
    square,
)

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


def parse_xml(raw: bytes) -> Facts | None:
    """Read tag 34683: the XML of Phenom (``pixelWidth``) or of FEI (``PixelSize``)."""
    root = parse_tree(decode_text(raw))
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
    34683: parse_xml,
}
