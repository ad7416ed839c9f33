"""The figures of a report, drawn from plain arrays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from mudrock_cli.measure.statistics.fabric import AxialMean
from mudrock_cli.report.style import FAINT, INK, LIMIT, PHASE_COLOURS, figure_style
from mudrock_cli.report.words import CHANCE

Floats = npt.NDArray[np.float64]

PANEL = (3.7, 2.6)
"""Inches; small, so that the text of a figure can be read on a phone."""

PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.4g} %")
"""Says shares in percent, with the decimals that a tick needs."""


@dataclass(frozen=True)
class Curve:
    """A cumulative size distribution with its band.

    Parameters
    ----------
    sizes : ndarray of float64, shape (K,)
        Equivalent-circle diameters, µm.
    share, low, high : ndarray of float64, shape (K,)
        Share up to each size, and the interval around it (NaN where there is none).
    """

    sizes: Floats
    share: Floats
    low: Floats
    high: Floats


def draw_sizes(
    phase: str, edges: Floats, number: Floats, area: Floats, limit_um: float | None
) -> Figure:
    """Draw the size distribution by number and by area, with the limit of resolution.

    Parameters
    ----------
    phase : {"silt", "pore"}
        Whose sizes.
    edges : ndarray of float64, shape (K + 1,)
        Limits of the classes, µm.
    number, area : ndarray of float64, shape (K,)
        Shares.
    limit_um : float or None
        Smallest diameter that is resolved; None draws none.
    """
    with figure_style():
        figure = Figure(PANEL)
        axes = figure.add_subplot()
        colour = PHASE_COLOURS[phase]
        axes.stairs(area, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(area, edges, color=colour, lw=1.8, label="by area")
        axes.stairs(number, edges, color=INK, lw=1.3, ls=(0, (4, 2)), label="by number")
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.set_ylabel("share per class")
        axes.set_title(f"{phase.capitalize()} sizes")
        scale_log(axes, edges[0], edges[-1])
        _mark_limit(axes, limit_um)
        axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.99), ncols=2)
    return figure


def draw_cumulative(phase: str, by_number: Curve, by_area: Curve, limit_um: float | None) -> Figure:
    """Draw the cumulative size distributions with their bands."""
    with figure_style():
        figure = Figure(PANEL)
        axes = figure.add_subplot()
        styles = (
            (by_area, PHASE_COLOURS[phase], "-", "by area"),
            (by_number, INK, (0, (4, 2)), "by number"),
        )
        for curve, colour, dashes, label in styles:
            axes.fill_between(curve.sizes, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
            axes.plot(curve.sizes, curve.share, color=colour, ls=dashes, label=label)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PERCENT)
        banded = np.isfinite(by_area.low).any()
        axes.set_ylabel("finer than (band: 95 %)" if banded else "finer than")
        axes.set_title(f"{phase.capitalize()} sizes, cumulative")
        scale_log(axes, by_area.sizes[0], by_area.sizes[-1])
        _mark_limit(axes, limit_um)
        axes.legend(loc="lower right", frameon=True, framealpha=0.8, edgecolor="none")
    return figure


def draw_rose(phase: str, edges: Floats, shares: Floats, mean: AxialMean) -> Figure:
    """Draw the rose of long axes over half a turn, and their mean where it is not chance.

    Parameters
    ----------
    phase : {"silt", "pore"}
        Whose axes.
    edges, shares : ndarray of float64, shape (K + 1,) and (K,)
        Sectors in radians, counter-clockwise from the horizontal, and the share of axes in each.
    mean : AxialMean
        What the axes have in common; its angle from 0 to pi.
    """
    things = {"pore": "pores", "silt": "silt grains"}[phase]
    common = mean.p < CHANCE  # not of NaN
    with figure_style():
        figure = Figure((PANEL[0], 2.3))
        axes = figure.add_axes((0.1, -0.16, 0.8, 1.0), projection="polar")
        middle, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
        # The area of a petal, not its length, shows the share.
        length = np.sqrt(shares)
        colour = PHASE_COLOURS[phase]
        axes.bar(middle, length, width, color=colour, alpha=0.45, edgecolor=colour, lw=0.9)
        top = float(length.max(initial=0)) or 1.0
        if common:
            axes.plot([mean.angle, mean.angle], [0, top], color=INK, lw=1.6)
        lower = float(edges[0])
        axes.set_thetalim(lower, float(edges[-1]))  # type: ignore[attr-defined]
        axes.set_rticks([])  # type: ignore[attr-defined]
        axes.set_ylim(0, top)
        degrees = np.arange(0, 181, 30) + round(math.degrees(lower))
        axes.set_xticks(np.radians(degrees), [f"{degree}°" for degree in degrees])
        told = "no common direction shown"
        if common:
            degree = round(math.degrees(mean.angle)) % 180
            told = f"mean {degree}°, strength {mean.strength:.2f}"
        left = 0.185  # where the titles of the other figures begin
        title = f"Long axes of {things}"
        figure.text(left, 0.93, title, fontsize=9.5, fontweight="bold")
        figure.text(left, 0.84, f"{told} ({mean.number:,.0f} axes)", fontsize=8, color=LIMIT)
    return figure


def draw_representativeness(
    curves: Mapping[str, tuple[Floats, Floats]], limit: float = 0.1
) -> Figure:
    """Draw how much porosity and silt fraction vary with the side of the window.

    Parameters
    ----------
    curves : mapping of str to (sides, variation)
        By phase: window sides in µm, and standard deviation over mean.
    limit : float
        What counts as representative.
    """
    with figure_style():
        figure = Figure(PANEL)
        axes = figure.add_subplot()
        dashes: dict[str, str] = {"pore": "-", "silt": "--"}
        for phase, (sides, variation) in curves.items():
            name = "porosity" if phase == "pore" else f"{phase} fraction"
            axes.plot(sides, variation, dashes[phase], color=PHASE_COLOURS[phase], label=name)
        axes.axhline(limit, color=LIMIT, lw=1.0, ls=":")
        axes.annotate(
            f"{100 * limit:.4g} %: representative",
            (0.02, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
            color=LIMIT,
        )
        spreads = np.concatenate([curve[1][np.isfinite(curve[1])] for curve in curves.values()])
        low = min(0.05, max(0.01, spreads.min(initial=1)))
        high = max(1.0, 2.5 * spreads.max(initial=0))
        axes.set_yscale("log")
        ticks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
        axes.set_yticks([tick for tick in ticks if low <= tick <= high])
        axes.set_ylim(low, high)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylabel("spread between windows")
        axes.set_title("Is the field large enough?")
        sides = np.concatenate([curve[0] for curve in curves.values()])
        scale_log(axes, float(sides.min()), float(sides.max()), "side of the window (µm)")
        if curves:
            axes.legend(loc="upper right")
    return figure


def scale_log(
    axes: Axes, low: float, high: float, label: str = "equivalent-circle diameter (µm)"
) -> None:
    """Make the horizontal axis logarithmic from `low` to `high`, labelled with plain numbers."""
    high = max(high, low * 1.5)
    axes.set_xscale("log")
    ratio = high / low
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 4 else (1, 2, 5) if ratio < 200 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = (step * 10.0**power for power in powers for step in steps)
    axes.set_xticks([tick for tick in ticks if low <= tick <= high * (1 + 1e-9)])
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def _mark_limit(axes: Axes, limit_um: float | None) -> None:
    """Shade what is too small to be resolved."""
    low, high = axes.get_xlim()
    if limit_um is None or not low < limit_um < high:
        return
    axes.axvspan(low, limit_um, color=FAINT, alpha=0.18, lw=0)
    axes.axvline(limit_um, color=LIMIT, lw=1.0, ls=":")
    axes.annotate(
        "not resolved",
        (limit_um, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-3, -3),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="top",
        fontsize=7,
        color=LIMIT,
    )
