"""A window reader that travels to another process as the name of its file."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.window import Reader

_OPEN_FILES = 4  # that a process keeps at hand; their readers cache decoded pixels


class FileReader:
    """Read windows of a file, which is opened again where the reader is unpickled.

    Parameters
    ----------
    opener : callable
        ``opener(path, *options)`` returns a window reader; importable by name.
    path : Path
        The file.
    *options
        Hashable.
    read : callable, optional
        The reader, where the file is open already.
    """

    def __init__(
        self,
        opener: Callable[..., Reader],
        path: Path,
        *options: Any,
        read: Reader | None = None,
    ) -> None:
        self._opener, self._path, self._options, self._read = opener, path, options, read

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the pixels of a window.

        Raises
        ------
        MudrockError
            If the file cannot be opened or read.
        """
        if self._read is None:
            with refusing(self._path):
                known = self._path.stat()
            version = known.st_size, known.st_mtime_ns
            self._read = _open_again(self._opener, self._path, self._options, version)
        return self._read(rows, columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileReader, (self._opener, self._path.absolute(), *self._options)


@lru_cache(_OPEN_FILES)
def _open_again(
    opener: Callable[..., Reader], path: Path, options: tuple[Any, ...], version: tuple[int, int]
) -> Reader:
    """Open a file once for all parts of it; `version` tells a changed file from the old one."""
    return opener(path, *options)
