"""Figures of how phases are spread: Ripley's L, two-point correlation, unfolded spheres."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mudrock_cli.report.figures import PANEL, scale_log
from mudrock_cli.report.style import FAINT, LIMIT, PHASE_COLOURS, figure_style

Floats = npt.NDArray[np.float64]

_DASHES = {"pore": "-", "silt": "--"}


def draw_ripley(curves: Mapping[str, tuple[Floats, Floats, float]]) -> Figure:
    """Draw Ripley's L less the distance: 0 for a random pattern, above for a clustered one.

    Parameters
    ----------
    curves : mapping of str to (radii, l, critical)
        By phase, µm.
    """
    with figure_style():
        figure = Figure(PANEL)
        axes = figure.add_subplot()
        for phase, (radii, length, critical) in curves.items():
            colour = PHASE_COLOURS[phase]
            axes.axhspan(-critical, critical, color=colour, alpha=0.14, lw=0)
            axes.plot(radii, length - radii, _DASHES[phase], color=colour, label=phase)
        axes.axhline(0, color=LIMIT, lw=1.0, ls=":")
        axes.set_xlabel("distance r (µm)")
        axes.set_ylabel("L(r) − r (µm)")
        axes.set_xlim(left=0)
        axes.set_title("Clustered (above) or regular")
        axes.legend(loc="best", title="95 % if random: band", title_fontsize=7.5)
    return figure


def draw_two_point(distances: Floats, curves: Mapping[str, Floats]) -> Figure:
    """Draw the two-point correlation of each phase, and the share squared that it goes to.

    Parameters
    ----------
    distances : ndarray of float64, shape (K,)
        µm.
    curves : mapping of str to ndarray of float64, shape (K,)
        Chance that both ends lie in the phase.
    """
    with figure_style():
        figure = Figure(PANEL)
        axes = figure.add_subplot()
        for phase, chance in curves.items():
            colour = PHASE_COLOURS[phase]
            axes.plot(distances, chance, _DASHES[phase], color=colour, label=phase)
            axes.axhline(chance[0] ** 2, color=colour, lw=0.9, ls=":")
        axes.set_xlabel("distance (µm)")
        axes.set_ylabel("both ends in the phase")
        axes.set_xlim(0, float(distances[-1]))
        axes.set_ylim(bottom=0)
        axes.set_title("Two-point correlation")
        axes.legend(loc="upper right", title="dotted: no memory left", title_fontsize=7.5)
    return figure


def draw_spheres(diameters: Floats, spheres: Floats, low: Floats, high: Floats) -> Figure:
    """Draw the silt spheres per volume that would explain the sections (Saltykov).

    Parameters
    ----------
    diameters : ndarray of float64, shape (K,)
        µm.
    spheres, low, high : ndarray of float64, shape (K,)
        Per µm³, with the interval.
    """
    with figure_style():
        figure = Figure(PANEL)
        axes = figure.add_subplot()
        spread = np.clip(np.stack([spheres - low, high - spheres]), 0, None)
        axes.bar(
            diameters,
            spheres * 1e3,
            0.18 * diameters,
            yerr=spread * 1e3,
            color=PHASE_COLOURS["silt"],
            alpha=0.55,
            error_kw={"ecolor": FAINT, "capsize": 2.5, "lw": 1.1},
        )
        scale_log(axes, 0.8 * diameters[0], 1.25 * diameters[-1], "sphere diameter (µm)")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylabel("grains per 1000 µm³")
        axes.set_title("Silt as spheres (a model)")
    return figure
