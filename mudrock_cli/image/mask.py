"""Phase masks: the noun, reading them from any tool, writing them by bands."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from mudrock_cli.errors import MudrockError, UsageError, reading
from mudrock_cli.files import (
    MASK_SUFFIXES,
    SUFFIX,
    Input,
    atomic_write,
    find_inputs,
    is_mudrock_mask,
)
from mudrock_cli.image.limits import MAX_MASK_PIXELS
from mudrock_cli.image.micrograph import open_samples
from mudrock_cli.image.pixel_size import calibrate, parse_provenance, stored_pixel_size, to_ome_xml
from mudrock_cli.image.tiff import BIG_BYTES, DEFLATE_LEVEL, STRIP_ROWS, describe_resolution
from mudrock_cli.image.tiles import BandCutter, row_bands
from mudrock_cli.image.types import (
    COLOURS,
    Box,
    Colours,
    Level,
    Phase,
    PixelSize,
    Reader,
    Samples,
    palette,
)

_DESCRIPTION = 270
NO_PHASE = 254
"""Stands for a value that is no phase; 254 is none itself."""

EXPECTED = "expected 0 clay, 1 silt, 2 pore, 255 void, or their colours " + ", ".join(
    f"{phase.name.lower()} {colour}" for phase, colour in COLOURS.items()
)
_UNNAMED = "say what each value means, or void"
_IS_PHASE = np.isin(np.arange(256), [int(phase) for phase in Phase])
_BAND_PIXELS = 1 << 24
_INDEX_TABLE = np.where(_IS_PHASE, np.arange(256), NO_PHASE).astype(np.uint8)


@dataclass(frozen=True)
class PhaseMask:
    """The phase of each pixel of a micrograph.

    Parameters
    ----------
    name : str
        Name without suffix.
    path : Path or None
        File it is read from, None for an array in memory.
    shape : tuple of int
        Rows and columns, those of the micrograph.
    read : callable
        ``read(rows, columns)`` returns a window of `Phase` values, uint8.
    pixel_size : PixelSize or None
        None when not known.
    provenance : mapping
        How the mask was made; values that JSON can hold.
    reduced : tuple of Level
        The mask in fewer pixels, as far as its file holds it, the largest first.
    """

    name: str
    path: Path | None
    shape: tuple[int, int]
    read: Callable[[slice, slice], npt.NDArray[np.uint8]] = field(repr=False)
    pixel_size: PixelSize | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    reduced: tuple[Level, ...] = field(default=(), repr=False)

    def phases(self) -> npt.NDArray[np.uint8]:
        """Return the whole mask, uint8, shape (rows, columns)."""
        return self.read(slice(None), slice(None))

    @classmethod
    def from_array(
        cls,
        name: str,
        phases: npt.NDArray[np.uint8],
        pixel_size: PixelSize | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
        """Wrap an array of phases, uint8, shape (rows, columns)."""
        if phases.ndim != 2 or phases.dtype != np.uint8:
            raise ValueError(f"phases are uint8 in two dimensions, not {phases.dtype}")
        return cls(
            name=name,
            path=None,
            shape=(phases.shape[0], phases.shape[1]),
            read=lambda rows, columns: phases[rows, columns],
            pixel_size=pixel_size,
            provenance=dict(provenance or {}),
        )


def open_mask(
    path: Path,
    *,
    max_pixels: int = MAX_MASK_PIXELS,
    values: npt.NDArray[np.uint8] | None = None,
) -> PhaseMask:
    """Open a mask of mudrock, or one edited or made elsewhere.

    Parameters
    ----------
    path : Path
        Palette or grey image of the values 0, 1, 2, 255, or an image in the phase colours; or
        an OME-Zarr with such labels.
    max_pixels : int
        Ceiling of pixels.
    values : ndarray of uint8, shape (256,), optional
        What each value of the file means, where it is another than ours; `NO_PHASE` for none.

    Raises
    ------
    MudrockError
        If the file is no image, or an image that is no mask; the line says what was expected.
    """
    samples = open_samples(path, max_pixels, allow_high_compression=True)
    if values is not None:
        with reading(path):
            read = read_phases(samples, trusted=False, values=values)
            size = calibrate(samples).pixel_size
        return PhaseMask(path.stem, path, samples.shape, read, size)
    provenance: Mapping[str, Any] | None = samples.provenance
    if provenance is None:
        provenance = parse_provenance(samples.tags.get(_DESCRIPTION, b""), samples.shape)
        # Some editors keep the description and change the colour table.
        own = samples.palette is not None and np.array_equal(samples.palette, palette())
        trusted = provenance is not None and own
    else:
        trusted = True
    with reading(path):
        read = read_phases(samples, trusted=trusted)
        size = calibrate(samples).pixel_size if provenance is None else None
        # Others may have averaged phases, which gives a third one.
        levels = samples.reduced if samples.provenance is not None else ()
        reduced = tuple(Level(each.shape, read_phases(each, trusted=True)) for each in levels)
    return PhaseMask(
        name=path.stem,
        path=path,
        shape=samples.shape,
        read=read,
        pixel_size=size or stored_pixel_size(provenance or {}),
        provenance=provenance or {},
        reduced=reduced,
    )


# Which masks an argument names, and what those that were corrected were made from.


def find_masks(arguments: Sequence[str]) -> tuple[list[Input], list[str]]:
    """Find the masks that command-line arguments name, each image once.

    A mask that was corrected by hand and saved in another format beside the one that mudrock wrote
    (``a.png`` and ``a.tif``) takes its place.

    Returns
    -------
    inputs : list of Input
        Sorted by path.
    warnings : list of str
        A line for each mask that another one replaces.

    Raises
    ------
    UsageError
        If nothing is found, or it is not clear which of several masks of one image is meant.
    """
    found = find_inputs(arguments, suffixes=MASK_SUFFIXES, keep_masks=True)
    by_image: dict[Path, list[Input]] = {}
    for item in found:
        by_image.setdefault(item.path.with_suffix(""), []).append(item)
    kept, warnings = [], []
    for beside in by_image.values():
        masks = [item for item in beside if len(beside) > 1 and reads_as_mask(item.path)]
        if len(masks) > 1:
            names = " and ".join(str(item.path) for item in masks)
            corrected = [item for item in masks if not is_mudrock_mask(item.path)]
            if len(corrected) != 1:
                raise UsageError(f"{names}: masks of one image", "keep one of them")
            name = corrected[0].path.name
            warnings.append(f"{names}: masks of one image; the corrected {name} is taken")
            beside = corrected
        kept += beside
    return kept, warnings


def reads_as_mask(path: Path, values: npt.NDArray[np.uint8] | None = None) -> bool:
    """Tell a mask, by its first rows, from the micrograph that it was made of."""
    with contextlib.suppress(MudrockError):
        mask = open_mask(path, values=values)
        return mask.read(slice(0, _BAND_PIXELS // mask.shape[1]), slice(None)).size > 0
    return False


def find_origin(mask: PhaseMask) -> PhaseMask | None:
    """Return the mask that one was corrected from: a TIFF of mudrock, of its name and its size."""
    beside = mask.path.with_suffix(".tif") if mask.path else None
    if beside is None or beside == mask.path or not is_mudrock_mask(beside):
        return None
    origin = open_mask(beside)
    return origin if origin.shape == mask.shape else None


def find_pixel_size(mask: PhaseMask) -> PixelSize | None:
    """Return a mask's pixel size, or that of the mask that it was corrected from."""
    origin = None if mask.pixel_size else find_origin(mask)
    if origin is None or origin.path is None or origin.pixel_size is None:
        return mask.pixel_size
    return PixelSize(
        origin.pixel_size.nm, f"{origin.pixel_size.source}, in {origin.path.name} beside it"
    )


