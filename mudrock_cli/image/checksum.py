"""The fingerprint of a file's content, for provenance."""

import hashlib
from pathlib import Path

from mudrock_cli.image.bad_input import refusing


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces.

    Raises
    ------
    MudrockError
        If the file cannot be read.
    """
    with refusing(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
