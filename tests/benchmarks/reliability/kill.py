"""Kill commands at random moments; look at what they leave, run them again, compare the results.

    python tests/benchmarks/reliability/kill.py --kills 50 --commands segment,train

Every run is a fork of a process that has imported all it needs, so that a kill costs a run and no
start. Each is killed with SIGKILL or SIGTERM, in turn, at a moment drawn evenly from the time that
an undisturbed run takes. Then

- every file that has its final name must be, byte for byte, that of the undisturbed run (or the
  file of before): so it is whole; a model must load or have no card;
- the command runs again, to the end, and the folder must be, byte for byte, that of the
  undisturbed run, with no stray file. Of a training the weights are compared number by number,
  and the log but for its times.

A mismatch is printed and makes the exit code 1. `train` learns with run_eagerly and without the
network compiled for CPUs, which would cost a start of TensorFlow for every kill.
"""

import argparse
import contextlib
import csv
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from mudrock_cli import cli  # noqa: E402
from mudrock_cli.errors import MudrockError  # noqa: E402

SIGNALS = (signal.SIGKILL, signal.SIGTERM)
PATIENCE = 300  # seconds after which a run hangs
_MOST_TRIES = 4
Content = Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A command, its inputs, and how its results are compared."""

    prepare: Callable[[Path], None]
    words: Callable[[Path, Path], list[str]]
    read: Callable[[Path], Content]
    start: Callable[[], None] = lambda: None
    check: Callable[[Path], None] = lambda out: None


@dataclass
class Tally:
    """What became of the kills of one signal."""

    kills: int = 0
    midway: int = 0
    finished: int = 0
    finals: int = 0
    strays: int = 0
    moments: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


# Inputs


def draw_grey(seed: int, side: int) -> np.ndarray:
    """Draw blocks of dark, middling and bright grey with noise over them."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 120, 120, 230], (side // 20 + 1, side // 20 + 1))
    grey = np.kron(blocks, np.ones((20, 20)))[:side, :side] + rng.normal(0, 5, (side, side))
    return np.clip(grey, 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, side: int) -> None:
    """Write micrographs of 100 nm pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        grey, unit = draw_grey(number, side), {"unit": "um"}
        path = folder / f"{number:02}.tif"
        tifffile.imwrite(path, grey, imagej=True, resolution=(10, 10), metadata=unit)


def write_masks(folder: Path) -> None:
    """Write masks, and the report of one of them, which is there before the kills."""
    from mudrock_cli.image.mask import PhaseMask, write_mask
    from mudrock_cli.image.pixel_size import PixelSize

    for number in range(3):
        grey = draw_grey(number, 100)
        phases = np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8)
        mask = PhaseMask.from_array("m", phases, PixelSize(100.0, "test"))
        write_mask(folder / "masks" / f"{number}.tif", mask)
    run(["stats", str(folder / "masks" / "0.tif"), "--out", str(folder / "before" / "r.parquet")])


def write_model(folder: Path) -> None:
    """Write images, and a model whose network is three thresholds."""
    import openvino
    from openvino import opset13 as ops

    from mudrock_cli.deeplab.recipe import Recipe
    from mudrock_cli.deeplab.zoo import seal_model

    write_images(folder / "images", 4, 150)
    model = folder / "tiny"
    model.mkdir()
    table = {"data": {"nm_per_pixel": 100.0}, "inference": {"tile": 64, "overlap": 16}}
    recipe = Recipe.from_dict({"network": {"encoder": "mobilenetv2"}, **table})
    (model / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
    np.savez(model / "weights.npz", nothing=np.zeros(1, np.float16))
    grey = ops.parameter([-1, 64, 64, 1], np.float32, name="grey")
    slopes = ops.constant(np.array([0, 0.2, -0.2], np.float32).reshape(1, 1, 1, 3))
    offsets = ops.constant(np.array([0, -36, 12], np.float32).reshape(1, 1, 1, 3))
    network = openvino.Model([ops.softmax(grey * slopes + offsets, axis=3)], [grey])
    openvino.save_model(network, model / "cpu.xml")
    seal_model(model, {"temperature": 1.0})


def write_rock(folder: Path) -> None:
    """Write micrographs with labels, and a recipe that trains in a second."""
    from PIL import Image

    write_images(folder / "rock" / "images", 3, 80)
    (folder / "rock" / "labels").mkdir()
    for number in range(3):
        grey = draw_grey(number, 80)
        labels = np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8)
        Image.fromarray(labels).save(folder / "rock" / "labels" / f"{number:02}.png")
    (folder / "tiny.toml").write_text(
        '[network]\narchitecture = "unet"\nencoder = "plain"\nunet_channels = 2\nunet_levels = 1\n'
        "batch_norm_decay = 0.9\n[data]\nnm_per_pixel = 100.0\ncrop = [32, 32]\ntile = [0, 0]\n"
        '[optimizer]\nname = "adamw"\nrate = 1e-2\ndecay_steps = 0\n'
        "[training]\nbatch = 2\nepochs = 4\nsteps_per_epoch = 1\n"
        "[inference]\ntile = 32\noverlap = 8\n",
        "utf-8",
    )


# Results


def read_files(out: Path) -> Content:
    """Return the bytes of all files that have their final names."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(p.relative_to(out)): p.read_bytes() for p in paths if not p.name.startswith(".")}


