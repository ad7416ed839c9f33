"""Texts without what is private in them: folders, the user's name, the machine's."""

import contextlib
import getpass
import os
import platform
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# A folder may have blanks in its name, so an absolute path goes on to its last separator before
# a sign that ends it. Better a word too many is lost than a name is told.
_END = r"\n:\"'<>|*?"
_ABSOLUTE = re.compile(rf"(?<![\w.~])(?:~\w*|[A-Za-z]:)?/(?:[^/{_END}]*/)*")
_RELATIVE = re.compile(rf"(?:[^\s/{_END},;()\[\]{{}}=]+/)+")
_FOLDER_OPTIONS = ("--out", "--figures")  # which may name what is not there yet
_NOBODY = {"", "root", "localhost", "user", "host"}


class Censor:
    """Leaves of every path its file name, and of user and machine nothing.

    Parameters
    ----------
    words : sequence of str
        The command line, whose folders are known even where their names look like prose.
    """

    def __init__(self, words: Sequence[str]) -> None:
        folders = sorted(filter(None, map(_to_text, _known_folders(words))), key=len, reverse=True)
        either = "|".join(map(re.escape, dict.fromkeys(folders)))
        below = rf"/(?:[^/{_END}]*/)*"
        self._folder = re.compile(rf"(?<![A-Za-z0-9])(?:{either})({below}|(?![A-Za-z0-9]))")
        node = platform.node()
        names = dict.fromkeys((_user(), *(home.name for home in _homes())), "user")
        names |= {node: "host", node.partition(".")[0]: "host"}
        self._names = [
            (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.I), instead)
            for name, instead in sorted(names.items(), key=lambda item: -len(item[0]))
            if name.lower() not in _NOBODY
        ]

    def __call__(self, told: str | Path) -> str:
        """Return a text without its private parts."""
        text = str(told)
        if os.sep == "\\":
            text = text.replace("\\", "/")
        text = self._folder.sub(lambda found: "" if found[1] else "FOLDER", text)
        if isinstance(told, Path):
            text = text.rpartition("/")[2]
        else:
            text = _RELATIVE.sub("", _ABSOLUTE.sub("", text))
        for name, instead in self._names:
            text = name.sub(instead, text)
        return text


def _user() -> str:
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without a name
        return getpass.getuser()
    return ""


def _homes() -> list[Path]:
    with contextlib.suppress(RuntimeError):  # a user without a home
        return [Path.home()]
    return []


def _known_folders(words: Sequence[str]) -> Iterator[Path]:
    """Yield folders that messages may name."""
    yield from (*_homes(), Path(tempfile.gettempdir()))
    with contextlib.suppress(OSError):  # a folder that was deleted
        yield Path.cwd()
    pairs = list(zip(["", *words], words, strict=False))
    command = next((w for o, w in pairs if not w.startswith("-") and o != "--log"), "")
    for option, word in pairs:
        if word == command:  # there may be a folder of its name
            continue
        path = Path(word.partition("=")[2] if word.startswith("-") else word)
        yield from (*path.parents, *path.absolute().parents)
        with contextlib.suppress(OSError, ValueError):
            if path.is_dir() or (option in _FOLDER_OPTIONS and not path.suffix):
                yield from (path, path.absolute(), path.resolve())


def _to_text(folder: Path) -> str:
    text = folder.as_posix().rstrip("/")
    return "" if text == "." else text
