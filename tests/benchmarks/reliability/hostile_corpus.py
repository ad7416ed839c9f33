"""Feed broken files to every reader and tally what became of them.

    python tests/benchmarks/reliability/hostile_corpus.py [--files 1500] [--no-bombs] [--keep DIR]

No traceback, no hang past 10 s, no more than 500 MB over the baseline, no wrong pixel size. A
second process reads; a watch-dog ends it when it hangs.
"""

import argparse
import json
import selectors
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hostile_bombs import make_bombs
from hostile_breaks import Case, break_seed
from hostile_seeds import Seed, make_record_seeds, make_seeds, read_vendor_files
from hostile_zarr import make_zarr_bombs, make_zarr_seeds

READERS = Path(__file__).with_name("hostile_readers.py")
SECONDS = 10
"""Of a processor, since a busy machine makes everything wait."""
_PATIENCE = 200
BYTES = 500e6
_OUTCOMES = ("read", "refused", "warned", "failures")


def make_all_seeds() -> list[Seed]:
    """Return a valid file of every reader."""
    return [*make_seeds(), *make_record_seeds(), *make_zarr_seeds()]


def make_cases(count: int, seed: int, *, real: bool = True, bombs: bool = True) -> list[Case]:
    """Return `count` random breaks, spread evenly over all seeds, and every bomb."""
    seeds = [*make_all_seeds(), *(read_vendor_files() if real else [])]
    cases = [Case(one, "whole", (one.nm,)) for one in seeds]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        cases.append(break_seed(seeds[number % len(seeds)], rng))
    return [*cases, *([*make_bombs(), *make_zarr_bombs()] if bombs else [])]


class Reader:
    """A process that reads files; a new one where the last hung or died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, kind: str, path: Path) -> dict[str, Any]:
        """Return what `hostile_readers.read` tells of a file, or how the process ended."""
        process = self._process or self._start()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            ready = waiting.select(_PATIENCE)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.close()
            died = f"died ({process.returncode})" if ready else f"hung past {_PATIENCE} s"
            return {"failure": died}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, str(READERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with tempfile.TemporaryDirectory() as folder:  # whatever is imported once is baseline
            for seed in make_all_seeds():
                self.read(seed.kind, write_case(Path(folder), Case(seed, "", ())))
        self.read("warm", Path())
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None


def write_case(folder: Path, case: Case) -> Path:
    """Write the files of a case; return the one to open."""
    for name, data in case.seed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / next(iter(case.seed.files)).partition("/")[0]


def judge(case: Case, told: dict[str, Any]) -> str:
    """Return what is wrong with the outcome of a case, or nothing."""
    if "failure" in told:
        return str(told["failure"])
    if told.get("bytes", 0) > BYTES:
        return f"{told['bytes'] / 1e6:.0f} MB over the baseline"
    if told.get("seconds", 0) > SECONDS:
        return f"{told['seconds']:.0f} s of processor"
    nm = told.get("nm")
    fitting = any(
        nm is None if size is None else nm is not None and abs(nm / size - 1) < 1e-6
        for size in case.sizes
    )
    if told["result"] == "read" and not fitting:
        return f"wrong pixel size: {nm}, not {case.sizes[0]}"
    return ""


def run(cases: Iterable[Case], keep: Path | None = None) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Read every case; yield it with its outcome, `wrong` and `case` among it."""
    reader = Reader()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number, case in enumerate(cases):
                if number % 200 == 0:
                    print(f"{number} done", file=sys.stderr, flush=True)
                path = write_case(Path(folder, str(number)), case)
                told = reader.read(case.seed.kind, path)
                wrong = judge(case, told)
                if wrong and keep is not None:
                    write_case(keep / str(number), case)
                yield case, {**told, "wrong": wrong, "case": number}
    finally:
        reader.close()


def main() -> None:
    """Run the corpus and print the tally by format.

    Of the files that are read, those count as warned too that lost their pixel size, or have one
    with a remark.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--bombs", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    options = parser.parse_args()
    cases = make_cases(options.files, options.seed, bombs=options.bombs)
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    slowest = most = 0.0
    for case, told in run(cases, options.keep):
        counts = tally[case.seed.format]
        counts["files"] += 1
        slowest, most = max(slowest, told.get("seconds", 0)), max(most, told.get("bytes", 0))
        if told["wrong"]:
            counts["failures"] += 1
            print(f"{told['case']} {case.seed.format}: {case.how}: {told['wrong']}", flush=True)
        else:
            counts[told["result"]] += 1
            lost = case.seed.nm is not None and told.get("nm") is None
            counts["warned"] += told["result"] == "read" and bool(lost or told.get("note"))
    print(f"{'format':28}{'files':>7}" + "".join(f"{name:>10}" for name in _OUTCOMES))
    tally["all"] = sum(tally.values(), Counter())
    for name, counts in tally.items():
        print(f"{name:28}{counts['files']:7}" + "".join(f"{counts[o]:10}" for o in _OUTCOMES))
    print(f"slowest {slowest:.1f} s, most memory {most / 1e6:.0f} MB over the baseline")
    sys.exit(bool(tally["all"]["failures"]))


if __name__ == "__main__":
    main()
