"""Text files written beside their place and moved into it: a file that exists is whole."""

import os
from pathlib import Path

from mudrock_cli.errors import MudrockError


def write_text(path: Path, text: str) -> None:
    """Write a text file; where that fails, what was there before stays.

    Raises
    ------
    MudrockError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MudrockError(f"{path}: cannot be written ({reason})", "make room there") from error
    finally:
        temporary.unlink(missing_ok=True)
