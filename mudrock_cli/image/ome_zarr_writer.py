"""New stores, which replace nothing but stores that mudrock made."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import PROVENANCE, atomic_write, hash_file, is_mudrock_mask, read_json
from mudrock_cli.image.mask import MaskRows
from mudrock_cli.image.ome_zarr_metadata import PHASES
from mudrock_cli.image.tiles import BandCutter
from mudrock_cli.image.types import COLOURS, PixelSize, Reader


@contextlib.contextmanager
def placing_store(path: Path, hint: str) -> Iterator[Path]:
    """Yield an empty folder to write a store to, and move it into its place; see `atomic_write`.

    Parameters
    ----------
    path : Path
        Where the store shall stand; missing folders are made.
    hint : str
        What the user can do where it cannot be written.

    Raises
    ------
    MudrockError
        If it cannot be written, or something stands at `path` that mudrock did not make.
    """
    check_replaceable(path)
    with atomic_write(path, hint) as part:
        part.mkdir()
        yield part


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file, or a folder of somebody's data, by a store.

    Raises
    ------
    MudrockError
        If something stands at `path` that mudrock did not make.
    """
    if not path.exists() or (path.is_dir() and (is_mudrock_mask(path) or not any(path.iterdir()))):
        return
    raise MudrockError(f"{path}: is there already, and not mudrock's", "choose another --out")


# Write an image and its smaller levels by bands, from top to bottom; none is ever whole.

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


# Write masks and instance labels as OME-Zarr, by bands.

INSTANCES = "instances"
_PIXELS = "mudrock_pixels"  # their hash: editors change them and leave what stands beside them
_IN_ROOT = ("software", "version", "input", "pixel_size_nm", "pixel_size_source")
_HINT = "choose another --out, or make room"


@contextlib.contextmanager
def writing_zarr(
    path: Path,
    shape: tuple[int, int],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
    grey: Reader | None = None,
) -> Iterator[MaskRows]:
    """Yield what takes the rows of a mask that becomes the label image ``phases`` of an OME-Zarr.

    After an exception nothing is left behind.

    Parameters
    ----------
    path : Path
        Target folder, ``.zarr``; missing folders above it are made.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None writes a mask without a pixel size.
    provenance : mapping
        Values that JSON can hold.
    grey : callable, optional
        ``read(rows, columns)`` of the micrograph, uint8: the image that the labels belong to.
        Without one the mask itself is shown as the image.

    Raises
    ------
    MudrockError
        If it cannot be written, or something else stands there.
    """
    with placing_store(path, _HINT) as part:
        labels = Labels(part, PHASES, shape, np.uint8)
        image = None if grey is None else PyramidWriter(part, "", shape, np.uint8, "mean")

        def append(rows: slice, phases: npt.NDArray[np.uint8]) -> None:
            labels.write_rows(phases)
            if grey is not None and image is not None:
                image.write_rows(grey(rows, slice(0, shape[1])))

        mask = MaskRows(shape, provenance, append)
        yield mask
        mask.check_end()
        told = _add_size(mask.provenance, pixel_size)
        labels.write_metadata(pixel_size, told, _describe_phases())
        shown = (
            labels.pyramid.describe(path.stem, pixel_size, f"labels/{PHASES}/")
            if image is None
            else image.describe(path.stem, pixel_size)
        )
        write_root(part, shown, [PHASES], told)


class Labels:
    """A label image of an OME-Zarr on its way."""

    def __init__(self, root: Path, name: str, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        self._root, self.name = root, name
        self.pyramid = PyramidWriter(root, f"labels/{name}", shape, dtype, "nearest")
        self.write_rows = self.pyramid.write_rows

    def write_metadata(
        self, size: PixelSize | None, provenance: Mapping[str, Any], looks: Mapping[str, Any]
    ) -> None:
        """Write what the label image is."""
        ome = {
            "version": VERSION,
            "multiscales": [self.pyramid.describe(self.name, size)],
            "image-label": {**looks, "source": {"image": "../../"}},
        }
        place = f"labels/{self.name}"
        pixels = hash_file(self._root / place / "0")
        attributes = {"ome": ome, PROVENANCE: _plain(provenance), _PIXELS: pixels}
        write_group(self._root, place, attributes)


def write_root(
    root: Path, shown: Mapping[str, Any], labels: list[str], provenance: Mapping[str, Any]
) -> None:
    """Write the metadata of the image, and the list of its labels."""
    known = {key: provenance[key] for key in _IN_ROOT if key in provenance}
    write_group(root, "labels", {"ome": {"version": VERSION, "labels": labels}})
    ome = {"version": VERSION, "multiscales": [dict(shown)]}
    write_group(root, "", {"ome": ome, PROVENANCE: _plain({"software": "mudrock"} | known)})


def write_instances(
    path: Path,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    bands: Iterable[npt.NDArray[Any]],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
) -> None:
    """Write an OME-Zarr whose label image ``instances`` numbers grains and pores.

    Parameters
    ----------
    path : Path
        Target folder, ``.zarr``.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Of the labels.
    bands : iterable of ndarray, shape (rows, columns)
        The rows from top to bottom, in bands of any height.
    pixel_size : PixelSize or None
        None writes labels without a pixel size.
    provenance : mapping
        That of the mask.

    Raises
    ------
    MudrockError
        If it cannot be written, or something else stands there.
    """
    with placing_store(path, _HINT) as part:
        labels = Labels(part, INSTANCES, shape, dtype)
        for band in bands:
            labels.write_rows(band)
        told = _add_size(provenance, pixel_size)
        labels.write_metadata(pixel_size, told, {})
        shown = labels.pyramid.describe(path.stem, pixel_size, f"labels/{INSTANCES}/")
        write_root(part, shown, [INSTANCES], told)


def is_untouched(path: Path) -> bool:
    """Tell whether a store of `writing_zarr` holds the labels that it wrote, and no others."""
    place = path / "labels" / PHASES
    labels = {entry.name for entry in place.parent.iterdir() if entry.is_dir()}
    told = (read_json(path, place, "zarr.json") or {}).get("attributes")
    return (
        labels == {PHASES}
        and isinstance(told, dict)
        and told.get(_PIXELS) == hash_file(place / "0")
    )


def _add_size(provenance: Mapping[str, Any], size: PixelSize | None) -> dict[str, Any]:
    """Return a provenance with the pixel size, which is read back with where it came from."""
    told = {"pixel_size_nm": size.nm, "pixel_size_source": size.source} if size else {}
    return {**provenance, **told}


def _describe_phases() -> dict[str, Any]:
    """Return the colours and the names of the phases, as ``image-label`` has them."""
    return {
        "colors": [
            {"label-value": int(phase), "rgba": [*colour, 255]} for phase, colour in COLOURS.items()
        ],
        "properties": [
            {"label-value": int(phase), "phase": phase.name.lower()} for phase in COLOURS
        ],
    }


def _plain(facts: Mapping[str, Any]) -> Any:
    """Return values as JSON gives them back, in a fixed order."""
    return json.loads(json.dumps(dict(facts), sort_keys=True, allow_nan=False))
