"""What the metadata of an OME-Zarr tell: axes, levels, pixel size, labels, provenance.

References
----------
Moore, J. et al. (2021). OME-NGFF: a next-generation file format for expanding bioimaging
data-access strategies. Nature Methods 18, 1496-1498. Versions 0.4 and 0.5: ngff.openmicroscopy.org.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import locate, read_json
from mudrock_cli.image.types import Facts, parse_nm

PHASES = "phases"
"""Name of the label image that is a mask."""

_HINT = "convert it to OME-Zarr 0.4 or 0.5, for example with bioformats2raw"
_AXES = frozenset("tczyx")
_MAX_LEVELS = 32
_RGB = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True)
class Group:
    """A Zarr group and its attributes.

    Parameters
    ----------
    root : Path
        The store it belongs to.
    folder : Path
        Its folder.
    zarr_format : int
        2 or 3.
    ome : Mapping
        What NGFF defines.
    attributes : Mapping
        All attributes.
    """

    root: Path
    folder: Path
    zarr_format: int
    ome: Mapping[str, Any]
    attributes: Mapping[str, Any]

    def open(self, path: str) -> "Group":
        """Open a group below this one."""
        return open_group(self.root, locate(self.root, self.folder, path))

    @property
    def label_names(self) -> list[str]:
        """Names of the label images of this image."""
        if not (self.folder / "labels").is_dir():
            return []
        names = _as_list(self.open("labels").ome.get("labels"))
        return [name for name in names if isinstance(name, str)]


@dataclass(frozen=True)
class Multiscale:
    """One image in several resolutions.

    Parameters
    ----------
    group : Group
        Where it stands.
    paths : tuple of str
        Its arrays, the largest first.
    axes : tuple of str
        Names; the last two are ``y`` and ``x``.
    rgb : bool
        Three channels are red, green and blue.
    facts : Facts or None
        Pixel size, where axes tell their unit.
    """

    group: Group
    paths: tuple[str, ...]
    axes: tuple[str, ...]
    rgb: bool
    facts: Facts | None


def open_group(root: Path, folder: Path) -> Group:
    """Read the attributes of a Zarr group.

    Raises
    ------
    MudrockError
        If it is none, or of a version that is not known.
    """
    found = read_json(root, folder, "zarr.json")
    if found is not None:
        attributes = _as_dict(found.get("attributes"))
        if found.get("node_type") != "group":
            raise MudrockError(f"{folder}: a bare Zarr array, no OME-Zarr", _HINT)
        ome = _as_dict(attributes.get("ome"))
        _check_version(folder, ome.get("version", "0.5"), "0.5")
        return Group(root, folder, 3, ome, attributes)
    attributes = read_json(root, folder, ".zattrs") or {}
    if not attributes and read_json(root, folder, ".zgroup") is None:
        raise MudrockError(f"{folder}: neither zarr.json nor .zattrs in it, no OME-Zarr", _HINT)
    for entry in _as_list(attributes.get("multiscales")):
        _check_version(folder, _as_dict(entry).get("version", "0.4"), "0.4")
    return Group(root, folder, 2, attributes, attributes)


def find_image(path: Path) -> Group:
    """Find the group of the image in a store.

    Raises
    ------
    MudrockError
        If there is no image, or several.
    """
    group = open_group(path, path)
    if "plate" in group.ome or "well" in group.ome:
        raise MudrockError(f"{path}: a plate of many images", f"name one: {path}/A/1/0")
    if "multiscales" in group.ome or "bioformats2raw.layout" not in group.ome:
        return group
    series = [folder.name for folder in path.iterdir() if folder.name.isdecimal()]
    if len(series) != 1:
        raise MudrockError(f"{path}: {len(series)} images in one store", f"name one: {path}/0")
    return group.open(series[0])


def read_multiscale(group: Group) -> Multiscale:
    """Read and check the metadata of a multiscale image.

    Raises
    ------
    MudrockError
        If they are missing, or tell of something else than one plane.
    """
    folder = group.folder
    entries = _as_list(group.ome.get("multiscales"))
    if not entries:
        raise MudrockError(f"{folder}: no multiscales in its attributes, no OME-Zarr image", _HINT)
    entry = _as_dict(entries[0])
    axes = [_as_dict(axis) for axis in _as_list(entry.get("axes"))]
    names = tuple(axis.get("name") for axis in axes)
    if names[-2:] != ("y", "x") or len(set(names)) != len(names) or not _AXES.issuperset(names):
        shown = ", ".join(str(name) for name in names) or "none"
        raise MudrockError(f"{folder}: axes {shown}; expected t, c, z, y, x or fewer", _HINT)
    datasets = [_as_dict(each) for each in _as_list(entry.get("datasets"))][:_MAX_LEVELS]
    paths = tuple(each.get("path") for each in datasets)
    if not paths or not all(isinstance(path, str) for path in paths):
        raise MudrockError(f"{folder}: its multiscales name no arrays", _HINT)
    return Multiscale(
        group=group,
        paths=tuple(map(str, paths)),
        axes=tuple(map(str, names)),
        rgb=_is_rgb(group.ome),
        facts=_read_scale(entry, datasets[0], axes),
    )


def _read_scale(
    entry: Mapping[str, Any], dataset: Mapping[str, Any], axes: Sequence[Mapping[str, Any]]
) -> Facts | None:
    """Return the size of a pixel of the largest level, None where anything of it is missing."""
    factors = _find_scale(dataset, len(axes))
    if factors is None:
        return None
    common = _find_scale(entry, len(axes)) or [1.0] * len(axes)
    sizes = [
        parse_nm(f"{factors[place] * common[place]!r} {axes[place].get('unit')}")
        for place in (-1, -2)
    ]
    if sizes[0] is None or sizes[1] is None:
        return None
    return Facts("OME-Zarr scale", (sizes[0], sizes[1]))


def _find_scale(node: Mapping[str, Any], count: int) -> list[float] | None:
    for transform in _as_list(node.get("coordinateTransformations")):
        factors = _as_list(_as_dict(transform).get("scale"))
        if len(factors) != count:
            continue
        if all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in factors):
            numbers = [float(each) for each in factors]
            return numbers if all(math.isfinite(each) and each > 0 for each in numbers) else None
    return None


def _is_rgb(ome: Mapping[str, Any]) -> bool:
    channels = _as_list(_as_dict(ome.get("omero")).get("channels"))
    colours = tuple(str(_as_dict(channel).get("color", "")).upper() for channel in channels)
    return colours == _RGB


def _check_version(folder: Path, found: object, expected: str) -> None:
    if found != expected:
        raise MudrockError(f"{folder}: OME-Zarr {found}; known are 0.4 and 0.5", _HINT)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
