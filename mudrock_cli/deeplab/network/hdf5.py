"""Numbers from an HDF5 file that somebody else wrote, and nothing that lies outside of it."""

from pathlib import Path
from typing import Any

import numpy as np

from mudrock_cli.deeplab.network.weights import Arrays
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing

_SUSPICIOUS_BYTES = 1 << 28
_SUSPICIOUS_RATIO = 200
_DEEPEST = 64


def read_hdf5(path: Path) -> Arrays:
    """Read all datasets of a file, by their paths.

    Raises
    ------
    MudrockError
        See `check_hdf5`.
    """
    return _open_all(path, keep=True)


def check_hdf5(path: Path) -> None:
    """Refuse a file that is more than a tree of its own numbers.

    HDF5 can point at other files (external links, external and virtual datasets), at itself in
    circles, and promise any size; whoever reads it would follow.

    Raises
    ------
    MudrockError
        If it cannot be read, or holds links, numbers that lie elsewhere, other things than
        numbers, or unfolds beyond reason.
    """
    _open_all(path, keep=False)


def _open_all(path: Path, *, keep: bool) -> Arrays:
    import h5py

    arrays: Arrays = {}
    with refusing(path, "give weights as .npz, or as keras.applications publishes them"):
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise MudrockError(f"{path}: cannot be read (not a file)")
        with h5py.File(path, "r") as file:
            datasets = _walk(path, file, "", set())
            promised = sum(int(data.nbytes) for data in datasets.values())
            stored = path.stat().st_size
            if promised > _SUSPICIOUS_BYTES and promised > _SUSPICIOUS_RATIO * stored:
                raise MudrockError(
                    f"{path}: {stored / 1e6:.1f} MB promise {promised / 1e6:.0f} MB; this looks "
                    "like a bomb"
                )
            if keep:
                arrays = {name: np.asarray(data) for name, data in datasets.items()}
    return arrays


def _walk(path: Path, group: Any, prefix: str, seen: set[int]) -> dict[str, Any]:
    """Return the datasets below a group, each looked at before it is opened for reading."""
    import h5py

    found: dict[str, Any] = {}
    if prefix.count("/") > _DEEPEST:
        raise MudrockError(f"{path}: groups nest too deep")
    for name in group:
        place = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise MudrockError(f"{path}: {place} is a link, not numbers")
        item = group[name]
        address = int(h5py.h5o.get_info(item.id).addr)
        if address in seen:
            raise MudrockError(f"{path}: {place} leads back into the file")
        seen.add(address)
        if isinstance(item, h5py.Group):
            found |= _walk(path, item, f"{place}/", seen)
        elif not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf":
            raise MudrockError(f"{path}: {place} holds no numbers")
        elif item.external or item.is_virtual:
            raise MudrockError(f"{path}: {place} points at another file")
        else:
            found[place] = item
    return found
