"""Phases from what other tools store: index values, label images, palettes, phase colours."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.phase import COLOURS, Phase
from mudrock_cli.image.samples import Colours, Samples

_BAND_PIXELS = 1 << 22
_NONE = 254
"""Stands for a value that is no phase; 254 is none itself."""

_EXPECTED = "expected 0 clay, 1 silt, 2 pore, 255 void, or their colours " + ", ".join(
    f"{phase.name.lower()} {colour}" for phase, colour in COLOURS.items()
)

_PhaseReader = Callable[[slice, slice], npt.NDArray[np.uint8]]


def read_phases(samples: Samples, *, trusted: bool) -> _PhaseReader:
    """Return a window reader of phases.

    Parameters
    ----------
    samples : Samples
        Stored samples of the mask.
    trusted : bool
        The file says that mudrock wrote it: values are checked as they are read, not now.

    Returns
    -------
    callable
        ``read(rows, columns)``, uint8; raises `MudrockError` on a value that is no phase.

    Raises
    ------
    MudrockError
        If the image is no mask.
    """
    to_phases = _choose(samples, trusted)

    def read(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        stored = samples.read(rows, columns)
        phases = to_phases(stored)
        wrong = phases == _NONE
        if wrong.any():
            raise _refuse(samples, stored[wrong])
        return phases

    if not trusted:
        for rows in _bands(samples.shape):
            read(rows, slice(None))
    return read


def _choose(samples: Samples, trusted: bool) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]]:
    """Return how stored samples become phases."""
    if samples.colours is Colours.RGB:
        if samples.dtype != np.uint8:
            raise MudrockError(f"{samples.path}: colours of {samples.dtype}, no mask", _EXPECTED)
        return _from_colours
    table = _INDEX_TABLE
    if samples.colours is Colours.PALETTE and samples.palette is not None and not trusted:
        table = _palette_table(samples, samples.palette)
    return lambda stored: _from_values(stored[..., 0], table)


def _from_values(values: npt.NDArray[Any], table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Look values of any number type up in a table of 256."""
    if values.dtype == np.uint8:  # seven times faster than an index into the table
        looked_up = bytearray(np.ascontiguousarray(values)).translate(table.tobytes())
        return np.frombuffer(looked_up, np.uint8).reshape(values.shape)
    inside = (values >= 0) & (values <= 255)
    index = np.where(inside, values, 0).astype(np.uint8)
    phases = table[index]
    phases[~inside | (index != values)] = _NONE
    return phases


def _from_colours(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the phase of each exact phase colour; where an opacity is 0, `Phase.VOID`."""
    packed = _pack(colours)
    phases = np.full(packed.shape, _NONE, np.uint8)
    for phase, colour in COLOURS.items():
        phases[packed == _pack(np.array(colour, np.uint8))] = phase
    if colours.shape[-1] == 4:
        phases[colours[..., 3] == 0] = Phase.VOID
    return phases


def _palette_table(samples: Samples, palette: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the phase of each index: by its colour where all used are ours, else by value."""
    by_colour = np.full(256, _NONE, np.uint8)
    by_colour[: len(palette)] = _from_colours(palette)[:256]
    used = np.zeros(256, bool)
    for rows in _bands(samples.shape):
        used[np.unique(samples.read(rows, slice(None)).astype(np.int64) & 255)] = True
    named = by_colour[used]
    coloured = (named != _NONE).all() and (named != Phase.VOID).any()
    return by_colour if coloured else _INDEX_TABLE


def _pack(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return red, green and blue as one number."""
    wide = colours[..., :3].astype(np.uint32)
    return np.asarray((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2], np.uint32)


def _bands(shape: tuple[int, int]) -> Iterator[slice]:
    """Yield the rows of a whole image in bands."""
    rows = max(1, _BAND_PIXELS // max(1, shape[1]))
    for top in range(0, shape[0], rows):
        yield slice(top, min(top + rows, shape[0]))


def _refuse(samples: Samples, wrong: npt.NDArray[Any]) -> MudrockError:
    """Return the error that names some of the offending values."""
    values = np.unique(wrong[:100_000], axis=0)[:5]
    if wrong.shape[-1] == 1:
        shown = ", ".join(f"{value:g}" for value in values[:, 0])
    else:
        shown = ", ".join(str(tuple(int(v) for v in value[:3])) for value in values)
    return MudrockError(f"{samples.path}: no phase mask, it holds {shown}", _EXPECTED)


def _index_table() -> npt.NDArray[np.uint8]:
    table = np.full(256, _NONE, np.uint8)
    for phase in Phase:
        table[phase] = phase
    return table


_INDEX_TABLE = _index_table()
