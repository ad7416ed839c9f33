"""The figures of a report and of a training: inline SVG for the page, files for a paper.

Colours are Okabe and Ito's, which stay apart for colour-blind eyes and keep the custom of the
field (silt red, pore green); lines differ in dashes too, so a figure survives a black-and-white
printer.
"""

import html
import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from mudrock_cli.files import atomic_write
from mudrock_cli.measure.cells import cell_side, find_blocks, lay_blocks
from mudrock_cli.measure.sizes import bin_sizes
from mudrock_cli.measure.spatial import AxialMean, axial_mean, have_direction, rose
from mudrock_cli.measure.uncertainty import LIMIT as REPRESENTATIVE
from mudrock_cli.measure.uncertainty import interval_shares
from mudrock_cli.report.tables import CHANCE, Row, Tables, find_interval

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Curve = tuple[Floats, Floats, Floats]
"""Share up to each size, and the interval around it (NaN where there is none)."""

SILT, PORE, CLAY = "#d55e00", "#009e73", "#8a8a8a"
INK, FAINT, LIMIT = "#22303c", "#8a97a3", "#5b6770"
PHASE_COLOURS = {"silt": SILT, "pore": PORE, "clay": CLAY}
PHASES = ("pore", "silt")
PANEL = (3.7, 2.6)
"""Inches; small, so that the text of a figure can be read on a phone."""
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.4g} %")
"""Says shares in percent, with the decimals that a tick needs."""

_DASHES = {"pore": "-", "silt": "--"}
_BY_NUMBER: dict[str, Any] = {"color": INK, "ls": (0, (4, 2)), "label": "by number"}
_FRACTIONS = {"porosity": ("Porosity", "pore"), "silt_fraction": ("Silt fraction", "silt")}
_EAST_ASIAN = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "PingFang SC"),
    *("Yu Gothic", "MS Gothic", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS"),
)
_DPI = 300
_LEAST = 5  # fewer objects make no distribution
_SIZES = 64  # points of a cumulative curve
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "text.parse_math": False,  # names of images may hold two dollars
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
    """Draw in the style of the reports, as a context or a decorator; leave Matplotlib as it was."""
    with matplotlib.rc_context(_STYLE | {"font.family": _find_fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # see `lack_letters`
        yield


@cache
def _find_fonts() -> list[str]:
    """Return the families that figures are set in: one that Matplotlib brings, others for kanji."""
    there = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(family for family in _EAST_ASIAN if family in there)]


def lack_letters(names: Iterable[str]) -> bool:
    """Tell whether the fonts here lack a letter of some names, so that PDF and PNG show boxes."""
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _find_fonts()]
    letters = {ord(letter) for name in names for letter in name}
    return any(not any(font.get_char_index(letter) for font in fonts) for letter in letters)


# A figure as text and as files.