def read_training(out: Path) -> Content:
    """Return the weights of a model and the steps of its training, times left out."""
    from mudrock_cli.deeplab.weights import read_arrays

    if not (out / "card.json").is_file():
        return {}
    arrays = read_arrays(out / "weights.npz")
    rows = list(csv.DictReader((out / "training" / "log.csv").open()))
    card = json.loads((out / "card.json").read_text("utf-8"))
    if card["training"]["ended"] == "interrupted":
        return {}
    told = {name: card.get(name) for name in ("iou", "temperature", "pixel_accuracy")}
    steps = [{k: v for k, v in row.items() if k not in ("seconds", "waited")} for row in rows]
    numbers = {name: value.tobytes() for name, value in arrays.items()}
    return {"weights": numbers, "log": steps, "card": told}


def check_model(out: Path) -> None:
    """Raise where a model folder has a card but is no whole model, or a checkpoint is damaged."""
    from mudrock_cli.deeplab.weights import read_arrays
    from mudrock_cli.deeplab.zoo import load_model

    if (out / "card.json").is_file():
        load_model(str(out))
    for path in out.rglob("*.npz"):
        if not path.name.startswith("."):
            read_arrays(path)


def check_report(out: Path) -> None:
    """Raise where tables do not open, or are of two runs and are taken for one."""
    import pyarrow.parquet as pq

    from mudrock_cli.report.tables import read_tables

    instances, summary = (pq.read_table(out / name) for name in ("r.parquet", "r.summary.parquet"))
    told = instances["image"].unique().to_pylist()
    rows = [row["image"] for row in summary.to_pylist() if row["scope"] == "image"]
    try:
        read_tables(out / "r.parquet")
    except MudrockError:
        return
    if sorted(told) != sorted(rows):
        raise AssertionError(f"instances of {told} taken with a summary of {rows}")


def cheapen_training() -> None:
    """Train without a graph, and leave the network compiled for CPUs out."""
    import keras

    from mudrock_cli.deeplab import model_folder

    compile_model = keras.Model.compile

    def compile_eager(self: Any, **options: Any) -> None:
        compile_model(self, **options | {"run_eagerly": True, "jit_compile": False})

    keras.Model.compile = compile_eager
    model_folder.compile_for_cpu = lambda folder, temperature: None


def train_words(folder: Path, out: Path) -> list[str]:
    """Return the command that begins a training, or goes on with it."""
    words = ["train", str(folder / "rock"), "--out", str(out)]
    if (out / "training" / "order.json").is_file():
        return [*words, "--resume"]
    return [*words, "--recipe", str(folder / "tiny.toml"), "--init", "scratch"]


SCENARIOS = {
    "segment": Scenario(
        write_model,
        lambda folder, out: [
            *("segment", str(folder / "images"), "--out", str(out), "--engine", "openvino"),
            *("--model", str(folder / "tiny"), "--save", "overlay,confidence,instances"),
        ],
        read_files,
    ),
    "groundtruth": Scenario(
        lambda folder: write_images(folder / "images", 4, 120),
        lambda folder, out: [
            *("groundtruth", str(folder / "images"), "--out", str(out), "--save", "overlay")
        ],
        read_files,
    ),
    "stats": Scenario(
        write_masks,
        lambda folder, out: ["stats", str(folder / "masks"), "--out", str(out / "r.parquet")],
        read_files,
        check=check_report,
    ),
    "train": Scenario(write_rock, train_words, read_training, cheapen_training, check_model),
}


# Runs


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


