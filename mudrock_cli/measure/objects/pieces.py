"""Objects, and the pieces of objects that lie in one band of an image.

A band is a number of whole rows, scanned with one row of the next band in view. Every measure
that needs pixels is a sum, a minimum or a maximum over pixels, or over pairs of neighbours, in
integers; so the pieces of an object add up to exactly what one scan of the whole image gives.
Of convex hulls only those of objects that a seam cuts wait for that: the others are measured with
the band, and a few numbers are kept of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mudrock_cli.image.window import Box
from mudrock_cli.measure.objects.cells import CellBand
from mudrock_cli.measure.objects.hull import Bools, Chains, Hulls, Places
from mudrock_cli.measure.objects.runs import Ints


@dataclass(frozen=True)
class Pieces:
    """Objects, or the parts of objects that lie in one band. N is their number.

    Whole numbers are kept in 32 bits where these hold them all, and computed with in 64.

    Parameters
    ----------
    phase : ndarray of uint8, shape (N,)
        Their phase; VOID counts as a phase here.
    first : ndarray of int64, shape (N,)
        Place of their first pixel in raster order.
    sums : mapping of str to ndarray of int32 or int64, shape (N,)
        ``area``; coordinate sums ``x``, ``y``, ``xx``, ``yy``, ``xy`` (modulo 2**64);
        ``ends_0``, ``ends_90``, ``ends_45``, ``ends_135``: pixels whose neighbour to the right,
        below, below right and below left is not in the object; and a sum for every layer.
    box : ndarray of int32 or int64, shape (4, N)
        Top and left, and minus bottom and minus right (half-open), so that all are minima.
    at_border : ndarray of bool, shape (N,)
        Whether a pixel lies at the image's edge or next to VOID.
    hulls : Hulls
        Zeros for pieces that a seam cuts, and for VOID.
    contacts : ndarray of int32 or int64, shape (3, M)
        Pore, silt and the number of pixel sides that they share, in the order of pores.
    """

    phase: npt.NDArray[np.uint8]
    first: Ints
    sums: Mapping[str, Places]
    box: Places
    at_border: Bools
    hulls: Hulls
    contacts: Places

    def __len__(self) -> int:
        return len(self.phase)

    def part(self, start: int, stop: int) -> "Pieces":
        """Return the objects from `start` to `stop`, in 64 bits, with the contacts of their pores.

        In contacts pores are counted from `start`, silt grains as before.
        """
        here = slice(*np.searchsorted(self.contacts[0], (start, stop)))
        contacts = self.contacts[:, here].astype(np.int64)
        contacts[0] -= start
        return Pieces(
            phase=self.phase[start:stop],
            first=self.first[start:stop],
            sums={name: sums[start:stop].astype(np.int64) for name, sums in self.sums.items()},
            box=self.box[:, start:stop].astype(np.int64),
            at_border=self.at_border[start:stop],
            hulls=self.hulls.part(start, stop),
            contacts=contacts,
        )


@dataclass(frozen=True)
class Band:
    """Pieces in one band, and the seams to its neighbours.

    Parameters
    ----------
    pieces : Pieces
        What the band holds.
    chains : Chains
        Vertices of the convex hulls of pieces that a seam cuts.
    head, foot : ndarray of int32 or int64, shapes (K,), (L,)
        Pieces of the runs in the band's first row, and of the runs in the row below its last.
    specimen : Box or None
        Smallest box that holds the band's pixels that are not VOID; None where all are.
    cells : CellBand or None
        Its phases in cells, where these are wanted.
    small_silt : ndarray of int64, shape (3, M)
        Pieces of silt that may count as clay, cells in which they lie, and their pixels there.
    """

    pieces: Pieces
    chains: Chains
    head: Places
    foot: Places
    specimen: Box | None
    cells: CellBand | None
    small_silt: Ints


def shrink(values: Ints) -> Places:
    """Return whole numbers in 32 bits if these hold them all."""
    limits = np.iinfo(np.int32)
    fits = limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max
    return values.astype(np.int32) if fits else values


def unite(one: Places, other: Places, count: int) -> tuple[int, Ints]:
    """Find the connected groups of `count` things of which pairs are connected.

    Returns
    -------
    groups : int
        Number of groups.
    group : ndarray of int64, shape (count,)
        Group of each thing.
    """
    if count == 0:
        return 0, np.zeros(0, np.int64)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    groups, group = connected_components(graph, directed=False)
    return int(groups), group.astype(np.int64)


def total(group: Places, values: npt.NDArray[np.integer], count: int) -> Ints:
    """Sum integers per group, exactly (modulo 2**64)."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, group, values.astype(np.int64, copy=False))
    return sums


def lowest(group: Places, values: Places, count: int) -> Ints:
    """Smallest integer of each group."""
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, group, values.astype(np.int64, copy=False))
    return least


def count_pairs(one: Ints, other: Ints, weight: Ints) -> Ints:
    """Add up the weights of equal pairs.

    Returns
    -------
    ndarray of int64, shape (3, M)
        The distinct pairs in ascending order, and the sum of their weights.
    """
    order = np.lexsort((other, one))
    one, other, weight = one[order], other[order], weight[order]
    new = np.flatnonzero((np.diff(one, prepend=-1) != 0) | (np.diff(other, prepend=-1) != 0))
    sums = np.add.reduceat(weight, new) if len(new) else weight
    return np.stack([one[new], other[new], sums])
