"""Scanning one band of an image for the pieces of objects in it."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.window import Box
from mudrock_cli.measure.objects.cells import count_band, split_runs
from mudrock_cli.measure.objects.hull import Bools, Chains, measure_hulls
from mudrock_cli.measure.objects.pieces import (
    Band,
    Pieces,
    count_pairs,
    lowest,
    shrink,
    total,
    unite,
)
from mudrock_cli.measure.objects.runs import Ints, Runs

Pairs = tuple[Ints, Ints]
CellPlan = tuple[int, Callable[[Ints], Bools]]
"""The side of cells in which to count, and which silt regions count as clay, by their area."""


def label_runs(runs: Runs) -> tuple[int, Ints, Pairs]:
    """Find the 8-connected pieces of one phase among runs.

    Returns
    -------
    count : int
        Number of pieces.
    label : ndarray of int64, shape (N,)
        Piece of each run.
    neighbours : tuple of ndarray
        As `Runs.find_neighbours`.
    """
    upper, lower = runs.find_neighbours()
    same = runs.phase[upper] == runs.phase[lower]
    count, label = unite(upper[same], lower[same], len(runs))
    return count, label, (upper, lower)


def scan_band(
    phases: npt.NDArray[np.uint8],
    rows: int,
    top: int,
    shape: tuple[int, int],
    layers: Mapping[str, npt.NDArray[np.integer]] | None = None,
    plan: CellPlan | None = None,
) -> Band:
    """Measure the pieces of objects in one band of an image.

    Parameters
    ----------
    phases : ndarray of uint8, shape (rows + 1, W)
        The band and, unless the image ends there, the row below it.
    rows : int
        Rows of the band itself.
    top : int
        First row of the band in the image.
    shape : (int, int)
        Rows and columns of the image.
    layers : mapping of str to ndarray of integers, shape (rows, W), optional
        Further images of the same band, to be summed over each object.
    plan : CellPlan, optional
        How to count the phases in cells.
    """
    runs = Runs.find(phases)
    count, label, neighbours = label_runs(runs)
    own = int(np.searchsorted(runs.row, rows))
    sums = _sum_runs(runs, label, own, top, count)
    sums |= _count_ends(runs, label, neighbours, own, sums["area"])
    for name, layer in (layers or {}).items():
        sums[name] = _sum_layer(layer, runs, label, own, count)
    phase = np.zeros(count, np.uint8)
    phase[label] = runs.phase
    row = top + runs.row
    sides = (row, runs.start, -(row + 1), -runs.end)
    head, foot = label[runs.row == 0], label[own:]
    cut = np.zeros(count, np.bool_)
    cut[foot] = True
    if top:
        cut[head] = True
    chains = _bound(runs, label, own, top)
    waits = cut[chains.chain // 2]
    pieces = Pieces(
        phase=phase,
        first=lowest(label, row * shape[1] + runs.start, count),
        sums={name: shrink(values) for name, values in sums.items()},
        box=shrink(np.stack([lowest(label, side, count) for side in sides])),
        at_border=_find_border(runs, label, neighbours, top, shape, count),
        hulls=measure_hulls(chains[~waits], count),
        contacts=shrink(_count_contacts(runs, label, neighbours, own)),
    )
    return Band(
        pieces,
        chains[waits],
        head=shrink(head),
        foot=shrink(foot),
        specimen=_frame_specimen(phases[:rows], top),
        cells=count_band(runs[:own], rows, top, plan[0]) if plan else None,
        small_silt=_count_small(runs[:own], label, pieces, top, plan),
    )


def _count_small(runs: Runs, label: Ints, pieces: Pieces, top: int, plan: CellPlan | None) -> Ints:
    """Count, by piece and cell, the pixels of silt that may be too small to be silt."""
    if plan is None:
        return np.zeros((3, 0), np.int64)
    side, is_small = plan
    small = (pieces.phase == Phase.SILT) & is_small(pieces.sums["area"].astype(np.int64))
    here = small[label[: len(runs)]]
    parts = Runs(runs.row[here], runs.start[here], runs.end[here], runs.phase[here], runs.width)
    run, column, pixels = split_runs(parts, side)
    cell = (top + parts.row[run]) // side * -(-runs.width // side) + column
    return count_pairs(label[: len(runs)][here][run], cell, pixels)


def _frame_specimen(phases: npt.NDArray[np.uint8], top: int) -> Box | None:
    """Return the smallest box that holds all pixels but VOID, None where there is no other."""
    solid = phases != Phase.VOID
    rows = np.flatnonzero(solid.any(axis=1))
    if len(rows) == 0:
        return None
    columns = np.flatnonzero(solid.any(axis=0))
    return Box(top + int(rows[0]), int(columns[0]), top + int(rows[-1]) + 1, int(columns[-1]) + 1)


def _sum_runs(runs: Runs, label: Ints, own: int, top: int, count: int) -> dict[str, Ints]:
    """Areas and coordinate sums, from the closed forms for a run.

    Integers wrap at 2**64; that does no harm, since a sum about the centroid, which is small, is
    formed from these by additions and multiplications only, and so is right modulo 2**64.
    """
    start, end, y = runs.start[:own], runs.end[:own], top + runs.row[:own]
    area = end - start
    x = area * (start + end - 1) // 2
    xx = (end * (end - 1) * (2 * end - 1) - start * (start - 1) * (2 * start - 1)) // 6
    values = {"area": area, "x": x, "y": area * y, "xx": xx, "yy": area * y * y, "xy": x * y}
    return {name: total(label[:own], value, count) for name, value in values.items()}


def _count_ends(
    runs: Runs, label: Ints, neighbours: Pairs, own: int, area: Ints
) -> dict[str, Ints]:
    """Count the pixels at which objects end along each of four directions.

    Along a row these are the ends of runs. In the other directions they are the pixels that do
    not continue in the next row: the area less the overlap of runs, straight or by one column.
    """
    upper, lower = neighbours
    inner = (upper < own) & (runs.phase[upper] == runs.phase[lower])
    upper, lower = upper[inner], lower[inner]
    ends = {"ends_0": total(label[:own], np.ones(own, np.int64), len(area))}
    for name, shift in {"ends_90": 0, "ends_45": 1, "ends_135": -1}.items():
        overlap = np.minimum(runs.end[upper] + shift, runs.end[lower])
        overlap -= np.maximum(runs.start[upper] + shift, runs.start[lower])
        ends[name] = area - total(label[upper], np.maximum(overlap, 0), len(area))
    return ends


def _sum_layer(
    layer: npt.NDArray[np.integer], runs: Runs, label: Ints, own: int, count: int
) -> Ints:
    """Sum the values of a layer over the pixels of each piece."""
    if own == 0:
        return np.zeros(count, np.int64)
    left = runs.row[:own] * runs.width
    bounds = np.stack([left + runs.start[:own], left + runs.end[:own]], axis=1).ravel()
    # The end of the last run may be the end of the layer, which reduceat does not take.
    flat = np.append(layer.ravel(), layer.dtype.type(0))
    sums = np.add.reduceat(flat, bounds, dtype=np.int64)[::2]
    return total(label[:own], sums, count)


def _find_border(
    runs: Runs, label: Ints, neighbours: Pairs, top: int, shape: tuple[int, int], count: int
) -> Bools:
    """Find pieces that touch the image's edge or VOID, by a side or by a corner."""
    row = top + runs.row
    edge = (row == 0) | (row == shape[0] - 1) | (runs.start == 0) | (runs.end == shape[1])
    abutting = runs.find_abutting()
    one = np.concatenate([neighbours[0], abutting])
    other = np.concatenate([neighbours[1], abutting + 1])
    void = runs.phase == Phase.VOID
    at_border = np.zeros(count, np.bool_)
    at_border[label[edge]] = True
    at_border[label[one[void[other]]]] = True
    at_border[label[other[void[one]]]] = True
    return at_border


