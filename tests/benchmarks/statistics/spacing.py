"""How often random points are called clustered or regular: should be 5 in 100.

    python tests/benchmarks/statistics/spacing.py [RUNS]

For windows of several shapes and numbers of points: the share of random patterns with p < .05 of
Clark and Evans' test, the mean index, and the share that leaves the band of Ripley's L.
"""

import sys

import numpy as np

from mudrock_cli.measure.spatial import clark_evans, ripley_l
from mudrock_cli.measure.window import Window

CELLS = 200
NUMBERS = (8, 15, 30, 100, 300, 1000, 1600)


def make_window(shape: str) -> tuple[Window, np.ndarray]:
    """Return a window 100 wide, and which of its cells are specimen."""
    middle = (np.arange(CELLS) + 0.5) * 100 / CELLS
    row, column = middle[:, None], middle[None, :]
    specimen = {
        "square": np.ones((CELLS, CELLS), bool),
        "strip 1 : 4": np.broadcast_to(row < 25, (CELLS, CELLS)),
        "round": np.hypot(row - 50, column - 50) < 50,
        "box cut out": (row < 70) | (column < 60),
        "crack": np.abs(row - 40 - column / 5) > 2,
    }[shape]
    if shape in ("square", "strip 1 : 4"):
        return Window(100.0 if shape == "square" else 25.0, 100.0), specimen
    cell = 100 / CELLS
    return Window(100.0, 100.0, ~specimen * cell**2, cell), specimen


def draw_points(rng: np.random.Generator, specimen: np.ndarray, number: int) -> np.ndarray:
    place = np.argwhere(specimen)
    return (place[rng.integers(len(place), size=number)] + rng.random((number, 2))) * 100 / CELLS


def main(runs: int) -> None:
    print(f"{runs} patterns each{'':17} p < .05   index   leaves the band of L")
    for shape in ("square", "strip 1 : 4", "round", "box cut out", "crack"):
        window, specimen = make_window(shape)
        for number in NUMBERS:
            rng, p, index, left = np.random.default_rng(number), [], [], []
            for _ in range(runs if number <= 300 else max(runs // 4, 1)):
                points = draw_points(rng, specimen, number)
                found, ripley = clark_evans(points, window), ripley_l(points, window)
                p.append(found.p < 0.05)
                index.append(found.index)
                left.append(np.abs(ripley.l - ripley.radii).max() > ripley.critical)
            print(
                f"{shape:14} {number:5} points {100 * np.mean(p):13.1f} % {np.mean(index):9.3f}"
                f" {100 * np.mean(left):14.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
