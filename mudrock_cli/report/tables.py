"""The tables that ``mudrock stats`` wrote, and their figures in words."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.schema import TYPES
from mudrock_cli.measure.tables import check_pair, read_table, summary_path

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = (
    *("image", "height_px", "width_px", "pixel_size_nm", "pixel_size_source", "area_analysed_um2"),
    *("pores", "silt_grains", "min_silt_um", "resolvable_ecd_um"),
)

Row = Mapping[str, Any]
"""A row of the summary; None where a column holds nothing."""


@dataclass(frozen=True)
class Tables:
    """What a report is made from.

    Parameters
    ----------
    path : Path
        The instance table's file; the paths in the summary count from its folder.
    instances : pandas.DataFrame
        A row per object.
    images : sequence of Row
        Summary row of each image.
    groups, comparisons : sequence of Row
        Summary rows of groups and of pairs of groups.
    pooled : Row
        Summary row of all images together.
    facts : mapping
        The ``mudrock`` key of the file's metadata: software, version, options.
    depth : str or None
        The column that tells at which depth images or groups were taken, where ``--group`` gave one
        in numbers.
    """

    path: Path
    instances: "pd.DataFrame"
    images: Sequence[Row]
    groups: Sequence[Row]
    comparisons: Sequence[Row]
    pooled: Row
    facts: Mapping[str, Any]
    depth: str | None = None


def read_tables(path: Path) -> Tables:
    """Read an instance table and the summary beside it.

    Parameters
    ----------
    path : Path
        ``report.parquet``.

    Raises
    ------
    MudrockError
        If a file is missing, no Parquet, of another schema or version, without a column, or
        about no image at all.
    """
    beside = summary_path(path)
    for place in (path, beside):
        if not place.is_file():
            raise MudrockError(
                f"{place}: not there",
                "give the report.parquet of mudrock stats, with report.summary.parquet beside it",
            )
    instances, facts = read_table(path, "instances")
    summary, beside_facts = read_table(beside, "summary")
    check_pair(path, beside_facts)
    rows: dict[str, list[Row]] = {}
    for row in summary.to_pylist():
        rows.setdefault(row["scope"], []).append(row)
    images = rows.get("image", [])
    if not images:
        raise MudrockError(f"{beside}: no image in the summary", "run mudrock stats on masks first")
    for row, name in itertools.product(images, _NEEDED):
        if row[name] is None:
            raise MudrockError(
                f"{beside}: a damaged table (an image without {name})",
                "make it anew with mudrock stats",
            )
    try:
        frame = instances.to_pandas()
    except ValueError as error:  # a dictionary that holds a word twice, for example
        raise MudrockError(
            f"{path}: a damaged table ({error})", "make it anew with mudrock stats"
        ) from error
    return Tables(
        path=path,
        instances=frame,
        images=images,
        groups=rows.get("group", []),
        comparisons=rows.get("comparison", []),
        pooled=rows["pooled"][0] if rows.get("pooled") else images[0],
        facts=facts,
        depth=next(
            (
                field.name
                for field in summary.schema
                if field.name.lower().startswith("depth") and field.type == TYPES["float"]
            ),
            None,
        ),
    )


def read_provenance(row: Row) -> dict[str, Any]:
    """Return how the mask of a summary row was made; nothing where that cannot be read."""
    try:
        found = json.loads(row["provenance"] or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


MISSING = "–"
CHANCE = 0.05
"""A finding with a larger p value is not told as one."""

WITHIN = " within this field"
"""Behind an interval that does not speak for the rock."""

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
    low, high, scope = find_interval(row, name)
    return _with_unit(format_estimate(row[name], low, high, 100), "%", scope)


def format_length(row: Row, name: str) -> tuple[str, str]:
    """Return a length in µm and its interval; `name` without its unit.

    An interval belongs to the figure corrected for the frame, which then takes the place of the
    figure as seen.
    """
    low, high, scope = find_interval(row, name, "_um")
    value = row[f"{name}_um"] if low is None else row[f"{name}_corrected_um"]
    return _with_unit(format_estimate(value, low, high), "µm", scope)


def find_interval(row: Row, name: str, ending: str = "") -> tuple[float | None, float | None, str]:
    """Return the limits of a figure's interval, None where it has none, and what it speaks for.

    Returns
    -------
    low, high : float or None
        Limits.
    scope : str
        Empty for the rock.
    """
    for stem, scope in ((name, ""), (f"{name}_within_field", WITHIN)):
        low, high = (row.get(f"{stem}_{limit}{ending}") for limit in ("low", "high"))
        if low is not None and high is not None:
            return low, high, scope
    return None, None, ""


def _with_unit(texts: tuple[str, str], unit: str, scope: str = "") -> tuple[str, str]:
    """Put a unit behind figures, so that no line breaks between them, and what they speak for."""
    figure, interval = (
        text if text in ("", MISSING) else f"{text}{_SPACE}{unit}" for text in texts
    )
    return figure, interval + scope if interval else ""


def list_words(words: Sequence[str], longest: int = 4) -> str:
    """Return words as an enumeration; many are cut short."""
    if len(words) > longest:
        words = [*words[: longest - 1], f"{len(words) - longest + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


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
