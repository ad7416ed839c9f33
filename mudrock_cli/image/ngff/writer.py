"""Write masks and instance labels as OME-Zarr, by bands."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.checksum import hash_file
from mudrock_cli.image.mask_writer import check_band
from mudrock_cli.image.ngff.folder import read_json
from mudrock_cli.image.ngff.metadata import PHASES, PROVENANCE
from mudrock_cli.image.ngff.placement import placing_store
from mudrock_cli.image.ngff.pyramid import VERSION, PyramidWriter, write_group
from mudrock_cli.image.phase import COLOURS
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.window import Reader

INSTANCES = "instances"
_PIXELS = "mudrock_pixels"  # their hash: editors change them and leave what stands beside them
_IN_ROOT = ("software", "version", "input", "pixel_size_nm", "pixel_size_source")
_HINT = "choose another --out, or make room"


class ZarrMaskWriter:
    """Write an OME-Zarr whose label image ``phases`` is a mask; use it in a ``with`` block.

    It stands at its place when the block is left; after an exception nothing is left behind.

    Parameters
    ----------
    path : Path
        Target folder, ``.zarr``; missing folders above it are made.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None writes a mask without a pixel size.
    provenance : mapping
        Values that JSON can hold. `provenance` of the writer may be completed before the end.
    grey : callable, optional
        ``read(rows, columns)`` of the micrograph, uint8: the image that the labels belong to.
        Without one the mask itself is shown as the image.

    Raises
    ------
    MudrockError
        If it cannot be written, or something else stands there.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        pixel_size: PixelSize | None,
        provenance: Mapping[str, Any],
        grey: Reader | None = None,
    ) -> None:
        self.path = path
        self.shape = shape
        self.pixel_size = pixel_size
        self.provenance: dict[str, Any] = dict(provenance)
        self._grey = grey
        self._rows_done = 0
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        part = self._exits.enter_context(placing_store(self.path, _HINT))
        with self._undoing():
            self._labels = Labels(part, PHASES, self.shape, np.uint8)
            self._image = (
                PyramidWriter(part, "", self.shape, np.uint8, "mean") if self._grey else None
            )
        self._part = part
        return self

    def write_rows(self, phases: npt.NDArray[np.uint8]) -> None:
        """Append a band.

        Parameters
        ----------
        phases : ndarray of uint8, shape (rows, columns)
            The next rows, as wide as the mask.
        """
        check_band(phases, self.shape, self._rows_done)
        rows = slice(self._rows_done, self._rows_done + len(phases))
        self._rows_done = rows.stop
        self._labels.write_rows(np.array(phases, copy=True))
        if self._image is not None and self._grey is not None and len(phases):
            self._image.write_rows(self._grey(rows, slice(0, self.shape[1])))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            with self._undoing():
                if self._rows_done != self.shape[0]:
                    raise ValueError(f"{self._rows_done} of {self.shape[0]} rows were written")
                self._write_metadata()
        self._exits.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _undoing(self) -> Any:
        """Leave nothing behind where an error comes before the block, or after it."""
        try:
            yield
        except BaseException as error:
            if not self._exits.__exit__(type(error), error, error.__traceback__):
                raise

    def _write_metadata(self) -> None:
        size = self.pixel_size
        told = _add_size(self.provenance, size)
        self._labels.write_metadata(size, told, _describe_phases())
        name = self.path.stem
        shown = (
            self._labels.pyramid.describe(name, size, f"labels/{PHASES}/")
            if self._image is None
            else self._image.describe(name, size)
        )
        write_root(self._part, shown, [PHASES], told)


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
    """Tell whether a store of `ZarrMaskWriter` holds the labels that it wrote, and no others."""
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
