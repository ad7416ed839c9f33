"""Texts without what is private in them: folders, the user's name, the machine's."""

import contextlib
import getpass
import os
import platform
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

# A folder may have blanks in its name, so an absolute path goes on to its last separator before
# a sign that ends it. Better a word too many is lost than a name is told.
_END = r"\n:\"'<>|*?"
_ABSOLUTE = re.compile(rf"(?<![\w.~])(?:~\w*|[A-Za-z]:)?/(?:[^/{_END}]*/)*")
_RELATIVE = re.compile(rf"(?:[^\s/{_END},;()\[\]{{}}=]+/)+")
_NOBODY = {"", "root", "localhost", "user", "host"}


class Censor:
    """Leaves of every path its file name, and of user and machine nothing.

    Parameters
    ----------
    words : sequence of str
        The command line, whose folders are known even where their names look like prose.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._folders = sorted(_known_folders(words), key=len, reverse=True)
        names = dict.fromkeys((_user(), Path.home().name), "user")
        node = platform.node()
        names |= {node: "host", node.partition(".")[0]: "host"}
        self._names = [
            (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.I), instead)
            for name, instead in sorted(names.items(), key=lambda item: -len(item[0]))
            if name.lower() not in _NOBODY
        ]

    def __call__(self, text: str) -> str:
        """Return a text without its private parts."""
        if os.sep == "\\":
            text = text.replace("\\", "/")
        for folder in self._folders:
            text = text.replace(folder, "")
        text = _RELATIVE.sub("", _ABSOLUTE.sub("", text))
        for name, instead in self._names:
            text = name.sub(instead, text)
        return text


def _user() -> str:
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without a name
        return getpass.getuser()
    return ""


def _known_folders(words: Iterable[str]) -> set[str]:
    """Return folders that messages may name, each with the separator behind it."""
    places = [Path.home(), Path.cwd(), Path(tempfile.gettempdir())]
    for word in words:
        path = Path(word.partition("=")[2] if word.startswith("-") else word)
        with contextlib.suppress(OSError, ValueError):
            if path.is_dir():
                places += [path, path.resolve()]
        places += [*path.parents, *path.absolute().parents]
    folders = {place.as_posix().rstrip("/") + "/" for place in places}
    return folders - {"/", "./"}
