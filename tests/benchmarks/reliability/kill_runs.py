"""Run the command line in forks of a process that has imported what it needs."""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from mudrock_cli import cli  # noqa: E402

PATIENCE = 300
"""Seconds after which a run hangs."""

LOG = Path(tempfile.mkdtemp(prefix="kill-log-")) / "log"
MODULES = LOG.with_name("modules")


def start(words: list[str]) -> int:
    """Run the command line in a fork; returns its process."""
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        for number in (1, 2):
            os.dup2(os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), number)
        sys.argv = ["mudrock", *words]
        cli.main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 98
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        MODULES.write_text("\n".join(sorted(sys.modules)))
        os._exit(code)


def wait(process: int, seconds: float) -> int | None:
    """Return the status of a process that ends in time, else None."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def run(words: list[str]) -> float:
    """Run the command line to its end; returns its seconds."""
    LOG.write_text("")
    began = time.monotonic()
    process = start(words)
    code = wait(process, PATIENCE)
    if code is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if code != 0:
        raise RuntimeError(f"{' '.join(words)}: exit code {code}\n{LOG.read_text()[-2000:]}")
    return time.monotonic() - began
