"""Connected regions of an image that is held in bands: their sizes, and which of them to keep."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.contrast import Mask

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
