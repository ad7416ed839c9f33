"""Write a mask as a TIFF file by bands, from top to bottom; it never stands whole in memory."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from mudrock_cli.image.bands import BandCutter
from mudrock_cli.image.mask_metadata import to_ome_xml
from mudrock_cli.image.mask_rows import MaskRows
from mudrock_cli.image.phase import palette
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.placement import placing

_TILE = 512
_STRIP_ROWS = 64
_LARGE_SIDE = 4096
_LEVEL = 6
_BIG_BYTES = 4_000_000_000
_NM_PER_CM = 1e7
_HINT = "choose another --out, or make room"


@contextlib.contextmanager
def writing_tiff(
    path: Path,
    shape: tuple[int, int],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
) -> Iterator[MaskRows]:
    """Yield what takes the rows of a mask that becomes a palette TIFF.

    Bands are compressed as they come and kept beside the target; the file is put together at the
    end, because the provenance, known only then, stands in its head. After an exception nothing
    is left behind.

    Parameters
    ----------
    path : Path
        Target; missing folders are made.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None writes a mask without a pixel size.
    provenance : mapping
        Values that JSON can hold.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    with placing(path, _HINT) as part, tempfile.TemporaryFile(dir=path.parent) as spool:
        pieces = _Pieces(spool, shape)
        rows = MaskRows(shape, provenance, lambda rows, phases: pieces.add(phases))
        yield rows
        rows.check_end()
        layout = pieces.layout
        if pixel_size is not None:
            density = _NM_PER_CM / pixel_size.nm
            layout |= {"resolution": (density, density), "resolutionunit": "CENTIMETER"}
        with tifffile.TiffWriter(part, bigtiff=pieces.total > _BIG_BYTES) as tiff:
            tiff.write(
                pieces.read(),
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


class _Pieces:
    """Compressed strips, or tiles of a large mask, in a file."""

    def __init__(self, spool: IO[bytes], shape: tuple[int, int]) -> None:
        self._spool, self._sizes = spool, list[int]()
        self._tiled = max(shape) > _LARGE_SIDE
        step = _TILE if self._tiled else _STRIP_ROWS
        self._cutter = BandCutter(shape[0], step)
        self.layout: dict[str, Any] = (
            {"tile": (step, step)} if self._tiled else {"rowsperstrip": step}
        )

    @property
    def total(self) -> int:
        return sum(self._sizes)

    def add(self, phases: npt.NDArray[np.uint8]) -> None:
        for rows in self._cutter.cut(phases):
            for piece in _split(rows) if self._tiled else [rows]:
                # libdeflate: the same format as zlib, several times faster on phases
                encoded = imagecodecs.deflate_encode(piece.tobytes(), level=_LEVEL)
                self._sizes.append(len(encoded))
                self._spool.write(encoded)

    def read(self) -> Iterator[bytes]:
        self._spool.seek(0)
        for size in self._sizes:
            yield self._spool.read(size)


def _split(rows: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Return a row of tiles, filled up with zeros."""
    height, width = rows.shape
    padded = np.zeros((_TILE, -(-width // _TILE) * _TILE), np.uint8)
    padded[:height, :width] = rows
    return np.split(padded, padded.shape[1] // _TILE, axis=1)
