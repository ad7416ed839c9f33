"""Small text files that somebody else may have written: recipes, cards, tables of names."""

import csv
import io
import tomllib
from pathlib import Path
from typing import Any

from mudrock_cli.errors import MudrockError, describe

_MOST_BYTES = 1 << 22
_MOST_TOML = 1 << 15  # its reader takes minutes for a key of a hundred thousand dots


def read_text(path: Path, hint: str = "", encoding: str = "utf-8") -> str:
    """Read a text file, within reason.

    Parameters
    ----------
    path : Path
        File.
    hint : str
        What to do where it is none.
    encoding : str
        How it is written.

    Raises
    ------
    MudrockError
        If it is no regular file (a pipe would be waited for), larger than 4 MB, or no text.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise MudrockError(f"{path}: cannot be read (not a file)", hint)
        if size > _MOST_BYTES:
            raise MudrockError(
                f"{path}: cannot be read ({size / 1e6:.0f} MB are too many for a text)", hint
            )
        return path.read_text(encoding)
    except UnicodeError as error:
        raise MudrockError(f"{path}: cannot be read (no text in {encoding})", hint) from error
    except OSError as error:
        raise MudrockError(f"{path}: cannot be read ({describe(error)})", hint) from error


def read_rows(path: Path, hint: str) -> list[dict[str, str]]:
    """Read a CSV with a header as a dictionary a row; a cell that is missing is empty.

    Parameters
    ----------
    path : Path
        File, in UTF-8 with or without its mark.
    hint : str
        What such a file should be.

    Raises
    ------
    MudrockError
        If it is no text, or no CSV.
    """
    text = io.StringIO(read_text(path, hint, "utf-8-sig"))
    try:
        rows = list(csv.DictReader(text, restval=""))
    except csv.Error as error:
        raise MudrockError(f"{path}: cannot be read ({error})", hint) from error
    return [{key: value for key, value in row.items() if key is not None} for row in rows]


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML.

    Parameters
    ----------
    text : str
        What may be TOML.
    source : str
        Where it is from, for the message.

    Raises
    ------
    MudrockError
        If it is none, is endless, nests too deep or holds a number of thousands of digits.
    """
    if len(text) > _MOST_TOML:
        raise MudrockError(f"{source} is not valid TOML: {len(text)} letters are too many")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MudrockError(f"{source} is not valid TOML: {describe(error)}") from error
