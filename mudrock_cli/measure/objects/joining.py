"""Joining the pieces of all bands of an image into objects."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.objects.hull import Chains, Hulls, Places, measure_hulls
from mudrock_cli.measure.objects.pieces import (
    Band,
    Pieces,
    count_pairs,
    lowest,
    shrink,
    total,
    unite,
)
from mudrock_cli.measure.objects.runs import Ints

_SUM = "sum of "


class _Columns:
    """The figures of the pieces of all bands, each to be taken once."""

    def __init__(self, bands: Sequence[Band]) -> None:
        pieces = [band.pieces for band in bands]
        names = ("phase", "first", "box", "at_border")
        self._parts: dict[str, list[npt.NDArray[Any]]] = {
            name: [getattr(piece, name) for piece in pieces] for name in names
        }
        for name in Hulls._fields:
            self._parts[name] = [getattr(piece.hulls, name) for piece in pieces]
        for name in pieces[0].sums:
            self._parts[_SUM + name] = [piece.sums[name] for piece in pieces]

    @property
    def sums(self) -> list[str]:
        """Names of the sums that are left."""
        return [name.removeprefix(_SUM) for name in self._parts if name.startswith(_SUM)]

    def take(self, name: str) -> npt.NDArray[Any]:
        """Return a figure of all pieces, which is kept no longer."""
        return np.concatenate(self._parts.pop(name), axis=-1)


def join_bands(bands: list[Band]) -> tuple[Pieces, list[Places]]:
    """Join the pieces of all bands of an image, top to bottom, into objects.

    Parameters
    ----------
    bands : list of Band
        Emptied on the way: each figure of all pieces is joined and let go before the next.

    Returns
    -------
    objects : Pieces
        Whole objects in the raster order of their first pixel; VOID comes last.
    numbers : list of ndarray of int32 or int64
        For each band, the object to which each of its pieces belongs.
    """
    sizes = [len(band.pieces) for band in bands]
    count, group = _unite_seams(bands, sizes)
    columns = _Columns(bands)
    contacts = [band.pieces.contacts for band in bands]
    chains = [band.chains for band in bands]
    bands.clear()
    phase = np.zeros(count, np.uint8)
    phase[group] = columns.take("phase")
    first = lowest(group, columns.take("first"), count)
    order = np.lexsort((first, phase == Phase.VOID))
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    number = shrink(rank[group])
    numbers = np.split(number, np.cumsum(sizes)[:-1])
    hulls = measure_hulls(_join_chains(chains, numbers), count)
    del chains
    at_border = np.zeros(count, np.bool_)
    at_border[number[columns.take("at_border")]] = True
    objects = Pieces(
        phase=phase[order],
        first=first[order],
        sums={
            name: shrink(total(number, columns.take(_SUM + name), count)) for name in columns.sums
        },
        box=shrink(np.stack([lowest(number, side, count) for side in columns.take("box")])),
        at_border=at_border,
        hulls=_add_whole(hulls, columns, number),
        contacts=shrink(_join_contacts(contacts, numbers)),
    )
    return objects, numbers


def _unite_seams(bands: Sequence[Band], sizes: Sequence[int]) -> tuple[int, Ints]:
    """Find which pieces belong together, all bands' pieces numbered through."""
    offsets = np.cumsum([0, *sizes])
    above = [band.foot + offset for band, offset in zip(bands[:-1], offsets, strict=False)]
    below = [band.head + offset for band, offset in zip(bands[1:], offsets[1:], strict=False)]
    none = np.zeros(0, np.int64)
    return unite(np.concatenate([none, *above]), np.concatenate([none, *below]), int(offsets[-1]))


def _add_whole(hulls: Hulls, columns: _Columns, number: Places) -> Hulls:
    """Add the hulls of objects that no seam cuts, which were measured with their bands."""
    area = columns.take("area")
    whole = np.flatnonzero(area)
    hulls.area[number[whole]] = area[whole]
    for name in ("feret_min", "feret_max"):
        getattr(hulls, name)[number[whole]] = columns.take(name)[whole]
    return hulls


def _join_contacts(contacts: Sequence[Places], numbers: Sequence[Places]) -> Ints:
    """Add up the sides that pores share with silt grains, over all bands."""
    joined = [
        np.stack([number[pore], number[silt], sides])
        for (pore, silt, sides), number in zip(contacts, numbers, strict=True)
    ]
    return count_pairs(*np.concatenate(joined, axis=1).astype(np.int64))


def _join_chains(chains: Sequence[Chains], numbers: Sequence[Places]) -> Chains:
    """Bring the chains of pieces in the order of objects and rows."""
    chain = np.concatenate(
        [
            2 * number[part.chain // 2].astype(np.int64) + part.chain % 2
            for part, number in zip(chains, numbers, strict=True)
        ]
    )
    row = np.concatenate([part.row for part in chains])
    position = np.concatenate([part.position for part in chains])
    place = chain * (int(row.max(initial=0)) + 1) + row
    order = np.argsort(place, kind="stable")
    # Two pieces of one band may meet in another: of their points in one row the outer stays.
    new = np.flatnonzero(np.diff(place[order], prepend=-1))
    outer = np.minimum.reduceat(position[order], new) if len(new) else position
    order = order[new]
    return Chains(chain[order], row[order], outer)
