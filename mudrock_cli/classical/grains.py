"""Silt: what is left of the smooth solid after erosion and dilation, where it is large enough.

Erosion and dilation work on a band of rows and its surroundings, the choice of grains on the whole
image: connected regions are found band by band and joined.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.filters import Mask
from mudrock_cli.classical.recipe import SiltRecipe
from mudrock_cli.image.tiles import Packed
from mudrock_cli.image.types import Map, Phase

Ints = npt.NDArray[np.int64]
Keep = npt.NDArray[np.bool_]
"""For each label of a band, from 0 for no region, whether to keep it."""

_GRAINS, _AROUND = 4, 8  # neighbours of a pixel in a grain, and in what is around the grains


class Piece(NamedTuple):
    """The parts of regions that lie in one band."""

    counts: Ints  # (3, labels): pixels, those that are marked, those in the first and last column
    head: Ints  # (columns,): labels in the first row; 0 for no region
    foot: Ints  # the same of the last row


class Regions(NamedTuple):
    """Connected regions of one image; all but `ids` have the shape (regions,)."""

    ids: list[Ints]  # per band: the region of each of the band's labels, from label 1
    areas: Ints  # pixels
    marked: Ints  # pixels that are marked
    at_sides: Ints  # pixels in the first and the last column of the image
    at_ends: Ints  # pixels in its first and last row

    def keep(self, wanted: Keep) -> list[Keep]:
        """Return which labels of each band belong to wanted regions, bool, shape (regions,)."""
        return [np.concatenate([[False], wanted[ids]]) for ids in self.ids]


def find_pieces(band: Mask, connectivity: int, mark: Mask | None = None) -> Piece:
    """Find the connected regions of one band.

    Parameters
    ----------
    band : ndarray of uint8, shape (rows, columns)
        1 where there is a region.
    connectivity : int
        4 or 8 neighbours.
    mark : ndarray of uint8, shape (rows, columns), optional
        1 where a pixel is marked.
    """
    labels = _label(band, connectivity)
    areas = np.bincount(labels.ravel())
    marks = labels[mark > 0] if mark is not None else labels[:0].ravel()
    parts = (marks, labels[:, [0, -1]].ravel())
    counts = [areas, *(np.bincount(part, minlength=len(areas)) for part in parts)]
    head, foot = (labels[row].astype(np.int64) for row in (0, -1))
    return Piece(np.array(counts)[:, 1:], head, foot)


def keep_regions(band: Mask, keep: Keep, connectivity: int) -> Mask:
    """Return a band, as `find_pieces` had it, with the regions that `Regions.keep` tells."""
    return keep[_label(band, connectivity)].view(np.uint8)


def join_pieces(pieces: Iterable[Piece], connectivity: int) -> Regions:
    """Join the pieces of all bands, from top to bottom, to the regions of the image."""
    pieces = list(pieces)
    firsts = np.cumsum([0, *(piece.counts.shape[1] for piece in pieces)])
    pairs = [
        _touching(_shift(above.foot, first), _shift(below.head, second), connectivity)
        for (above, below), (first, second) in zip(pairwise(pieces), pairwise(firsts), strict=False)
    ]
    region = _join(int(firsts[-1]), np.concatenate([np.empty((0, 2), np.int64), *pairs]))
    ends = np.zeros(firsts[-1] + 1, np.int64)
    ends += np.bincount(_shift(pieces[0].head, 0), minlength=len(ends))
    ends += np.bincount(_shift(pieces[-1].foot, firsts[-2]), minlength=len(ends))
    counts = [*np.concatenate([piece.counts for piece in pieces], axis=1), ends[1:]]
    size = int(region.max()) + 1 if region.size else 0
    sums = (np.bincount(region, each, minlength=size).astype(np.int64) for each in counts)
    return Regions(np.split(region, firsts[1:-1]), *sums)


def _label(band: Mask, connectivity: int) -> npt.NDArray[np.int32]:
    return np.asarray(cv2.connectedComponents(band, connectivity=connectivity)[1], np.int32)


def _shift(row: Ints, first: int) -> Ints:
    """Return labels of the whole image, from 1."""
    return np.where(row > 0, row + first, 0)


def _touching(above: Ints, below: Ints, connectivity: int) -> Ints:
    """Return the pairs of labels that meet between two rows, from 0, shape (n, 2)."""
    meetings = [(above, below)]
    if connectivity == 8:
        meetings += [(above[1:], below[:-1]), (above[:-1], below[1:])]
    pairs = np.concatenate([np.stack(meeting, axis=1) for meeting in meetings])
    return np.unique(pairs[(pairs > 0).all(axis=1)], axis=0) - 1


def _join(count: int, pairs: Ints) -> Ints:
    """Return the region of each of `count` labels, from 0: union-find, paths halved.

    By hand, since SciPy's graphs take longer to import than a snapshot takes to be labelled.
    """
    parent = list(range(count))

    def find(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    for first, second in pairs.tolist():
        low, high = sorted((find(first), find(second)))
        parent[high] = low
    return np.unique([find(label) for label in range(count)], return_inverse=True)[1]


def opening_reach(thickness: float) -> int:
    """Return how many pixels around a place decide whether it is in the opened solid."""
    return 2 * math.ceil(thickness / 2) + 2


def open_solid(solid: Mask, thickness: float, rim: float, at_edges: tuple[bool, bool]) -> Mask:
    """Erode the solid by a disc and dilate it, but leave out a rim.

    Erosion and dilation by a disc are thresholds on exact Euclidean distances, at a cost that does
    not grow with the disc. Beyond the frame the image is mirrored, so a grain that the frame cuts
    keeps its edge.

    Parameters
    ----------
    solid : ndarray of uint8, shape (rows, columns)
        0 where pores, cracks or grooves between platelets interrupt a smooth solid.
    thickness : float
        Diameter of the disc, pixels.
    rim : float
        The dilation is smaller than the erosion by this many pixels.
    at_edges : tuple of bool
        Whether the rows begin, and end, with the image; the columns always do.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
    """
    radius = thickness / 2
    reach = math.ceil(radius) + 1
    top, bottom = (reach if at_edge else 0 for at_edge in at_edges)
    padded = cv2.copyMakeBorder(1 - solid, top, bottom, reach, reach, cv2.BORDER_REFLECT)
    if not padded.any():
        return np.ones_like(solid)
    core = distance_to(padded) > radius
    if not core.any():
        return np.zeros_like(solid)
    opened = distance_to(core.view(np.uint8)) <= radius - rim
    return np.ascontiguousarray(opened[top : len(opened) - bottom, reach:-reach]).view(np.uint8)


def distance_to(mask: Mask) -> npt.NDArray[np.float32]:
    """Return each pixel's Euclidean distance to the nearest pixel of `mask` (Felzenszwalb 2012)."""
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)


