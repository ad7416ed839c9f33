"""Texture: two-point correlation and boundary length of phases, contacts between silt grains.

Grains that touch are one region of a mask. Whether they carry each other or float in the matrix is
told by the share of their boundary that is contact; for that, and for `--split`, regions are
divided at their necks. A large mask is measured in windows, whose sums add up.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Box, Phase
from mudrock_cli.measure.components import MOST_PARTS, Labelling
from mudrock_cli.measure.shapes import Bools, Floats, Ints

WINDOW = 2048
"""Largest side of a window in which texture is measured, pixels."""

REACH = 256
"""Largest distance of the two-point correlation, pixels; at most a quarter of the field."""

NEIGHBOURS = (
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:-1, :-1], np.s_[1:, 1:]),
    (np.s_[:-1, 1:], np.s_[1:, :-1]),
)
"""Pixels and their neighbours along rows, columns and both diagonals."""

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


# Pairs of pixels.


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
        return PairSums(**{name: own + vars(other)[name] for name, own in vars(self).items()})

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


# Grains, divided where they touch.


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
        return ContactSums(**{name: own + vars(other)[name] for name, own in vars(self).items()})

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


# Windows of a mask.


@dataclass(frozen=True)
class Texture:
    """How phases are spread over a field."""

    pairs: dict[Phase, PairSums]  # of silt and of pore
    contacts: ContactSums


def read_windows(mask: PhaseMask, small: Ints) -> list[npt.NDArray[np.uint8]]:
    """Read the windows of a mask in which texture is measured, as `lay_windows` lays them.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    small : ndarray of int64, shape (5, N)
        Top, left, bottom, right (half-open) and pixels of the silt regions that count as clay;
        they are clay in the windows. A part that a window cuts from a region is silt.
    """
    windows, keys = [], set(zip(*small.tolist(), strict=True))
    for box in lay_windows(mask.shape):
        window = mask.read(box.rows, box.columns)
        if keys:
            silt = (window == Phase.SILT).view(np.uint8)
            _, regions, found, _ = cv2.connectedComponentsWithStats(silt, connectivity=8)
            left, top, width, height, area = found.T.tolist()
            clay = [
                (y + box.top, x + box.left, y + h + box.top, x + w + box.left, pixels) in keys
                for y, x, h, w, pixels in zip(top, left, height, width, area, strict=True)
            ]
            clay[0] = False  # what is no silt
            window = np.where(np.array(clay)[regions], np.uint8(Phase.CLAY), window)
        windows.append(window)
    return windows


def lay_windows(shape: tuple[int, int]) -> list[Box]:
    """Lay at most four windows over a field: all of it where they cover it, else spread evenly."""
    spans = []
    for length in shape:
        parts = 1 if length <= WINDOW else 2
        middles = [(2 * part + 1) * length / (2 * parts) for part in range(parts)]
        half = min(WINDOW, length / parts) / 2
        spans.append([(round(middle - half), round(middle + half)) for middle in middles])
    return [Box(top, left, bottom, right) for top, bottom in spans[0] for left, right in spans[1]]


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