@figure_style()
def to_svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG file, without a date."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def inline_svg(svg: str, key: str, label: str) -> str:
    """Return an SVG file as an element to stand inside an HTML page.

    Parameters
    ----------
    svg : str
        From `to_svg`.
    key : str
        Letters and digits, of this figure alone on the page: put before every id.
    label : str
        What the figure shows, in words, for readers who cannot see it.
    """
    svg = svg[svg.index("<svg") :]
    # A style would rule the whole page.
    svg = re.sub(r"<(metadata|style).*?</\1>|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    # Two decimals of a point are plenty, in coordinates but never in the text of a label.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    view = re.search(r'viewBox="[^"]+"', svg)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view[0] if view else ""} role="img" aria-label="{html.escape(label, quote=True)}">'
        + svg[svg.index(">") + 1 :]
    )


def save_figures(
    folder: Path, figures: Mapping[str, Figure], svgs: Mapping[str, str] | None = None
) -> list[Path]:
    """Write figures as SVG, PDF and PNG of 300 dpi, each beside its place and then moved into it.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    figures : mapping of str to Figure
        By file name without ending.
    svgs : mapping of str to str, optional
        The same as `to_svg` returned them, where they were drawn already.

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
        svg = svgs[name] if svgs else to_svg(figure)
        pdf = _to_pdf(figure)
        for ending, content in (("svg", svg.encode()), ("pdf", pdf), ("png", _to_png(pdf))):
            target = folder / f"{name}.{ending}"
            with atomic_write(target, "choose another --figures folder") as part:
                part.write_bytes(content)
            written.append(target)
    return written


@figure_style()
def _to_pdf(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata={"CreationDate": None})
    return stream.getvalue()


def _to_png(pdf: bytes) -> bytes:
    """Return a page of PDF as PNG: a fifth of the time of drawing the figure once more."""
    import pypdfium2

    stream = io.BytesIO()
    with pypdfium2.PdfDocument(pdf) as document:
        scale = _DPI / 72 * (1 - 1e-6)  # a rounding error would add a row
        picture = document[0].render(scale=scale, rev_byteorder=True).to_pil()
        # The size of a pixel, so that a word processor shows the figure as large as it was drawn.
        picture.save(stream, "PNG", dpi=(_DPI, _DPI), compress_level=3)
    return stream.getvalue()


def name_files(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what sections hold by a file name that every system takes; no two alike."""
    named: dict[str, Any] = {}
    taken: set[str] = set()
    for section, drawn in sections.items():
        for name, figure in drawn.items():
            stem = re.sub(r"[^\w.-]+", "_", f"{section.removeprefix('image ')}_{name}").strip("._")
            unique, count = stem, 2
            while unique.lower() in taken:
                unique, count = f"{stem}_{count}", count + 1
            taken.add(unique.lower())
            named[unique] = figure
    return named


# Axes.


def _panel(title: str, y_label: str) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes.

    Title and labels have fixed places: Matplotlib otherwise measures all tick labels, three times
    at every drawing, to find them.
    """
    figure = Figure(PANEL)
    axes = figure.add_subplot()
    axes.set_title(title, y=1.03)
    axes.set_ylabel(y_label)
    axes.yaxis.set_label_coords(-0.17, 0.5)
    axes.xaxis.set_label_coords(0.5, -0.14)
    return figure, axes


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


_LIMIT_ROOM = 0.06
"""Share of an axis that the words beside the limit of resolution take."""


def _mark_limit(axes: Axes, limit_um: float | None) -> None:
    """Shade what is too small to be resolved."""
    low, high = axes.get_xlim()
    if limit_um is None or not low < limit_um < high:
        return
    axes.axvspan(low, limit_um, color=FAINT, alpha=0.18, lw=0)
    axes.axvline(limit_um, color=LIMIT, lw=1.0, ls=":")
    place, _ = axes.transAxes.inverted().transform(axes.transData.transform((limit_um, 1)))
    inside = place > _LIMIT_ROOM  # else the words would stand on the axis
    axes.annotate(
        "not resolved",
        (limit_um, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if inside else 3, -3),
        textcoords="offset points",
        rotation=90,
        ha="right" if inside else "left",
        va="top",
        fontsize=7,
        color=LIMIT,
    )


# Figures from arrays.


@figure_style()
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
    figure, axes = _panel(f"{phase.capitalize()} sizes", "share per class")
    colour = PHASE_COLOURS[phase]
    axes.stairs(area, edges, fill=True, color=colour, alpha=0.3)
    axes.stairs(area, edges, color=colour, lw=1.8, label="by area")
    axes.stairs(number, edges, lw=1.3, **_BY_NUMBER)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    scale_log(axes, edges[0], edges[-1])
    _mark_limit(axes, limit_um)
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.99), ncols=2)
    return figure


@figure_style()
def draw_cumulative(
    phase: str, sizes: Floats, by_number: Curve, by_area: Curve, limit_um: float | None
) -> Figure:
    """Draw the cumulative size distributions with their bands.

    Parameters
    ----------
    phase : {"silt", "pore"}
        Whose sizes.
    sizes : ndarray of float64, shape (K,)
        Equivalent-circle diameters, µm.
    by_number, by_area : Curve
        At these sizes.
    limit_um : float or None
        Smallest diameter that is resolved; None draws none.
    """
    banded = np.isfinite(by_area[1]).any()
    label = "finer than (band: 95 %)" if banded else "finer than"
    figure, axes = _panel(f"{phase.capitalize()} sizes, cumulative", label)
    for (share, low, high), style in (
        (by_area, {"color": PHASE_COLOURS[phase], "label": "by area"}),
        (by_number, _BY_NUMBER),
    ):
        axes.fill_between(sizes, low, high, color=style["color"], alpha=0.18, lw=0)
        axes.plot(sizes, share, **style)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PERCENT)
    scale_log(axes, sizes[0], sizes[-1])
    _mark_limit(axes, limit_um)
    axes.legend(loc="lower right", frameon=True, framealpha=0.8, edgecolor="none")
    return figure


@figure_style()
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
    figure = Figure((PANEL[0], 2.3))
    axes: Any = figure.add_axes((0.1, -0.16, 0.8, 1.0), projection="polar")
    length = np.sqrt(shares)  # the area of a petal, not its length, shows the share
    colour = PHASE_COLOURS[phase]
    middle = (edges[:-1] + edges[1:]) / 2
    axes.bar(middle, length, np.diff(edges), color=colour, alpha=0.45, edgecolor=colour, lw=0.9)
    top = float(length.max(initial=0)) or 1.0
    lower = float(edges[0])
    axes.set_thetalim(lower, float(edges[-1]))
    axes.set_rticks([])
    axes.set_ylim(0, top)
    degrees = np.arange(0, 181, 30) + round(math.degrees(lower))
    axes.set_xticks(np.radians(degrees), [f"{degree}°" for degree in degrees])
    found = "no common direction shown"
    if mean.p < CHANCE:  # not of NaN
        axes.plot([mean.angle, mean.angle], [0, top], color=INK, lw=1.6)
        found = f"mean {round(math.degrees(mean.angle)) % 180}°, strength {mean.strength:.2f}"
    left = matplotlib.rcParams["figure.subplot.left"]  # where the other titles begin
    figure.text(left, 0.93, f"Long axes of {things}", fontsize=9.5, fontweight="bold")
    figure.text(left, 0.84, f"{found} ({mean.number:,.0f} axes)", fontsize=8, color=LIMIT)
    return figure


@figure_style()
def draw_representativeness(curves: Mapping[str, tuple[Floats, Floats]]) -> Figure:
    """Draw how much porosity and silt fraction vary with the side of the window.

    Parameters
    ----------
    curves : mapping of str to (sides, variation)
        By phase: window sides in µm, and standard deviation over mean.
    """
    figure, axes = _panel("Is the field large enough?", "spread between windows")
    for phase, (sides, variation) in curves.items():
        name = "porosity" if phase == "pore" else f"{phase} fraction"
        axes.plot(sides, variation, _DASHES[phase], color=PHASE_COLOURS[phase], label=name)
    axes.axhline(REPRESENTATIVE, color=LIMIT, lw=1.0, ls=":")
    axes.annotate(
        f"{100 * REPRESENTATIVE:.4g} %: representative",
        (0.02, REPRESENTATIVE),
        xycoords=("axes fraction", "data"),
        xytext=(0, -3),
        textcoords="offset points",
        va="top",
        fontsize=7.5,
        color=LIMIT,
    )
    sides, spreads = (np.concatenate(parts) for parts in zip(*curves.values(), strict=True))
    spreads = spreads[np.isfinite(spreads)]
    low = min(0.05, max(0.01, spreads.min(initial=1)))
    high = max(1.0, 2.5 * spreads.max(initial=0))
    axes.set_yscale("log")
    ticks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)  # the axis has no room for 1000 %
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_minor_locator(NullLocator())
    scale_log(axes, float(sides.min()), float(sides.max()), "side of the window (µm)")
    axes.legend(loc="upper right")
    return figure


@figure_style()
def draw_ripley(curves: Mapping[str, tuple[Floats, Floats, float]]) -> Figure:
    """Draw Ripley's L less the distance: 0 for a random pattern, above for a clustered one.

    Parameters
    ----------
    curves : mapping of str to (radii, l, critical)
        By phase, µm.
    """
    figure, axes = _panel("Clustered (above) or regular", "L(r) − r (µm)")
    for phase, (radii, length, critical) in curves.items():
        colour = PHASE_COLOURS[phase]
        axes.axhspan(-critical, critical, color=colour, alpha=0.14, lw=0)
        axes.plot(radii, length - radii, _DASHES[phase], color=colour, label=phase)
    axes.axhline(0, color=LIMIT, lw=1.0, ls=":")
    axes.set_xlabel("distance r (µm)")
    axes.set_xlim(left=0)
    axes.legend(loc="best", title="95 % if random: band", title_fontsize=7.5)
    return figure


@figure_style()
def draw_two_point(distances: Floats, curves: Mapping[str, Floats]) -> Figure:
    """Draw the two-point correlation of each phase, and the share squared that it goes to.

    Parameters
    ----------
    distances : ndarray of float64, shape (K,)
        µm.
    curves : mapping of str to ndarray of float64, shape (K,)
        Chance that both ends lie in the phase.
    """
    figure, axes = _panel("Two-point correlation", "both ends in the phase")
    for phase, chance in curves.items():
        colour = PHASE_COLOURS[phase]
        axes.plot(distances, chance, _DASHES[phase], color=colour, label=phase)
        axes.axhline(chance[0] ** 2, color=colour, lw=0.9, ls=":")
    axes.set_xlabel("distance (µm)")
    axes.set_xlim(0, float(distances[-1]))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right", title="dotted: no memory left", title_fontsize=7.5)
    return figure


@figure_style()
def draw_spheres(diameters: Floats, spheres: Floats, low: Floats, high: Floats) -> Figure:
    """Draw the silt spheres per volume that would explain the sections.

    Parameters
    ----------
    diameters : ndarray of float64, shape (K,)
        µm.
    spheres, low, high : ndarray of float64, shape (K,)
        Per µm³, with the interval.
    """
    figure, axes = _panel("Silt as spheres (a model)", "grains per 1000 µm³")
    axes.bar(
        diameters,
        spheres * 1e3,
        0.18 * diameters,
        yerr=np.clip(np.stack([spheres - low, high - spheres]), 0, None) * 1e3,
        color=SILT,
        alpha=0.55,
        error_kw={"ecolor": FAINT, "capsize": 2.5, "lw": 1.1},
    )
    scale_log(axes, 0.8 * diameters[0], 1.25 * diameters[-1], "sphere diameter (µm)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure


Estimate = tuple[str, float, float, float]
"""A line of `draw_estimates`: its name, a share and the limits of its interval (NaN: none)."""


@figure_style()
def draw_estimates(title: str, phase: str, estimates: Sequence[Estimate]) -> Figure:
    """Draw shares of area with their intervals, one line each; the last one is that of all."""
    figure = Figure((PANEL[0], 0.9 + 0.24 * len(estimates)), layout="constrained")
    axes = figure.add_subplot()
    colour, last = PHASE_COLOURS[phase], len(estimates) - 1
    for row, (_, value, low, high) in enumerate(estimates):
        if math.isfinite(low + high):
            axes.plot([low, high], [row, row], color=colour, lw=2.6 if row == last else 1.6)
        # Whole where it stands on the axis, too.
        marker = "D" if row == last else "o"
        axes.plot(value, row, marker, color=colour, ms=5.5, clip_on=False, zorder=3)
    axes.set_yticks(range(len(estimates)), [shorten(name) for name, *_ in estimates])
    axes.get_yticklabels()[last].set_fontweight("bold")
    axes.set_ylim(last + 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(axis="y", visible=False)
    axes.set_title(title)
    axes.set_xlabel("share of area (95 % interval)")
    return figure


def shorten(name: str, longest: int = 24) -> str:
    """Keep the start and the end of a long name, so that the numbers have their room."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[half + 1 - longest :]}"


# The objects of one image or of all.


@dataclass(frozen=True)
class Objects:
    """Silt grains or pores of some images.

    Parameters
    ----------
    rows : pandas.DataFrame
        Their rows of the instance table, and in which ``block`` each lies, counted over all images.
    image : ndarray of intp, shape (B,)
        Image of each block.
    """

    rows: "pd.DataFrame"
    image: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ecd(self) -> "pd.Series[float]":
        """Diameters as the summary takes them, µm; older tables lack those of cut objects."""
        return self.rows["whole_ecd_um"].astype(float).fillna(self.rows["ecd_um"])

    def accumulate(self) -> tuple[Floats, Curve, Curve]:
        """Return sizes (µm), and the cumulative distributions by number and by area there."""
        ecd = self.ecd.to_numpy()
        sizes = np.geomspace(ecd.min(), max(ecd.max(), ecd.min() * 1.1), _SIZES)
        sizes[-1] *= 1 + 1e-12
        number, area = (
            interval_shares(ecd, weights, self.rows["block"], self.image, sizes)
            for weights in (np.ones(len(ecd)), self.rows["area_um2"])
        )
        return sizes, number, area

    def orient(self) -> tuple[Floats, Floats, AxialMean]:
        """Return the rose of whole objects with a direction, and their mean axis (0 to pi)."""
        names = ("orientation_deg", "aspect_ratio", "area_px", "frame_weight")
        degrees, aspect, pixels, weights = (self.rows[name].to_numpy() for name in names)
        directed = have_direction(degrees, aspect, pixels)
        axes = np.radians(degrees[directed])
        edges, shares = rose(axes - np.pi / 2, weights[directed])
        mean = axial_mean(axes, weights[directed])
        return edges + np.pi / 2, shares, replace(mean, angle=mean.angle % math.pi)


def split_objects(tables: Tables) -> dict[tuple[str, str], Objects]:
    """Return the objects of each image and phase, keyed by image name and phase."""
    found = {}
    for row in tables.images:
        own = tables.instances[tables.instances["image"] == row["image"]]
        # The blocks that the summary was computed with.
        shape = (int(row["height_px"]), int(row["width_px"]))
        side = cell_side(shape)
        blocks = lay_blocks((math.ceil(shape[0] / side), math.ceil(shape[1] / side)))
        place = find_blocks(own["centroid_row_px"], own["centroid_column_px"], blocks, side)
        own = own.assign(block=place)
        image = np.zeros(int(blocks.max()) + 1, np.intp)
        for phase in PHASES:
            found[row["image"], phase] = Objects(own[own["counted_as"] == phase], image)
    return found


def pool_objects(parts: Sequence[Objects]) -> Objects:
    """Return the objects of several images as one, blocks numbered on."""
    import pandas as pd

    blocks = [len(part.image) for part in parts]
    starts = np.cumsum([0, *blocks[:-1]])
    rows = [
        part.rows.assign(block=part.rows["block"] + start)
        for part, start in zip(parts, starts, strict=True)
    ]
    return Objects(pd.concat(rows), np.repeat(np.arange(len(parts)), blocks))


# Which figures a report shows, for all images, each group and each image.


def draw_report(tables: Tables) -> dict[str, dict[str, Figure]]:
    """Draw all figures of a report.

    Returns
    -------
    dict of str to dict of str to Figure
        By section: ``pooled``; with several images ``comparison`` and an ``image NAME`` for each;
        ``texture NAME`` of each; ``groups`` where there are some, ``depth`` where it is told.
    """
    objects = split_objects(tables)
    names = [row["image"] for row in tables.images]
    pores, silt = (pool_objects([objects[name, phase] for name in names]) for phase in PHASES)
    single = tables.images[0] if len(names) == 1 else tables.pooled
    limits = [row["resolvable_ecd_um"] for row in tables.images]
    drawn = {"pooled": _draw_objects(single, pores, silt, max(limits))}
    if len(names) > 1:
        drawn["comparison"] = _draw_comparison(tables.images, tables.pooled)
        for row, limit in zip(tables.images, limits, strict=True):
            pores, silt = (objects[row["image"], phase] for phase in PHASES)
            drawn[f"image {row['image']}"] = _draw_objects(row, pores, silt, limit)
    for row in tables.images:
        drawn[f"texture {row['image']}"] = _draw_texture(row)
    if tables.groups:
        drawn["groups"] = _draw_comparison(tables.groups, tables.pooled)
    if tables.depth and (profile := _draw_depth(tables)):
        drawn["depth"] = profile
    return drawn


def _draw_depth(tables: Tables) -> dict[str, Figure]:
    """Draw porosity and silt fraction against depth, of groups or else of images."""
    assert tables.depth
    for rows in (tables.groups, tables.images):
        known = [row for row in rows if row[tables.depth] is not None]
        if len({row[tables.depth] for row in known}) > 1:
            depth = _array([row[tables.depth] for row in known])
            return {
                column: _draw_profile(title, phase, tables.depth, depth, known, column)
                for column, (title, phase) in _FRACTIONS.items()
            }
    return {}


@figure_style()
def _draw_profile(
    title: str, phase: str, depth_name: str, depth: Floats, rows: Sequence[Row], column: str
) -> Figure:
    """Draw a share of area with its interval against depth, which grows downwards."""
    figure = Figure((PANEL[0], 3.4), layout="constrained")
    axes = figure.add_subplot()
    colour = PHASE_COLOURS[phase]
    for row, place in zip(rows, depth, strict=True):
        low, high, _ = find_interval(row, column)
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=colour, lw=1.6)
        axes.plot(row[column], place, "o", color=colour, ms=5.5, clip_on=False, zorder=3)
    margin = 0.06 * float(np.ptp(depth))
    axes.set_ylim(depth.max() + margin, depth.min() - margin)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PERCENT)
    name, _, unit = depth_name.rpartition("_")
    axes.set_ylabel(f"{name.replace('_', ' ')} ({unit})" if name else depth_name)
    axes.set_xlabel("share of area (95 % interval)")
    axes.set_title(title)
    return figure


