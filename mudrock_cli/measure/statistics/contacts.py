"""Contacts between silt grains: whether they carry each other or float in the matrix.

Grains that touch are one region of the mask, so they are first divided at their necks. Contiguity
is then the share of grain boundary that is shared with another grain (Gurland 1958): 0 where all
grains float in clay, near 1 in a grain-supported rock. A large mask is measured in tiles: add up
the ``ContactSums``.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]

NECK = 0.7
"""Two parts are two grains where the neck is narrower than this share of the smaller part."""


@dataclass(frozen=True)
class ContactSums:
    """Contacts between grains, to be added over tiles and images.

    Parameters
    ----------
    grains : int
        Grains after touching ones are divided.
    contacts : int
        Pairs of grains that touch.
    shared, free : int
        Steps from pixel to neighbouring pixel, along rows and columns, that go from one grain to
        another, and from a grain to what is no grain.
    """

    grains: int
    contacts: int
    shared: int
    free: int

    def __add__(self, other: "ContactSums") -> "ContactSums":
        return ContactSums(
            self.grains + other.grains,
            self.contacts + other.contacts,
            self.shared + other.shared,
            self.free + other.free,
        )

    @property
    def contiguity(self) -> float:
        """Share of grain boundary that is a contact with another grain, 0 to 1; NaN for no grain.

        Notes
        -----
        ``2 N_gg / (2 N_gg + N_gm)`` of crossings along lines; Gurland (1958), Trans. AIME 212:
        452-455.
        """
        total = 2 * self.shared + self.free
        return 2 * self.shared / total if total else math.nan

    @property
    def contacts_per_grain(self) -> float:
        """Mean number of grains that a grain touches in the section; NaN for no grain."""
        return 2 * self.contacts / self.grains if self.grains else math.nan


def sum_contacts(
    silt: npt.NDArray[np.bool_], specimen: npt.NDArray[np.bool_] | None = None
) -> ContactSums:
    """Divide touching grains and count their contacts.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.
    specimen : ndarray of bool, shape (H, W), optional
        Pixels that are not VOID; a step from silt to VOID is no boundary.

    Notes
    -----
    Every silt pixel climbs the distance to the boundary to a summit (a watershed); summits are
    joined from the highest saddle down while the saddle is at least ``NECK`` of the lower summit.
    """
    grain = divide_grains(silt)
    other = ~silt if specimen is None else ~silt & specimen
    pairs, free = [], 0
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        free += int(np.count_nonzero(silt[near] & other[far]))
        free += int(np.count_nonzero(silt[far] & other[near]))
        first, second = grain[near], grain[far]
        meet = (first != second) & (first >= 0) & (second >= 0)
        pairs.append(np.sort(np.stack([first[meet], second[meet]]), axis=0))
    touching = np.concatenate(pairs, axis=1)
    return ContactSums(
        grains=int(grain.max(initial=-1)) + 1,
        contacts=np.unique(touching, axis=1).shape[1],
        shared=touching.shape[1],
        free=free,
    )


def divide_grains(silt: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Give each grain of a mask a number, touching ones divided at their necks.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Grains from 0; -1 elsewhere.
    """
    import cv2

    if not silt.any():
        return np.full(silt.shape, -1, np.int32)
    # A dark rim: grains at the edge of the array climb like the others, and no neighbour is out
    # of bounds.
    framed = np.pad(silt, 1).astype(np.uint8)
    height = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)
    pixels = np.flatnonzero(framed)
    width = framed.shape[1]
    summits, basin = np.unique(_climb(height.ravel(), pixels, width), return_inverse=True)
    number = np.full(framed.size, -1, np.int32)
    number[pixels] = basin
    saddles = _find_saddles(number, height.ravel(), pixels, width)
    _, grain = np.unique(_join(height.ravel()[summits], *saddles), return_inverse=True)
    number[pixels] = grain[basin]
    return number.reshape(framed.shape)[1:-1, 1:-1]


def _climb(height: Floats, pixels: Ints, width: int) -> Ints:
    """Return the summit that each pixel reaches by the steepest way up."""
    best, target = height[pixels], pixels.copy()
    for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
        neighbour = height[pixels + step]
        # On a level, to the smaller index: a plateau has one summit and no circle.
        higher = (neighbour > best) | ((neighbour == best) & (pixels + step < target))
        best, target = np.where(higher, neighbour, best), np.where(higher, pixels + step, target)
    goal = np.zeros(len(height), np.intp)
    goal[pixels] = target
    while not np.array_equal(goal[target], target):
        target = goal[target]
        goal[pixels] = target
    return target


def _join(peaks: Floats, first: Ints, second: Ints, saddles: Floats) -> Ints:
    """Return the summit that each summit is joined to, from the highest saddle down."""
    parent = list(range(len(peaks)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, two, saddle in zip(first, second, saddles, strict=True):
        low, high = root(int(one)), root(int(two))
        if peaks[low] > peaks[high]:
            low, high = high, low
        if low != high and saddle >= NECK * peaks[low]:
            parent[low] = high
    return np.array([root(node) for node in range(len(parent))])


def _find_saddles(
    number: npt.NDArray[np.int32], height: Floats, pixels: Ints, width: int
) -> tuple[Ints, Ints, Floats]:
    """Return neighbouring basins and the highest pass between them, the highest pass first."""
    keys, passes, basins = [], [], int(number.max()) + 1
    own = number[pixels]
    for step in (1, width - 1, width, width + 1):
        other = number[pixels + step]
        meet = np.flatnonzero((other >= 0) & (other != own))
        low, high = np.minimum(own[meet], other[meet]), np.maximum(own[meet], other[meet])
        keys.append(low.astype(np.intp) * basins + high)
        passes.append(np.minimum(height[pixels[meet]], height[pixels[meet] + step]))
    key, saddle = np.concatenate(keys), np.concatenate(passes)
    order = np.lexsort((-saddle, key))
    pair, start = np.unique(key[order], return_index=True)
    saddle = saddle[order][start]
    falling = np.argsort(-saddle, kind="stable")
    return pair[falling] // basins, pair[falling] % basins, saddle[falling]
