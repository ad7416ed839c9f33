import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mudrock_cli import cli

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TEXT = README.read_text("utf-8")


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "mudrock_cli", *words]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def block_after(marker: str) -> str:
    _, found, rest = TEXT.partition(f"<!-- {marker} -->")
    assert found, f"README.md has no <!-- {marker} -->"
    return re.findall(r"^```\w*\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)[0]


def test_every_command_is_documented() -> None:
    for command in cli.app.registered_commands:
        assert f"`mudrock {command.name}`" in TEXT


def test_the_test_command_is_the_one_of_continuous_integration() -> None:
    assert "pytest" in block_after("test-command")
    assert "<!-- test-command -->" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.network
def test_the_commands_of_the_first_screen_do_what_they_say(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    steps = [step.strip() for step in re.split(r"&&|\n", block_after("try-command"))]
    steps = [step for step in steps if step.startswith("mudrock ")]
    assert [step.split()[1] for step in steps] == ["inspect", "segment", "stats", "report"]
    for step in steps:
        done = run(step.split()[1:], tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.parquet").stat().st_size > 0
    assert (tmp_path / "report.html").stat().st_size > 0


@pytest.mark.network
def test_python_on_the_first_screens_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ecd_um" in done.stdout
