"""Silt that small fields lose, because what the frame leaves of a grain is smaller than silt.

    python tests/benchmarks/statistics/cut_grains.py [GRAINS]

Grains with lognormal diameters (median 2.5 µm, sigma 0.45) lie anywhere over the frame of a field
at 100 nm; the error of the area in grains larger than 2 µm, by what is seen of each and by the
circle of which the frame would leave as much.
"""

import sys

import numpy as np

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import measure_objects

PIXEL = PixelSize(100, "drawn")


def draw_grain(rng: np.random.Generator, side: int, aspect: float, rough: float):
    """Return a mask with one grain somewhere on its frame or in it, and the grain's diameter."""
    size = min(2.5 * np.exp(0.45 * rng.standard_normal()), 14.0) / PIXEL.um
    long, wide = size / 2 * aspect**0.5, size / 2 / aspect**0.5
    row, column = np.ogrid[:side, :side]
    (y, x), turn = rng.uniform(-long, side + long, 2), rng.random() * np.pi
    y, x = row - y, column - x
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    angle = np.arctan2(across, along)
    outline = 1 + sum(
        rng.normal(0, rough) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7)
    )
    grain = np.hypot(along / long, across / wide) <= outline
    # Larger grains meet the frame from further away.
    return np.where(grain, np.uint8(Phase.SILT), np.uint8(0)), size * PIXEL.um, side + 2 * long


def main(grains: int) -> None:
    print(f"{grains} grains each              as seen   by the circle")
    for aspect, rough in ((1.0, 0.0), (1.8, 0.0), (1.5, 0.05), (2.5, 0.08)):
        for side in (10, 20):
            rng, sums = np.random.default_rng(0), np.zeros(3)
            for _ in range(grains):
                phases, size, span = draw_grain(rng, round(side / PIXEL.um), aspect, rough)
                labelling = label_mask(PhaseMask.from_array("a", phases))
                found = measure_objects(labelling, PIXEL, 2.0)
                area = found["area_um2"] * span**2
                sums[0] += area.sum() * (size > 2)
                sums[1] += area[found["ecd_um"] > 2].sum()
                sums[2] += area[found["counted_as"] == Phase.SILT].sum()
            seen, circle = 100 * (sums[1:] / sums[0] - 1)
            kind = f"{aspect} : 1" + (", rough" if rough else "")
            print(f"{side} µm  {kind:16} {seen:13.1f} % {circle:11.1f} %", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
