"""Turn whatever a decoder raises on a broken file into one line that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mudrock_cli.errors import MudrockError

_HINT = "check the file, or export it again as TIFF or PNG"


def describe(error: BaseException) -> str:
    """Return the first line of an error's text, short enough for a terminal."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


@contextmanager
def refusing(path: Path, hint: str = _HINT) -> Iterator[None]:
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
