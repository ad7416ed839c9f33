"""A window reader that travels to another process as the name of its file."""

import stat
from collections.abc import Callable, Mapping
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
from mudrock_cli.image.limits import MAX_PIXELS
from mudrock_cli.image.pixel_size import calibrate
from mudrock_cli.image.raster import open_raster
from mudrock_cli.image.tiff import open_tiff
from mudrock_cli.image.types import Box, Inside, Level, PixelSize, Reader, Samples

_OPEN_FILES = 4  # that a process keeps at hand; their readers cache decoded pixels


class FileReader:
    """Read windows of a file, which is opened again where the reader is unpickled.

    Parameters
    ----------
    opener : callable
        ``opener(path, *options)`` returns a window reader; importable by name.
    path : Path
        The file.
    *options
        Hashable.
    read : callable, optional
        The reader, where the file is open already.
    """

    def __init__(
        self,
        opener: Callable[..., Reader],
        path: Path,
        *options: Any,
        read: Reader | None = None,
    ) -> None:
        self._opener, self._path, self._options, self._read = opener, path, options, read

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the pixels of a window.

        Raises
        ------
        MudrockError
            If the file cannot be opened or read.
        """
        if self._read is None:
            with reading(self._path):
                known = self._path.stat()
            version = known.st_size, known.st_mtime_ns
            self._read = _open_again(self._opener, self._path, self._options, version)
        return self._read(rows, columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileReader, (self._opener, self._path.absolute(), *self._options)


@lru_cache(_OPEN_FILES)
def _open_again(
    opener: Callable[..., Reader], path: Path, options: tuple[Any, ...], version: tuple[int, int]
) -> Reader:
    """Open a file once for all parts of it; `version` tells a changed file from the old one."""
    return opener(path, *options)


# A grey micrograph that is read through windows.

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
    """

    name: str
    path: Path | None
    shape: tuple[int, int]
    read: Callable[[slice, slice], npt.NDArray[np.uint8]] = field(repr=False)
    specimen: Box
    pixel_size: PixelSize | None = None
    instrument: Mapping[str, str] = field(default_factory=dict)
    reduced: tuple[Level, ...] = field(default=(), repr=False)

    def grey(self) -> npt.NDArray[np.uint8]:
        """Return the whole image, uint8, shape (rows, columns)."""
        return self.read(slice(None), slice(None))

    def read_specimen(self) -> Reader:
        """Return a reader of the specimen alone, whose rows and columns count from its corner."""
        return Inside(self.read, self.specimen)

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
        specimen = find_specimen(
            read_levels(samples), samples.shape, told.facts, lossy=samples.lossy
        )
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
    )


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
    options = path, max_pixels, allow_high_compression
    reduced = (
        replace(level, read=FileReader(_open_level, *options, number, read=level.read))
        for number, level in enumerate(samples.reduced)
    )
    read = FileReader(_open_reader, *options, read=samples.read)
    return replace(samples, read=read, reduced=tuple(reduced))


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


def _open_reader(path: Path, max_pixels: int, allow_high_compression: bool) -> Reader:
    return _open_format(path, max_pixels, allow_high_compression).read


def _open_level(path: Path, max_pixels: int, allow_high_compression: bool, number: int) -> Reader:
    return _open_format(path, max_pixels, allow_high_compression).reduced[number].read
