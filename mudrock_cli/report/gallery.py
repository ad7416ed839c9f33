"""Which figures a report shows, for all images, each group and each image."""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mudrock_cli.report.estimates import Estimate, draw_estimates
from mudrock_cli.report.figures import (
    Floats,
    draw_cumulative,
    draw_representativeness,
    draw_rose,
    draw_sizes,
)
from mudrock_cli.report.objects import Objects
from mudrock_cli.report.tables import Row
from mudrock_cli.report.texture_figures import draw_ripley, draw_spheres, draw_two_point

_LEAST = 5
"""Fewer objects than this make no distribution."""


def draw_comparison(rows: Sequence[Row], pooled: Row) -> dict[str, Figure]:
    """Draw porosity and silt fraction of images or groups, side by side with all together.

    Parameters
    ----------
    rows : sequence of Row
        Summary rows of images, or of groups.
    pooled : Row
        Summary row of all images.
    """
    figures = {}
    for title, column, phase in (
        ("Porosity", "porosity", "pore"),
        ("Silt fraction", "silt_fraction", "silt"),
    ):
        estimates = [
            Estimate(row["image"] or row["group"] or "", *_limits(row, column)) for row in rows
        ]
        together = Estimate("all images", *_limits(pooled, column), strong=True)
        figures[column] = draw_estimates(title, phase, [*estimates, together])
    return figures


def draw_objects(
    row: Row, pores: Objects, silt: Objects, limit_um: float | None
) -> dict[str, Figure]:
    """Draw sizes, cumulative curves and directions of some images, and whether a field suffices.

    Parameters
    ----------
    row : Row
        Their summary row.
    pores, silt : Objects
        Their objects.
    limit_um : float or None
        Smallest pore that is resolved, µm.
    """
    figures: dict[str, Figure] = {}
    for phase, objects in (("pore", pores), ("silt", silt)):
        if len(objects) < _LEAST:
            continue
        sizes = objects.bin_sizes()
        # Only pores are held against the resolution: silt starts well above it.
        own = limit_um if phase == "pore" else None
        figures[f"{phase}_sizes"] = draw_sizes(phase, sizes.edges, sizes.number, sizes.area, own)
        figures[f"{phase}_cumulative"] = draw_cumulative(phase, *objects.accumulate(), own)
    if row["window_side_um"]:
        sides = _array(row["window_side_um"])
        curves = {
            phase: (sides, _array(row[f"{phase}_variation"]))
            for phase in ("pore", "silt")
            if row[f"{phase}_variation"] and np.isfinite(_array(row[f"{phase}_variation"])).any()
        }
        if curves:
            figures["representativeness"] = draw_representativeness(curves)
    for phase, objects in (("silt", silt), ("pore", pores)):
        rose = objects.orient()
        if len(objects) >= _LEAST and rose[1].any():
            figures[f"{phase}_rose"] = draw_rose(phase, *rose)
    return figures


def draw_texture(row: Row) -> dict[str, Figure]:
    """Draw what a summary row tells of spacing, correlation and unfolded spheres."""
    figures: dict[str, Figure] = {}
    ripley = {
        phase: (
            _array(row[f"{phase}_ripley_radius_um"]),
            _array(row[f"{phase}_ripley_l_um"]),
            float(row[f"{phase}_ripley_critical_um"]),
        )
        for phase in ("pore", "silt")
        if row[f"{phase}_ripley_l_um"] and (row[f"{phase}_whole"] or 0) >= _LEAST
    }
    if ripley:
        figures["ripley"] = draw_ripley(ripley)
    correlation = {
        phase: _array(row[f"{phase}_two_point"])
        for phase in ("pore", "silt")
        if row[f"{phase}_two_point"]
    }
    if correlation:
        distances = _array(row["two_point_distance_um"])
        figures["two_point"] = draw_two_point(distances, correlation)
    if row["silt_spheres_per_um3"] and row["silt_grains"] >= 2 * _LEAST:
        names = ("silt_sphere_um", *(f"silt_spheres{end}_per_um3" for end in ("", "_low", "_high")))
        figures["silt_spheres"] = draw_spheres(*(_array(row[name]) for name in names))
    return figures


def _array(values: Sequence[float | None]) -> Floats:
    return np.array(values, np.float64)


def _limits(row: Row, column: str) -> tuple[float, float, float]:
    """Return a share and its interval, NaN where there is none."""
    value, low, high = (row[name] for name in (column, f"{column}_low", f"{column}_high"))
    return tuple(math.nan if each is None else float(each) for each in (value, low, high))  # type: ignore[return-value]


def name_files(figures: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    """Return figures by a file name that every system takes; no two alike."""
    named: dict[str, Figure] = {}
    for section, drawn in figures.items():
        for name, figure in drawn.items():
            stem = re.sub(r"[^\w.-]+", "_", f"{section.removeprefix('image ')}_{name}").strip("._")
            unique, count = stem, 2
            while unique.lower() in {other.lower() for other in named}:
                unique, count = f"{stem}_{count}", count + 1
            named[unique] = figure
    return named
