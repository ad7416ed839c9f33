"""New stores: written as a hidden folder beside their place and renamed into it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.ngff.metadata import holds_mask
from mudrock_cli.image.placement import part_path


@contextlib.contextmanager
def placing_store(path: Path, hint: str) -> Iterator[Path]:
    """Yield a folder to write a store to, and rename it into its place.

    After an exception nothing is left behind, and what stood at `path` before stays.

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
    part = part_path(path)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if hasattr(os, "sync"):
            os.sync()  # all of its files, before any stands at its place
        _rename(part, path)
    except OSError as error:
        raise MudrockError(f"{path}: cannot be written ({describe(error)})", hint) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


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


def _rename(part: Path, path: Path) -> None:
    """Put the store where an older one may stand, which is moved out of the way first."""
    old = part_path(path.with_name(f"{path.name}.old"))
    with contextlib.suppress(FileNotFoundError):
        path.rename(old)
    try:
        part.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
