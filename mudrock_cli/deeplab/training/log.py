"""The figures of each epoch: a CSV, and the same for TensorBoard."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mudrock_cli.deeplab.training.checkpoint import Row
from mudrock_cli.deeplab.training.event_file import EventFile
from mudrock_cli.image.placement import write_text

CSV = "log.csv"


class TrainingLog:
    """Writes ``log.csv`` whole after every epoch, and appends to TensorBoard's event file.

    Parameters
    ----------
    folder : Path
        Gets both; the events lie in ``tensorboard/``.
    history : sequence of dict
        Epochs of before, of a training that is resumed.

    Raises
    ------
    MudrockError
        If they cannot be written.
    """

    def __init__(self, folder: Path, history: Sequence[Row]) -> None:
        self._path = folder / CSV
        self._rows = list(history)
        self._events = EventFile(folder / "tensorboard")
        if self._rows:  # a kill between checkpoint and log leaves the log an epoch short
            self._write_table()

    def write(self, row: Row) -> None:
        """Add an epoch."""
        self._rows.append(row)
        self._write_table()
        scalars = {name: value for name, value in row.items() if value is not None}
        self._events.write(int(scalars.pop("epoch")), scalars)

    def _write_table(self) -> None:
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        write_text(self._path, text.getvalue())
