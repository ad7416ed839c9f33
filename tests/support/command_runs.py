"""Runs of the command line in this process, and what they write."""

import signal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.measure.tables import read_table, summary_path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the project, from which ``python -m mudrock_cli`` finds it."""


def run(*words: object) -> Result:
    """Run a command line on a terminal of eighty columns; what is no known error is raised."""
    spoken = [str(word) for word in words]
    return CliRunner().invoke(app, spoken, env={"COLUMNS": "80"}, catch_exceptions=False)


def segment(model: TrainedModel, *arguments: str | Path) -> Result:
    """Run `segment` with a model."""
    return run("segment", "--model", model.path, *arguments)


def stats(*arguments: str | Path) -> Result:
    """Run `stats`."""
    return run("stats", *arguments)


def read_summary(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the summary beside a table of instances."""
    rows: list[dict[str, Any]] = read_table(summary_path(path), "summary")[0].to_pylist()
    return rows


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs: they, and so their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
