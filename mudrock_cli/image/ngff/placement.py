"""New stores, which replace nothing but stores that mudrock made."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.ngff.metadata import holds_mask
from mudrock_cli.image.placement import placing


@contextlib.contextmanager
def placing_store(path: Path, hint: str) -> Iterator[Path]:
    """Yield an empty folder to write a store to, and move it into its place; see `placing`.

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
    with placing(path, hint) as part:
        part.mkdir()
        yield part


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file, or a folder of somebody's data, by a store.

    Raises
    ------
    MudrockError
        If something stands at `path` that mudrock did not make.
    """
    if not path.exists() or (path.is_dir() and (holds_mask(path) or not any(path.iterdir()))):
        return
    raise MudrockError(f"{path}: is there already, and not mudrock's", "choose another --out")