def holds_its_results(mask: PhaseMask) -> bool:
    """Tell whether a mask holds the fractions that its provenance tells.

    Not every program that paints in a TIFF takes the description away. A mask that tells no
    fractions holds them.

    Raises
    ------
    MudrockError
        If the file is damaged: all of it is read.
    """
    counts = np.zeros(256, np.int64)
    rows = max(1, _BAND_PIXELS // max(1, mask.shape[1]))
    for top in range(0, mask.shape[0], rows):
        phases = mask.read(slice(top, min(top + rows, mask.shape[0])), slice(None))
        for phase in Phase:
            counts[phase] += np.count_nonzero(phases == phase)
    results = mask.provenance.get("results")
    if not isinstance(results, Mapping):
        return True
    total = int(counts[[Phase.CLAY, Phase.SILT, Phase.PORE]].sum())
    shares = {
        f"{phase.name.lower()}_fraction": int(counts[phase]) / max(total, 1) for phase in Phase
    }
    told = {name: results[name] for name in shares if name in results}
    return results.get("specimen_px", total) == total and told == {n: shares[n] for n in told}


# Phases from what other tools store: index values, label images, palettes, phase colours.

_PhaseReader = Callable[[slice, slice], npt.NDArray[np.uint8]]


def read_phases(
    samples: Samples, *, trusted: bool, values: npt.NDArray[np.uint8] | None = None
) -> _PhaseReader:
    """Return a window reader of phases.

    Parameters
    ----------
    samples : Samples
        Stored samples of the mask.
    trusted : bool
        The file says that mudrock wrote it: values are checked as they are read, not now.
    values : ndarray of uint8, shape (256,), optional
        What each value means, in place of 0, 1, 2 and 255 and of colours.

    Returns
    -------
    callable
        ``read(rows, columns)``, uint8; raises `MudrockError` on a value that is no phase.

    Raises
    ------
    MudrockError
        If the image is no mask.
    """
    coloured = samples.colours is Colours.RGB
    if coloured and samples.dtype != np.uint8:
        raise MudrockError(f"{samples.path}: colours of {samples.dtype}, no mask", EXPECTED)
    if coloured and values is not None:
        raise MudrockError(f"{samples.path}: colours, no values", "save it as grey or palette")
    table = _INDEX_TABLE
    if values is not None:
        table = values
    elif samples.colours is Colours.PALETTE and samples.palette is not None and not trusted:
        table = _palette_table(samples, samples.palette)

    def read(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        stored = samples.read(rows, columns)
        phases = _from_colours(stored) if coloured else _from_values(stored[..., 0], table)
        wrong = phases == NO_PHASE
        if wrong.any():
            raise _refuse(samples, stored[wrong], EXPECTED if values is None else _UNNAMED)
        return phases

    if not trusted:
        for rows in row_bands(Box.whole(samples.shape)):
            read(rows, slice(None))
    return read


def _from_values(values: npt.NDArray[Any], table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Look values of any number type up in a table of 256."""
    if values.dtype == np.uint8:  # seven times faster than an index into the table
        looked_up = bytearray(np.ascontiguousarray(values)).translate(table.tobytes())
        return np.frombuffer(looked_up, np.uint8).reshape(values.shape)
    inside = (values >= 0) & (values <= 255)
    index = np.where(inside, values, 0).astype(np.uint8)
    phases = table[index]
    phases[~inside | (index != values)] = NO_PHASE
    return phases


def _from_colours(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the phase of each exact phase colour; where an opacity is 0, `Phase.VOID`."""
    packed = _pack(colours)
    phases = np.full(packed.shape, NO_PHASE, np.uint8)
    for phase, colour in COLOURS.items():
        phases[packed == _pack(np.array(colour, np.uint8))] = phase
    if colours.shape[-1] == 4:
        phases[colours[..., 3] == 0] = Phase.VOID
    return phases


def _pack(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return red, green and blue as one number."""
    wide = colours[..., :3].astype(np.uint32)
    return np.asarray((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2], np.uint32)


def _palette_table(samples: Samples, palette: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the phase of each index: by its colour where all used are ours, else by value."""
    by_colour = np.full(256, NO_PHASE, np.uint8)
    by_colour[: len(palette)] = _from_colours(palette)[:256]
    used = np.zeros(256, bool)
    for rows in row_bands(Box.whole(samples.shape)):
        used[np.unique(samples.read(rows, slice(None)).astype(np.int64) & 255)] = True
    named = by_colour[used]
    coloured = (named != NO_PHASE).all() and (named != Phase.VOID).any()
    return by_colour if coloured else _INDEX_TABLE


def _refuse(samples: Samples, wrong: npt.NDArray[Any], expected: str) -> MudrockError:
    """Return the error that names some of the offending values."""
    values = np.unique(wrong[:100_000], axis=0)[:5]
    if wrong.shape[-1] == 1:
        shown = ", ".join(f"{value:g}" for value in values[:, 0])
    else:
        shown = ", ".join(str(tuple(int(v) for v in value[:3])) for value in values)
    return MudrockError(f"{samples.path}: no phase mask, it holds {shown}", expected)


# Writing: a mask comes by bands, from top to bottom, and never stands whole in memory.

_TILE = 512
_LARGE_SIDE = 4096


class MaskRows:
    """Takes the rows of a mask from top to bottom, and looks at them.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the mask.
    provenance : mapping
        Values that JSON can hold. The attribute `provenance` may be completed until the end.
    append : callable
        ``append(rows, phases)`` writes the rows that a slice tells.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        provenance: Mapping[str, Any],
        append: Callable[[slice, npt.NDArray[np.uint8]], None],
    ) -> None:
        self.provenance: dict[str, Any] = dict(provenance)
        self._shape, self._append = shape, append
        self._done = 0

    def write_rows(self, phases: npt.NDArray[np.uint8]) -> None:
        """Append a band.

        Parameters
        ----------
        phases : ndarray of uint8, shape (rows, columns)
            The next rows, as wide as the mask.

        Raises
        ------
        ValueError
            If it is of another type or width, holds values that are no phase, or is too high.
        """
        height, width = self._shape
        if phases.ndim != 2 or phases.shape[1] != width or phases.dtype != np.uint8:
            raise ValueError(f"a band of {phases.dtype} {phases.shape} in a mask {self._shape}")
        if not _IS_PHASE[phases].all():
            raise ValueError(f"a band holds values that are no phase: {np.unique(phases)}")
        rows = slice(self._done, self._done + len(phases))
        if rows.stop > height:
            raise ValueError(f"{rows.stop} rows in a mask of {height}")
        self._done = rows.stop
        if len(phases):
            self._append(rows, phases)

    def check_end(self) -> None:
        """Refuse to close a mask whose rows are not all there.

        Raises
        ------
        ValueError
            If some are missing.
        """
        if self._done != self._shape[0]:
            raise ValueError(f"{self._done} of {self._shape[0]} rows were written")


def create_mask(
    path: Path,
    shape: tuple[int, int],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
    grey: Reader | None = None,
) -> contextlib.AbstractContextManager[MaskRows]:
    """Return what takes the rows of a mask, for a ``with`` block; the mask is there at its end.

    It becomes an OME-Zarr where `path` ends in ``.zarr``, else a TIFF file.

    Parameters
    ----------
    path : Path
        Target.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None writes a mask without a pixel size.
    provenance : mapping
        Values that JSON can hold.
    grey : callable, optional
        ``read(rows, columns)`` of the micrograph, which an OME-Zarr holds too.
    """
    if path.suffix.lower() != SUFFIX:
        return _write_tiff(path, shape, pixel_size, provenance)
    from mudrock_cli.image.ome_zarr import write_zarr

    return write_zarr(path, shape, pixel_size, provenance, grey)


def write_mask(path: Path, mask: PhaseMask) -> None:
    """Write a mask, band by band, and move it into its place.

    Parameters
    ----------
    path : Path
        Target, ``.tif`` or ``.zarr``.
    mask : PhaseMask
        What to write.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    with create_mask(path, mask.shape, mask.pixel_size, mask.provenance) as writer:
        for rows in row_bands(Box.whole(mask.shape)):
            writer.write_rows(mask.read(rows, slice(None)))


_FIGURES = {
    "doubt": "mean entropy",
    "distance": "distance from the training micrographs",
    "texture_bend": "difference of texture slopes",
}


def name_figure(name: str) -> str:
    """Return what a figure of a micrograph is called, from its name in masks and on cards."""
    return _FIGURES.get(name, name.replace("_", " "))


@contextlib.contextmanager
def _write_tiff(
    path: Path,
    shape: tuple[int, int],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
) -> Iterator[MaskRows]:
    """Yield what takes the rows of a mask that becomes a palette TIFF.

    Bands are compressed as they come and kept beside the target; the file is put together at the
    end, because the provenance, known only then, stands in its head.
    """
    tiled = max(shape) > _LARGE_SIDE
    step = _TILE if tiled else STRIP_ROWS
    layout: dict[str, Any] = {"tile": (step, step)} if tiled else {"rowsperstrip": step}
    layout |= describe_resolution(pixel_size)
    cutter, sizes = BandCutter(shape[0], step), list[int]()
    with (
        atomic_write(path, "choose another --out, or make room") as part,
        tempfile.TemporaryFile(dir=path.parent) as spool,
    ):

        def append(rows: slice, phases: npt.NDArray[np.uint8]) -> None:
            for block in cutter.cut(phases):
                for piece in _split(block) if tiled else [block]:
                    # libdeflate: the same format as zlib, several times faster on phases
                    encoded = imagecodecs.deflate_encode(piece.tobytes(), level=DEFLATE_LEVEL)
                    sizes.append(len(encoded))
                    spool.write(encoded)

        rows = MaskRows(shape, provenance, append)
        yield rows
        rows.check_end()
        spool.seek(0)
        with tifffile.TiffWriter(part, bigtiff=sum(sizes) > BIG_BYTES) as tiff:
            tiff.write(
                (spool.read(size) for size in sizes),
                shape=shape,
                dtype=np.uint8,
                photometric="palette",
                colormap=palette().T.astype(np.uint16) * 257,
                compression="zlib",
                description=to_ome_xml(path.stem, shape, pixel_size, rows.provenance),
                software="mudrock",
                metadata=None,
                **layout,
            )


def _split(rows: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Return a row of tiles, filled up with zeros."""
    height, width = rows.shape
    padded = np.zeros((_TILE, -(-width // _TILE) * _TILE), np.uint8)
    padded[:height, :width] = rows
    return np.split(padded, padded.shape[1] // _TILE, axis=1)
