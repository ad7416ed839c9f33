"""Connected regions of an image that is held in bands: their sizes, and which of them to keep."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.contrast import Mask

Labels = npt.NDArray[np.int32]


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
    at_frame : ndarray of bool, shape (regions,)
        Whether the region touches the frame of the image.
    connectivity : int
        4 or 8.
    """

    ids: tuple[npt.NDArray[np.int64], ...]
    areas: npt.NDArray[np.int64]
    marked: npt.NDArray[np.int64]
    at_frame: npt.NDArray[np.bool_]
    connectivity: int

    def paint(self, bands: Iterable[Mask], wanted: npt.NDArray[np.bool_]) -> Iterator[Mask]:
        """Yield the bands again, with only the wanted regions left.

        Parameters
        ----------
        bands : iterable of ndarray of uint8
            The bands that were measured.
        wanted : ndarray of bool, shape (regions,)
        """
        for ids, band in zip(self.ids, bands, strict=True):
            keep = np.append(wanted, False)[ids]
            keep[0] = False
            yield keep[_label(band, self.connectivity)].view(np.uint8)


def measure_regions(
    bands: Iterable[Mask], connectivity: int, marks: Iterable[Mask] | None = None
) -> Regions:
    """Find the regions of an image that comes in bands from top to bottom.

    Parameters
    ----------
    bands : iterable of ndarray of uint8, shape (rows, columns)
        1 where there is a region.
    connectivity : int
        4 or 8 neighbours.
    marks : iterable of ndarray of uint8, shape (rows, columns), optional
        1 where a pixel is marked.
    """
    areas, marked, at_frame, pairs = [], [], [], []
    above: npt.NDArray[np.int64] | None = None
    total = 0
    marking = iter(marks) if marks is not None else None
    for band in bands:
        labels = _label(band, connectivity)
        areas.append(np.bincount(labels.ravel())[1:])
        count = len(areas[-1]) + 1
        mark = next(marking) > 0 if marking else np.zeros_like(band, bool)
        marked.append(np.bincount(labels[mark], minlength=count)[1:])
        edge = np.zeros(count, np.int64)
        edge[labels[:, 0]] = edge[labels[:, -1]] = 1
        if above is None:
            edge[labels[0]] = 1
        else:
            pairs.append(_touching(above, _shift(labels[0], total), connectivity))
        at_frame.append(edge[1:])
        above = _shift(labels[-1], total)
        total += count - 1
    if above is not None and total:
        at_frame[-1][labels[-1][labels[-1] > 0] - 1] = 1
    region = np.unique(_join(total, pairs), return_inverse=True)[1]
    ids = np.split(region, np.cumsum([len(part) for part in areas])[:-1])
    return Regions(
        tuple(np.concatenate([[0], each]) for each in ids),
        _sum_up(region, areas),
        _sum_up(region, marked),
        _sum_up(region, at_frame) > 0,
        connectivity,
    )


def _sum_up(
    region: npt.NDArray[np.int64], parts: list[npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """Add up what the pieces of each region have."""
    count = int(region.max()) + 1 if region.size else 0
    return np.bincount(region, np.concatenate(parts), minlength=count).astype(np.int64)


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
