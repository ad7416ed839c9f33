"""How the pixels of a phase lie to each other: two-point correlation and boundary length."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from mudrock_cli.measure.shapes import Bools, Floats


@dataclass(frozen=True)
class PairSums:
    """Pairs of pixels by distance, to be added over tiles and images of one pixel size.

    Parameters
    ----------
    both : ndarray of float64, shape (K,)
        Pairs at about 0, 1, ... K - 1 pixels with both ends in the phase.
    all_pairs : ndarray of float64, shape (K,)
        Pairs with both ends on specimen.
    lengths : ndarray of float64, shape (K,)
        Sum of the distances of these, pixels.
    crossings, steps : ndarray of float64, shape (4,)
        Steps between neighbouring pixels along rows, columns and both diagonals that go into the
        phase or out of it, and all steps on specimen.
    """

    both: Floats
    all_pairs: Floats
    lengths: Floats
    crossings: Floats
    steps: Floats

    def __add__(self, other: Self) -> "PairSums":
        return PairSums(
            self.both + other.both,
            self.all_pairs + other.all_pairs,
            self.lengths + other.lengths,
            self.crossings + other.crossings,
            self.steps + other.steps,
        )

    def correlate(self) -> Floats:
        """Return the two-point correlation S2 at `lags`; NaN where no pair was seen.

        Notes
        -----
        The chance that two points at a distance both lie in the phase. It starts at the phase's
        share of area and levels off at the share squared. Torquato (2002), Random Heterogeneous
        Materials, 2.2.
        """
        return _divide(self.both, self.all_pairs)

    def lags(self) -> Floats:
        """Return the mean distance of the pairs, pixels, shape (K,); NaN where none was seen."""
        return _divide(self.lengths, self.all_pairs)

    def boundary(self) -> float:
        """Return the boundary length per area, 1/pixel; NaN where there are no steps.

        Notes
        -----
        ``pi / 2`` times the crossings per length, averaged over four directions (Cauchy and
        Crofton; Legland, Kiêu and Devaux 2007), as the perimeters of objects.
        """
        length = self.steps * np.array([1, 1, math.sqrt(2), math.sqrt(2)])
        seen = length > 0
        return (
            float(np.pi / 2 * (self.crossings[seen] / length[seen]).mean())
            if seen.any()
            else (math.nan)
        )


def _divide(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.full(len(above), np.nan)
    return np.divide(above, below, out=ratio, where=below > 0)


def sum_pairs(phase: Bools, specimen: Bools, reach: int) -> PairSums:
    """Count pairs of pixels by distance, in all directions.

    Parameters
    ----------
    phase : ndarray of bool, shape (H, W)
        Pixels of the phase.
    specimen : ndarray of bool, shape (H, W)
        Pixels that are not VOID.
    reach : int
        Largest distance in pixels; cut to what the array holds.

    Notes
    -----
    Autocorrelation of the phase over that of the specimen, by Fourier transform with padding, so
    that nothing wraps around and VOID counts for nothing; averaged over rings one pixel wide.
    Berryman and Blair (1986), J. Appl. Phys. 60: 1930-1938.
    """
    reach = min(reach, min(phase.shape) - 1)
    phase = phase & specimen
    height, width = specimen.shape
    down, across = np.arange(reach + 1)[:, None], np.arange(-reach, reach + 1)[None, :]
    whole = bool(specimen.all())
    pairs = (
        (height - down) * (width - np.abs(across)).astype(np.float64)
        if whole
        else _autocorrelate(specimen, reach)
    )
    distance = np.hypot(down, across)
    ring = np.rint(distance).astype(np.intp).ravel()

    def sum_rings(values: Floats) -> Floats:
        # A shift along the row stands here with its mirror image, the others alone.
        halved = values * np.where(down == 0, 0.5, 1.0)
        return np.bincount(ring, halved.ravel())[: reach + 1].astype(np.float64)

    crossings, steps = [], []
    for near, far in NEIGHBOURS:
        crossed = phase[near] ^ phase[far]
        if not whole:
            inside = specimen[near] & specimen[far]
            crossed &= inside
        crossings.append(np.count_nonzero(crossed))
        steps.append(crossed.size if whole else np.count_nonzero(inside))
    return PairSums(
        sum_rings(_autocorrelate(phase, reach)),
        sum_rings(pairs),
        sum_rings(pairs * distance),
        np.array(crossings, np.float64),
        np.array(steps, np.float64),
    )


NEIGHBOURS = (
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:-1, :-1], np.s_[1:, 1:]),
    (np.s_[:-1, 1:], np.s_[1:, :-1]),
)
"""Pixels and their neighbours along rows, columns and both diagonals."""


def _autocorrelate(indicator: Bools, reach: int) -> Floats:
    """Return pixel pairs for shifts down by 0 to reach and across by -reach to reach."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    padded = tuple(next_fast_len(side + reach, real=True) for side in indicator.shape)
    spectrum = rfft2(indicator.astype(np.float32), padded, workers=-1)
    power = spectrum.real**2 + spectrum.imag**2
    del spectrum  # a window takes it all a second time
    pairs = irfft2(power, padded, workers=-1)
    shifts = np.arange(-reach, reach + 1)  # those to the left stand at the end
    found: Floats = pairs[: reach + 1, shifts].astype(np.float64)
    return found
