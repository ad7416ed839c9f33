"""Phase masks: the noun, reading them from any tool, writing them."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.limits import MAX_MASK_PIXELS
from mudrock_cli.image.mask_metadata import parse_provenance, stored_pixel_size
from mudrock_cli.image.mask_rows import MaskRows
from mudrock_cli.image.mask_values import read_phases
from mudrock_cli.image.mask_writer import writing_tiff
from mudrock_cli.image.micrograph import open_samples
from mudrock_cli.image.ngff.folder import SUFFIX
from mudrock_cli.image.phase import palette
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.vendors import calibrate
from mudrock_cli.image.window import Level, Reader

_BAND_PIXELS = 1 << 24
_DESCRIPTION = 270


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


def open_mask(path: Path, *, max_pixels: int = MAX_MASK_PIXELS) -> PhaseMask:
    """Open a mask of mudrock, or one edited or made elsewhere.

    Parameters
    ----------
    path : Path
        Palette or grey image of the values 0, 1, 2, 255, or an image in the phase colours; or
        an OME-Zarr with such labels.
    max_pixels : int
        Ceiling of pixels.

    Raises
    ------
    MudrockError
        If the file is no image, or an image that is no mask; the line says what was expected.
    """
    samples = open_samples(path, max_pixels, bombs=True)
    provenance: Mapping[str, Any] | None = samples.provenance
    if provenance is None:
        provenance = parse_provenance(samples.tags.get(_DESCRIPTION, b""), samples.shape)
        # Some editors keep the description and change the colour table.
        own = samples.palette is not None and np.array_equal(samples.palette, palette())
        trusted = provenance is not None and own
    else:
        trusted = True
    with refusing(path):
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
        return writing_tiff(path, shape, pixel_size, provenance)
    from mudrock_cli.image.ngff.writer import writing_zarr  # zarr takes a second to start

    return writing_zarr(path, shape, pixel_size, provenance, grey)


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
    height, width = mask.shape
    rows = max(1, _BAND_PIXELS // max(1, width))
    with create_mask(path, mask.shape, mask.pixel_size, mask.provenance) as writer:
        for top in range(0, height, rows):
            writer.write_rows(mask.read(slice(top, min(top + rows, height)), slice(None)))
