"""What a mask file says about itself: OME-XML with the pixel size and the provenance."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.facts import decode_text, parse_tree
from mudrock_cli.image.pixel_size import PixelSize

_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_NAMESPACE = "mudrock/provenance"
_NOT_XML = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD_BYTES = 1 << 16
# The description stands right behind the first directory, whose strip offsets come after it.


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
        f'<CommentAnnotation ID="Annotation:0" Namespace="{_NAMESPACE}"><Value>{value}</Value>'
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
    root = parse_tree(text) if _NAMESPACE in text else None
    if root is None:
        return None
    try:
        pixels = root.find(f".//{{{_SCHEMA}}}Pixels")
        value = root.find(
            f".//{{{_SCHEMA}}}CommentAnnotation[@Namespace='{_NAMESPACE}']/{{{_SCHEMA}}}Value"
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


def is_mudrock_mask(path: Path) -> bool:
    """Return whether a file looks like a mask written by mudrock, from its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith((b"II", b"MM")) and _NAMESPACE.encode() in head
