"""What every batch says alike: bars where stderr is a terminal, one line per trouble everywhere."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from mudrock_cli.commands.log.events import note, note_error
from mudrock_cli.errors import MudrockError

MOST_ROWS = 40
"""Of a closing table; a thousand rows tell nobody anything."""


class Narration:
    """Bars, warnings and errors on stderr, and in the log where one is kept.

    Parameters
    ----------
    noun : str
        What is worked on, for the bar: ``images``.
    total : int
        Number of inputs.
    json_lines : bool
        Say results as JSON lines on stdout, and the rest on stderr.
    """

    def __init__(self, noun: str, total: int, *, json_lines: bool) -> None:
        self.json_lines = json_lines
        self.stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self._warnings: Counter[str] = Counter()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.stderr,
            disable=not self.stderr.is_terminal,
            transient=True,
        )
        self._batch = self._bars.add_task(noun, total=total)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def image(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar for one image; yields ``advance(done, total)``."""
        task = self._bars.add_task(escape(shorten(name, 30)), total=None)
        try:
            yield lambda done, total: self._bars.update(task, completed=done, total=total)
        finally:
            self._bars.remove_task(task)

    def count(self) -> None:
        """Move the bar of the batch by one input."""
        self._bars.advance(self._batch)

    def warn(self, kind: str, message: str) -> None:
        """Say a line that stops nothing; of many of one kind, only the first and their number."""
        note("warning", kind=kind, message=message)
        if kind not in self._warnings:
            self.stderr.print(Text(f"warning: {message}"))
        self._warnings[kind] += 1

    def tell_error(self, error: MudrockError) -> None:
        """Say in a line why an input failed."""
        note_error(error)
        hint = f"; {error.hint}" if error.hint else ""
        self.stderr.print(Text(f"error: {error.message}{hint}"))

    def write_line(self, line: Mapping[str, Any]) -> None:
        """Write a JSON line on stdout, at once."""
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def end(self) -> None:
        """Remove the bars, and say how many warnings of a kind there were."""
        self._bars.stop()
        for kind, count in self._warnings.items():
            if count > 1:
                self.stderr.print(Text(f"warning: {count} images in all: {kind}"))


def shorten(name: str, width: int) -> str:
    """Return the end of a name that is too long for its column."""
    return name if len(name) <= width else f"…{name[1 - width :]}"