def _draw_comparison(rows: Sequence[Row], pooled: Row) -> dict[str, Figure]:
    """Draw porosity and silt fraction of images or groups, side by side with all together."""
    figures = {}
    for column, (title, phase) in _FRACTIONS.items():
        estimates = [
            (name, *_array([row[column], *find_interval(row, column)[:2]]))
            for name, row in [
                *((row["image"] or row["group"] or "", row) for row in rows),
                ("all images", pooled),
            ]
        ]
        figures[column] = draw_estimates(title, phase, estimates)
    return figures


def _draw_objects(
    row: Row, pores: Objects, silt: Objects, limit_um: float | None
) -> dict[str, Figure]:
    """Draw sizes, cumulative curves and directions of some images, and whether a field suffices."""
    figures: dict[str, Figure] = {}
    for phase, objects in (("pore", pores), ("silt", silt)):
        if len(objects) < _LEAST:
            continue
        sizes = bin_sizes(objects.ecd, objects.rows["area_um2"])
        # Only pores are held against the resolution: silt starts well above it.
        own = limit_um if phase == "pore" else None
        figures[f"{phase}_sizes"] = draw_sizes(phase, *sizes, own)
        figures[f"{phase}_cumulative"] = draw_cumulative(phase, *objects.accumulate(), own)
    if row["window_side_um"]:
        sides = _array(row["window_side_um"])
        spreads = {phase: _array(row[f"{phase}_variation"] or ()) for phase in PHASES}
        curves = {
            phase: (sides, spread) for phase, spread in spreads.items() if np.isfinite(spread).any()
        }
        if curves:
            figures["representativeness"] = draw_representativeness(curves)
    for phase, objects in (("silt", silt), ("pore", pores)):
        found = objects.orient()
        if len(objects) >= _LEAST and found[1].any():
            figures[f"{phase}_rose"] = draw_rose(phase, *found)
    return figures


