"""Draw what ``measure.py`` measured: time and memory over pixels, and what workers add and save.

python tests/benchmarks/scaling/plot.py results.json scaling.svg
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

Row = dict[str, Any]
COLOURS = {"stats": "#0072b2", "groundtruth": "#d55e00", "segment": "#009e73"}


def main() -> None:
    """Draw three panels."""
    source, target = map(Path, sys.argv[1:3])
    rows: list[Row] = json.loads(source.read_text())
    figure, (time, memory, workers) = plt.subplots(1, 3, figsize=(12, 4.8), layout="constrained")
    alone = [row for row in rows if row["workers"] == 0]
    draw_growth(time, alone, lambda row: row["cpu_here"], "seconds of computing")
    draw_linear(time, alone)
    draw_growth(memory, alone, lambda row: row["megabytes_here"], "peak memory, MB", "in process")
    one = [row for row in rows if row["workers"] == 1]
    draw_growth(memory, one, lambda row: row["megabytes_here"], "peak memory, MB", "command", "--")
    memory.set_ylim(bottom=0)
    draw_workers(workers, rows)
    for panel in (time, memory, workers):
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15)}
        panel.legend(fontsize="small", frameon=False, ncols=2, **below)
        panel.grid(alpha=0.3)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def draw_growth(
    panel: Any,
    rows: list[Row],
    figure: Callable[[Row], float],
    label: str,
    suffix: str = "",
    style: str = "-",
) -> None:
    """Draw a figure over the number of pixels, a line for each command."""
    for command in dict.fromkeys(row["command"] for row in rows):
        points = sorted((r["pixels"], figure(r)) for r in rows if r["command"] == command)
        name = f"{command}, {suffix}" if suffix else command
        panel.plot(*zip(*points, strict=True), f"o{style}", color=COLOURS[command], label=name)
    panel.set_xscale("log")
    panel.set_xlabel("pixels")
    panel.set_ylabel(label)


def draw_linear(panel: Any, rows: list[Row]) -> None:
    """Draw what exact proportion to the pixels would be, from the largest mosaic down."""
    panel.set_yscale("log")
    for command in dict.fromkeys(row["command"] for row in rows):
        points = sorted((r["pixels"], r["cpu_here"]) for r in rows if r["command"] == command)
        (first, _), (last, seconds) = points[0], points[-1]
        ends = (first, last), (seconds * first / last, seconds)
        panel.plot(*ends, ":", color=COLOURS[command], label=f"{command}, linear")


def _shades(mosaics: Iterable[tuple[str, float]]) -> list[float]:
    """Return an opacity for each mosaic: the largest of a command is full."""
    most: dict[str, float] = {}
    for command, pixels in mosaics:
        most[command] = max(pixels, most.get(command, 0))
    return [1.0 if pixels == most[command] else 0.4 for command, pixels in mosaics]


def draw_workers(panel: Any, rows: list[Row]) -> None:
    """Draw all computing on a cluster over that in one process, for each mosaic."""
    mosaics = dict.fromkeys((row["command"], row["pixels"]) for row in rows if row["workers"])
    for shade, (command, pixels) in zip(_shades(mosaics), mosaics, strict=True):
        found = {r["workers"]: r for r in rows if (r["command"], r["pixels"]) == (command, pixels)}
        alone = found[0]["cpu_here"]
        points = [
            (count, (row["cpu_here"] + row["cpu_workers"]) / alone)
            for count, row in sorted(found.items())
            if count
        ]
        name = f"{command}, {pixels:.0e} px".replace("e+0", "e")
        panel.plot(
            *zip(*points, strict=True), "o-", color=COLOURS[command], alpha=shade, label=name
        )
    panel.axhline(1.1, color="grey", ls=":", label="10 % more")
    panel.set_xlabel("workers")
    panel.set_ylabel("computing in all, over one process")
    panel.set_xticks(sorted({row["workers"] for row in rows if row["workers"]}))
    panel.set_ylim(bottom=0.8)


if __name__ == "__main__":
    main()
