"""Contacts between silt grains: regions are divided at their necks, and counted or measured so.

Grains that touch are one region of a mask. Whether they carry each other or float in the matrix is
told by the share of their boundary that is contact. A large mask is measured in windows: add up
the `ContactSums`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.components import MOST_PARTS, Labelling
from mudrock_cli.measure.correlation import NEIGHBOURS
from mudrock_cli.measure.shapes import Bools, Ints

NECK = 0.7
"""Two parts are two grains where the neck is narrower than this share of the smaller part."""

_CONVEX = 0.75
"""A hole inside a grain fills at least this share of its convex hull."""

_SPECK = 12
"""Holes of fewer pixels have no shape."""

_THIN = 2.0
"""Parts of silt thinner than twice so many pixels are no grains of their own."""

_THICK = 8.0
"""Silt is thick from twice so many pixels on."""


@dataclass(frozen=True)
class ContactSums:
    """Contacts between silt grains, to be added over tiles and images.

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
        452-455. 0 where all grains float in clay, near 1 in a grain-supported rock.
        """
        total = 2 * self.shared + self.free
        return 2 * self.shared / total if total else math.nan

    @property
    def contacts_per_grain(self) -> float:
        """Mean number of grains that a grain touches in the section; NaN for no grain."""
        return 2 * self.contacts / self.grains if self.grains else math.nan


def sum_contacts(silt: Bools, specimen: Bools | None = None) -> ContactSums:
    """Divide touching grains and count their contacts.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.
    specimen : ndarray of bool, shape (H, W), optional
        Pixels that are not VOID; a step from silt to VOID is no boundary.
    """
    grain = divide_grains(silt)
    other = grain == 0
    if specimen is not None:
        other &= specimen
    pairs, free = [], 0
    for near, far in NEIGHBOURS[:2]:
        free += int(np.count_nonzero((grain[near] > 0) & other[far]))
        free += int(np.count_nonzero((grain[far] > 0) & other[near]))
        first, second = grain[near], grain[far]
        meet = (first != second) & silt[near] & silt[far]
        pairs.append(np.sort(np.stack([first[meet], second[meet]]), axis=0))
    touching = np.concatenate(pairs, axis=1)
    return ContactSums(
        grains=int(grain.max(initial=0)),
        contacts=np.unique(touching, axis=1).shape[1],
        shared=touching.shape[1],
        free=free,
    )


def divide_grains(silt: Bools) -> npt.NDArray[np.int32]:
    """Give each grain of a mask a number, touching ones divided at their necks.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Grains from 1, the holes inside single grains filled; 0 elsewhere.

    Notes
    -----
    A watershed of the smoothed distance to the outline (Beucher and Lantuéjoul 1979), from the
    maxima that stand out against the way to any higher one by ``1 / NECK``, as a ratio: the
    extended maxima of its logarithm (Soille 2004, 6.3.5). What is thinner than some pixels has no
    maximum of its own.
    """
    import cv2
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    framed, holes = _fill_holes(np.pad(silt, 1).astype(np.uint8))
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)
    height = np.where(framed > 0, np.log(np.maximum(distance, _THIN)), -1.0).astype(np.float32)
    count, region, boxes, _ = cv2.connectedComponentsWithStats(framed, connectivity=8)
    # What stands no higher over the thinnest parts is no grain of its own.
    high = height > math.log(_THIN / NECK)
    summits = ((cv2.dilate(height, np.ones((3, 3), np.uint8)) == height) & high).view(np.uint8)
    plateaus, plateau = cv2.connectedComponents(summits, connectivity=8)
    owner = np.zeros(plateaus, np.int64)
    owner[plateau] = region  # any pixel of a plateau tells its region
    several = np.flatnonzero(np.bincount(owner[1:], minlength=count) > 1)
    grain: npt.NDArray[np.int32] = region.astype(np.int32)
    for index in several:
        left, top, wide, tall = boxes[index, :4]
        crop = np.s_[top - 1 : top + tall + 1, left - 1 : left + wide + 1]
        own = region[crop] == index
        surface = np.where(own, height[crop], np.float32(-1))
        # Of thick silt every other pixel tells the maxima, in a quarter of the time.
        step = 2 if surface.max() > math.log(_THICK) else 1
        seen = surface[::step, ::step]
        domes = local_maxima(reconstruction(seen + math.log(NECK), seen)).astype(np.uint8)
        tops, top_of = cv2.connectedComponents(domes, connectivity=8)
        if tops > 2:
            markers = np.zeros(own.shape, np.int32)
            markers[::step, ::step] = top_of
            parts = watershed(-distance[crop], markers, mask=own, connectivity=2)
            new = parts > 1
            grain[crop][new] = count + parts[new] - 2
            count += tops - 2
    # A hole that several grains surround lies between them, not inside.
    inside = np.flatnonzero(holes)
    hole, owner = holes.ravel()[inside], grain.ravel()[inside].astype(np.int64)
    lowest, highest = (
        np.full(hole.max(initial=0) + 1, count),
        np.zeros(hole.max(initial=0) + 1, np.int64),
    )
    np.minimum.at(lowest, hole, owner)
    np.maximum.at(highest, hole, owner)
    grain.ravel()[inside[(lowest != highest)[hole]]] = 0
    return grain[1:-1, 1:-1]


def part_grains(mask: PhaseMask, labelling: Labelling, chosen: Bools) -> npt.NDArray[np.uint8]:
    """Tell the grains apart into which regions of silt are to be divided, for `label_mask`.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    labelling : Labelling
        Its objects.
    chosen : ndarray of bool, shape (N,)
        Which of them are to be divided, by `divide_grains`.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        Numbers that differ between the grains of a region that touch; 0 in regions that stay.
    """
    import cv2

    objects, width = labelling.objects, mask.shape[1]
    parts = np.zeros(mask.shape, np.uint8)
    for index in np.flatnonzero(chosen):
        top, left, bottom, right = objects.box[:, index] * np.array([1, 1, -1, -1])
        window = slice(top, bottom), slice(left, right)
        silt = (mask.read(*window) == Phase.SILT).astype(np.uint8)
        region = cv2.connectedComponents(silt, connectivity=8)[1]
        row, column = divmod(int(objects.first[index]), width)
        own = region == region[row - top, column - left]
        grain = divide_grains(own) * own
        if grain.max(initial=0) > 1:
            parts[window] += _colour(grain)[grain]
    return parts


def _colour(grain: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Return a number for each grain, 0 for none, that no grain beside it has."""
    beside: dict[int, set[int]] = {}
    for near, far in NEIGHBOURS:
        first, second = grain[near], grain[far]
        meet = (first != second) & (first > 0) & (second > 0)
        for one, other in np.unique(np.stack([first[meet], second[meet]]), axis=1).T.tolist():
            beside.setdefault(one, set()).add(other)
            beside.setdefault(other, set()).add(one)
    colours = np.zeros(int(grain.max()) + 1, np.uint8)
    for one in range(1, len(colours)):
        taken = {int(colours[other]) for other in beside.get(one, ())}
        free = (colour for colour in range(1, MOST_PARTS) if colour not in taken)
        colours[one] = next(free, MOST_PARTS)
    return colours


