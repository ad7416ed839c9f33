"""The figure that compares shares of area: a line for each image or group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mudrock_cli.report.figures import PANEL, PERCENT
from mudrock_cli.report.style import PHASE_COLOURS, figure_style


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, to be drawn on a line of its own.

    Parameters
    ----------
    name : str
        What it belongs to: an image, a group, all images.
    value, low, high : float
        NaN limits draw no interval.
    strong : bool
        True for the pooled figure.
    """

    name: str
    value: float
    low: float
    high: float
    strong: bool = False


def draw_estimates(title: str, phase: str, estimates: Sequence[Estimate]) -> Figure:
    """Draw shares of area with their intervals, one line each."""
    with figure_style():
        figure = Figure((PANEL[0], 0.9 + 0.24 * len(estimates)), layout="constrained")
        axes = figure.add_subplot()
        colour = PHASE_COLOURS[phase]
        for row, estimate in enumerate(estimates):
            wide = 2.6 if estimate.strong else 1.6
            if math.isfinite(estimate.low + estimate.high):
                axes.plot([estimate.low, estimate.high], [row, row], color=colour, lw=wide)
            shape = "D" if estimate.strong else "o"
            # Whole where it stands on the axis, too.
            axes.plot(estimate.value, row, shape, color=colour, ms=5.5, clip_on=False, zorder=3)
        names = [_shorten(estimate.name) for estimate in estimates]
        axes.set_yticks(range(len(names)), names)
        for text, estimate in zip(axes.get_yticklabels(), estimates, strict=True):
            text.set_fontweight("bold" if estimate.strong else "normal")
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.grid(axis="y", visible=False)
        axes.set_title(title)
        axes.set_xlabel("share of specimen area (95 % interval)")
    return figure


def _shorten(name: str, longest: int = 24) -> str:
    """Keep the start and the end of a long name."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"
