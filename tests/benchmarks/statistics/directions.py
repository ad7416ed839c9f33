"""Round grains have no direction, whatever the shape of the field.

    python tests/benchmarks/statistics/directions.py [RUNS]

Discs, and ellipses in all directions alike, are drawn on fields; the table says in what share of
them `stats` finds a common direction of silt grains (p < .05): should be 5 in 100.
"""

import sys

import numpy as np

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import measure_objects
from mudrock_cli.measure.spatial import axial_mean, have_direction

PIXEL = PixelSize(100, "drawn")


def draw_field(
    rng: np.random.Generator, shape: tuple[int, int], aspect: float, share: float = 0.15
) -> np.ndarray:
    """Return a mask of ellipses that do not touch, of lognormal areas, in random directions."""
    margin, phases, area = 60, np.zeros((shape[0] + 120, shape[1] + 120), np.uint8), 0
    for _ in range(20_000):
        size = 30 * np.exp(0.4 * rng.standard_normal())
        long, wide = size / 2 * aspect**0.5, size / 2 / aspect**0.5
        centre, turn = rng.random(2) * phases.shape, rng.random() * np.pi
        reach = int(long) + 2
        top, left = (max(int(place) - reach, 0) for place in centre)
        view = phases[top : int(centre[0]) + reach, left : int(centre[1]) + reach]
        row, column = np.ogrid[: view.shape[0], : view.shape[1]]
        y, x = row + top - centre[0], column + left - centre[1]
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        outside = (along / (long + 2)) ** 2 + (across / (wide + 2)) ** 2
        if view[outside <= 1].any():
            continue
        view[(along / long) ** 2 + (across / wide) ** 2 <= 1] = Phase.SILT
        area += np.pi * long * wide
        if area > share * phases.size:
            break
    return phases[margin:-margin, margin:-margin]


def find_direction(phases: np.ndarray, whole: bool) -> float:
    """Return the p value of a common direction, of whole objects or of all that are seen."""
    labelling = label_mask(PhaseMask.from_array("a", phases))
    columns = measure_objects(labelling, PIXEL, 0.0)
    names = ("orientation_deg", "aspect_ratio", "area_px", "frame_weight")
    angle, aspect, pixels, weight = (columns[name] for name in names)
    directed = have_direction(angle, aspect, pixels)
    weights = weight[directed] if whole else None
    return axial_mean(np.radians(angle[directed]), weights).p


def main(runs: int) -> None:
    print(f"{runs} fields each                 all objects   whole ones, weighed")
    for shape in ((100, 2000), (400, 500)):
        for aspect in (1.0, 1.5, 2.5):
            rng = np.random.default_rng(1)
            found = []
            for _ in range(runs):
                phases = draw_field(rng, shape, aspect)
                found.append([find_direction(phases, whole) < 0.05 for whole in (False, True)])
            every, whole = 100 * np.mean(found, axis=0)
            kind = "discs" if aspect == 1 else f"ellipses {aspect} : 1"
            print(
                f"{shape[0]:4} x {shape[1]:4}  {kind:17} {every:9.1f} % {whole:15.1f} %", flush=True
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