class CandidateMasks(NamedTuple):
    """Masks of a band, compressed: a hundredth of a byte per pixel or a few.

    Parameters
    ----------
    pores, opened, rough : Packed
        Pores, opened solid, and where the contrast is twice the typical one.
    """

    pores: Packed
    opened: Packed
    rough: Packed


def choose_grains(
    bands: Sequence[CandidateMasks], silt: SiltRecipe, pixel_nm: float, mapper: Map = map
) -> Iterator[Packed]:
    """Choose the silt grains among the regions of the opened solid, and put the phases together.

    A grain that the frame cuts counts by the circle of which the frame would leave what is visible.
    A pore in a grain stays a pore.

    Parameters
    ----------
    bands : sequence of CandidateMasks
        Of an image, from top to bottom.
    silt : SiltRecipe
        Sizes of grains and of the holes in them, and how rough a grain may be.
    pixel_nm : float
        Nanometres per pixel.
    mapper : callable
        Like the builtin `map`; labels the bands.

    Yields
    ------
    Packed
        Phases of a band, uint8, shape (rows, columns).
    """
    regions = join_pieces(mapper(_measure_opened, bands), _GRAINS)
    large = _whole_diameters(regions) * pixel_nm + 2 * silt.rim_nm >= silt.min_ecd_nm
    kept = regions.keep(large & (regions.marked <= silt.rough_share * regions.areas))
    grains: list[Packed] = []

    def gather() -> Iterator[Piece]:
        for grain, around in mapper(_take_grains, zip(bands, kept, strict=True)):
            grains.append(grain)
            yield around

    around = join_pieces(gather(), _AROUND)
    small = _diameters(around.areas) * pixel_nm <= silt.hole_nm
    holes = around.keep(small & (around.at_sides + around.at_ends == 0))
    yield from mapper(_lay_phases, zip(bands, grains, holes, strict=True))


def _measure_opened(band: CandidateMasks) -> Piece:
    return find_pieces(band.opened.unpack(), _GRAINS, band.rough.unpack())


def _take_grains(part: tuple[CandidateMasks, Keep]) -> tuple[Packed, Piece]:
    """Return the grains of a band, and the regions around them."""
    band, keep = part
    grains = keep_regions(band.opened.unpack(), keep, _GRAINS)
    return Packed.pack(grains, bits=True), find_pieces(1 - grains, _AROUND)


def _lay_phases(part: tuple[CandidateMasks, Packed, Keep]) -> Packed:
    """Fill the holes in the grains of a band; pores come last."""
    band, packed, holes = part
    grains = packed.unpack()
    silt = grains | keep_regions(1 - grains, holes, _AROUND)
    phases = np.where(silt, np.uint8(Phase.SILT), np.uint8(Phase.CLAY))
    phases[band.pores.unpack() > 0] = Phase.PORE
    return Packed.pack(phases)


def _diameters(areas: Ints) -> npt.NDArray[np.float64]:
    """Return equivalent-circle diameters in pixels."""
    return np.asarray(np.sqrt(4 / math.pi * areas))


def _whole_diameters(regions: Regions) -> npt.NDArray[np.float64]:
    """Return the diameters of the circles of which the frame would leave as much, pixels.

    A chord cuts from a circle of diameter d a segment with the area d^2 (t - sin t) / 8 and the
    chord d sin(t / 2), where t is the central angle: their ratio tells t. Where two sides of the
    frame meet, what lies between the corner and the chord is no part of the segment. A sliver tells
    little of its circle: no grain counts for more than four times what is visible of it.
    """
    half = np.linspace(0, math.pi, 2048)[1:-1]  # of the central angle
    ratios = (2 * half - np.sin(2 * half)) / (8 * np.sin(half) ** 2)
    chords = np.hypot(regions.at_sides, regions.at_ends)
    segments = regions.areas - regions.at_sides * regions.at_ends / 2
    ratio = segments / np.maximum(chords, 1) ** 2
    circles = chords / np.sin(np.interp(ratio, ratios, half))
    visible = _diameters(regions.areas)
    return np.asarray(np.clip(circles, visible, 2 * visible))
