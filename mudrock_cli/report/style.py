"""How figures look, and how they leave: inline SVG for the page, files for a paper.

Colours are Okabe and Ito's, which stay apart for colour-blind eyes and keep the custom of the
field (silt red, pore green); lines differ in dashes too, so a figure survives a black-and-white
printer.
"""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudrock_cli.image.placement import placing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
            with placing(target, "choose another --figures folder") as part, figure_style():
                figure.savefig(part, format=ending, dpi=300, metadata=_UNDATED[ending])
            written.append(target)
    return written


_UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}
