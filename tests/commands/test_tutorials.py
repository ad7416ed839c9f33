"""The tutorials do what they say: every block of a page runs, in order, in one folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "examples").glob("*.md"))
NOT_RUN = "<!-- not run: "
BLOCK = re.compile(
    r"(?P<before>[^\n]*)\n```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.M | re.S
)

pytestmark = [
    pytest.mark.network,
    pytest.mark.filterwarnings("default"),  # of programs that a page calls
]


def read_blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and code of the blocks that run; the others say why they do not."""
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [(m["language"], m["code"]) for m in found if not m["before"].startswith(NOT_RUN)]


@pytest.mark.parametrize("page", [p for p in PAGES if read_blocks(p)], ids=lambda page: page.stem)
def test_a_tutorial_runs(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in {"mudrock": "mudrock_cli", "dask": "dask"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}",
        "PATH": os.pathsep.join(
            [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "NO_COLOR": "1",
        "MPLBACKEND": "agg",
    }
    for language, code in read_blocks(page):
        program = ["bash", "-euo", "pipefail"] if language == "sh" else [sys.executable]
        done = subprocess.run(
            [*program, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,  # a forest is trained, perhaps on a slow machine
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        # no traceback of ours; a library may log one while it stops
        assert f'File "{ROOT / "mudrock_cli"}' not in done.stderr, done.stderr