def _draw_texture(row: Row) -> dict[str, Figure]:
    """Draw what a summary row tells of spacing, correlation and unfolded spheres."""
    figures: dict[str, Figure] = {}
    ripley = {
        phase: (
            _array(row[f"{phase}_ripley_radius_um"]),
            _array(row[f"{phase}_ripley_l_um"]),
            float(row[f"{phase}_ripley_critical_um"]),
        )
        for phase in PHASES
        if row[f"{phase}_ripley_l_um"] and (row[f"{phase}_whole"] or 0) >= _LEAST
    }
    if ripley:
        figures["ripley"] = draw_ripley(ripley)
    correlation = {
        phase: _array(row[f"{phase}_two_point"]) for phase in PHASES if row[f"{phase}_two_point"]
    }
    if correlation:
        distances = _array(row["two_point_distance_um"])
        figures["two_point"] = draw_two_point(distances, correlation)
    if row["silt_spheres_per_um3"] and row["silt_grains"] >= 2 * _LEAST:
        names = ("silt_sphere_um", *(f"silt_spheres{end}_per_um3" for end in ("", "_low", "_high")))
        figures["silt_spheres"] = draw_spheres(*(_array(row[name]) for name in names))
    return figures


def _array(values: Sequence[float | None]) -> Floats:
    """Return numbers as an array, NaN for None."""
    return np.array(values, np.float64)


# Loss, pixel accuracy and IoU against epochs: the paper's Figure 6A.

History = Sequence[Mapping[str, float | None]]


@figure_style()
def draw_curves(path: Path, history: History) -> None:
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


def _draw_pair(axes: Axes, history: History, name: str, colour: str, label: str) -> None:
    """Draw training dashed and validation full."""
    epochs = [row["epoch"] or 0 for row in history]
    alone = not any(row.get(f"validation_{name}") is not None for row in history)
    for prefix, dashes, what in (("", "--", "training"), ("validation_", "-", "validation")):
        if prefix and alone:
            continue
        values = _array([row.get(f"{prefix}{name}") for row in history])
        title = label if label and (prefix or alone) else None if label else what
        marker = "." if len(epochs) < 3 else ""
        axes.plot(epochs, values, dashes, color=colour, label=title, marker=marker)
