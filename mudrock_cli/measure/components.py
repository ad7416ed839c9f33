"""Connected components of masks of any size, with the sums from which their shapes follow.

By hand, because a mask of 10⁹ pixels is labelled in bands of rows: scikit-image and SciPy hold it
whole. A band is scanned with one row of the next in view. Every measure that needs pixels is a
sum, a minimum or a maximum of integers over pixels or pairs of neighbours, so the pieces of an
object add up to exactly what one scan of the whole image gives. The first pass scans bands and
joins their pieces into objects; the second, `Labelling.paint`, paints labels.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Box, Map, Phase, Reader
from mudrock_cli.measure.cells import CellBand, CellCounter, count_band, split_runs
from mudrock_cli.measure.shapes import (
    Bools,
    Chains,
    Floats,
    Hulls,
    Ints,
    Runs,
    Whole,
    measure_hulls,
)
from mudrock_cli.measure.window import Window, void_cell

Pairs = tuple[Ints, Ints]
Label = np.unsignedinteger[Any]
Labels = npt.NDArray[Label]

MOST_PARTS = 14
"""Numbers by which touching grains of silt differ, at most."""

_PART = np.uint8(16)
"""Parts of silt are told apart by multiples of this, added to their phase."""

_BAND_PIXELS = 1 << 22
"""Pixels of a band: larger ones need more memory and gain nothing."""

_TASK_BANDS = 4
"""Bands given out together: one alone takes hardly longer than to say that it is to be done."""


@dataclass(frozen=True)
class Components:
    """Objects, or the pieces of objects that lie in one band. N is their number.

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
    cuts : ndarray of int32 or int64, shape (3, L)
        Object, kind of edge and the number of its pixel sides there, in the order of objects: 0
        left and right of the image, 1 its top and bottom, 2 and 3 the same of VOID.
    """

    phase: npt.NDArray[np.uint8]
    first: Ints
    sums: Mapping[str, Whole]
    box: Whole
    at_border: Bools
    hulls: Hulls
    contacts: Whole
    cuts: Whole

    def __len__(self) -> int:
        return len(self.phase)

    def part(self, start: int, stop: int) -> "Components":
        """Return the objects from `start` to `stop`, in 64 bits, with the contacts of their pores.

        In contacts and cuts they are counted from `start`, silt grains as before.
        """

        def pick(pairs: Whole) -> Ints:
            here = slice(*np.searchsorted(pairs[0], (start, stop)))
            picked: Ints = pairs[:, here].astype(np.int64)
            picked[0] -= start
            return picked

        return Components(
            phase=self.phase[start:stop],
            first=self.first[start:stop],
            sums={name: sums[start:stop].astype(np.int64) for name, sums in self.sums.items()},
            box=self.box[:, start:stop].astype(np.int64),
            at_border=self.at_border[start:stop],
            hulls=self.hulls.part(start, stop),
            contacts=pick(self.contacts),
            cuts=pick(self.cuts),
        )


@dataclass(frozen=True)
class Band:
    """The pieces in one band, and the seams to its neighbours."""

    pieces: Components
    chains: Chains  # hull vertices of pieces that a seam cuts; other hulls are in `pieces`
    head: Whole  # pieces of the runs in the band's first row
    foot: Whole  # pieces of the runs in the row below its last
    specimen: Box | None  # smallest box with all pixels that are not VOID; None where all are
    cells: CellBand | None  # its phases in cells, where these are wanted
    small_silt: Ints  # (3, M): pieces of silt that may be clay, their cells, their pixels there
    void: Ints  # (3, M): row and column of `Window` cells with VOID, and its pixels there


@dataclass(frozen=True)
class Labelling:
    """The objects of a mask, numbered from 1 in the raster order of their first pixel.

    Parameters
    ----------
    objects : Components
        Silt and pore objects; row i is label i + 1.
    void_area : int
        Pixels without specimen.
    specimen : Box or None
        Smallest box that holds all pixels but VOID; None where all are VOID.
    void : ndarray of int64, shape (R, C)
        Pixels without specimen in each cell of a `Window` of the mask.
    shape : (int, int)
        Rows and columns of the mask.
    band_rows : int
        Rows of a band.
    numbers : list of ndarray of int32 or int64
        Object of each piece of each band; objects past the last label are VOID.
    parts : ndarray of uint8, shape (H, W), or None
        What divides touching silt, as given to `label_mask`.
    """

    objects: Components
    void_area: int
    specimen: Box | None
    void: Ints
    shape: tuple[int, int]
    band_rows: int
    numbers: list[Whole]
    parts: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.objects)

    @property
    def window(self) -> Window:
        """The specimen, in pixels from `origin`: a rectangle where it fills its box."""
        if self.specimen is None:
            return Window(1, 1)
        height, width = self.specimen.shape
        if height * width == self.shape[0] * self.shape[1] - self.void_area:
            return Window(height, width)
        return Window(*self.shape, self.void.astype(np.float64), void_cell(self.shape))

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the upper left corner of `window`."""
        if self.specimen is None or self.window.void is not None:
            return 0, 0
        return self.specimen.top, self.specimen.left

    @property
    def label_type(self) -> np.dtype[Label]:
        """Type of an image of labels: uint32, past its range uint64."""
        return np.dtype(np.uint32 if len(self) <= np.iinfo(np.uint32).max else np.uint64)

    def paint(self, mask: PhaseMask) -> Iterator[Labels]:
        """Paint the labels, band by band from the top.

        Parameters
        ----------
        mask : PhaseMask
            The mask that was labelled.

        Yields
        ------
        ndarray of `label_type`, shape (rows, W)
            Labels; 0 is neither silt nor pore.
        """
        height, width = self.shape
        tops = range(0, height, self.band_rows)
        for top, number in zip(tops, self.numbers, strict=True):
            rows = min(self.band_rows, height - top)
            phases = _read_band(mask, top, rows, self.parts)
            runs, piece, *_ = _label_band(phases, self.parts is not None)
            runs = runs[: int(np.searchsorted(runs.row, rows))]
            label = number[piece[: len(runs)]].astype(np.int64) + 1
            label[runs.phase == Phase.VOID] = 0
            painted = np.zeros(rows * width + 1, np.int64)
            # Runs do not overlap: each begins with a step up to its label and ends with one down.
            np.add.at(painted, runs.row * width + runs.start, label)
            np.subtract.at(painted, runs.row * width + runs.end, label)
            yield np.cumsum(painted[:-1]).astype(self.label_type).reshape(rows, width)