def kill_once(
    scenario: Scenario, folder: Path, expected: Content, stop: signal.Signals, moment: float
) -> tuple[Counter[str], list[str]]:
    """Kill one run, and look at what it leaves; returns counts and faults."""
    out, counts, faults = folder / "out", Counter[str](), list[str]()
    before = lay_out(folder, out)
    LOG.write_text("")
    process = start(scenario.words(folder, out))
    code = wait(process, moment)
    if code is None:
        os.kill(process, stop)
        code = wait(process, PATIENCE)
        counts["midway"] += code != 0
        if code is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            faults.append(f"goes on for {PATIENCE} s after {stop.name}")
        elif code not in (0, -stop, 130):
            faults.append(f"ends with {code} after {stop.name}: {LOG.read_text()[-500:]}")
    counts["finished"] += code == 0
    counts["strays"] += count_strays(out)
    try:
        scenario.check(out)
    except Exception as error:
        faults.append(f"partial: {error!r}")
    if scenario.read is read_files:
        found = read_files(out)
        counts["finals"] += len(found)
        for name, content in found.items():
            if content not in (expected.get(name), before.get(name)):
                faults.append(f"partial: {name}")
    try:
        run(scenario.words(folder, out))
    except RuntimeError as error:
        faults.append(f"resuming: {error}")
    after = scenario.read(out)
    different = [name for name in {*expected, *after} if expected.get(name) != after.get(name)]
    faults += [f"resumed and different: {name}" for name in sorted(different)]
    faults += [f"{count_strays(out)} stray files after resuming"] * (count_strays(out) > 0)
    return counts, faults


def lay_out(folder: Path, out: Path) -> Content:
    """Empty the output folder but for what is there before every run."""
    shutil.rmtree(out, ignore_errors=True)
    if (folder / "before").is_dir():
        shutil.copytree(folder / "before", out)
    return read_files(out)


def count_strays(out: Path) -> int:
    """Count what has no final name."""
    return sum(path.name.startswith(".") for path in out.rglob("*"))


def kill_command(name: str, kills: int, seed: int) -> dict[str, Tally]:
    """Kill a command at random moments, and tally."""
    scenario = SCENARIOS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"kill-{name}-"))
    scenario.start()
    scenario.prepare(folder)
    out = folder / "out"
    seconds, contents = [], []
    for _ in range(3):  # undisturbed runs are equal, or nothing below means anything
        lay_out(folder, out)
        seconds.append(run(scenario.words(folder, out)))
        contents.append(scenario.read(out))
        for module in MODULES.read_text().splitlines():  # what it has imported, a fork need not
            with contextlib.suppress(Exception):
                importlib.import_module(module)
    if not contents[0] or contents[0] != contents[1] or contents[1] != contents[2]:
        raise AssertionError(f"{name}: undisturbed runs differ")
    dice = random.Random(f"{name} {seed}")
    tallies = {stop.name: Tally() for stop in SIGNALS}
    for number in range(_MOST_TRIES * kills):
        stop = SIGNALS[number % len(SIGNALS)]
        if tallies[stop.name].midway == kills // len(SIGNALS):
            continue  # a run that was through before its moment does not count
        moment = dice.uniform(0.0, min(seconds))
        counts, faults = kill_once(scenario, folder, contents[0], stop, moment)
        tally = tallies[stop.name]
        tally.kills += 1
        tally.moments.append(moment)
        tally.midway += counts["midway"]
        tally.finished += counts["finished"]
        told = "killed" if counts["midway"] else "through"
        print(f"{name} {stop.name} {told} at {moment:.3f} s", file=sys.stderr, flush=True)
        tally.finals += counts["finals"]
        tally.strays += counts["strays"]
        tally.faults += [f"{name} {stop.name} at {moment:.3f} s: {fault}" for fault in faults]
        for fault in faults:
            print(f"{name} {stop.name} at {moment:.3f} s: {fault}", flush=True)
    shutil.rmtree(folder)
    return tallies


def main() -> int:
    """Kill, and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--kills", type=int, default=50, help="of each command, half with each signal"
    )
    parser.add_argument("--commands", default=",".join(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "command      signal   runs   killed  finals seen  strays left  faults  seconds", flush=True
    )
    faults = 0
    for name in options.commands.split(","):
        began = time.monotonic()
        for stop, tally in kill_command(name, options.kills, options.seed).items():
            faults += len(tally.faults)
            print(
                f"{name:12} {stop:8} {tally.kills:5} {tally.midway:7} {tally.finals:12} "
                f"{tally.strays:12} {len(tally.faults):7} {time.monotonic() - began:8.0f}",
                flush=True,
            )
    return 1 if faults else 0


LOG = Path(tempfile.mkdtemp(prefix="kill-log-")) / "log"
MODULES = LOG.with_name("modules")

if __name__ == "__main__":
    sys.exit(main())
