"""``--scheduler``: the connection to a Dask cluster."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from mudrock_cli import __version__
from mudrock_cli.commands.cluster.workers import SAME, Cluster, explain_version
from mudrock_cli.errors import UsageError
from mudrock_cli.image.bad_input import describe

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE = 8  # seconds to wait for a scheduler
_HELP = "start one: dask scheduler, and dask worker ADDRESS on every machine"


@contextmanager
def open_cluster(address: str | None) -> Iterator[Cluster | None]:
    """Connect to a scheduler, if one is named; yields None otherwise.

    Raises
    ------
    UsageError
        If Dask is not installed, the scheduler cannot be reached or is lost, or a worker has
        another version of mudrock.
    """
    if address is None:
        yield None
        return
    try:
        import distributed
    except ImportError as error:
        hint = "pip install 'mudrock[cluster]'"
        raise UsageError("--scheduler: Dask is not installed", hint) from error
    _hush()
    try:
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = describe(error)
        raise UsageError(f"--scheduler {address}: cannot be reached ({reason})", _HELP) from error
    try:
        _check_versions(client, address)
        yield Cluster(client)
    finally:
        with suppress(Exception):  # Dask's closing now and then trips over itself: nobody's loss
            client.close(timeout=_PATIENCE)


def _hush() -> None:
    """Keep Dask from logging at length, with tracebacks, what is said in a line here."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _check_versions(client: "Client", address: str) -> None:
    def ask() -> str:  # defined here, it travels whole: a worker may have no mudrock at all
        try:
            from mudrock_cli import __version__ as found
        except ImportError:
            return "none"
        return found

    try:
        versions = client.run(ask)
    except Exception as error:  # another Python does not even understand the question
        reason = describe(error)
        raise UsageError(f"--scheduler {address}: cannot use its workers ({reason})", SAME) from (
            error
        )
    for worker, version in versions.items():
        if version != __version__:
            raise explain_version(worker, version, __version__)
    if not versions:
        typer.echo(f"warning: {address} has no workers yet; waiting for them", err=True)