def label_mask(
    mask: PhaseMask,
    *,
    layers: Mapping[str, Reader] | None = None,
    band_rows: int | None = None,
    cells: CellCounter | None = None,
    parts: npt.NDArray[np.uint8] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    mapper: Map = map,
) -> Labelling:
    """Find the 8-connected objects of silt and of pore in a mask.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    layers : mapping of str to reader, optional
        Images of the mask's shape, of integers, to be summed over each object (micrograph,
        confidence).
    band_rows : int, optional
        Rows scanned at a time; it changes no result.
    cells : CellCounter, optional
        To count the phases in, in the same pass.
    parts : ndarray of uint8, shape (H, W), optional
        Numbers to `MOST_PARTS` that differ between the grains into which a region of silt is to
        be divided, from `texture.part_grains`; 0 elsewhere.
    advance : callable
        ``advance(done, total)`` in rows.
    mapper : Map
        Who scans the bands.

    Raises
    ------
    MudrockError
        If the mask holds values that are no phase, or cannot be read.
    """
    height, width = mask.shape
    band_rows = band_rows or max(1, _BAND_PIXELS // max(width, 1))
    work = partial(_scan_rows, mask, layers or {}, band_rows, cells)
    step = _TASK_BANDS * band_rows
    tops = (range(top, min(top + step, height), band_rows) for top in range(0, height, step))
    # Parts are mostly zeros: packed, a task is small enough to be sent to another machine.
    tasks = (
        (rows, parts is not None and zlib.compress(parts[rows.start : rows.stop + 1].data, 1))
        for rows in tops
    )
    bands: list[Band] = []
    for scanned in mapper(work, tasks):
        bands += scanned
        advance(min(band_rows * len(bands), height), height)
    boxes = [band.specimen for band in bands if band.specimen is not None]
    counted = [(band.cells, band.small_silt) for band in bands]
    side = void_cell(mask.shape)
    void = np.zeros([-(-length // side) for length in mask.shape], np.int64)
    for row, column, pixels in (band.void for band in bands):
        np.add.at(void, (row, column), pixels)
    objects, numbers = _join_bands(bands)
    if cells:
        # Now that objects are whole it is known which silt is small.
        small = (objects.phase == Phase.SILT) & cells.is_small(whole_areas(objects))
        for (cell_band, (piece, cell, pixels)), number in zip(counted, numbers, strict=True):
            if cell_band:
                cells.add(cell_band)
            kept = small[number[piece]]
            cells.add_small_silt(cell[kept], pixels[kept])
    solid = int(np.count_nonzero(objects.phase != Phase.VOID))
    return Labelling(
        objects=Components(
            phase=objects.phase[:solid],
            first=objects.first[:solid],
            sums={name: sums[:solid] for name, sums in objects.sums.items()},
            box=objects.box[:, :solid],
            at_border=objects.at_border[:solid],
            hulls=objects.hulls.part(0, solid),
            contacts=objects.contacts,  # VOID has neither these
            cuts=objects.cuts,  # nor those
        ),
        void_area=int(objects.sums["area"][solid:].sum()),
        specimen=Box(
            min(box.top for box in boxes),
            min(box.left for box in boxes),
            max(box.bottom for box in boxes),
            max(box.right for box in boxes),
        )
        if boxes
        else None,
        void=void,
        shape=mask.shape,
        band_rows=band_rows,
        numbers=numbers,
        parts=parts,
    )


def _scan_rows(
    mask: PhaseMask,
    layers: Mapping[str, Reader],
    band_rows: int,
    cells: CellCounter | None,
    task: tuple[range, bytes | bool],
) -> list[Band]:
    """Measure the pieces in the bands that begin at some rows, refusing unknown phases.

    The task is these rows and, if silt is divided, its parts from the first row on, deflated.
    """
    (tops, packed), (height, width) = task, mask.shape
    parts = None
    if isinstance(packed, bytes):
        parts = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(-1, width)
    bands = []
    for top in tops:
        rows = min(band_rows, height - top)
        window = slice(top, top + rows), slice(0, width)
        values = {name: read(*window) for name, read in layers.items()}
        phases = _read_band(mask, top, rows, parts, tops.start)
        divided = parts is not None
        band = _scan_band(phases, rows, top, mask.shape, values, cells, divided)
        wrong = np.setdiff1d(band.pieces.phase, [int(phase) for phase in Phase])
        if len(wrong):
            shown = ", ".join(str(value) for value in wrong[:5])
            raise MudrockError(
                f"{mask.path or mask.name}: no phase mask, it holds the value {shown}",
                "a mask holds 0 clay, 1 silt, 2 pore, 255 no specimen",
            )
        bands.append(band)
    return bands


def _read_band(
    mask: PhaseMask, top: int, rows: int, parts: npt.NDArray[np.uint8] | None, first: int = 0
) -> npt.NDArray[np.uint8]:
    """Read a band and, unless the image ends there, the row below it; parts of silt differ.

    `parts` are those of the mask from its row `first` on.
    """
    bottom = min(top + rows + 1, mask.shape[0])
    phases = mask.read(slice(top, bottom), slice(0, mask.shape[1]))
    return phases if parts is None else phases + _PART * parts[top - first : bottom - first]


def _scan_band(
    phases: npt.NDArray[np.uint8],
    rows: int,
    top: int,
    shape: tuple[int, int],
    layers: Mapping[str, npt.NDArray[np.integer]],
    cells: CellCounter | None,
    divided: bool,
) -> Band:
    """Measure the pieces of objects in a band of `rows` rows from row `top` of an image.

    `phases` has, unless the image ends there, the row below it too; `divided` says whether its
    parts of silt are told apart by their values.
    """
    runs, label, count, neighbours = _label_band(phases, divided)
    own = int(np.searchsorted(runs.row, rows))
    sums = _sum_pixels(runs[:own], label[:own], top, count)
    sums |= _count_ends(runs, label, neighbours, own, sums["area"])
    for name, layer in layers.items():
        sums[name] = _sum_layer(layer, runs[:own], label[:own], count)
    phase = np.zeros(count, np.uint8)
    phase[label] = runs.phase
    row = top + runs.row
    sides = (row, runs.start, -(row + 1), -runs.end)
    head, foot = label[runs.row == 0], label[own:]
    cut = np.zeros(count, np.bool_)
    cut[foot] = True
    if top:
        cut[head] = True
    chains = _trace_outlines(runs[:own], label[:own], top)
    waits = cut[chains.chain // 2]
    shared = _share_sides(runs, neighbours, own)
    pieces = Components(
        phase=phase,
        first=_lowest(label, row * shape[1] + runs.start, count),
        sums={name: _shrink(values) for name, values in sums.items()},
        box=_shrink(np.stack([_lowest(label, side, count) for side in sides])),
        at_border=_find_border(runs, label, neighbours, top, shape, count),
        hulls=measure_hulls(chains[~waits], count),
        contacts=_shrink(_count_contacts(runs, label, shared)),
        cuts=_shrink(_count_cuts(runs[:own], label, shared, runs, top, shape)),
    )
    solid = phases[:rows] != Phase.VOID
    down, across = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    specimen = (
        Box(top + int(down[0]), int(across[0]), top + int(down[-1]) + 1, int(across[-1]) + 1)
        if len(down)
        else None
    )
    return Band(
        pieces,
        chains[waits],
        head=_shrink(head),
        foot=_shrink(foot),
        specimen=specimen,
        cells=count_band(runs[:own], rows, top, cells.side) if cells else None,
        small_silt=_count_small(runs[:own], label[:own], pieces, top, cells),
        void=_count_void(runs[:own], top, void_cell(shape)),
    )


def _label_band(phases: npt.NDArray[np.uint8], divided: bool) -> tuple[Runs, Ints, int, Pairs]:
    """Return runs, the 8-connected piece of one phase of each, the number of pieces, neighbours.

    The neighbours are those of `Runs.find_neighbours`; `divided` silt has parts, told apart by
    their values.
    """
    runs = Runs.find(phases)
    upper, lower = runs.find_neighbours()
    same = runs.phase[upper] == runs.phase[lower]
    count, label = _unite(upper[same], lower[same], len(runs))
    if divided:
        part = (runs.phase > _PART) & (runs.phase < Phase.VOID)
        runs = replace(runs, phase=np.where(part, np.uint8(Phase.SILT), runs.phase))
    return runs, label, count, (upper, lower)


def _sum_pixels(runs: Runs, label: Ints, top: int, count: int) -> dict[str, Ints]:
    """Areas and coordinate sums, from the closed forms for a run.

    Integers wrap at 2**64; that does no harm, since a sum about the centroid, which is small, is
    formed from these by additions and multiplications only, and so is right modulo 2**64.
    """
    start, end, y = runs.start, runs.end, top + runs.row
    area = end - start
    x = area * (start + end - 1) // 2
    xx = (end * (end - 1) * (2 * end - 1) - start * (start - 1) * (2 * start - 1)) // 6
    values = {"area": area, "x": x, "y": area * y, "xx": xx, "yy": area * y * y, "xy": x * y}
    return {name: _total(label, value, count) for name, value in values.items()}


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
    ends = {"ends_0": _total(label[:own], np.ones(own, np.int64), len(area))}
    for name, shift in {"ends_90": 0, "ends_45": 1, "ends_135": -1}.items():
        overlap = np.minimum(runs.end[upper] + shift, runs.end[lower])
        overlap -= np.maximum(runs.start[upper] + shift, runs.start[lower])
        ends[name] = area - _total(label[upper], np.maximum(overlap, 0), len(area))
    return ends


def _sum_layer(layer: npt.NDArray[np.integer], runs: Runs, label: Ints, count: int) -> Ints:
    """Sum the values of a layer over the pixels of each piece."""
    if len(runs) == 0:
        return np.zeros(count, np.int64)
    left = runs.row * runs.width
    bounds = np.stack([left + runs.start, left + runs.end], axis=1).ravel()
    # The end of the last run may be the end of the layer, which reduceat does not take.
    flat = np.append(layer.ravel(), layer.dtype.type(0))
    return _total(label, np.add.reduceat(flat, bounds, dtype=np.int64)[::2], count)


def _trace_outlines(runs: Runs, label: Ints, top: int) -> Chains:
    """Take the outermost pixels of every row of every piece, and keep hull vertices."""
    solid = np.flatnonzero(runs.phase != Phase.VOID)
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
    for touching in (edge, one[void[other]], other[void[one]]):
        at_border[label[touching]] = True
    return at_border


def _share_sides(runs: Runs, neighbours: Pairs, own: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return pairs of runs with common pixel sides, how many, and 1 for one above the other."""
    upper, lower = neighbours
    sides = np.minimum(runs.end[upper], runs.end[lower])
    sides -= np.maximum(runs.start[upper], runs.start[lower])
    facing = (sides > 0) & (upper < own)
    left = runs.find_abutting()
    left = left[left < own]
    return (
        np.concatenate([upper[facing], left]),
        np.concatenate([lower[facing], left + 1]),
        np.concatenate([sides[facing], np.ones(len(left), np.int64)]),
        np.repeat(np.array([1, 0]), np.array([np.count_nonzero(facing), len(left)])),
    )


def _count_contacts(runs: Runs, label: Ints, shared: tuple[Ints, Ints, Ints, Ints]) -> Ints:
    """Count the pixel sides that each pore shares with each silt grain."""
    one, other, sides, _ = shared
    found = []
    for pore, silt in ((one, other), (other, one)):
        here = (runs.phase[pore] == Phase.PORE) & (runs.phase[silt] == Phase.SILT)
        found.append(np.stack([label[pore[here]], label[silt[here]], sides[here]]))
    return count_pairs(*np.concatenate(found, axis=1))


def _count_cuts(
    own: Runs,
    label: Ints,
    shared: tuple[Ints, Ints, Ints, Ints],
    runs: Runs,
    top: int,
    shape: tuple[int, int],
) -> Ints:
    """Count the pixel sides of each piece, VOID left out, at the image's edge and next to VOID."""
    row, length = top + own.row, own.end - own.start
    solid = own.phase != Phase.VOID
    across = (own.start == 0).astype(np.int64) + (own.end == shape[1])
    down = length * ((row == 0).astype(np.int64) + (row == shape[0] - 1))
    found = []
    for kind, sides in ((0, across), (1, down)):
        here = np.flatnonzero(solid & (sides > 0))
        found.append(np.stack([label[here], np.full(len(here), kind), sides[here]]))
    one, other, facing, vertical = shared
    for piece, void in ((one, other), (other, one)):
        here = (runs.phase[void] == Phase.VOID) & (runs.phase[piece] != Phase.VOID)
        found.append(np.stack([label[piece[here]], 2 + vertical[here], facing[here]]))
    return count_pairs(*np.concatenate(found, axis=1))


def _count_void(runs: Runs, top: int, side: int) -> Ints:
    """Count the VOID pixels of a band in the cells of a `Window`."""
    void = runs[runs.phase == Phase.VOID]
    run, column, pixels = split_runs(void, side)
    return count_pairs((top + void.row[run]) // side, column, pixels)


def _count_small(
    runs: Runs, label: Ints, pieces: Components, top: int, cells: CellCounter | None
) -> Ints:
    """Count, by piece and cell, the pixels of silt that may be too small to be silt."""
    if cells is None:
        return np.zeros((3, 0), np.int64)
    small = (pieces.phase == Phase.SILT) & cells.is_small(pieces.sums["area"].astype(np.int64))
    here = small[label]
    parts = runs[here]
    run, column, pixels = split_runs(parts, cells.side)
    cell = (top + parts.row[run]) // cells.side * -(-runs.width // cells.side) + column
    return count_pairs(label[here][run], cell, pixels)


def _join_bands(bands: list[Band]) -> tuple[Components, list[Whole]]:
    """Join the pieces of all bands of an image into objects, in raster order, VOID last.

    The second value tells for each band the object to which each of its pieces belongs. `bands` is
    emptied on the way: each figure of all pieces is joined and let go before the next.
    """
    sizes = [len(band.pieces) for band in bands]
    offsets = np.cumsum([0, *sizes])
    seams = [
        np.stack([above.foot + offset, below.head + following])
        for above, below, offset, following in zip(
            bands[:-1], bands[1:], offsets, offsets[1:], strict=False
        )
    ]
    joined = np.concatenate([np.zeros((2, 0), np.int64), *seams], axis=1)
    count, group = _unite(joined[0], joined[1], int(offsets[-1]))
    columns: dict[str, list[npt.NDArray[Any]]] = {
        name: [getattr(band.pieces, name) for band in bands]
        for name in ("phase", "first", "box", "at_border")
    }
    columns |= {
        name: [getattr(band.pieces.hulls, name) for band in bands] for name in Hulls._fields
    }
    sums = list(bands[0].pieces.sums)
    columns |= {f"sum of {name}": [band.pieces.sums[name] for band in bands] for name in sums}
    pairs = {name: [getattr(band.pieces, name) for band in bands] for name in ("contacts", "cuts")}
    chains = [band.chains for band in bands]
    bands.clear()

    def take(name: str) -> npt.NDArray[Any]:
        """Return a figure of all pieces, which is kept no longer."""
        return np.concatenate(columns.pop(name), axis=-1)

    # A piece of hull area 0 is VOID or was cut by a seam: its outlines are joined first.
    phase = np.zeros(count, np.uint8)
    phase[group] = take("phase")
    first = _lowest(group, take("first"), count)
    order = np.lexsort((first, phase == Phase.VOID))
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    number = _shrink(rank[group])
    numbers = np.split(number, np.cumsum(sizes)[:-1])
    hulls = measure_hulls(_join_chains(chains, numbers), count)
    del chains
    area = take("area")
    whole = np.flatnonzero(area)
    hulls.area[number[whole]] = area[whole]
    for name in ("feret_min", "feret_max"):
        getattr(hulls, name)[number[whole]] = take(name)[whole]
    at_border = np.zeros(count, np.bool_)
    at_border[number[take("at_border")]] = True
    contacts = [
        np.stack([own[pore], own[silt], sides])
        for (pore, silt, sides), own in zip(pairs["contacts"], numbers, strict=True)
    ]
    cuts = [
        np.stack([own[piece], kind, sides])
        for (piece, kind, sides), own in zip(pairs["cuts"], numbers, strict=True)
    ]
    objects = Components(
        phase=phase[order],
        first=first[order],
        sums={name: _shrink(_total(number, take(f"sum of {name}"), count)) for name in sums},
        box=_shrink(np.stack([_lowest(number, side, count) for side in take("box")])),
        at_border=at_border,
        hulls=hulls,
        contacts=_shrink(count_pairs(*np.concatenate(contacts, axis=1).astype(np.int64))),
        cuts=_shrink(count_pairs(*np.concatenate(cuts, axis=1).astype(np.int64))),
    )
    return objects, numbers


def _join_chains(chains: Sequence[Chains], numbers: Sequence[Whole]) -> Chains:
    """Bring the outlines of pieces in the order of objects and rows."""
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


def _shrink(values: Ints) -> Whole:
    """Return whole numbers in 32 bits if these hold them all."""
    limits = np.iinfo(np.int32)
    fits = limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max
    return values.astype(np.int32) if fits else values


def _unite(one: Whole, other: Whole, count: int) -> tuple[int, Ints]:
    """Return the number of connected groups of `count` things, and the group of each."""
    if count == 0:
        return 0, np.zeros(0, np.int64)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    groups, group = connected_components(graph, directed=False)
    return int(groups), group.astype(np.int64)


def _total(group: Whole, values: npt.NDArray[np.integer], count: int) -> Ints:
    """Sum integers per group, exactly (modulo 2**64)."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, group, values.astype(np.int64, copy=False))
    return sums


def _lowest(group: Whole, values: Whole, count: int) -> Ints:
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


def whole_areas(objects: Components) -> Floats:
    """Return the areas of the circles of which the frame would leave what is seen, pixels.

    Notes
    -----
    A chord cuts from a circle of diameter d a segment with the area ``d² (t - sin t) / 8`` and the
    chord ``d sin(t / 2)``, where t is the central angle: their ratio tells t. Where two sides of
    the frame meet, what lies between the corner and the chord is no part of the segment. A sliver
    tells little of its circle: no object counts for more than four times what is seen of it, and
    one that is not cut for what it is.
    """
    area = objects.sums["area"].astype(np.float64)
    piece, kind, sides = objects.cuts
    edges = np.zeros((4, len(area)))
    np.add.at(edges, (kind, piece), sides)
    cut = np.flatnonzero(edges.any(axis=0))
    frame_across, frame_down, void_across, void_down = edges[:, cut]
    across, down = frame_across + void_across, frame_down + void_down
    chord = np.hypot(across, down)
    # Steps of an oblique edge of VOID are no corner.
    corner = np.where((void_across > 0) & (void_down > 0), 0.0, across * down / 2)
    half = np.linspace(0, np.pi, 2048)[1:-1]  # of the central angle
    ratios = (2 * half - np.sin(2 * half)) / (8 * np.sin(half) ** 2)
    angle = np.interp((area[cut] - corner) / chord**2, ratios, half)
    area[cut] = np.clip(np.pi / 4 * (chord / np.sin(angle)) ** 2, area[cut], 4 * area[cut])
    return area


def find_hosts(objects: Components, silt: Bools) -> tuple[Ints, Floats, Bools]:
    """Find the silt around each object; of use for pores.

    Parameters
    ----------
    objects : Components
        Objects of an image. N is their number.
    silt : ndarray of bool
        Which objects of the image count as silt grains.

    Returns
    -------
    grain : ndarray of int64, shape (N,)
        The grain that a pore shares most sides with (of equals the first); -1 for none.
    contact : ndarray of float64, shape (N,)
        Share of the pixel sides around the pore that face silt grains, 0 to 1.
    inside : ndarray of bool, shape (N,)
        Whether all sides face one and the same grain.
    """
    count = len(objects)
    pore, grain, sides = objects.contacts[:, silt[objects.contacts[1]]]
    order = np.lexsort((-grain, sides, pore))
    pore, grain, sides = pore[order], grain[order], sides[order]
    host = np.full(count, -1, np.int64)
    most = np.zeros(count, np.int64)
    # Sorted by sides, the grain with the most is written last and stays.
    host[pore], most[pore] = grain, sides
    shared = np.bincount(pore, sides, minlength=count)
    around = 2 * (objects.sums["ends_0"] + objects.sums["ends_90"])
    return host, shared / around, most == around
