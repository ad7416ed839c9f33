"""The grey micrograph, read through windows, and opening one from any file."""

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError, reading
from mudrock_cli.files import is_mudrock_mask, is_zarr
from mudrock_cli.image.data_bar import find_specimen
from mudrock_cli.image.grey import read_grey, read_levels
from mudrock_cli.image.limits import MAX_MASK_PIXELS, MAX_PIXELS, MIN_SIDE
from mudrock_cli.image.pixel_size import calibrate, doubt_scale
from mudrock_cli.image.raster import open_raster
from mudrock_cli.image.tiff import open_tiff
from mudrock_cli.image.types import Box, Colours, Inside, Level, Phase, PixelSize, Reader, Samples

_OPEN_FILES = 4  # that a process keeps at hand; their readers cache decoded pixels
_COLOUR_ROWS = 16
_COLOURED = 0.1  # of the range of a channel, by which the channels of a coloured pixel differ
_COLOURED_SHARE = 0.01
_PADDING, _PADDING_PIXELS = 0.02, 16  # of a row, in one grey at its end
_PADDED_ENDS = 0.25  # of the ends of rows: half of those on one side
_PADDING_ROWS = 18
_SEEN_PIXELS = 1 << 19  # of these rows
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Micrograph:
    """One grey image and what is known of it.

    Parameters
    ----------
    name : str
        Name without suffix.
    path : Path or None
        File it is read from, None for an array in memory.
    shape : tuple of int
        Rows and columns, the data bar included.
    read : callable
        ``read(rows, columns)`` returns a window of grey levels, uint8, shape (rows, columns).
    specimen : Box
        Where the specimen is; the data bar is outside.
    pixel_size : PixelSize or None
        None when the file does not tell.
    instrument : mapping of str
        What the file tells of the instrument, for example ``{"vendor": "Zeiss"}``;
        ``pixel_size_note`` says why a pixel size that is told is not believed.
    reduced : tuple of Level
        The image in fewer pixels, as far as the file holds it, the largest first.
    excluded : callable, optional
        ``read(rows, columns)``, bool: pixels that are left out of the mask.
    warnings : tuple of str
        What else the file holds and what of it was taken (a page of a stack, the luminance of
        colours), each one line to print with the name of the file.
    """

    name: str
    path: Path | None
    shape: tuple[int, int]
    read: Callable[[slice, slice], npt.NDArray[np.uint8]] = field(repr=False)
    specimen: Box
    pixel_size: PixelSize | None = None
    instrument: Mapping[str, str] = field(default_factory=dict)
    reduced: tuple[Level, ...] = field(default=(), repr=False)
    excluded: Reader | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    def grey(self) -> npt.NDArray[np.uint8]:
        """Return the whole image, uint8, shape (rows, columns)."""
        return self.read(slice(None), slice(None))

    def read_specimen(self) -> Reader:
        """Return a reader of the specimen alone, whose rows and columns count from its corner."""
        return Inside(self.read, self.specimen)

    def cropped(self, box: Box) -> Self:
        """Take less of the image as specimen: what is outside of a box is left out.

        This is for ``--crop``: a frame, a holder, the resin beside the rock. Pixels keep their
        places, so that the mask fits the file; outside it is VOID, and no threshold is found there.

        Parameters
        ----------
        box : Box
            In pixels of the file; see `Box.parse`.

        Raises
        ------
        MudrockError
            If fewer than `MIN_SIDE` rows or columns of specimen are left.
        """
        specimen = self.specimen.intersect(box)
        if min(specimen.shape) < MIN_SIDE:
            raise MudrockError(
                f"{self.path or self.name}: {specimen.width} x {specimen.height} pixels of specimen"
                f" are in the box {box.left},{box.top},{box.width},{box.height}",
                f"its specimen is {self.specimen.left},{self.specimen.top},"
                f"{self.specimen.width},{self.specimen.height}",
            )
        return replace(self, specimen=specimen)

    def excluding(self, path: Path) -> Self:
        """Leave out what is painted in an image of the same size: cracks, charging, curtains.

        This is for ``--exclude``. The mask is written through `leave_out`, which makes these pixels
        VOID; grey levels and thresholds still see them.

        Parameters
        ----------
        path : Path
            Image in which black (0) is kept and everything else is left out: any file that
            `open_micrograph` reads.

        Raises
        ------
        MudrockError
            If it cannot be read or is of another size.
        """
        painted = open_samples(path, MAX_MASK_PIXELS, allow_high_compression=True)
        if painted.shape != self.shape:
            raise MudrockError(
                f"{path}: {painted.shape[1]} x {painted.shape[0]} pixels, but {self.name} has"
                f" {self.shape[1]} x {self.shape[0]}",
                "paint over the micrograph itself, and keep its size",
            )
        reasons = (self.excluded, _Painted(read_levels(painted)))
        return replace(self, excluded=_Either(tuple(filter(None, reasons))))

    def leave_out(self, rows: slice, phases: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return whole rows of a mask with the excluded pixels as VOID.

        Parameters
        ----------
        rows : slice
            Which rows of the image they are.
        phases : ndarray of uint8, shape (rows, columns)
            Values of `Phase`.
        """
        if self.excluded is None:
            return phases
        return np.where(self.excluded(rows, slice(None)), np.uint8(Phase.VOID), phases)

    @classmethod
    def from_array(
        cls,
        name: str,
        grey: npt.NDArray[np.uint8],
        pixel_size: PixelSize | None = None,
        specimen: Box | None = None,
    ) -> Self:
        """Wrap an array in memory.

        Parameters
        ----------
        name : str
            Name of the micrograph.
        grey : ndarray of uint8, shape (rows, columns)
            Grey levels.
        pixel_size : PixelSize, optional
            Pixel size.
        specimen : Box, optional
            Where the specimen is; everywhere by default.
        """
        if grey.ndim != 2 or grey.dtype != np.uint8:
            raise ValueError(f"grey levels are uint8 in two dimensions, not {grey.dtype}")
        shape = (grey.shape[0], grey.shape[1])
        return cls(
            name=name,
            path=None,
            shape=shape,
            read=lambda rows, columns: grey[rows, columns],
            specimen=specimen or Box.whole(shape),
            pixel_size=pixel_size,
        )


def open_micrograph(
    path: Path, *, pixel_size: PixelSize | None = None, max_pixels: int = MAX_PIXELS
) -> Micrograph:
    """Open a TIFF, PNG, JPEG or BMP file, or an OME-Zarr, as a grey micrograph.

    Parameters
    ----------
    path : Path
        Image file, or folder of an OME-Zarr.
    pixel_size : PixelSize, optional
        Overrides what the file tells; otherwise it is looked for in the vendors' tags and
        sidecars, OME-XML, ImageJ's description and the scale of OME-Zarr.
    max_pixels : int
        Ceiling of pixels, checked in the header.

    Returns
    -------
    Micrograph

    Raises
    ------
    MudrockError
        If the file cannot be read as a micrograph.
    """
    samples = open_samples(path, max_pixels)
    if path.is_file() and is_mudrock_mask(path):
        raise MudrockError(f"{path}: a mask written by mudrock, no micrograph", "give its image")
    with reading(path):
        told = calibrate(samples)
        scattered = samples.dtype == np.uint8
        specimen = find_specimen(
            read_levels(samples), samples.shape, told.facts, scattered=scattered
        )
    told = doubt_scale(told, samples.shape[0] - specimen.bottom)
    note = {"pixel_size_note": told.note} if told.note and pixel_size is None else {}
    return Micrograph(
        name=path.stem,
        path=path,
        shape=samples.shape,
        read=read_grey(samples, specimen),
        specimen=specimen,
        pixel_size=pixel_size or told.pixel_size,
        instrument=told.instrument | note,
        reduced=tuple(
            Level(level.shape, read_grey(level, specimen.scale(samples.shape, level.shape)))
            for level in samples.reduced
        ),
        excluded=_find_transparent(samples),
        warnings=(
            *samples.warnings,
            *note.values(),
            *_describe_colours(samples, specimen),
            *_describe_padding(samples, specimen),
        ),
    )


@dataclass(frozen=True)
class _Painted:
    """Tells which pixels of an image are not black, in other processes too."""

    read: Reader

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        return np.asarray(self.read(rows, columns) != 0)


@dataclass(frozen=True)
class _Transparent:
    """Tells which pixels of a file are transparent, in other processes too."""

    read: Reader

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        return np.asarray(self.read(rows, columns)[..., -1] == 0)


def _find_transparent(samples: Samples) -> Reader | None:
    """Return what tells the transparent pixels of a file; None of one that is so wherever seen."""
    if not samples.has_alpha:
        return None
    transparent = _Transparent(samples.read)
    tops = _choose_rows(samples, Box.whole(samples.shape))
    seen = [transparent(slice(top, top + 1), slice(None)).all() for top in tops]
    return None if all(seen) else transparent


def _choose_rows(samples: Samples, box: Box) -> list[int]:
    """Return rows spread over a box, fewer of a wide image, whose rows are read by tiles."""
    number = min(max(_SEEN_PIXELS // samples.shape[1], 4), _PADDING_ROWS)
    return [int(row) for row in np.linspace(box.top, box.bottom - 1, number)]


@dataclass(frozen=True)
class _Either:
    """Tells which pixels are left out for one reason or another."""

    reasons: tuple[Reader, ...]

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        left_out = [leaves(rows, columns) for leaves in self.reasons]
        return np.asarray(np.logical_or.reduce(left_out), np.bool_)


def _describe_padding(samples: Samples, specimen: Box) -> Iterator[str]:
    """Say where a specimen ends in pixels of one grey: a mosaic, laid into a larger image.

    Rows spread over its smallest level are looked at. What a file shows transparent is no padding.
    """
    if samples.reduced:
        specimen = specimen.scale(samples.shape, samples.reduced[-1].shape)
        samples = samples.reduced[-1]
    if min(specimen.shape) < 4 * _PADDING_PIXELS or samples.has_alpha:
        return
    read, (height, width) = read_levels(samples), specimen.shape
    inside = max(_PADDING_PIXELS, round(_PADDING * height))  # rows of padding, at least

    def look(row: int) -> npt.NDArray[Any]:
        return np.asarray(read(slice(row, row + 1), specimen.columns)[0])

    def is_plain(line: npt.NDArray[Any]) -> bool:
        return bool((line == line[0]).all())

    lines = [look(row) for row in _choose_rows(samples, specimen)]
    if all(map(is_plain, lines)):
        return
    beyond = (lines[0], specimen.top + inside), (lines[-1], specimen.bottom - 1 - inside)
    above_or_below = any(is_plain(edge) and is_plain(look(row)) for edge, row in beyond)
    ends = [
        int(np.argmax(side != side[0]))
        for line in lines
        if not is_plain(line)
        for side in (line, line[::-1])
    ]
    long = [end >= max(_PADDING_PIXELS, _PADDING * width) for end in ends]
    if above_or_below or np.mean(long) >= _PADDED_ENDS:
        yield (
            "an edge of one grey, as around a mosaic: it is taken for specimen; leave it out with "
            "--crop or --exclude"
        )


def _describe_colours(samples: Samples, specimen: Box) -> Iterator[str]:
    """Say where a specimen is shown in colours, by rows spread over its smallest level."""
    palette = samples.palette if samples.colours is Colours.PALETTE else None
    if palette is None and samples.colours is not Colours.RGB:
        return
    if samples.reduced:
        specimen = specimen.scale(samples.shape, samples.reduced[-1].shape)
        samples = samples.reduced[-1]
    for top in range(specimen.top, specimen.bottom, max(1, specimen.height // _COLOUR_ROWS)):
        stored = samples.read(slice(top, top + 1), specimen.columns)
        if palette is not None:
            stored = palette[np.minimum(stored[..., 0], len(palette) - 1)]
        channels = stored[..., :3].astype(np.float64)
        limit = _COLOURED * (np.iinfo(stored.dtype).max if stored.dtype.kind in "ui" else 1.0)
        if (np.ptp(channels, axis=-1) > limit).mean() > _COLOURED_SHARE:
            yield "colours: their luminance was taken; false colours do not keep the grey levels"
            return


def open_samples(path: Path, max_pixels: int, *, allow_high_compression: bool = False) -> Samples:
    """Open an image file of any supported format as stored samples.

    Parameters
    ----------
    path : Path
        Image file.
    max_pixels : int
        Ceiling of pixels.
    allow_high_compression : bool
        Allow files that expand far (masks do); of an OME-Zarr, open the labels.

    Raises
    ------
    MudrockError
        If the file cannot be read as an image.
    """
    samples = _open_format(path, max_pixels, allow_high_compression)
    options = path.absolute(), max_pixels, allow_high_compression
    reduced = (
        replace(level, read=_FileReader(*options, number, level.read))
        for number, level in enumerate(samples.reduced)
    )
    return replace(samples, read=_FileReader(*options, None, samples.read), reduced=tuple(reduced))


@dataclass(frozen=True)
class _FileReader:
    """Reads windows of a file, or of a reduced level of it; where unpickled, the file is opened."""

    path: Path
    max_pixels: int
    allow_high_compression: bool
    level: int | None
    opened: Reader | None = None

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        read = self.opened
        if read is None:
            with reading(self.path):
                known = self.path.stat()
            read = _open_again(self, (known.st_size, known.st_mtime_ns))
        return read(rows, columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return _FileReader, (self.path, self.max_pixels, self.allow_high_compression, self.level)


@lru_cache(_OPEN_FILES)
def _open_again(reader: _FileReader, version: tuple[int, int]) -> Reader:
    """Open a file once for all parts of it; `version` tells a changed file from the old one."""
    samples = _open_format(reader.path, reader.max_pixels, reader.allow_high_compression)
    return (samples if reader.level is None else samples.reduced[reader.level]).read


def _open_format(path: Path, max_pixels: int, allow_high_compression: bool) -> Samples:
    """Open an image by what its first bytes, or its folder, say that it is."""
    if is_zarr(path):
        from mudrock_cli.image import ome_zarr as images

        return (images.open_labels if allow_high_compression else images.open_image)(
            path, max_pixels
        )
    with reading(path):
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise MudrockError(f"{path}: a folder without images", "give image files")
        if not stat.S_ISREG(kind):  # opening a pipe would wait for ever
            raise MudrockError(f"{path}: not a file", "give image files")
        with path.open("rb") as file:
            head = file.read(8)
    if not head:
        raise MudrockError(f"{path}: the file is empty", "copy or export it again")
    if head.startswith(_TIFF_HEADS):
        return open_tiff(path, max_pixels, allow_high_compression=allow_high_compression)
    # These formats are decoded in one piece, so that even a mask has to fit into memory.
    limit = min(max_pixels, MAX_PIXELS) if allow_high_compression else max_pixels
    samples = open_raster(path, head, limit, allow_high_compression=allow_high_compression)
    if samples is None:
        raise MudrockError(
            f"{path}: neither TIFF, PNG, JPEG, BMP nor OME-Zarr", "export it as TIFF or PNG"
        )
    return samples
