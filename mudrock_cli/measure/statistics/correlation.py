"""The two-point correlation of a phase: how far a phase remembers itself.

``S2(r)`` is the chance that two points at distance r both lie in the phase. It starts at the
phase's share of area, its slope at the start is the specific boundary, and it levels off at the
share squared. A large mask is measured in tiles: add up the ``PairSums`` of the tiles, then
divide.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairSums:
    """Pairs of pixels by distance, to be added over tiles and images of one pixel size.

    Parameters
    ----------
    both : ndarray of float64, shape (K,)
        Pairs at 0, 1, ... K - 1 pixels with both ends in the phase.
    all_pairs : ndarray of float64, shape (K,)
        Pairs with both ends on specimen.
    """

    both: Floats
    all_pairs: Floats

    def __add__(self, other: Self) -> "PairSums":
        return PairSums(self.both + other.both, self.all_pairs + other.all_pairs)

    def correlate(self) -> Floats:
        """Return S2 at 0, 1, ... K - 1 pixels; NaN where no pair was seen."""
        result = np.full(len(self.both), np.nan)
        np.divide(self.both, self.all_pairs, out=result, where=self.all_pairs > 0)
        return result


def sum_pairs(
    phase: npt.NDArray[np.bool_], specimen: npt.NDArray[np.bool_], reach: int
) -> PairSums:
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
    Berryman and Blair (1986), J. Appl. Phys. 60: 1930-1938; Torquato (2002), Random Heterogeneous
    Materials, 2.2.
    """
    reach = min(reach, min(phase.shape) - 1)
    phase = phase & specimen
    if specimen.all():
        height, width = specimen.shape
        down, across = np.arange(reach + 1), np.abs(np.arange(-reach, reach + 1))
        pairs = (height - down)[:, None] * (width - across)[None, :].astype(np.float64)
    else:
        pairs = _autocorrelate(specimen, reach)
    return PairSums(_sum_rings(_autocorrelate(phase, reach)), _sum_rings(pairs))


def specific_boundary(correlation: npt.ArrayLike, pixel_um: float) -> float:
    """Return the boundary length per area, 1/µm, from the slope of S2 at the start.

    Parameters
    ----------
    correlation : array_like, shape (K,)
        S2 at 0, 1, ... pixels, K at least 2.
    pixel_um : float
        Side of a pixel, µm.

    Notes
    -----
    ``-pi S2'(0)`` in the plane (Debye, Anderson and Brumberger 1957; Torquato 2002, 2.2.5).
    """
    start = np.asarray(correlation, np.float64)
    return float(np.pi * (start[0] - start[1]) / pixel_um)


def _autocorrelate(indicator: npt.NDArray[np.bool_], reach: int) -> Floats:
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


def _sum_rings(pairs: Floats) -> Floats:
    """Add up shifts by their length, rounded to whole pixels."""
    reach = len(pairs) - 1
    down, across = np.arange(reach + 1)[:, None], np.arange(-reach, reach + 1)[None, :]
    # A shift along the row stands here with its mirror image, the others alone.
    pairs = pairs * np.where(down == 0, 0.5, 1.0)
    ring = np.rint(np.hypot(down, across)).astype(np.intp).ravel()
    return np.bincount(ring, pairs.ravel())[: reach + 1].astype(np.float64)
