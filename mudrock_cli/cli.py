"""The command line: the one place where an error becomes a line on stderr and an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mudrock_cli import __version__
from mudrock_cli.commands.evaluate import evaluate
from mudrock_cli.commands.export import export
from mudrock_cli.commands.groundtruth import groundtruth
from mudrock_cli.commands.inspect import inspect
from mudrock_cli.commands.log import keeping_log
from mudrock_cli.commands.models import models
from mudrock_cli.commands.propose import propose
from mudrock_cli.commands.report import report
from mudrock_cli.commands.segment import segment
from mudrock_cli.commands.stats import stats
from mudrock_cli.commands.train import train
from mudrock_cli.errors import ExitCode, MudrockError, UsageError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def _error_boundary() -> Iterator[None]:
    try:
        yield
    except MudrockError as error:
        _print_error(error.message, error.hint)
        usage = isinstance(error, UsageError)
        raise typer.Exit(ExitCode.USAGE if usage else ExitCode.SOME_FAILED) from error
    except KeyboardInterrupt:
        typer.echo("mudrock: interrupted; what was finished is kept", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except OSError as error:
        if error.errno not in _DISK:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _print_error(f"{place}{error.strerror}", "make room there, or write to another place")
        raise typer.Exit(ExitCode.SOME_FAILED) from error


def _print_error(message: str, hint: str) -> None:
    typer.echo(f"mudrock: error: {message}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)


class _Commands(TyperGroup):
    """Runs a subcommand; a known failure ends in one line and a hint, a bug in a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        self._words = list(args)  # before they are taken apart, for the log
        with _error_boundary():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        path, with_paths = ctx.params["log"], ctx.params["log_paths"]
        with _error_boundary(), keeping_log(path, self._words, with_paths=with_paths):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    context_settings={"help_option_names": ["--help", "-h"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mudrock {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted."
)
def face(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Add to this file, as JSON lines, what a bug report needs: versions, hardware, "
            "options, times, errors. Of paths only file names.",
        ),
    ] = None,
    log_paths: Annotated[
        bool, typer.Option("--log-paths", help="Leave folders, user and machine in the log.")
    ] = False,
) -> None:
    """Electron micrographs of mudrocks to phase masks, and masks to tables of pores and grains."""


def _unwrap(text: str) -> str:
    """Join the lines of each paragraph, for a terminal of any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


_COMMANDS = (inspect, segment, stats, models, groundtruth, propose, train, evaluate, report, export)
for _command in _COMMANDS:
    app.command(_command.__name__, help=_unwrap(_command.__doc__ or ""))(_command)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; SIGTERM stops it as cleanly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _stop)
    code: int | str | None = ExitCode.INTERRUPTED
    try:
        app(prog_name="mudrock")
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:  # before or after a subcommand ran
        typer.echo("mudrock: interrupted", err=True)
    if code == ExitCode.INTERRUPTED:
        _leave_at_once()
    sys.exit(code)


def _leave_at_once() -> NoReturn:
    """End without Python's farewell to its threads.

    A thread of a library that is in the middle of its work would be unwound through C++ that does
    not allow it, which aborts the process ("FATAL: exception not rethrown"); and where the
    exception passed through an `exec`, Python would end by SIGINT and not with this code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(ExitCode.INTERRUPTED)
