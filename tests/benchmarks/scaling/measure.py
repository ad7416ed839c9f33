"""Time and memory of mosaics of growing size, here and on workers of this machine.

    python tests/benchmarks/scaling/measure.py --pixels 1e7 1e8 1e9 --workers 0 1 2 4

Every run is a process of its own, on a fresh mosaic of synthetic mudstone, and so are scheduler
and workers (one thread each). Besides the seconds on the clock those of computing are taken, of
command and workers together: on a machine that is busy with something else only they compare.
Masks and tables are hashed: of one mosaic they must be the same with any number of workers.
With ``--times`` runs with all numbers of workers take turns, and means are kept. Results are added
to ``--results``, a JSON file, which ``plot.py`` draws. Linux only.
"""

import argparse
import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import tifffile
from scipy.ndimage import gaussian_filter

from mudrock_cli.image.mask import create_mask
from mudrock_cli.image.types import Phase, PixelSize

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
PATCH = 2048
Grey = npt.NDArray[np.uint8]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for, and add the figures to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--commands", nargs="+", default=["stats", "groundtruth"])
    parser.add_argument("--pixels", nargs="+", type=float, default=[1e7, 1e8])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1], help="0: in process")
    parser.add_argument("--times", type=int, default=1, help="runs of each")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--scratch", type=Path, help="folder for mosaics; a temporary one")
    asked = parser.parse_args(arguments)
    results = json.loads(asked.results.read_text()) if asked.results.is_file() else []
    with tempfile.TemporaryDirectory(dir=asked.scratch) as scratch:
        for pixels in asked.pixels:
            for command in asked.commands:
                source = write_mosaic(Path(scratch), command, round(math.sqrt(pixels)))
                about = {"command": command, "pixels": round(math.sqrt(pixels)) ** 2}
                runs = [
                    measure(Path(scratch), command, source, count) | about
                    for count in asked.workers * asked.times
                ]
                source.unlink()
                for row in average(runs):
                    print(json.dumps(row), flush=True)
                    results = [*(old for old in results if not _is_same(old, row)), row]
                asked.results.write_text(json.dumps(results, indent=1) + "\n")


def average(runs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of workers: the means of its runs, or the largest memory."""
    hashes = {run["sha256"] for run in runs}
    if len(hashes) > 1:
        raise SystemExit(f"{runs[0]['command']}: the outputs differ between runs")
    for count in dict.fromkeys(run["workers"] for run in runs):
        own = [run for run in runs if run["workers"] == count]
        means = {
            name: round(sum(run[name] for run in own) / len(own), 1)
            for name in ("seconds", "cpu_here", "cpu_workers")
        }
        peaks = {
            name: max(run[name] for run in own) for name in ("megabytes_here", "megabytes_worker")
        }
        computing = [run["cpu_here"] + run["cpu_workers"] for run in own]
        spread = {"least": round(min(computing), 1), "most": round(max(computing), 1)}
        yield own[0] | means | peaks | {"runs": len(own), "computing": spread}


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("command", "pixels", "workers"))


def measure(folder: Path, command: str, source: Path, count: int) -> dict[str, Any]:
    """Run a command on a mosaic with so many workers; 0 runs it in one process."""
    out = folder / "out"
    words = [sys.executable, "-m", "mudrock_cli", command, str(source)]
    if command == "stats":
        words += ["--out", str(out / "r.parquet")]
    else:
        words += ["--out", str(out), "--force", "--pixel-size", "10nm"]
    with start_workers(count) as (address, workers):
        words += ["--scheduler", address] if address else []
        before = sum(map(_cpu_seconds, workers))
        start = time.monotonic()
        process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
        there = sum(map(_cpu_seconds, workers)) - before
        peaks = [_peak_megabytes(worker) for worker in workers]
    return {
        "workers": count,
        "seconds": round(seconds, 1),
        "cpu_here": round(usage.ru_utime + usage.ru_stime, 1),
        "cpu_workers": round(there, 1),
        "megabytes_here": round(usage.ru_maxrss / 1024),
        "megabytes_worker": round(max(peaks, default=0)),
        "sha256": _hash_outputs(out),
    }


@contextmanager
def start_workers(count: int) -> Iterator[tuple[str | None, list[psutil.Process]]]:
    """Start a scheduler and workers of one thread each, as on a cluster."""
    if not count:
        yield None, []
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    started = [_start("scheduler", "--port", address.rpartition(":")[2])]
    options = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0")
    started += [_start("worker", address, *options) for _ in range(count)]
    try:
        _await_workers(address, count)
        yield address, [psutil.Process(process.pid) for process in started[1:]]
    finally:
        for process in started[::-1]:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _start(kind: str, *options: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, "--no-dashboard"]
    none = subprocess.DEVNULL
    # Dask's profiler looks every 10 ms on the clock: on a busy machine that is no small share.
    environment = ENVIRONMENT | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
    return subprocess.Popen(words, env=environment, stdout=none, stderr=none)


def _await_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout=120) as client:
        client.wait_for_workers(count, timeout=300)
        client.run(_warm_up)


def _warm_up() -> None:
    """Import what a worker of a long campaign has imported long ago."""
    import imagecodecs
    import scipy.sparse.csgraph  # noqa: F401

    for codec in (imagecodecs.zstd_encode, imagecodecs.zlib_encode, imagecodecs.zlib_decode):
        codec.__name__  # noqa: B018  imported at the first look


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_megabytes(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _hash_outputs(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
        path.unlink()
    return digest.hexdigest()[:16]


def write_mosaic(folder: Path, command: str, side: int) -> Path:
    """Write a square mask, or a micrograph, of a pattern that repeats every 2048 pixels."""
    rng = np.random.default_rng(0)
    grain, pore, noise = (
        gaussian_filter(rng.standard_normal((PATCH, PATCH)), sigma, mode="wrap")
        for sigma in (40.0, 4.5, 1.5)
    )
    silt = grain > 1.1 * grain.std()
    holes = (pore > 1.8 * pore.std()) & ~silt
    path = folder / "mosaic.tif"
    if command == "stats":
        phases = np.select([silt, holes], [Phase.SILT, Phase.PORE], Phase.CLAY).astype(np.uint8)
        with create_mask(path, (side, side), PixelSize(10, "synthetic"), {}) as writer:
            for rows in _repeat(phases, side):
                writer.write_rows(rows)
        return path
    grey = 130 + 30 * silt - 90 * holes + 12 * noise / noise.std()
    tile, image = 1024, np.clip(grey, 0, 255).astype(np.uint8)
    count = -(-side // tile)

    def tiles() -> Iterator[Grey]:
        for row in range(count):
            for column in range(count):
                top, left = row % 2 * tile, column % 2 * tile
                yield image[top : top + tile, left : left + tile]

    size = {"shape": (side, side), "dtype": np.uint8, "tile": (tile, tile)}
    tifffile.imwrite(path, tiles(), compression="zlib", photometric="minisblack", **size)
    return path


def _repeat(patch: Grey, side: int) -> Iterator[Grey]:
    wide = np.tile(patch, (1, -(-side // PATCH)))[:, :side]
    for top in range(0, side, PATCH):
        yield wide[: min(PATCH, side - top)]


if __name__ == "__main__":
    main()
