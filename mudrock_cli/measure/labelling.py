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
from mudrock_cli.measure.bands import label_runs, scan_band
from mudrock_cli.measure.cells import CellBand, CellCounter, count_band
from mudrock_cli.measure.hull import Bools
from mudrock_cli.measure.pieces import Band, Pieces, join_bands
from mudrock_cli.measure.runs import Ints, Runs
from mudrock_cli.spread import Spread, in_turn

Label = np.unsignedinteger[Any]
Labels = npt.NDArray[Label]

_BAND_PIXELS = 1 << 22
"""Pixels of a band: larger ones need more memory and gain nothing."""


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
    numbers : list of ndarray of int64
        Object of each piece of each band; objects past the last label are VOID.
    """

    objects: Pieces
    void_area: int
    specimen: Box | None
    shape: tuple[int, int]
    band_rows: int
    numbers: list[Ints]

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
            label = np.where(runs.phase == Phase.VOID, 0, number[pieces] + 1)
            painted = np.zeros(rows * self.shape[1] + 1, np.int64)
            left = runs.row * self.shape[1]
            # Runs do not overlap: each begins with a step up to its label and ends with one down.
            np.add.at(painted, left + runs.start, label)
            np.subtract.at(painted, left + runs.end, label)
            flat = np.cumsum(painted[:-1]).astype(self.label_type)
            yield flat.reshape(rows, self.shape[1])

    def count_cells(
        self, mask: PhaseMask, chosen: Bools, side: int, spread: Spread = in_turn
    ) -> Iterator[CellBand]:
        """Count the pixels of some objects in square cells, band by band from the top.

        Parameters
        ----------
        mask : PhaseMask
            The mask that was labelled.
        chosen : ndarray of bool, shape (N,)
            Which objects.
        side : int
            Side of a cell, pixels.
        spread : Spread
            Who does the bands.

        Yields
        ------
        CellBand
            Counts of shape (R, C).
        """
        kept = np.concatenate([chosen, [False]])
        tops = range(0, self.shape[0], self.band_rows)
        # Numbers past the last label are of VOID.
        choices = [kept[np.minimum(number, len(chosen))] for number in self.numbers]
        work = partial(_count_chosen, mask, self.band_rows, side)
        return spread(work, zip(tops, choices, strict=True))


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
    work = partial(_scan_rows, mask, layers or {}, band_rows, cells.side if cells else None)
    bands = []
    for band, counted in spread(work, range(0, height, band_rows)):
        if cells and counted:
            cells.add(counted)
        bands.append(band)
        advance(min(band_rows * len(bands), height), height)
    objects, numbers = join_bands(bands)
    solid = int(np.count_nonzero(objects.phase != Phase.VOID))
    void_area = int(objects.sums["area"][solid:].sum())
    boxes = [band.specimen for band in bands if band.specimen is not None]
    return Labelling(
        objects=_take_first(objects, solid),
        void_area=void_area,
        specimen=_surround(boxes) if boxes else None,
        shape=mask.shape,
        band_rows=band_rows,
        numbers=numbers,
    )


def _scan_rows(
    mask: PhaseMask, layers: Mapping[str, Reader], band_rows: int, side: int | None, top: int
) -> tuple[Band, CellBand | None]:
    """Measure the pieces in the band that begins at row `top`; count its phases by cells."""
    height, width = mask.shape
    rows = min(band_rows, height - top)
    phases = _read_band(mask, top, rows)
    window = slice(top, top + rows), slice(0, width)
    values = {name: read(*window) for name, read in layers.items()}
    band = scan_band(phases, rows, top, mask.shape, values)
    _check_phases(band, mask)
    return band, count_band(top, phases[:rows], side) if side else None


def _find_pieces(mask: PhaseMask, top: int, rows: int) -> tuple[Runs, Ints]:
    """Return the runs of a band, and the piece of each, numbered as the first pass did."""
    # The look below joins runs as it did there.
    runs = Runs.find(_read_band(mask, top, rows))
    piece = label_runs(runs)[1]
    own = int(np.searchsorted(runs.row, rows))
    return runs[:own], piece[:own]


def _count_chosen(mask: PhaseMask, band_rows: int, side: int, part: tuple[int, Bools]) -> CellBand:
    """Count the pixels of the chosen pieces of the band that begins at row `top`."""
    top, chosen = part
    rows = min(band_rows, mask.shape[0] - top)
    runs, piece = _find_pieces(mask, top, rows)
    here = np.flatnonzero(chosen[piece])
    length = runs.end[here] - runs.start[here]
    skipped = np.cumsum(length) - length
    columns = np.arange(length.sum()) + np.repeat(runs.start[here] - skipped, length)
    first = top // side
    counts = np.zeros(((top + rows - 1) // side - first + 1, -(-mask.shape[1] // side)), np.int64)
    row = np.repeat((top + runs.row[here]) // side - first, length)
    np.add.at(counts, (row, columns // side), 1)
    return first, counts


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
    """Leave out the objects past a number; VOID has neither chains nor contacts."""
    return Pieces(
        phase=pieces.phase[:count],
        first=pieces.first[:count],
        sums={name: sums[:count] for name, sums in pieces.sums.items()},
        box=pieces.box[:, :count],
        at_border=pieces.at_border[:count],
        chains=pieces.chains,
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