def _fill_holes(silt: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Fill holes that may lie inside a single grain, and return them, numbered from 1.

    What touching grains leave between them has corners that point into their necks; a hole in a
    grain is nearly convex, and no wider than the grain is beside it. The outermost pixels are no
    silt.
    """
    import cv2

    holes, hole = cv2.connectedComponents(1 - silt, connectivity=4)
    kept = np.zeros(holes, np.bool_)
    inside = ((silt == 0) & (hole != hole[0, 0])).astype(np.uint8)
    if inside.any():
        pixels = np.flatnonzero(inside)
        number = hole.ravel()[pixels].astype(np.intp)
        kept[number] = np.bincount(number, minlength=holes)[number] < _SPECK
        for outline in cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
            if len(outline) > 2:
                across, down = outline[0, 0]
                convex = cv2.contourArea(cv2.convexHull(outline))
                kept[hole[down, across]] |= cv2.contourArea(outline) >= _CONVEX * convex
        regions, region = cv2.connectedComponents(silt | inside, connectivity=8)
        wide, thick = np.zeros(holes, np.float32), np.zeros(regions, np.float32)
        for part, widest, owner in ((inside, wide, hole), (silt, thick, region)):
            there = np.flatnonzero(part)
            distance = cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            np.maximum.at(widest, owner.ravel()[there].astype(np.intp), distance.ravel()[there])
        host = np.zeros(holes, np.intp)
        host[number] = region.ravel()[pixels]
        kept &= wide <= thick[host]
    number = np.where(kept, np.cumsum(kept), 0)[hole]
    return silt | (number > 0), number
