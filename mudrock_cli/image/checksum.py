"""The fingerprint of a file's content, for provenance."""

import hashlib
import os
from pathlib import Path

from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.ngff.folder import locate, size_of


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces.

    That of a folder (OME-Zarr) is of the names and the hashes of all files in it.

    Raises
    ------
    MudrockError
        If the file cannot be read, or a folder holds what is no file of it.
    """
    with refusing(path):
        if path.is_dir():
            return _hash_folder(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_folder(path: Path) -> str:
    whole = hashlib.sha256()
    for parent, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            place = locate(path, Path(parent), name)
            if size_of(place) is not None:
                relative = place.relative_to(path).as_posix()
                whole.update(f"{relative}\0{hash_file(place)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()
