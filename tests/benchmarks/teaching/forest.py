"""What strokes and tiles teach in seconds: forests on filters or on features, or the last layer.

Run from the checkout, with a model for each source micrograph that it was trained without:

    python tests/benchmarks/teaching/forest.py --duvernay --without 17=models/without_17

All methods learn from the same labels and are judged on every seventh row and column of what was
not taught. README.md has the table.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import finetuning
from finetuning import Boxes, choose_tiles, cut_grid, divide, join_duvernay, show  # starts Keras

# isort: split

import cv2
import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.forest import (
    Forest,
    ForestRecipe,
    compute_responses,
    grow_trees,
    to_steps,
    train_forest,
)
from mudrock_cli.deeplab.dataset import Sample, load_samples, normalise_samples
from mudrock_cli.deeplab.last_layer import fit_change, with_features
from mudrock_cli.deeplab.model import TrainedModel, load_model
from mudrock_cli.deeplab.network import build_network
from mudrock_cli.deeplab.recipe import load_recipe
from mudrock_cli.deeplab.weights import load_weights
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.scores import compute_iou, count_confusion
from mudrock_cli.segmentation import find_prior

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
STEP, FIRST = 7, 3
SHARE = 0.01  # of a tile's pixels that strokes cover
TREES: Any = {"trees": 50, "depth": 10, "min_leaf": 5, "seed": 1}


def paint(labels: Grey, rng: np.random.Generator) -> Grey:
    """Return labels along random curves inside each phase, 5 to 9 pixels wide, in pores 3 to 5."""
    painted = np.full_like(labels, Phase.VOID)
    phases = [phase for phase in (0, 1, 2) if (labels == phase).sum() > 200]
    goal = SHARE * labels.size / max(1, len(phases))
    for phase in phases:
        inside = labels == phase
        rows, columns = np.nonzero(inside)
        for _ in range(400):
            if (painted == phase).sum() >= goal:
                break
            start = int(rng.integers(len(rows)))
            place, angle = np.array([columns[start], rows[start]], float), rng.uniform(0, 2 * np.pi)
            points = []
            for _ in range(int(rng.integers(10, 60))):
                x, y = place.astype(int)
                if not (0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] and inside[y, x]):
                    break
                points.append((x, y))
                angle += rng.normal(0, 0.25)
                place += 2 * np.array([np.cos(angle), np.sin(angle)])
            width = int(rng.integers(3, 6) if phase == Phase.PORE else rng.integers(5, 10))
            curve = np.zeros(labels.shape, np.uint8)
            cv2.polylines(curve, [np.array(points, np.int32)], False, 1, width)
            painted[(curve > 0) & inside] = phase
    return painted


@dataclass(frozen=True)
class Seen:
    """A micrograph as the methods see it, pixel by pixel.

    Parameters
    ----------
    sample : Sample
        Grey and all labels.
    responses : ndarray of float32, shape (H, W, R)
        Of the filters.
    features, logits : ndarray of float16, shape (H, W, C) and (H, W, 3)
        Of the network.
    prior : ndarray of float32, shape (H, W, 3)
        Factors of the classical prior.
    """

    sample: Sample
    responses: npt.NDArray[np.float32]
    features: npt.NDArray[np.float16]
    logits: npt.NDArray[np.float16]
    prior: npt.NDArray[np.float32]


def look(sample: Sample, model: TrainedModel) -> Seen:
    """Compute everything of a micrograph once."""
    tile, (height, width) = model.recipe.inference.tile, sample.grey.shape
    network = build_network(model.recipe.network, tile, tile)
    load_weights(network, model.weights)
    probe = with_features(network)
    channels = probe.output_shape[-1]
    found = np.empty((height, width, channels), np.float16)
    grey = normalise_samples([sample], model.recipe.data)[0].grey
    began = time.process_time()
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            piece = grey[top : top + tile, left : left + tile].astype(np.float32)
            missing = [(0, tile - side) for side in piece.shape]
            whole = np.pad(piece, missing, mode="symmetric")[None, ..., None]
            part = keras.ops.convert_to_numpy(probe(whole, training=False))[0]
            found[top : top + tile, left : left + tile] = part[: piece.shape[0], : piece.shape[1]]
    seconds = time.process_time() - began
    scales = ForestRecipe().scales
    responses = np.stack(list(compute_responses(sample.grey, scales)), axis=2)
    print(f"{sample.name}: features took {seconds:.0f} CPU seconds", file=sys.stderr)
    factors = np.ones((height, width, 3), np.float32)
    prior = find_prior(sample.micrograph(model.nm_per_pixel), model.recipe, model.temperature)
    if prior:
        factors = prior.factors[np.concatenate(list(prior.bands))]
    return Seen(sample, responses, found[..., :-3], found[..., -3:], factors)


def grow(taught: Floats, phases: Grey, shown: Floats) -> npt.NDArray[np.float32]:
    """Grow a forest on any numbers of pixels; return probabilities of other pixels."""
    low, high = np.quantile(taught, [0.002, 0.998], axis=0).astype(np.float32)
    high = np.maximum(high, low + np.float32(1e-3))

    def step(numbers: Floats) -> Grey:
        columns = np.ascontiguousarray(numbers.T, np.float32)
        return np.stack([to_steps(c, low[i], high[i]) for i, c in enumerate(columns)], axis=1)

    at_node = round(np.sqrt(taught.shape[1]))
    trees = grow_trees(step(taught), phases, features_per_node=at_node, **TREES)
    return trees.predict(step(shown), np.full(3, 1 / 3, np.float32))


def draw(labels: Grey, rng: np.random.Generator, most: int) -> npt.NDArray[np.intp]:
    """Return up to `most` labelled pixels of each phase."""
    places = [rng.permutation(np.flatnonzero(labels == phase))[:most] for phase in (0, 1, 2)]
    return np.concatenate(places)


def compare(
    seen: Seen, taught: Grey, rest: Grey, model: TrainedModel, pull: float
) -> Iterator[tuple[str, float, Floats]]:
    """Yield each method, the CPU seconds of learning, and its probabilities where `rest` tells."""
    rng = np.random.default_rng(0)
    at = np.flatnonzero(rest != Phase.VOID)
    features, logits = (array.reshape(-1, array.shape[2]) for array in (seen.features, seen.logits))
    responses = seen.responses.reshape(-1, seen.responses.shape[2])
    prior = seen.prior.reshape(-1, 3)[at]
    start = logits[at].astype(np.float32)

    def soften(scores: Floats) -> Floats:
        return np.asarray(np.exp(scores / model.temperature))

    yield "start", 0.0, soften(start)
    yield "start, prior", 0.0, soften(start) * prior
    began = time.process_time()
    forest: Forest = train_forest(
        [seen.sample.grey], [taught], ForestRecipe(nm_per_pixel=model.nm_per_pixel)
    )
    seconds = time.process_time() - began
    steps = np.stack(
        [
            to_steps(np.ascontiguousarray(responses[at, i]), low, high)
            for i, (low, high) in enumerate(zip(forest.low, forest.high, strict=True))
        ],
        axis=1,
    )
    yield "forest", seconds, forest.trees.predict(steps, forest.prior)
    drawn = draw(taught, rng, 3_000)
    phases = taught.ravel()[drawn]
    sets: dict[str, list[npt.NDArray[Any]]] = {
        "forest on features": [features],
        "forest on both": [responses, features],
    }
    for name, arrays in sets.items():
        began = time.process_time()
        known, shown = (np.concatenate([a[where] for a in arrays], axis=1) for where in (drawn, at))
        found = grow(known, phases, shown)
        yield name, time.process_time() - began, found
    began = time.process_time()
    drawn = rng.permutation(np.flatnonzero(taught != Phase.VOID))[:60_000]
    known = features[drawn].astype(np.float32)
    kernel, bias = fit_change(known, logits[drawn].astype(np.float32), taught.ravel()[drawn], pull)
    seconds = time.process_time() - began
    after = start + features[at].astype(np.float32) @ kernel + bias
    yield "last layer", seconds, soften(after)
    yield "last layer, prior", seconds, soften(after) * prior


def teach(
    seen: Seen, boxes: Boxes, phases: tuple[int, ...], model: TrainedModel, options: Any
) -> None:
    """Print a row of each method for each number of tiles, labelled whole or by strokes."""
    pull = load_recipe("strokes", [], lambda: model.recipe).loss.start_pull
    grid = np.zeros(seen.sample.labels.shape, bool)
    grid[FIRST::STEP, FIRST::STEP] = True
    for count in options.tiles:
        for labels in ("tiles", "strokes"):
            counts: dict[str, Any] = {}
            times: dict[str, list[float]] = {}
            for seed in range(options.seeds):
                chosen = choose_tiles(seen.sample.labels, boxes, phases, count, seed)
                taught, rest = (part.labels for part in divide(seen.sample, chosen))
                if labels == "strokes":
                    rng = np.random.default_rng(seed)
                    painted = np.full_like(taught, Phase.VOID)
                    for box in chosen:
                        painted[box] = paint(taught[box], rng)
                    taught = painted
                judged = np.where(grid, rest, np.uint8(Phase.VOID))
                truth = judged[judged != Phase.VOID]
                for name, seconds, found in compare(seen, taught, judged, model, pull):
                    called = found.argmax(axis=1).astype(np.uint8)
                    if 2 not in phases:
                        called[called == Phase.PORE] = Phase.CLAY
                    counts[name] = counts.get(name, 0) + count_confusion(truth, called)[:, :3]
                    times.setdefault(name, []).append(seconds)
            for name, confusion in counts.items():
                print(
                    f"| {seen.sample.name} | {count} {labels} | {name} | "
                    f"{show(compute_iou(confusion))} | {np.mean(times[name]):.1f} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", action="append", default=[], metavar="SOURCE=MODEL")
    parser.add_argument("--duvernay", action="store_true")
    parser.add_argument("--start", default="kumano", help="that of Duvernay")
    parser.add_argument("--tiles", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, default=1, help="choices of tiles, pooled")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    finetuning.DATA = options.data or finetuning.DATA
    print("| micrograph | labels | method | IoU clay / silt / pore | CPU seconds |")
    print("| --- | --- | --- | --- | ---: |")
    if options.duvernay:
        model = load_model(options.start)
        sample, boxes = join_duvernay()
        teach(look(sample, model), boxes, (0, 1), model, options)
    starts: Mapping[str, str] = dict(text.split("=", 1) for text in options.without)
    for source, path in starts.items():
        model = load_model(path)
        samples = load_samples(finetuning.DATA / "kumano", model.recipe.data).samples
        sample = next(one for one in samples if one.name == f"kumano_{source}")
        boxes = cut_grid((sample.labels.shape[0], sample.labels.shape[1]))
        teach(look(sample, model), boxes, (0, 1, 2), model, options)


if __name__ == "__main__":
    main()
