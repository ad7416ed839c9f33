"""How figures look, and how they leave: inline SVG for the page, files for a paper.

Colours are Okabe and Ito's, which stay apart for colour-blind eyes and keep the custom of the
field (silt red, pore green); lines differ in dashes too, so a figure survives a black-and-white
printer.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from mudrock_cli.files import atomic_write
from mudrock_cli.measure.cells import cell_side, find_blocks, lay_blocks
from mudrock_cli.measure.sizes import SizeHistogram, bin_sizes
from mudrock_cli.measure.spatial import AxialMean, axial_mean, have_direction, rose
from mudrock_cli.measure.uncertainty import bootstrap_shares
from mudrock_cli.report.tables import CHANCE, Row, Tables

SILT, PORE, CLAY = "#d55e00", "#009e73", "#8a8a8a"
INK, FAINT, LIMIT = "#22303c", "#8a97a3", "#5b6770"
PHASE_COLOURS = {"silt": SILT, "pore": PORE, "clay": CLAY}
FORMATS = ("svg", "pdf", "png")

_RC: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e9ed",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "mudrock",
    "path.simplify": True,
    "figure.subplot.left": 0.185,
    "figure.subplot.right": 0.975,
    "figure.subplot.top": 0.9,
    "figure.subplot.bottom": 0.18,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the style of the reports, and leave Matplotlib as it was."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


def to_svg(figure: "Figure", key: str, label: str) -> str:
    """Return a figure as SVG to stand inside an HTML page.

    Parameters
    ----------
    figure : Figure
        What was drawn.
    key : str
        Letters and digits, of this figure alone on the page: put before every id.
    label : str
        What the figure shows, in words, for readers who cannot see it.
    """
    import html

    text = io.StringIO()
    with figure_style():
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would rule the whole page
    svg = svg.replace("font-family: 'DejaVu Sans'; ", "")
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    # Two decimals of a point are plenty, in coordinates but never in the text of a label.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    head = re.search(r'viewBox="[^"]+"', svg)
    view = head[0] if head else ""
    body = svg[svg.index(">") + 1 :]
    name = html.escape(label, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view} role="img" aria-label="{name}">{body}'
    )


def save_figures(folder: Path, figures: Mapping[str, "Figure"]) -> list[Path]:
    """Write figures as SVG, PDF and PNG, each beside its place and then moved into it.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    figures : mapping of str to Figure
        By file name without ending.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    MudrockError
        If the folder cannot be written.
    """
    written = []
    for name, figure in figures.items():
        for ending in FORMATS:
            target = folder / f"{name}.{ending}"
            with atomic_write(target, "choose another --figures folder") as part, figure_style():
                figure.savefig(part, format=ending, dpi=300, metadata=_UNDATED[ending])
            written.append(target)
    return written


_UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


# The figures of a report, drawn from plain arrays.

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


# Figures of how phases are spread: Ripley's L, two-point correlation, unfolded spheres.

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


# The figure that compares shares of area: a line for each image or group.


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


# The objects of one image, of a group or of all, as arrays for figures.

_POINTS = 64


@dataclass(frozen=True)
class Objects:
    """Silt grains or pores of some images. N is their number, B that of blocks.

    Parameters
    ----------
    ecd, area, axis : ndarray of float64, shape (N,)
        Equivalent-circle diameter (µm), area (µm²), long axis (radians).
    directed : ndarray of bool, shape (N,)
        Whether its long axis is a direction, see `have_direction`.
    block : ndarray of intp, shape (N,)
        Block in which each lies, counted over all images.
    image : ndarray of intp, shape (B,)
        Image of each block.
    """

    ecd: Floats
    area: Floats
    axis: Floats
    directed: npt.NDArray[np.bool_]
    block: npt.NDArray[np.intp]
    image: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.ecd)

    def bin_sizes(self) -> SizeHistogram:
        """Return the size distribution by number and by area."""
        return bin_sizes(self.ecd, self.area)

    def accumulate(self) -> tuple[Curve, Curve]:
        """Return the cumulative size distributions by number and by area, with bands."""
        sizes = np.geomspace(self.ecd.min(), max(self.ecd.max(), self.ecd.min() * 1.1), _POINTS)
        sizes[-1] *= 1 + 1e-12
        number, area = (
            Curve(sizes, *bootstrap_shares(self.ecd, weights, self.block, self.image, sizes))
            for weights in (np.ones(len(self)), self.area)
        )
        return number, area

    def orient(self) -> tuple[Floats, Floats, AxialMean]:
        """Return the rose of objects with a direction, and their mean axis (0 to pi)."""
        axes = self.axis[self.directed]
        edges, shares = rose(axes - np.pi / 2)
        mean = axial_mean(axes)
        return edges + np.pi / 2, shares, replace(mean, angle=mean.angle % math.pi)


def split_objects(tables: Tables) -> dict[tuple[str, str], Objects]:
    """Return the objects of each image and phase, keyed by image name and phase."""
    columns = _to_arrays(tables.instances)
    images = {row["image"]: row for row in tables.images}
    found = {}
    for name, row in images.items():
        own = columns["image"] == name
        for phase in ("pore", "silt"):
            kept = own & (columns["counted_as"] == phase)
            blocks, side = _lay(row)
            found[name, phase] = Objects(
                ecd=columns["ecd_um"][kept],
                area=columns["area_um2"][kept],
                axis=np.radians(columns["orientation_deg"][kept]),
                directed=have_direction(
                    columns["orientation_deg"][kept],
                    columns["aspect_ratio"][kept],
                    columns["area_px"][kept],
                ),
                block=find_blocks(
                    columns["centroid_row_px"][kept],
                    columns["centroid_column_px"][kept],
                    blocks,
                    side,
                ),
                image=np.zeros(int(blocks.max()) + 1, np.intp),
            )
    return found


def pool_objects(parts: Sequence[Objects]) -> Objects:
    """Return the objects of several images as one, blocks numbered on."""
    starts = np.cumsum([0, *(len(part.image) for part in parts[:-1])])
    ecd, area, axis, directed = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("ecd", "area", "axis", "directed")
    )
    block = [part.block + start for part, start in zip(parts, starts, strict=True)]
    image = np.repeat(np.arange(len(parts)), [len(part.image) for part in parts])
    return Objects(ecd, area, axis, directed, np.concatenate(block), image)


def _to_arrays(table: pa.Table) -> dict[str, npt.NDArray[np.object_] | Floats]:
    names = (
        "image", "counted_as", "ecd_um", "area_px", "area_um2", "orientation_deg", "aspect_ratio",
        "centroid_row_px", "centroid_column_px",
    )  # fmt: skip
    return {name: table[name].to_numpy(zero_copy_only=False) for name in names}


def _lay(row: Row) -> tuple[npt.NDArray[np.intp], int]:
    """Return the blocks of an image, as the summary was computed with, and its cell side."""
    shape = (int(row["height_px"]), int(row["width_px"]))
    side = cell_side(shape)
    return lay_blocks((math.ceil(shape[0] / side), math.ceil(shape[1] / side))), side


# Which figures a report shows, for all images, each group and each image.

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


# Loss, pixel accuracy and IoU against epochs: the paper's Figure 6A.

_Rows = Sequence[Mapping[str, float | None]]


def draw_curves(path: Path, history: _Rows) -> None:
    """Draw how a training went.

    Parameters
    ----------
    path : Path
        A ``.png``, written beside its place and moved into it.
    history : sequence of dict
        A row per epoch with ``epoch``, ``loss``, ``pixel_accuracy``, ``iou_clay``, ``iou_silt``,
        ``iou_pore`` and, where something validated, the same with ``validation_`` before it.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        loss, accuracy, iou = figure.subplots(1, 3)
        _draw_pair(loss, history, "loss", INK, "")
        _draw_pair(accuracy, history, "pixel_accuracy", INK, "")
        for phase, colour in PHASE_COLOURS.items():
            _draw_pair(iou, history, f"iou_{phase}", colour, phase)
        for axes, title in ((loss, "Loss"), (accuracy, "Pixel accuracy"), (iou, "IoU")):
            axes.set_title(title)
            axes.set_xlabel("epoch")
        accuracy.set_ylim(top=1)
        iou.set_ylim(0, 1)
        loss.legend(loc="upper right")
        iou.legend(loc="lower right")
        with atomic_write(path) as part:
            figure.savefig(part, format="png", dpi=150)


def _draw_pair(axes: "Axes", history: _Rows, name: str, colour: str, label: str) -> None:
    """Draw training dashed and validation full."""
    epochs = [row["epoch"] or 0 for row in history]
    alone = not any(row.get(f"validation_{name}") is not None for row in history)
    for prefix, dashes, what in (("", "--", "training"), ("validation_", "-", "validation")):
        values = [row.get(f"{prefix}{name}") for row in history]
        if prefix and alone:
            continue
        shown = [float("nan") if value is None else value for value in values]
        title = label if label and (prefix or alone) else None if label else what
        marker = "." if len(epochs) < 3 else ""
        axes.plot(epochs, shown, dashes, color=colour, label=title, marker=marker)
