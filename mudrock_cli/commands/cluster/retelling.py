"""What workers say, in the words of the command line: they run in other folders."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mudrock_cli.errors import MudrockError


def retell(text: str, places: Iterable[Path]) -> str:
    """Return a message of a worker with paths as the user typed them.

    Parameters
    ----------
    text : str
        The message, which names absolute paths.
    places : iterable of Path
        Files and folders as the user typed them; names below a folder are put right, too.
    """
    typed = {str(place.absolute()): str(place) for place in places}
    if not typed:
        return text
    separator = re.escape(os.sep)
    known = "|".join(map(re.escape, sorted(typed, key=len, reverse=True)))

    def shorten(found: re.Match[str]) -> str:
        name = typed[found[1]]
        if name == os.curdir and found[2]:
            return ""
        return name + found[2]

    # A name ends at a separator, or before a sign that goes on no name.
    return re.sub(rf"(?<![\w.{separator}-])({known})({separator}|(?![\w.-]))", shorten, text)


def retell_error(error: MudrockError, places: Iterable[Path]) -> MudrockError:
    """Return the error of a worker with paths as the user typed them."""
    places = list(places)
    told = type(error)(retell(error.message, places), retell(error.hint, places))
    told.__cause__ = error.__cause__
    return told
