"""Runs that are killed, a few of those of tests/benchmarks/reliability/kill.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "reliability" / "kill.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_killed_runs_leave_nothing_partial_and_resume_to_the_same_bytes() -> None:
    words = [sys.executable, str(SCRIPT), "--kills", "4", "--commands", "groundtruth,stats"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows] == [
        [command, stop] for command in ("groundtruth", "stats") for stop in ("SIGKILL", "SIGTERM")
    ]
    assert all(int(row[3]) >= 1 for row in rows)  # killed in the middle, not after the end
