"""What one source (a tag, a sidecar) tells of a micrograph, and how its text is read."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.pixel_size import PixelSize

_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?")
_PAIR = re.compile(r"\s*(\d+)\s*[x×*, ]\s*(\d+)\s*", re.IGNORECASE)

_LONGEST = 60
"""No number with its unit is longer; hostile ones would keep a regular expression busy."""


@dataclass(frozen=True)
class Facts:
    """What one source tells.

    Parameters
    ----------
    source : str
        The tag or file and the entry, for example ``"FEI tag 34682 [Scan] PixelWidth"``.
    pixel : tuple of float, optional
        Width and height of a pixel in nanometres.
    frame : tuple of int, optional
        Rows and columns that the microscope scanned, without a data bar.
    bar_rows : int, optional
        Height of the data bar below the frame, 0 when there is none.
    instrument : mapping of str
        Vendor, model, detector, voltage, working distance, magnification, date.
    """

    source: str
    pixel: tuple[float, float] | None = None
    frame: tuple[int, int] | None = None
    bar_rows: int | None = None
    instrument: Mapping[str, str] = field(default_factory=dict)


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


def parse_tree(text: str) -> ElementTree.Element | None:
    """Parse XML, or return None for what is none, or could expand without end."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    text = text.strip("\0 \r\n\t")
    if text.startswith("<?"):  # its encoding no longer holds once the text is decoded
        text = text[text.find("?>") + 2 :]
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


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
