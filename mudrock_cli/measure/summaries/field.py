"""What the pixels of one field tell besides its objects: their texture.

Texture, the two-point correlation and the contacts of grains, takes a second look: at the whole of
a usual micrograph, at four windows spread evenly over a mosaic.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.window import Box
from mudrock_cli.measure.statistics.contacts import ContactSums, sum_contacts
from mudrock_cli.measure.statistics.correlation import PairSums, sum_pairs

WINDOW = 2048
"""Largest side of a window in which texture is measured, pixels."""

REACH = 256
"""Largest distance of the two-point correlation, pixels; at most a quarter of the field."""


@dataclass(frozen=True)
class Texture:
    """How phases are spread over a field.

    Parameters
    ----------
    pairs : dict of Phase to PairSums
        For the two-point correlation of silt and of pore.
    contacts : ContactSums
        Contacts between silt grains.
    """

    pairs: dict[Phase, PairSums]
    contacts: ContactSums


def read_windows(mask: PhaseMask) -> list[npt.NDArray[np.uint8]]:
    """Read the windows of a mask in which texture is measured, as `lay_windows` lays them."""
    return [mask.read(box.rows, box.columns) for box in lay_windows(mask.shape)]


def measure_texture(windows: Sequence[npt.NDArray[np.uint8]]) -> Texture:
    """Measure the texture of a field.

    Parameters
    ----------
    windows : sequence of ndarray of uint8, shape (H, W)
        Phases in windows of one size, from `read_windows`.
    """
    from scipy.fft import set_workers

    reach = max(1, min(REACH, *(length // 4 for length in windows[0].shape)))
    pairs: dict[Phase, PairSums] = {}
    contacts = ContactSums(0, 0, 0, 0)
    for window in windows:
        specimen = window != Phase.VOID
        for phase in (Phase.SILT, Phase.PORE):
            with set_workers(os.cpu_count() or 1):
                sums = sum_pairs(window == phase, specimen, reach)
            pairs[phase] = pairs[phase] + sums if phase in pairs else sums
        contacts += sum_contacts(window == Phase.SILT, specimen)
    return Texture(pairs, contacts)


def lay_windows(shape: tuple[int, int], side: int = WINDOW) -> list[Box]:
    """Lay at most four windows over a field: all of it where they cover it, else spread evenly."""
    spans = []
    for length in shape:
        parts = 1 if length <= side else 2
        middles = [(2 * part + 1) * length / (2 * parts) for part in range(parts)]
        half = min(side, length / parts) / 2
        spans.append([(round(middle - half), round(middle + half)) for middle in middles])
    return [Box(top, left, bottom, right) for top, bottom in spans[0] for left, right in spans[1]]
