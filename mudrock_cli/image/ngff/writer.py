"""Write masks and instance labels as OME-Zarr, by bands."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.checksum import hash_file
from mudrock_cli.image.mask_rows import MaskRows
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
