"""Labelling a mask of any size in two passes.

The first pass scans bands of rows and joins their pieces into whole objects; the second, for
those who want an image of labels, scans again and paints. Neither holds more than a band of pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.window import Box, Reader
from mudrock_cli.measure.objects.bands import CellPlan, label_runs, scan_band
from mudrock_cli.measure.objects.cells import CellBand, CellCounter
from mudrock_cli.measure.objects.hull import Places
from mudrock_cli.measure.objects.joining import join_bands
from mudrock_cli.measure.objects.pieces import Band, Pieces
from mudrock_cli.measure.objects.runs import Ints, Runs
from mudrock_cli.spread import Spread, in_turn

Label = np.unsignedinteger[Any]
Labels = npt.NDArray[Label]

_BAND_PIXELS = 1 << 22
"""Pixels of a band: larger ones need more memory and gain nothing."""

_TASK_BANDS = 4
"""Bands given out together: one alone takes hardly longer than to say that it is to be done."""


@dataclass(frozen=True)
class Labelling:
    """The objects of a mask, numbered from 1 in the raster order of their first pixel.

    Parameters
    ----------
    objects : Pieces
        Silt and pore objects; row i is label i + 1.
    void_area : int
        Pixels without specimen.
    specimen : Box or None
        Smallest box that holds all pixels but VOID; None where all are VOID.
    shape : (int, int)
        Rows and columns of the mask.
    band_rows : int
        Rows of a band.
    numbers : list of ndarray of int32 or int64
        Object of each piece of each band; objects past the last label are VOID.
    """

    objects: Pieces
    void_area: int
    specimen: Box | None
    shape: tuple[int, int]
    band_rows: int
    numbers: list[Places]

    def __len__(self) -> int:
        return len(self.objects)

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
        tops = range(0, self.shape[0], self.band_rows)
        for top, number in zip(tops, self.numbers, strict=True):
            rows = min(self.band_rows, self.shape[0] - top)
            runs, pieces = _find_pieces(mask, top, rows)
            label = np.where(runs.phase == Phase.VOID, 0, number[pieces].astype(np.int64) + 1)
            painted = np.zeros(rows * self.shape[1] + 1, np.int64)
            left = runs.row * self.shape[1]
            # Runs do not overlap: each begins with a step up to its label and ends with one down.
            np.add.at(painted, left + runs.start, label)
            np.subtract.at(painted, left + runs.end, label)
            flat = np.cumsum(painted[:-1]).astype(self.label_type)
            yield flat.reshape(rows, self.shape[1])


def label_mask(
    mask: PhaseMask,
    *,
    layers: Mapping[str, Reader] | None = None,
    band_rows: int | None = None,
    cells: CellCounter | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    spread: Spread = in_turn,
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
    advance : callable
        ``advance(done, total)`` in rows.
    spread : Spread
        Who scans the bands.

    Raises
    ------
    MudrockError
        If the mask holds values that are no phase, or cannot be read.
    """
    height, width = mask.shape
    band_rows = band_rows or max(1, _BAND_PIXELS // max(width, 1))
    plan = (cells.side, cells.is_small) if cells else None
    work = partial(_scan_rows, mask, layers or {}, band_rows, plan)
    bands: list[Band] = []
    for scanned in spread(work, _share_out(height, band_rows)):
        bands += scanned
        advance(min(band_rows * len(bands), height), height)
    boxes = [band.specimen for band in bands if band.specimen is not None]
    counted = [(band.cells, band.small_silt) for band in bands]
    objects, numbers = join_bands(bands)
    if cells:
        _add_up(cells, counted, objects, numbers)
    solid = int(np.count_nonzero(objects.phase != Phase.VOID))
    void_area = int(objects.sums["area"][solid:].sum())
    return Labelling(
        objects=_take_first(objects, solid),
        void_area=void_area,
        specimen=_surround(boxes) if boxes else None,
        shape=mask.shape,
        band_rows=band_rows,
        numbers=numbers,
    )


def _add_up(
    cells: CellCounter,
    counted: list[tuple[CellBand | None, Ints]],
    objects: Pieces,
    numbers: list[Places],
) -> None:
    """Add up what was counted by bands, now that it is known which silt is small."""
    small = (objects.phase == Phase.SILT) & cells.is_small(objects.sums["area"])
    for (band, (piece, cell, pixels)), number in zip(counted, numbers, strict=True):
        if band:
            cells.add(band)
        kept = small[number[piece]]
        cells.add_small_silt(cell[kept], pixels[kept])


def _share_out(height: int, band_rows: int) -> Iterator[range]:
    """Yield the first rows of the bands of each task."""
    step = _TASK_BANDS * band_rows
    for top in range(0, height, step):
        yield range(top, min(top + step, height), band_rows)


def _scan_rows(
    mask: PhaseMask,
    layers: Mapping[str, Reader],
    band_rows: int,
    plan: CellPlan | None,
    tops: range,
) -> list[Band]:
    """Measure the pieces in the bands that begin at the rows `tops`."""
    height, width = mask.shape
    bands = []
    for top in tops:
        rows = min(band_rows, height - top)
        window = slice(top, top + rows), slice(0, width)
        values = {name: read(*window) for name, read in layers.items()}
        band = scan_band(_read_band(mask, top, rows), rows, top, mask.shape, values, plan)
        _check_phases(band, mask)
        bands.append(band)
    return bands


def _find_pieces(mask: PhaseMask, top: int, rows: int) -> tuple[Runs, Ints]:
    """Return the runs of a band, and the piece of each, numbered as the first pass did."""
    # The look below joins runs as it did there.
    runs = Runs.find(_read_band(mask, top, rows))
    piece = label_runs(runs)[1]
    own = int(np.searchsorted(runs.row, rows))
    return runs[:own], piece[:own]


def _read_band(mask: PhaseMask, top: int, rows: int) -> npt.NDArray[np.uint8]:
    """Read a band and, unless the image ends there, the row below it."""
    bottom = min(top + rows + 1, mask.shape[0])
    return mask.read(slice(top, bottom), slice(0, mask.shape[1]))


def _check_phases(band: Band, mask: PhaseMask) -> None:
    """Refuse values that are no phase."""
    known = [int(phase) for phase in Phase]
    wrong = np.setdiff1d(band.pieces.phase, known)
    if len(wrong):
        shown = ", ".join(str(value) for value in wrong[:5])
        raise MudrockError(
            f"{mask.path or mask.name}: no phase mask, it holds the value {shown}",
            "a mask holds 0 clay, 1 silt, 2 pore, 255 no specimen",
        )


def _take_first(pieces: Pieces, count: int) -> Pieces:
    """Leave out the objects past a number; VOID has no contacts."""
    return Pieces(
        phase=pieces.phase[:count],
        first=pieces.first[:count],
        sums={name: sums[:count] for name, sums in pieces.sums.items()},
        box=pieces.box[:, :count],
        at_border=pieces.at_border[:count],
        hulls=pieces.hulls.part(0, count),
        contacts=pieces.contacts,
    )


def _surround(boxes: list[Box]) -> Box:
    """Return the smallest box around boxes."""
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )
