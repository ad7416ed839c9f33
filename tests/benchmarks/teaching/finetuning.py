"""What a few labelled tiles teach a network that never saw the micrograph, and what it forgets.

Forgetting is judged twice: on the micrographs that the network was trained on, which flatter it
before, and on those that it never saw, neither before nor now.

Run from the checkout, with a model for each source micrograph that it was trained without:

    python tests/benchmarks/teaching/finetuning.py --without 17=models/without_17 ...
    python tests/benchmarks/teaching/finetuning.py --duvernay [--scratch IMAGENET.npz]

It reads `kumano` and `duvernay` in `../shared/data`, a folder beside the checkout. README.md tells
how the models are made, and has the table.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

start_backend()  # without its notices

from mudrock_cli.cross_validation import (  # noqa: E402
    TrainingConfiguration,
    plan_training,
    run_training,
)
from mudrock_cli.deeplab.dataset import Sample, load_samples  # noqa: E402
from mudrock_cli.deeplab.model import TrainedModel, load_model  # noqa: E402
from mudrock_cli.image.mask import open_mask  # noqa: E402
from mudrock_cli.image.micrograph import open_micrograph  # noqa: E402
from mudrock_cli.image.types import Box, Phase  # noqa: E402
from mudrock_cli.measure.scores import compute_iou, count_confusion  # noqa: E402
from mudrock_cli.proposal import cover, lay_tiles, propose_tiles  # noqa: E402
from mudrock_cli.segmentation import open_engine, segment_bands  # noqa: E402

Grey = npt.NDArray[np.uint8]
Iou = npt.NDArray[np.float64]
Boxes = list[tuple[slice, slice]]
DATA = ROOT / ".." / "shared" / "data"
GRID = 5  # large micrographs hold 5 × 5 tiles
PROPOSED = 384  # pixels: side of the tiles that are proposed, or drawn to be compared with these
SHOWN = 0.02  # share of a tile from which on it shows a phase
ALONE = (0.0, 0.0, 0.0, 0.0)


class Quiet:
    """A watcher that only says what begins."""

    def on_stage(self, title: str, epochs: int = 0) -> None:
        print(f"  {title}", file=sys.stderr, flush=True)

    def on_step(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        pass

    def on_epoch(self, row: Mapping[str, float | None]) -> None:
        pass


def cut_grid(shape: tuple[int, int]) -> Boxes:
    """Return the tiles of a large micrograph, or the halves of a single one."""
    rows, columns = (GRID, GRID) if min(shape) > 1000 else (1, 2)
    edges = [
        np.rint(np.linspace(0, size, n + 1)).astype(int)
        for size, n in zip(shape, (rows, columns), strict=True)
    ]
    return [
        (slice(edges[0][row], edges[0][row + 1]), slice(edges[1][column], edges[1][column + 1]))
        for row in range(rows)
        for column in range(columns)
    ]


def lay_squares(shape: tuple[int, ...]) -> Boxes:
    """Return the tiles among which `propose` chooses, and that may be drawn instead."""
    boxes = lay_tiles(Box(0, 0, shape[0], shape[1]), PROPOSED)
    return [(box.rows, box.columns) for box in boxes]


def choose_proposed(sample: Sample, model: TrainedModel, count: int) -> Boxes:
    """Choose the tiles that `mudrock propose` would."""
    with tempfile.TemporaryDirectory() as folder:
        micrograph = sample.micrograph(model.nm_per_pixel)
        covered = cover("a", micrograph, model, PROPOSED, Path(folder, "mask.tif"))
    found = propose_tiles([covered], count)
    return [(one.tile.box.rows, one.tile.box.columns) for one in found]


def choose_tiles(labels: Grey, boxes: Boxes, phases: Sequence[int], count: int, seed: int) -> Boxes:
    """Choose tiles at random among those that show the phases, as somebody who paints would."""
    telling = [
        box
        for box in boxes
        if all(float((labels[box] == phase).mean()) > SHOWN for phase in phases)
    ]
    chosen: Boxes = []
    for index in np.random.default_rng(seed).permutation(len(telling)):
        if len(chosen) < count and not any(overlap(telling[index], box) for box in chosen):
            chosen.append(telling[index])
    return chosen


def overlap(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def divide(sample: Sample, chosen: Boxes) -> tuple[Sample, Sample]:
    """Return a micrograph labelled in the chosen tiles alone, and everywhere else."""
    inside = np.zeros(sample.labels.shape, bool)
    for box in chosen:
        inside[box] = True
    void = np.uint8(Phase.VOID)
    taught = replace(sample, labels=np.where(inside, sample.labels, void), as_given=None)
    return taught, replace(sample, labels=np.where(inside, void, sample.labels), as_given=None)


def train(
    sample: Sample, recipe: str, init: str, out: Path, settings: Sequence[str]
) -> tuple[TrainedModel, float]:
    """Train as `mudrock train` does; return the model and the minutes."""
    began = time.monotonic()
    wanted = TrainingConfiguration.from_options(recipe, settings, init, None, 0, None)
    outcome = run_training(plan_training(wanted, [sample], out, out), Quiet())
    return outcome.model, (time.monotonic() - began) / 60


def judge(model: TrainedModel, samples: Sequence[Sample], *, prior: bool) -> Iou:
    """Return IoU of clay, silt and pore over the labelled pixels of some micrographs."""
    engine, recipe = open_engine(model), model.recipe
    if not prior:
        recipe = replace(recipe, inference=replace(recipe.inference, workflow=ALONE))
    counts = np.zeros((3, 3), np.int64)
    for sample in samples:
        bands = segment_bands(
            sample.micrograph(model.nm_per_pixel),
            recipe,
            lambda: engine,
            temperature=model.temperature,
        )
        phases = np.concatenate([band.phases for band in bands])
        counts += count_confusion(sample.labels, phases)[:, :3]
    return compute_iou(counts)


def show(iou: Iou) -> str:
    return " / ".join("–" if np.isnan(value) else f"{value:.3f}" for value in iou)


def teach_kumano(
    starts: Mapping[str, Path], counts: Sequence[int], ways: Sequence[str], settings: Sequence[str]
) -> None:
    print("| source | tiles | chosen | network alone, before → after | with the prior |", end="")
    print(" known ones, alone | never seen, alone | minutes | share |\n" + "| --- " * 9 + "|")
    gains: dict[tuple[int, str], list[list[Iou]]] = {}
    for source, path in starts.items():
        start = load_model(str(path))
        samples = load_samples(DATA / "kumano", start.recipe.data).samples
        by_name = {sample.name: sample for sample in samples}
        sample = by_name.pop(f"kumano_{source}")
        trained = start.card["data"]["parts"]["train"]["parents"]
        known = [by_name.pop(name) for name in trained]
        others = [known, list(by_name.values())]
        before = [judge(start, part, prior=False) for part in others]
        for count in counts:
            for way in ways:
                chosen = choose(sample, start, way, count)
                if len(chosen) < count:
                    continue
                taught, rest = divide(sample, chosen)
                with tempfile.TemporaryDirectory() as folder:
                    out = Path(folder, "mine")
                    model, minutes = train(taught, "finetune", str(path), out, settings)
                    both = (start, model)
                    pairs = [
                        [judge(one, [rest], prior=prior) for one in both] for prior in (False, True)
                    ]
                    after = [judge(model, part, prior=False) for part in others]
                    pairs += map(list, zip(before, after, strict=True))
                cells = " | ".join(" → ".join(map(show, pair)) for pair in pairs)
                share = model.card["finetuning"]["share"]
                line = f"| {source} | {count} | {way} | {cells} | {minutes:.1f} | {share:g} |"
                print(line, flush=True)
                change = [new - old for old, new in pairs]
                gains.setdefault((count, way), []).append(change)
    for (count, way), rows in gains.items():
        cells = " | ".join(map(show, np.nanmean(rows, axis=0)))
        print(f"| mean change | {count} | {way} | {cells} | | |")


def choose(sample: Sample, start: TrainedModel, way: str, count: int) -> Boxes:
    """Choose tiles: ``random``, by another seed ``random-2``, ``squares-1``, or ``proposed``."""
    if way == "proposed":
        return choose_proposed(sample, start, count)
    name, _, seed = way.partition("-")
    shape = (sample.labels.shape[0], sample.labels.shape[1])
    boxes = lay_squares(shape) if name == "squares" else cut_grid(shape)
    if len(boxes) == count:  # nothing would be left to judge on
        return []
    return choose_tiles(sample.labels, boxes, (0, 1, 2), count, int(seed or 0))


def join_duvernay() -> tuple[Sample, Boxes]:
    """Return the micrograph that all crops of Duvernay are of, and where each of them lies.

    They lie on a grid of half their side, so quarters of theirs are equal pixel by pixel.
    """
    names = sorted((DATA / "duvernay" / "images").glob("*.png"))
    greys = [open_micrograph(path).read_specimen()(slice(None), slice(None)) for path in names]
    side = greys[0].shape[0] // 2
    places: dict[str, list[tuple[int, int, int]]] = {}
    for index, grey in enumerate(greys):
        for row in (0, 1):
            for column in (0, 1):
                quarter = grey[row * side :, column * side :][:side, :side]
                key = hashlib.sha256(np.ascontiguousarray(quarter).tobytes()).hexdigest()
                places.setdefault(key, []).append((index, row, column))
    at, waiting = {0: (0, 0)}, [0]
    while waiting:
        known = waiting.pop()
        for group in places.values():
            for row, column in [place[1:] for place in group if place[0] == known]:
                for other, down, right in group:
                    if other not in at:
                        at[other] = (at[known][0] + row - down, at[known][1] + column - right)
                        waiting.append(other)
    top, left = (min(place[axis] for place in at.values()) for axis in (0, 1))
    boxes = {
        index: (
            slice((row - top) * side, (row - top + 2) * side),
            slice((column - left) * side, (column - left + 2) * side),
        )
        for index, (row, column) in at.items()
    }
    shape = tuple(max(box[axis].stop for box in boxes.values()) for axis in (0, 1))
    whole = np.full(shape, int(np.mean(greys[0])), np.uint8)
    labels = np.full(shape, Phase.VOID, np.uint8)
    for index, box in boxes.items():
        whole[box] = greys[index]
        mask = open_mask(DATA / "duvernay" / "labels" / names[index].name)
        labels[box] = mask.phases()  # 1 grain, which is silt; 0 everything else, taken as clay
    print(f"{len(boxes)} of {len(names)} crops joined, {shape[0]} × {shape[1]} pixels")
    return Sample("duvernay", "duvernay", whole, labels), list(boxes.values())


def teach_duvernay(
    start: str, counts: Sequence[int], seeds: int, settings: Sequence[str], scratch: str | None
) -> None:
    sample, boxes = join_duvernay()
    known = load_model(start)
    print("| crops | seed | IoU of grain: start → fine-tuned | with the prior | minutes |", end="")
    print(" share | from ImageNet | minutes |\n" + "| --- " * 8 + "|")
    for count in counts:
        for seed in range(seeds):
            chosen = choose_tiles(sample.labels, boxes, (0, 1), count, seed)
            taught, rest = divide(sample, chosen)
            with tempfile.TemporaryDirectory() as folder:
                model, minutes = train(taught, "finetune", start, Path(folder, "mine"), settings)
                cells = [
                    " → ".join(
                        f"{judge(one, [rest], prior=prior)[Phase.SILT]:.3f}"
                        for one in (known, model)
                    )
                    for prior in (False, True)
                ]
                line = f"| {count} | {seed} | {cells[0]} | {cells[1]} | {minutes:.1f} |"
                line += f" {model.card['finetuning']['share']:g} |"
                if scratch:
                    whole = ["data.parts=[1,0,0]"]
                    anew, longer = train(taught, "fast", scratch, Path(folder, "anew"), whole)
                    value = judge(anew, [rest], prior=False)[Phase.SILT]
                    line += f" {value:.3f} | {longer:.1f} |"
                else:
                    line += " – | – |"
            print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", action="append", default=[], metavar="SOURCE=MODEL")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--duvernay", action="store_true")
    parser.add_argument("--start", default="kumano", help="that of Duvernay")
    parser.add_argument("--crops", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--scratch", metavar="FILE", help="train Duvernay anew, too, from this")
    parser.add_argument(
        "--ways",
        nargs="+",
        default=["random"],
        help="to choose tiles: random, random-1 (another seed), proposed, squares (as large as "
        "proposed ones, at random)",
    )
    parser.add_argument("--seeds", type=int, default=1, help="choices of crops, of Duvernay")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    global DATA
    DATA = options.data or DATA
    starts = dict(text.split("=", 1) for text in options.without)
    if starts:
        paths = {source: Path(path) for source, path in starts.items()}
        teach_kumano(paths, options.tiles, options.ways, options.set)
    if options.duvernay:
        teach_duvernay(options.start, options.crops, options.seeds, options.set, options.scratch)


if __name__ == "__main__":
    main()
