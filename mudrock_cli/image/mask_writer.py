"""Write a mask file by bands, from top to bottom, so that it never stands whole in memory."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.mask_metadata import to_ome_xml
from mudrock_cli.image.phase import Phase, palette
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.placement import placing

_TILE = 512
_STRIP_ROWS = 64
_LARGE_SIDE = 4096
_LEVEL = 6
_BIG_BYTES = 4_000_000_000
_NM_PER_CM = 1e7
_HINT = "choose another --out, or make room"


class MaskWriter:
    """Write a palette TIFF of phases; use it in a ``with`` block.

    Bands are compressed as they come and kept beside the target; the file is put together on
    leaving the block, because the provenance, known only then, stands in its head. After an
    exception nothing is left behind.

    Parameters
    ----------
    path : Path
        Target; missing folders are made.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None writes a mask without a pixel size.
    provenance : mapping
        Values that JSON can hold. `provenance` of the writer may be completed before the end.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        pixel_size: PixelSize | None,
        provenance: Mapping[str, Any],
    ) -> None:
        self.path = path
        self.shape = shape
        self.pixel_size = pixel_size
        self.provenance: dict[str, Any] = dict(provenance)
        self._tiled = max(shape) > _LARGE_SIDE
        self._step = _TILE if self._tiled else _STRIP_ROWS
        self._rows_done = 0
        self._waiting: list[npt.NDArray[np.uint8]] = []
        self._sizes: list[int] = []

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._spool: IO[bytes] = tempfile.TemporaryFile(dir=self.path.parent)
        except OSError as error:
            raise self._refuse(error) from error
        return self

    def write_rows(self, phases: npt.NDArray[np.uint8]) -> None:
        """Append a band.

        Parameters
        ----------
        phases : ndarray of uint8, shape (rows, columns)
            The next rows, as wide as the mask.

        Raises
        ------
        MudrockError
            If the disk is full.
        """
        height = self.shape[0]
        check_band(phases, self.shape, self._rows_done)
        self._rows_done += len(phases)
        self._waiting.append(np.array(phases, copy=True))
        ready = sum(map(len, self._waiting))
        if ready < self._step and self._rows_done < height:
            return
        rows = np.concatenate(self._waiting)
        whole = ready if self._rows_done == height else ready - ready % self._step
        try:
            for top in range(0, whole, self._step):
                self._compress(rows[top : min(top + self._step, whole)])
        except OSError as error:
            raise self._refuse(error) from error
        self._waiting = [rows[whole:]]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._spool:
            if kind is not None:
                return
            if self._rows_done != self.shape[0]:
                raise ValueError(f"{self._rows_done} of {self.shape[0]} rows were written")
            with placing(self.path, _HINT) as part:
                self._assemble(part)

    def _compress(self, rows: npt.NDArray[np.uint8]) -> None:
        """Append a strip, or a row of tiles, to the spool."""
        pieces = [rows]
        if self._tiled:
            width = self.shape[1]
            padded = np.zeros((_TILE, -(-width // _TILE) * _TILE), np.uint8)
            padded[: len(rows), :width] = rows
            pieces = np.split(padded, padded.shape[1] // _TILE, axis=1)
        for piece in pieces:
            # libdeflate: the same format as zlib, several times faster on phases
            encoded = imagecodecs.deflate_encode(piece.tobytes(), level=_LEVEL)
            self._sizes.append(len(encoded))
            self._spool.write(encoded)

    def _assemble(self, part: Path) -> None:
        """Write the whole file from the spooled pieces."""
        layout: dict[str, Any] = (
            {"tile": (_TILE, _TILE)} if self._tiled else {"rowsperstrip": _STRIP_ROWS}
        )
        if self.pixel_size is not None:
            density = _NM_PER_CM / self.pixel_size.nm
            layout |= {"resolution": (density, density), "resolutionunit": "CENTIMETER"}
        with tifffile.TiffWriter(part, bigtiff=sum(self._sizes) > _BIG_BYTES) as tiff:
            tiff.write(
                self._spooled(),
                shape=self.shape,
                dtype=np.uint8,
                photometric="palette",
                colormap=palette().T.astype(np.uint16) * 257,
                compression="zlib",
                description=to_ome_xml(
                    self.path.stem, self.shape, self.pixel_size, self.provenance
                ),
                software="mudrock",
                metadata=None,
                **layout,
            )

    def _spooled(self) -> Iterator[bytes]:
        """Yield the encoded pieces in their order."""
        self._spool.seek(0)
        for size in self._sizes:
            yield self._spool.read(size)

    def _refuse(self, error: OSError) -> MudrockError:
        return MudrockError(f"{self.path}: cannot be written ({describe(error)})", _HINT)


def check_band(phases: npt.NDArray[Any], shape: tuple[int, int], rows_done: int) -> None:
    """Refuse a band that is none of a mask of `shape` after `rows_done` rows.

    Raises
    ------
    ValueError
        If it is of another type or width, holds values that are no phase, or is too high.
    """
    if phases.ndim != 2 or phases.shape[1] != shape[1] or phases.dtype != np.uint8:
        raise ValueError(f"a band of {phases.dtype} {phases.shape} in a mask {shape}")
    if not _IS_PHASE[phases].all():
        raise ValueError(f"a band holds values that are no phase: {np.unique(phases)}")
    if rows_done + len(phases) > shape[0]:
        raise ValueError(f"{rows_done + len(phases)} rows in a mask of {shape[0]}")


_IS_PHASE = np.isin(np.arange(256), [int(phase) for phase in Phase])
