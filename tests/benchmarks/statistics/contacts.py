"""Contacts that grains do not have: rough outlines, and pores inside them.

    python tests/benchmarks/statistics/contacts.py [GRAINS]

Single grains, rough or with pores, must stay one grain without contact; pairs that overlap by a
twentieth of their diameter must be two with one.
"""

import sys

import numpy as np
from scipy.ndimage import gaussian_filter

from mudrock_cli.measure.texture import sum_contacts


def draw_grain(rng: np.random.Generator, radius: float, waves: float, noise: float) -> np.ndarray:
    """Return a grain with a wavy outline, along which a band of pixels is changed at random."""
    side = int(2.8 * radius)
    row, column = np.mgrid[:side, :side] - side / 2
    angle, distance = np.arctan2(row, column), np.hypot(row, column)
    edge = radius * (1 + sum(rng.normal(0, waves) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
                             for k in range(3, 15)))  # fmt: skip
    grain = distance < edge
    if noise:
        grain ^= (gaussian_filter(rng.standard_normal(grain.shape), 1) > 0.4) & (
            np.abs(distance - edge) < noise
        )
    return grain


def add_pores(rng: np.random.Generator, grain: np.ndarray, radius: float, pores: int) -> np.ndarray:
    row, column = np.mgrid[: grain.shape[0], : grain.shape[1]] - grain.shape[0] / 2
    for _ in range(pores):
        y, x = rng.uniform(-0.6 * radius, 0.6 * radius, 2)
        grain = grain & (np.hypot(row - y, column - x) > radius * rng.uniform(0.05, 0.2))
    return grain


def main(grains: int) -> None:
    print(f"{grains} grains each, radius 12 to 60 px          one grain, no contact")
    for name, waves, noise, pores in (
        ("smooth", 0.0, 0.0, 0),
        ("outline varies by 5 %", 0.02, 0.0, 0),
        ("outline varies by 10 %", 0.04, 0.0, 0),
        ("pixels changed along it", 0.0, 2.0, 0),
        ("both", 0.02, 2.0, 0),
        ("four pores", 0.0, 0.0, 4),
        ("four pores, both", 0.02, 2.0, 4),
    ):
        rng, right = np.random.default_rng(0), 0
        for _ in range(grains):
            radius = rng.uniform(12, 60)
            sums = sum_contacts(
                add_pores(rng, draw_grain(rng, radius, waves, noise), radius, pores)
            )
            right += sums.contacts == 0
        print(f"{name:40} {100 * right / grains:15.1f} %", flush=True)
    rng, right = np.random.default_rng(1), 0
    for _ in range(grains):
        one, other = rng.uniform(12, 40, 2)
        apart, turn = 0.95 * (one + other), rng.random() * np.pi
        row, column = np.mgrid[:240, :240] - 120
        y, x = apart / 2 * np.sin(turn), apart / 2 * np.cos(turn)
        pair = (np.hypot(row - y, column - x) <= one) | (np.hypot(row + y, column + x) <= other)
        sums = sum_contacts(pair)
        right += (sums.grains, sums.contacts) == (2, 1)
    print(f"two grains that touch: two, one contact  {100 * right / grains:15.1f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
