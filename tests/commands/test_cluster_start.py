"""What is checked before a cluster works: scheduler, versions, files."""

import socket
import sys
import time
from pathlib import Path

import pytest
from command_runs import run
from distributed import Client, LocalCluster

from mudrock_cli.errors import ExitCode


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "nonsense", "http://127.0.0.1:{}"])
def test_no_scheduler_is_said_at_once(noisy_images: Path, tmp_path: Path, address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    words = [
        "stats",
        noisy_images,
        "--out",
        tmp_path / "r.parquet",
        "--scheduler",
        address.format(port),
    ]
    result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "cannot be reached" in result.stderr
    assert "hint: start one: dask scheduler" in result.stderr
    assert time.monotonic() - start < 20


def test_without_dask_it_says_what_to_install(
    noisy_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("stats", noisy_images, "--out", tmp_path / "r.parquet", "--scheduler", "tcp://x:1")
    assert result.exit_code == ExitCode.USAGE
    assert "hint: pip install 'mudrock[cluster]'" in result.stderr


def test_a_worker_that_sees_no_files_or_has_another_version_is_told(
    noisy_images: Path, tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["groundtruth", noisy_images, "--pixel-size", "100nm", "--out", tmp_path / "m"]
    words += ["--scheduler", workers.scheduler_address]
    with monkeypatch.context() as patch:
        patch.setattr("mudrock_cli.commands.cluster._look", lambda wanted: (0, "is blind", "ö"))
        result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert f"{noisy_images / '0.png'}: the worker tcp://" in result.stderr
    assert "is blind" in result.stderr
    with monkeypatch.context() as patch:
        patch.setattr("mudrock_cli.commands.cluster.__version__", "9.9")
        result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "has mudrock 0" in result.stderr
    with monkeypatch.context() as patch:
        # seen by tasks only
        patch.setattr("mudrock_cli.commands.cluster.__version__", "9.9")
        result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "not 9.9" in result.stderr
    assert not list((tmp_path / "m").iterdir())


def test_a_connection_that_does_not_close_hides_nothing(
    noisy_images: Path, tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(client: Client, *args: object, **options: object) -> None:
        before = client.status
        shut(client, *args, **options)
        assert before != "running"  # as an assertion of its own does, now and then

    shut = Client.close
    words = ["groundtruth", noisy_images, "--pixel-size", "100nm", "--out", tmp_path / "m"]
    words += ["--scheduler", workers.scheduler_address]
    with monkeypatch.context() as patch:
        patch.setattr(Client, "close", close)
        assert run(*words).exit_code == ExitCode.DONE
        patch.setattr("mudrock_cli.commands.cluster.__version__", "9.9")
        assert run(*words).exit_code == ExitCode.USAGE
