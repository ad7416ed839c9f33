"""Facts from the text files that Hitachi, JEOL and TESCAN write beside an image."""

from collections.abc import Iterator
from pathlib import Path

from mudrock_cli.image.facts import (
    Facts,
    decode_text,
    named,
    parse_entries,
    parse_nm,
    parse_number,
    parse_size,
    whole_lines,
)
from mudrock_cli.image.vendor_tags import tescan_facts

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
