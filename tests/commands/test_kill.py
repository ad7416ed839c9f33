"""Runs that are killed, a few of those of tests/benchmarks/reliability/kill.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "reliability" / "kill.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_killed_runs_leave_nothing_partial_and_resume_to_the_same_bytes(tmp_path: Path) -> None:
    commands = ("groundtruth", "stats")
    words = [sys.executable, str(SCRIPT), "--kills", "2", "--commands", ",".join(commands)]
    words += ["--tally", str(tmp_path / "kills.jsonl")]
    for kills in ("2", "4", "4"):  # goes on where it was; the third time nothing is left to do
        words[3] = kills
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
        assert [row[:2] for row in rows] == [
            [command, stop] for command in commands for stop in ("SIGKILL", "SIGTERM")
        ]
        for row in rows:
            runs, midway, finals = map(int, row[2:5])
            assert runs >= midway >= 1  # killed in the middle, not after the end
            assert finals >= 0
            assert row[5] == row[7] == row[9] == "0"
            assert row[8] == f"{midway} of {midway}"
    assert not done.stderr
