"""Numbers and findings in words: as many digits as the interval allows, and no more."""

import math
from collections.abc import Sequence

from mudrock_cli.report.tables import Row

MISSING = "–"
CHANCE = 0.05
"""A finding with a larger p value is not told as one."""

_SPACE = "\N{NO-BREAK SPACE}"


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number with significant digits and no exponent; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 9)}f}".replace("-", "−")


def format_estimate(
    value: float | None, low: float | None, high: float | None, scale: float = 1.0
) -> tuple[str, str]:
    """Return a figure and its interval, with two digits of the interval's half width.

    Returns
    -------
    figure, interval : str
        ``"5.1"`` and ``"4.0 to 6.3"``; the interval is empty where there is none, as around the
        share of what was not found.
    """
    if value is None or not math.isfinite(value):
        return MISSING, ""
    value = value * scale
    if low is None or high is None or not math.isfinite(low + high):
        return format_number(value), ""
    half = (high - low) * scale / 2
    if half <= 0:
        text = format_number(value)
        return text, f"{text} to {text}" if value else ""
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 4)
    figure, *limits = (
        f"{each:,.{decimals}f}".replace("-", "−") for each in (value, low * scale, high * scale)
    )
    return figure, " to ".join(limits)


def format_share(row: Row, name: str) -> tuple[str, str]:
    """Return a share of area in percent and its interval, of a summary row."""
    figure, interval = format_estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], 100)
    return _attach(figure, "%"), _attach(interval, "%")


def format_length(row: Row, name: str) -> tuple[str, str]:
    """Return a length in µm and its interval; `name` without its unit."""
    figure, interval = format_estimate(
        row[f"{name}_um"], row[f"{name}_low_um"], row[f"{name}_high_um"]
    )
    return _attach(figure, "µm"), _attach(interval, "µm")


def _attach(text: str, unit: str) -> str:
    """Put a unit behind a figure, so that no line breaks between them."""
    return text if text in ("", MISSING) else f"{text}{_SPACE}{unit}"


def list_words(words: Sequence[str], longest: int = 4) -> str:
    """Return words as an enumeration; many are cut short."""
    if len(words) > longest:
        words = [*words[: longest - 1], f"{len(words) - longest + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def describe_window(row: Row, phase: str) -> str:
    """Say whether the field is large enough for the share of a phase."""
    size = row[f"{phase}_window_um"]
    name = "porosity" if phase == "pore" else f"{phase} fraction"
    if size is None or not math.isfinite(size):
        return f"{name}: not reached in this field"
    return f"{name}: windows of {format_number(size, 2)} µm or more"


def gather_warnings(images: Sequence[Row]) -> list[tuple[str, str]]:
    """Return each warning once, with the images that it is about, the commonest first."""
    found: dict[str, list[str]] = {}
    for row in images:
        for text in row["warnings"] or ():
            found.setdefault(text, []).append(row["image"])
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [
        (f"all {len(names)} images" if len(names) == len(images) else list_words(names), text)
        for text, names in ordered
    ]
