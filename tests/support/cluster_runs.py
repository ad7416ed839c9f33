"""A command here and on a cluster."""

from pathlib import Path

from command_runs import run
from typer.testing import Result


def read_all(folder: Path) -> dict[str, bytes]:
    """Return all files but the unfinished one of a killed worker, which the next run removes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part"]
    return {path.name: path.read_bytes() for path in files}


def run_both(out: Path, address: str, *words: object) -> tuple[Result, Result]:
    """Run a command here and on the cluster; the files must be the same."""
    here = run(*words, "--out", out / "here" / "r.parquet" if words[0] == "stats" else out / "here")
    there = run(
        *words,
        "--out",
        out / "there" / "r.parquet" if words[0] == "stats" else out / "there",
        "--scheduler",
        address,
    )
    assert here.exit_code == there.exit_code, there.output
    files = read_all(out / "here")
    assert files
    assert read_all(out / "there") == files
    return here, there
