"""Facts from the open conventions: OME-XML and the description that ImageJ writes."""

import re

from mudrock_cli.image.facts import (
    Facts,
    decode_text,
    parse_entries,
    parse_nm,
    parse_tree,
    square,
)

_PRINT_UNITS = {"inch", "cm"}
# ImageJ turns a bare print resolution into these, so they say nothing of the specimen.
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def parse_ome(description: bytes) -> Facts | None:
    """Read ``PhysicalSizeX`` of the first image of an OME-XML; its unit is µm if not told."""
    text = decode_text(description)
    root = parse_tree(text) if "<OME" in text else None
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
