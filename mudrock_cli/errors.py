"""The one exception that reaches the user as a line, and the exit codes of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of every subcommand."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class MudrockError(Exception):
    """An expected failure: bad input, an unwritable folder, a wrong recipe.

    Parameters
    ----------
    message : str
        What is wrong, naming the file and the reason, on one line.
    hint : str
        What the user can do about it, on one line.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MudrockError):
    """A command line that cannot be carried out at all (exit code 2)."""


# Turn whatever a decoder raises on a broken file into one line that names the file.

_HINT = "check the file, or export it again as TIFF or PNG"


def describe(error: BaseException) -> str:
    """Return the first line of an error's text, short enough for a terminal."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


@contextmanager
def reading(path: Path, hint: str = _HINT) -> Iterator[None]:
    """Re-raise every error from a decoder as a `MudrockError` naming `path`.

    Decoders of hostile files raise nearly every class of exception (Pillow raises even
    ``SyntaxError``), so all are caught here, and only here; the cause stays chained.

    Raises
    ------
    MudrockError
        In place of any other `Exception`.
    """
    try:
        yield
    except MudrockError:
        raise
    except FileNotFoundError as error:
        raise MudrockError(f"{path}: no such file", "check the path") from error
    except PermissionError as error:
        raise MudrockError(f"{path}: {describe(error)}", "allow reading the file") from error
    except MemoryError as error:
        raise MudrockError(
            f"{path}: decoding needs more memory than there is", "save it as a tiled TIFF"
        ) from error
    except Exception as error:
        raise MudrockError(f"{path}: cannot be read ({describe(error)})", hint) from error
