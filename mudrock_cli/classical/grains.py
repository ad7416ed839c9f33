"""Connected regions of an image that is held in bands, and grains chosen by their size."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.filters import Mask
from mudrock_cli.classical.recipe import SiltRecipe
from mudrock_cli.image.tiles import Packed
from mudrock_cli.image.types import Map, Phase

Labels = npt.NDArray[np.int32]
Keep = npt.NDArray[np.bool_]
"""For each label of a band, from 0 for no region, whether to keep it."""


@dataclass(frozen=True)
class Piece:
    """The parts of regions that lie in one band.

    Parameters
    ----------
    areas, marked : ndarray of int64, shape (labels,)
        Pixels, and those that are marked.
    at_side : ndarray of int64, shape (labels,)
        Pixels in the first and in the last column.
    head, foot : ndarray of int32, shape (columns,)
        Labels in the first and in the last row; 0 for no region.
    """

    areas: npt.NDArray[np.int64]
    marked: npt.NDArray[np.int64]
    at_side: npt.NDArray[np.int64]
    head: Labels
    foot: Labels


@dataclass(frozen=True)
class Regions:
    """Regions of one image.

    Parameters
    ----------
    ids : tuple of ndarray of int64
        Per band: the region of each of the band's labels; entry 0 is no region.
    areas : ndarray of int64, shape (regions,)
        Pixels.
    marked : ndarray of int64, shape (regions,)
        Pixels that are marked.
    at_sides, at_ends : ndarray of int64, shape (regions,)
        Pixels in the first and the last column of the image, and in its first and last row.
    """

    ids: tuple[npt.NDArray[np.int64], ...]
    areas: npt.NDArray[np.int64]
    marked: npt.NDArray[np.int64]
    at_sides: npt.NDArray[np.int64]
    at_ends: npt.NDArray[np.int64]

    def keep(self, wanted: npt.NDArray[np.bool_]) -> list[Keep]:
        """Return which labels of each band belong to wanted regions.

        Parameters
        ----------
        wanted : ndarray of bool, shape (regions,)
        """
        kept = [np.append(wanted, False)[ids] for ids in self.ids]
        for labels in kept:
            labels[0] = False
        return kept


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
    areas = np.bincount(labels.ravel())[1:]
    marks = labels[mark > 0] if mark is not None else labels[:0].ravel()
    at_side = np.bincount(labels[:, [0, -1]].ravel(), minlength=len(areas) + 1)
    return Piece(
        areas=areas,
        marked=np.bincount(marks, minlength=len(areas) + 1)[1:],
        at_side=at_side[1:],
        head=labels[0].copy(),
        foot=labels[-1].copy(),
    )


def keep_regions(band: Mask, keep: Keep, connectivity: int) -> Mask:
    """Return a band with only those of its regions that are kept.

    Parameters
    ----------
    band : ndarray of uint8, shape (rows, columns)
        The band in which `find_pieces` found the labels.
    keep : ndarray of bool
        From `Regions.keep`.
    connectivity : int
        As `find_pieces` had it.
    """
    return keep[_label(band, connectivity)].view(np.uint8)


def join_pieces(pieces: Iterable[Piece], connectivity: int) -> Regions:
    """Join the pieces of bands, from top to bottom, to the regions of the image.

    Parameters
    ----------
    pieces : iterable of Piece
        Of all bands.
    connectivity : int
        4 or 8 neighbours.
    """
    areas, marked, at_sides, at_ends, pairs = [], [], [], [], []
    above: npt.NDArray[np.int64] | None = None
    foot: Labels | None = None
    total = 0
    for piece in pieces:
        if above is not None:
            pairs.append(_touching(above, _shift(piece.head, total), connectivity))
        areas.append(piece.areas)
        marked.append(piece.marked)
        at_sides.append(piece.at_side)
        at_ends.append(_count(piece.head if above is None else piece.head[:0], len(piece.areas)))
        foot, above = piece.foot, _shift(piece.foot, total)
        total += len(piece.areas)
    if foot is not None:
        at_ends[-1] = at_ends[-1] + _count(foot, len(at_ends[-1]))
    region = np.unique(_join(total, pairs), return_inverse=True)[1]
    ids = np.split(region, np.cumsum([len(part) for part in areas])[:-1])
    return Regions(
        tuple(np.concatenate([[0], each]) for each in ids),
        _sum_up(region, areas),
        _sum_up(region, marked),
        _sum_up(region, at_sides),
        _sum_up(region, at_ends),
    )


def _sum_up(
    region: npt.NDArray[np.int64], parts: list[npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """Add up what the pieces of each region have."""
    count = int(region.max()) + 1 if region.size else 0
    return np.bincount(region, np.concatenate(parts), minlength=count).astype(np.int64)


def _count(row: Labels, labels: int) -> npt.NDArray[np.int64]:
    """Return how many pixels of a row each label has."""
    return np.bincount(row, minlength=labels + 1)[1:]


def _label(band: Mask, connectivity: int) -> Labels:
    return np.asarray(cv2.connectedComponents(band, connectivity=connectivity)[1], np.int32)


def _shift(row: Labels, first: int) -> npt.NDArray[np.int64]:
    """Return labels of the whole image, from 1."""
    return np.where(row > 0, row.astype(np.int64) + first, 0)


def _touching(
    above: npt.NDArray[np.int64], below: npt.NDArray[np.int64], connectivity: int
) -> npt.NDArray[np.int64]:
    """Return the pairs of labels (n, 2) that meet between two rows."""
    meetings = [(above, below)]
    if connectivity == 8:
        meetings += [(above[1:], below[:-1]), (above[:-1], below[1:])]
    pairs = np.concatenate([np.stack(meeting, axis=1) for meeting in meetings])
    return np.unique(pairs[(pairs > 0).all(axis=1)], axis=0) - 1


def _join(count: int, pairs: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the smallest label connected to each label: union-find, paths halved."""
    parent = list(range(count))

    def find(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    for first, second in np.concatenate(pairs).tolist() if pairs else []:
        low, high = sorted((find(first), find(second)))
        parent[high] = low
    return np.array([find(label) for label in range(count)], np.int64)


# Silt: what is left of the solid after erosion and dilation, if it is large enough.

Sides = tuple[bool, bool, bool, bool]
"""Whether a window ends with the image at its top, bottom, left, right."""


def opening_reach(thickness: float) -> int:
    """Return how many pixels around a place decide whether it is in the opened solid."""
    return 2 * math.ceil(thickness / 2) + 2


def open_solid(solid: Mask, thickness: float, rim: float, sides: Sides) -> Mask:
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
    sides : tuple of bool
        Whether the window ends with the image at its top, bottom, left, right.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
    """
    radius = thickness / 2
    reach = math.ceil(radius) + 1
    top, bottom, left, right = (reach if side else 0 for side in sides)
    padded = cv2.copyMakeBorder(1 - solid, top, bottom, left, right, cv2.BORDER_REFLECT)
    if not padded.any():
        return np.ones_like(solid)
    core = distance_to(padded) > radius
    if not core.any():
        return np.zeros_like(solid)
    opened = distance_to(core.view(np.uint8)) <= radius - rim
    inner = opened[top : opened.shape[0] - bottom, left : opened.shape[1] - right]
    return np.ascontiguousarray(inner).view(np.uint8)


def distance_to(mask: Mask) -> npt.NDArray[np.float32]:
    """Return each pixel's Euclidean distance to the nearest pixel of `mask` (Felzenszwalb 2012)."""
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)


