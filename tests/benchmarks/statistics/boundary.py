"""The boundary length per area of shapes whose boundary is known, at several resolutions.

    python tests/benchmarks/statistics/boundary.py

Discs, and ellipses 3 : 1 in all directions and all along the rows, by their diameter in pixels.
"""

import numpy as np
from scipy.special import ellipe

from mudrock_cli.measure.texture import sum_pairs


def measure(diameter: float, aspect: float, aligned: bool, rng: np.random.Generator) -> float:
    """Return the measured over the true length of one outline, anywhere on the pixels."""
    long, wide = diameter / 2 * aspect**0.5, diameter / 2 / aspect**0.5
    side, turn = int(2 * long) + 8, 0.0 if aligned else rng.random() * np.pi
    row, column = np.mgrid[:side, :side] - side / 2 - rng.random((2, 1, 1))
    along = column * np.cos(turn) + row * np.sin(turn)
    across = row * np.cos(turn) - column * np.sin(turn)
    phase = (along / long) ** 2 + (across / wide) ** 2 <= 1
    sums = sum_pairs(phase, np.ones_like(phase), 2)
    crossings = sums.crossings / [1, 1, 2**0.5, 2**0.5]
    return np.pi / 2 * crossings.mean() / (4 * long * ellipe(1 - (wide / long) ** 2))


def main() -> None:
    print("error of the boundary length, %")
    print("diameter, px      discs   ellipses, all directions   along rows")
    for diameter in (3, 4, 5, 6, 8, 12, 20, 40, 80):
        rng, errors = np.random.default_rng(0), []
        for aspect, aligned in ((1.0, True), (3.0, False), (3.0, True)):
            found = [measure(diameter, aspect, aligned, rng) for _ in range(300)]
            errors.append(100 * (np.mean(found) - 1))
        print(f"{diameter:12} {errors[0]:+10.2f} {errors[1]:+20.2f} {errors[2]:+15.2f}")


if __name__ == "__main__":
    main()
