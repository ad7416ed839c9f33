"""Objects in pieces, and how the pieces of all bands of an image are joined.

A band is a number of whole rows, scanned with one row of the next band in view. Every measure
that needs pixels is a sum, a minimum or a maximum over pixels, or over pairs of neighbours, in
integers; so the pieces of an object add up to exactly what one scan of the whole image gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.window import Box
from mudrock_cli.measure.hull import Bools, Chains
from mudrock_cli.measure.runs import Ints


@dataclass(frozen=True)
class Pieces:
    """Objects, or the parts of objects that lie in one band. N is their number.

    Parameters
    ----------
    phase : ndarray of uint8, shape (N,)
        Their phase; VOID counts as a phase here.
    first : ndarray of int64, shape (N,)
        Place of their first pixel in raster order.
    sums : mapping of str to ndarray of int64, shape (N,)
        ``area``; coordinate sums ``x``, ``y``, ``xx``, ``yy``, ``xy`` (modulo 2**64);
        ``ends_0``, ``ends_90``, ``ends_45``, ``ends_135``: pixels whose neighbour to the right,
        below, below right and below left is not in the object; and a sum for every layer.
    box : ndarray of int64, shape (4, N)
        Top and left, and minus bottom and minus right (half-open), so that all are minima.
    at_border : ndarray of bool, shape (N,)
        Whether a pixel lies at the image's edge or next to VOID.
    chains : Chains
        Vertices of their convex hulls.
    contacts : ndarray of int64, shape (3, M)
        Pore, silt and the number of pixel sides that they share.
    """

    phase: npt.NDArray[np.uint8]
    first: Ints
    sums: Mapping[str, Ints]
    box: Ints
    at_border: Bools
    chains: Chains
    contacts: Ints

    def __len__(self) -> int:
        return len(self.phase)


@dataclass(frozen=True)
class Band:
    """Pieces in one band, and the seams to its neighbours.

    Parameters
    ----------
    pieces : Pieces
        What the band holds.
    head, foot : ndarray of int64, shapes (K,), (L,)
        Pieces of the runs in the band's first row, and of the runs in the row below its last.
    specimen : Box or None
        Smallest box that holds the band's pixels that are not VOID; None where all are.
    """

    pieces: Pieces
    head: Ints
    foot: Ints
    specimen: Box | None


def unite(one: Ints, other: Ints, count: int) -> tuple[int, Ints]:
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


def total(group: Ints, values: npt.NDArray[np.integer], count: int) -> Ints:
    """Sum integers per group, exactly (modulo 2**64)."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, group, values.astype(np.int64, copy=False))
    return sums


def lowest(group: Ints, values: Ints, count: int) -> Ints:
    """Smallest integer of each group."""
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, group, values)
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


def join_bands(bands: Sequence[Band]) -> tuple[Pieces, list[Ints]]:
    """Join the pieces of all bands of an image, top to bottom, into objects.

    Returns
    -------
    objects : Pieces
        Whole objects in the raster order of their first pixel; VOID comes last.
    numbers : list of ndarray of int64
        For each band, the object to which each of its pieces belongs.
    """
    sizes = [len(band.pieces) for band in bands]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    above = [band.foot + offset for band, offset in zip(bands[:-1], offsets, strict=False)]
    below = [band.head + offset for band, offset in zip(bands[1:], offsets[1:], strict=False)]
    none = np.zeros(0, np.int64)
    count, group = unite(
        np.concatenate([none, *above]), np.concatenate([none, *below]), int(offsets[-1])
    )
    pieces = [band.pieces for band in bands]
    phase = np.zeros(count, np.uint8)
    phase[group] = np.concatenate([piece.phase for piece in pieces])
    first = lowest(group, np.concatenate([piece.first for piece in pieces]), count)
    rank = np.empty(count, np.int64)
    rank[np.lexsort((first, phase == Phase.VOID))] = np.arange(count)
    numbers = np.split(rank[group], offsets[1:-1])
    return _add_up(pieces, numbers, count), numbers


def _add_up(pieces: Sequence[Pieces], numbers: Sequence[Ints], count: int) -> Pieces:
    """Reduce pieces to the objects whose numbers are given."""
    number = np.concatenate(numbers)
    phase = np.zeros(count, np.uint8)
    phase[number] = np.concatenate([piece.phase for piece in pieces])
    at_border = np.zeros(count, np.bool_)
    at_border[number[np.concatenate([piece.at_border for piece in pieces])]] = True
    contacts = [
        np.stack([of_piece[piece.contacts[0]], of_piece[piece.contacts[1]], piece.contacts[2]])
        for piece, of_piece in zip(pieces, numbers, strict=True)
    ]
    return Pieces(
        phase=phase,
        first=lowest(number, np.concatenate([piece.first for piece in pieces]), count),
        sums={
            name: total(number, np.concatenate([piece.sums[name] for piece in pieces]), count)
            for name in pieces[0].sums
        },
        box=np.stack(
            [
                lowest(number, np.concatenate([piece.box[side] for piece in pieces]), count)
                for side in range(4)
            ]
        ),
        at_border=at_border,
        chains=_join_chains(pieces, numbers),
        contacts=count_pairs(*np.concatenate(contacts, axis=1)),
    )


def _join_chains(pieces: Sequence[Pieces], numbers: Sequence[Ints]) -> Chains:
    """Bring the chains of pieces in the order of objects and rows."""
    chain = np.concatenate(
        [
            2 * of_piece[piece.chains.chain // 2] + piece.chains.chain % 2
            for piece, of_piece in zip(pieces, numbers, strict=True)
        ]
    )
    row = np.concatenate([piece.chains.row for piece in pieces])
    position = np.concatenate([piece.chains.position for piece in pieces])
    place = chain * (int(row.max(initial=0)) + 1) + row
    order = np.argsort(place, kind="stable")
    # Two pieces of one band may meet in another: of their points in one row the outer stays.
    new = np.flatnonzero(np.diff(place[order], prepend=-1))
    outer = np.minimum.reduceat(position[order], new) if len(new) else position
    order = order[new]
    return Chains(chain[order].astype(np.int32), row[order], outer)