def _bound(runs: Runs, label: Ints, own: int, top: int) -> Chains:
    """Take the outermost pixels of every row of every piece, and keep hull vertices."""
    solid = np.flatnonzero(runs.phase[:own] != Phase.VOID)
    # Sorting piece and place in one number is several times faster than an argsort.
    order = np.sort((label[solid] << 32) | solid) & 0xFFFFFFFF
    piece, row = label[order], runs.row[order]
    new = np.ones(len(order) + 1, np.bool_)
    new[1:-1] = (np.diff(piece) != 0) | (np.diff(row) != 0)
    first, last = np.flatnonzero(new[:-1]), np.flatnonzero(new[1:])
    piece, row = piece[first], top + row[first]
    hulls = Chains(
        np.concatenate([2 * piece, 2 * piece + 1]),
        np.concatenate([row, row]),
        np.concatenate([runs.start[order][first], 1 - runs.end[order][last]]),
    ).prune()
    return hulls[np.argsort(hulls.chain, kind="stable")].cast(np.int32)


def _count_contacts(runs: Runs, label: Ints, neighbours: Pairs, own: int) -> Ints:
    """Count the pixel sides that each pore shares with each silt grain."""
    upper, lower = neighbours
    sides = np.minimum(runs.end[upper], runs.end[lower])
    sides -= np.maximum(runs.start[upper], runs.start[lower])
    facing = (sides > 0) & (upper < own)
    left = runs.find_abutting()
    left = left[left < own]
    one = np.concatenate([upper[facing], left])
    other = np.concatenate([lower[facing], left + 1])
    sides = np.concatenate([sides[facing], np.ones(len(left), np.int64)])
    found = []
    for pore, silt in ((one, other), (other, one)):
        here = (runs.phase[pore] == Phase.PORE) & (runs.phase[silt] == Phase.SILT)
        found.append(np.stack([label[pore[here]], label[silt[here]], sides[here]]))
    return count_pairs(*np.concatenate(found, axis=1))
