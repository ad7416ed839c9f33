"""Write maps that go with a mask, such as confidence or instance labels, strip by strip."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from mudrock_cli.image.bands import BandCutter
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.placement import placing

_STRIP_ROWS = 64
_LEVEL = 6
_BIG_BYTES = 4_000_000_000


def write_plane(
    path: Path,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    bands: Iterable[npt.NDArray[Any]],
    pixel_size: PixelSize | None,
) -> None:
    """Write a grey OME-TIFF, deflated, beside its place and move it there.

    Parameters
    ----------
    path : Path
        Target, ``.tif``.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Of the pixels.
    bands : iterable of ndarray, shape (rows, columns)
        The rows from top to bottom, in bands of any height.
    pixel_size : PixelSize or None
        None writes a map without a pixel size.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    kind = np.dtype(dtype)
    # Not tifffile's UUID of time and network card: same map, same bytes, and nothing private.
    name = uuid5(NAMESPACE_URL, f"mudrock {kind} {shape} {pixel_size}")
    metadata: dict[str, Any] = {"axes": "YX", "UUID": f"urn:uuid:{name}"}
    if pixel_size is not None:
        for axis in "XY":
            metadata[f"PhysicalSize{axis}"] = pixel_size.um
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    big = shape[0] * shape[1] * kind.itemsize > _BIG_BYTES
    with placing(path) as part, tifffile.TiffWriter(part, ome=True, bigtiff=big) as tiff:
        tiff.write(
            _strips(bands, shape, kind),
            shape=shape,
            dtype=kind,
            photometric="minisblack",
            compression="zlib",
            rowsperstrip=_STRIP_ROWS,
            metadata=metadata,
            software="mudrock",
        )


def _strips(
    bands: Iterable[npt.NDArray[Any]], shape: tuple[int, int], kind: np.dtype[Any]
) -> Iterator[bytes]:
    cutter = BandCutter(shape[0], _STRIP_ROWS)
    for band in bands:
        for rows in cutter.cut(band):
            yield bytes(imagecodecs.zlib_encode(rows.astype(kind).tobytes(), level=_LEVEL))
