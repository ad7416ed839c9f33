"""Whether unfolded spheres are the spheres that were cut.

    python tests/benchmarks/statistics/spheres.py [RUNS]

Lognormal spheres with 15 % of the volume are cut by a plane and seen in square fields. In the band:
the share of classes with five whole sections or more whose 95 % band holds the true number of
spheres per volume; in all: the mean of their estimated number over the true one, from 2 µm on.
"""

import sys

import numpy as np
from scipy.stats import norm

from mudrock_cli.measure.sizes import frame_weights
from mudrock_cli.measure.stereology import LEAST_SECTIONS, lay_classes, unfold_sections
from mudrock_cli.measure.window import Window


def see_field(
    rng: np.random.Generator, side: float, median: float, sigma: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return diameters of the sections in a field, whether they are whole, spheres per volume."""
    per_volume = 0.15 / (np.pi / 6 * median**3 * np.exp(4.5 * sigma**2))
    margin = median * np.exp(4 * sigma) / 2
    number = rng.poisson(per_volume * median * np.exp(sigma**2 / 2) * (side + 2 * margin) ** 2)
    spheres = median * np.exp(sigma * rng.standard_normal(number) + sigma**2)
    diameter = spheres * np.sqrt(1 - rng.random(number) ** 2)
    away = np.abs(rng.uniform(-margin, side + margin, (2, number)) - side / 2)
    seen = (away < side / 2 + diameter / 2).all(axis=0)
    return diameter[seen], (away < side / 2 - diameter / 2).all(axis=0)[seen], per_volume


def main(runs: int) -> None:
    print("field, µm  fields   median, sigma   sections   in the band      all spheres")
    for side, fields in ((20.0, 20), (20.0, 50), (100.0, 1), (100.0, 5)):
        for median, sigma in ((3.0, 0.35), (2.0, 0.5)):
            rng = np.random.default_rng(1)
            inside, totals, sections = [], [], []
            for _ in range(runs):
                views = [see_field(rng, side, median, sigma) for _ in range(fields)]
                diameter, whole = (np.concatenate([v[part] for v in views]) for part in (0, 1))
                whole &= diameter >= 2
                if whole.sum() < LEAST_SECTIONS:
                    continue
                image = np.repeat(np.arange(fields), [len(view[0]) for view in views])
                weights = frame_weights(diameter, diameter, ~whole, Window(side, side))
                edges = lay_classes(2.0, diameter[whole].max())
                found = unfold_sections(
                    diameter, weights, image, np.full(fields, side**2), edges=edges
                )
                share = norm.cdf(np.log(edges / median) / sigma)
                truth, enough = views[0][2] * np.diff(share), found.counted >= 5
                inside += list(((found.low <= truth) & (truth <= found.high))[enough])
                totals.append(found.spheres.sum() / (views[0][2] * (1 - share[0])))
                sections.append(whole.sum())
            error = np.std(totals) / len(totals) ** 0.5
            print(
                f"{side:9.0f} {fields:7} {median:10.0f}, {sigma:4.2f} {np.mean(sections):10.0f}"
                f" {100 * np.mean(inside):11.1f} % {np.mean(totals):11.3f} ± {error:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
