"""Runs of the command line, in this process."""

import signal
from pathlib import Path

from typer.testing import CliRunner, Result

from mudrock_cli.cli import app

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the project, from which ``python -m mudrock_cli`` finds it."""


def run(*words: object) -> Result:
    """Run a command line on a terminal of eighty columns; what is no known error is raised."""
    spoken = [str(word) for word in words]
    return CliRunner().invoke(app, spoken, env={"COLUMNS": "80"}, catch_exceptions=False)


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs: they, and so their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
