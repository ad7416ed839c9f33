"""The figures of a summary row as lines of a table, in words a reader knows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mudrock_cli.measure.statistics.grading import name_sorting
from mudrock_cli.report.tables import Row, read_provenance
from mudrock_cli.report.words import (
    CHANCE,
    MISSING,
    describe_window,
    format_estimate,
    format_number,
    format_share,
)


@dataclass(frozen=True)
class Fact:
    """A line: what, how much, and what to know about it."""

    title: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class SizeCell:
    """A size percentile, its interval, the figure corrected for the frame, and what to know."""

    figure: str
    interval: str
    corrected: str
    note: str


@dataclass(frozen=True)
class SizeLine:
    """D10, D50 and D90 of a phase, by number or by area."""

    phase: str
    title: str
    cells: tuple[SizeCell, ...]


def tabulate_sizes(row: Row, limit_um: float) -> list[SizeLine]:
    """Return the size percentiles of a summary row, phases without objects left out.

    Parameters
    ----------
    row : Row
        The summary row.
    limit_um : float
        Least diameter that is resolved in all its images.
    """
    lines = []
    for phase, things in (("pore", "pores"), ("silt", "silt grains")):
        for basis in ("area", "number"):
            stems = [f"{phase}_ecd_d{percent}_{basis}" for percent in (10, 50, 90)]
            if row[f"{stems[0]}_um"] is None:
                continue
            cells = tuple(_tell_size(row, stem, limit_um) for stem in stems)
            lines.append(SizeLine(phase, f"{things} by {basis}", cells))
    return lines


def _tell_size(row: Row, stem: str, limit_um: float) -> SizeCell:
    limits = (row[f"{stem}_um"], row[f"{stem}_low_um"], row[f"{stem}_high_um"])
    figure, interval = format_estimate(*limits)
    corrected = row[f"{stem}_corrected_um"]
    return SizeCell(
        figure,
        interval,
        "" if corrected is None else format_number(corrected),
        "not resolved" if limits[0] < limit_um else "",
    )


def list_facts(row: Row) -> list[Fact]:
    """Return what else a summary row tells; lines without a figure are left out."""
    return [fact for fact in _facts(row) if fact.text not in ("", MISSING)]


def describe_making(row: Row) -> str:
    """Say how a mask was made, from its provenance."""
    told = read_provenance(row)
    parts = []
    for key in ("method", "model", "recipe"):
        value = told.get(key)
        if isinstance(value, dict):
            name, digest = value.get("name", ""), str(value.get("sha256", ""))
            value = f"{name} ({digest[:12]})" if digest else name
        if value:
            parts.append(f"{key} {value}" if key != "method" else str(value))
    if told.get("version"):
        parts.append(f"mudrock {told['version']}")
    return ", ".join(parts) or "not told by the mask"


def _facts(row: Row) -> Iterator[Fact]:
    yield Fact("area analysed", f"{format_number(row['area_analysed_um2'], 4)} µm²")
    if row["pixel_size_nm"] is not None:
        size = f"{row['pixel_size_nm']:.6g} nm"
        yield Fact("pixel size", size, f"from {row['pixel_size_source']}")
    clay, interval = format_share(row, "clay_fraction")
    yield Fact("clay fraction", clay, interval)
    small, least = row["small_silt_regions"], row["min_silt_um"]
    share = format_number(100 * (row["mask_silt_fraction"] - row["silt_fraction"]), 2)
    yield Fact(
        "objects",
        f"{row['pores']:,} pores, {row['silt_grains']:,} silt grains",
        f"{small:,} silt regions up to {least:g} µm, {share} % of the area, count as clay"
        if small
        else "",
    )
    yield from _describe_frame(row)
    near = row["pore_area_near_limit"]
    if near is not None:
        limit = format_number(2 * row["resolvable_ecd_um"])
        share = f"{100 * near:.1f} %"
        yield Fact("pore area near the resolution", share, f"in pores up to {limit} µm")
    if row["window_side_um"]:
        windows = [describe_window(row, phase) for phase in ("pore", "silt")]
        yield Fact("representative window", "; ".join(windows), "spread under 10 %")
    yield from _describe_grading(row)
    yield from _describe_fabric(row)


def _describe_frame(row: Row) -> Iterator[Fact]:
    for phase, things in (("pore", "pores"), ("silt", "silt grains")):
        number = row[f"{phase}_corrected_number"]
        if not number:
            continue
        effective = format_number(row[f"{phase}_effective_number"])
        heaviest = format_number(row[f"{phase}_largest_weight"])
        unstable = "; unstable" if row[f"{phase}_correction_unstable"] else ""
        yield Fact(
            f"{things} whole in the frame",
            f"{row[f'{phase}_whole']:,}",
            f"corrected number {format_number(number)}, effective number {effective}, "
            f"largest weight {heaviest}{unstable}",
        )


def _describe_grading(row: Row) -> Iterator[Fact]:
    for basis in ("area", "number"):
        mean, sorting, skewness, kurtosis = (
            row[f"silt_{basis}_{name}"]
            for name in ("mean_phi", "sorting_phi", "skewness", "kurtosis")
        )
        if mean is None:
            continue
        yield Fact(
            f"silt by {basis} (Folk and Ward)",
            f"mean {mean:.2f} φ ({format_number(1e3 * 2**-mean)} µm), "
            f"sorting {format_number(sorting)} φ",
            f"{name_sorting(math.nan if sorting is None else sorting)}; "
            f"skewness {format_number(skewness, 2)}, kurtosis {format_number(kurtosis, 2)}",
        )


def _describe_fabric(row: Row) -> Iterator[Fact]:
    for phase, things in (("silt", "silt"), ("pore", "pores")):
        angle, p = row[f"{phase}_orientation_deg"], row[f"{phase}_orientation_p"]
        if angle is not None and p is not None:
            told = "a common direction" if p < CHANCE else "no common direction shown"
            strength = format_number(row[f"{phase}_orientation_strength"], 2)
            yield Fact(
                f"long axes of {things}",
                f"{angle:.0f}°, strength {strength}",
                f"{told} (Rayleigh {_tell_p(p)})",
            )
        index, p = row[f"{phase}_clark_evans"], row[f"{phase}_clark_evans_p"]
        if index is not None and p is not None:
            told = "random" if p >= CHANCE else "clustered" if index < 1 else "regular"
            yield Fact(
                f"spacing of {things}",
                f"Clark–Evans {index:.2f}",
                f"{told} ({_tell_p(p)})",
            )
    if row["silt_contiguity"] is not None:
        contacts = format_number(row["silt_contacts_per_grain"], 2)
        yield Fact(
            "contiguity of silt",
            f"{row['silt_contiguity']:.2f}",
            f"0 matrix-supported, near 1 grain-supported; {contacts} contacts per grain",
        )


def _tell_p(p: float) -> str:
    return "p < 0.001" if p < 1e-3 else f"p = {p:.2g}"
