"""Write an image and its smaller levels by bands, from top to bottom; none is ever whole."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from mudrock_cli.image.bands import BandCutter
from mudrock_cli.image.pixel_size import PixelSize

VERSION = "0.5"
CHUNK = 512
_LEVEL = 3
Method = Literal["mean", "nearest"]


class PyramidWriter:
    """Write one multiscale image of an OME-Zarr.

    Parameters
    ----------
    root : Path
        The store.
    path : str
        Its group in the store, empty for the root.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Of the numbers.
    method : str
        How two by two pixels become one: by their mean, or the first, which keeps labels labels.
    """

    def __init__(
        self,
        root: Path,
        path: str,
        shape: tuple[int, int],
        dtype: npt.DTypeLike,
        method: Method,
    ) -> None:
        self.shapes = [shape]
        while max(self.shapes[-1]) > CHUNK:
            height, width = self.shapes[-1]
            self.shapes.append((-(-height // 2), -(-width // 2)))
        self._method = method
        level = None
        for number, size in reversed(list(enumerate(self.shapes))):
            name = f"{path}/{number}" if path else str(number)
            level = _LevelWriter(_create(root, name, size, dtype), _REDUCE[method], level)
        assert level is not None
        self._first = level

    def write_rows(self, rows: npt.NDArray[Any]) -> None:
        """Append rows, as wide as the image."""
        self._first.write(rows)

    def describe(self, name: str, pixel_size: PixelSize | None, prefix: str = "") -> dict[str, Any]:
        """Return the entry of ``multiscales``.

        Parameters
        ----------
        name : str
            Name of the image.
        pixel_size : PixelSize or None
            None leaves out the unit of the axes, without which a scale is none.
        prefix : str
            Path of the image from the group that gets the entry.
        """
        unit = {} if pixel_size is None else {"unit": "micrometer"}
        side = 1.0 if pixel_size is None else pixel_size.um
        datasets = []
        for number in range(len(self.shapes)):
            factor = 2.0**number
            steps: list[dict[str, Any]] = [{"type": "scale", "scale": [side * factor] * 2}]
            if number and self._method == "mean":  # the middle of 2 x 2 pixels lies between them
                shift = side * (factor - 1) / 2
                steps.append({"type": "translation", "translation": [shift] * 2})
            datasets.append({"path": f"{prefix}{number}", "coordinateTransformations": steps})
        axes = [{"name": axis, "type": "space", **unit} for axis in "yx"]
        return {"name": name, "axes": axes, "datasets": datasets, "type": self._method}


def write_group(root: Path, path: str, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a group, which zarr may have made for an array in it."""
    zarr.open_group(root, path=path, mode="a", zarr_format=3).attrs.put(dict(attributes))


class _LevelWriter:
    """Collect rows until they fill chunks, and hand them on, reduced, to the next level."""

    def __init__(
        self,
        array: Any,
        reduce: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        smaller: "_LevelWriter | None",
    ) -> None:
        self._array, self._reduce, self._smaller = array, reduce, smaller
        self._cutter = BandCutter(array.shape[0], CHUNK)
        self._done = 0

    def write(self, rows: npt.NDArray[Any]) -> None:
        for block in self._cutter.cut(rows):
            self._array[self._done : self._done + len(block), :] = block
            self._done += len(block)
            if self._smaller is not None:
                self._smaller.write(self._reduce(block))


def _create(root: Path, name: str, shape: tuple[int, int], dtype: npt.DTypeLike) -> Any:
    return zarr.create_array(
        root,
        name=name,
        shape=shape,
        chunks=tuple(min(CHUNK, max(side, 1)) for side in shape),
        dtype=np.dtype(dtype),
        compressors=ZstdCodec(level=_LEVEL, checksum=True),
        fill_value=0,
        zarr_format=3,
        dimension_names=["y", "x"],
        config={"write_empty_chunks": True},  # so that a missing chunk is a damage
    )


def _take_mean(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the means of two by two pixels; a last odd row or column counts twice."""
    odd = [(0, side % 2) for side in rows.shape]
    wide = np.pad(rows, odd, mode="edge").astype(np.uint16)
    total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return np.asarray((total + 2) // 4, rows.dtype)


def _take_first(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows[::2, ::2].copy()


_REDUCE: Mapping[Method, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "mean": _take_mean,
    "nearest": _take_first,
}