# Grains chosen by size: on the whole image, never on a band.

Planes = tuple[Packed, Packed, Packed]
"""Pores, opened solid, and where the contrast is twice the typical one: masks of a band."""

_SOLID, _AROUND = 4, 8  # neighbours of a pixel in a grain, and in what is around the grains


def choose_grains(
    planes: Sequence[Planes], silt: SiltRecipe, pixel_nm: float, mapper: Map
) -> Iterator[Packed]:
    """Choose the silt grains among the regions of the opened solid, and put the phases together.

    A grain that the frame cuts counts by the circle of which the frame would leave what is visible.

    Parameters
    ----------
    planes : sequence of tuple of Packed
        The bands of an image, from top to bottom.
    silt : SiltRecipe
        Sizes of grains and of the holes in them, and how rough a grain may be.
    pixel_nm : float
        Nanometres per pixel.
    mapper : Map
        Who labels the bands.

    Yields
    ------
    Packed
        Phases of a band, uint8, shape (rows, columns).
    """
    regions = join_pieces(mapper(_measure_opened, planes), _SOLID)
    large = _whole_diameters(regions) * pixel_nm + 2 * silt.rim_nm >= silt.min_ecd_nm
    kept = regions.keep(large & (regions.marked <= silt.rough_share * regions.areas))
    grains: list[Packed] = []

    def gather() -> Iterator[Piece]:
        for grain, around in mapper(_take_grains, zip(planes, kept, strict=True)):
            grains.append(grain)
            yield around

    around = join_pieces(gather(), _AROUND)
    small = _diameters(around.areas) * pixel_nm <= silt.hole_nm
    holes = around.keep(small & (around.at_sides + around.at_ends == 0))
    yield from mapper(_lay_phases, zip(planes, grains, holes, strict=True))


def _measure_opened(planes: Planes) -> Piece:
    _, opened, rough = planes
    return find_pieces(opened.unpack(), _SOLID, rough.unpack())


def _take_grains(part: tuple[Planes, Keep]) -> tuple[Packed, Piece]:
    """Return the grains of a band, and the regions around them."""
    (_, opened, _), keep = part
    grains = keep_regions(opened.unpack(), keep, _SOLID)
    return Packed.pack(grains, bits=True), find_pieces(1 - grains, _AROUND)


def _lay_phases(part: tuple[Planes, Packed, Keep]) -> Packed:
    """Fill the holes in the grains of a band; pores come last."""
    (pores, _, _), packed, holes = part
    grains = packed.unpack()
    silt = grains | keep_regions(1 - grains, holes, _AROUND)
    phases = np.where(silt, np.uint8(Phase.SILT), np.uint8(Phase.CLAY))
    phases[pores.unpack() > 0] = Phase.PORE
    return Packed.pack(phases)


def _diameters(areas: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
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
