"""Everything that decides a model, put together before anything is trained."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import keras
import numpy as np
import numpy.typing as npt

import mudrock_cli
from mudrock_cli.deeplab.augmentation import FixedTiles, make_tiles
from mudrock_cli.deeplab.dataset import Sample, normalise_samples, read_image_sets
from mudrock_cli.deeplab.engine import Engine, KerasEngine
from mudrock_cli.deeplab.model import CARD, TrainedModel, write_model
from mudrock_cli.deeplab.network import build_network, give_start
from mudrock_cli.deeplab.recipe import Recipe, change_recipe, load_recipe
from mudrock_cli.deeplab.split import (
    PARTS,
    Split,
    read_split,
    split_by_parent,
    split_in_folds,
    split_like_the_paper,
    take_all,
    write_split,
)
from mudrock_cli.deeplab.training import (
    LAST,
    PHASES,
    Trained,
    Watcher,
    complete_recipe,
    count_pixels,
    score_counts,
    train_network,
)
from mudrock_cli.deeplab.weights import (
    Arrays,
    write_arrays,
)
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import read_named_arrays, write_text
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize
from mudrock_cli.segmentation import segment_bands

WORK = "training"  # below the model folder: checkpoints, logs, the options
HELD_OUT = "held-out"  # below that: masks of micrographs by networks that did not train on them


@dataclass(frozen=True)
class Campaign:
    """Everything that decides a model.

    Parameters
    ----------
    recipe : Recipe
        Of the network.
    samples : tuple of Sample
        Whole micrographs, or tiles where the split divides tiles.
    split : Split
        Of the training that gives the model.
    folds : tuple of Split
        Trainings before it that only judge: each holds some parents out.
    out : Path
        The model folder.
    init : str
        See `give_start`.
    data : str
        What the data is called on the card.
    """

    recipe: Recipe
    samples: tuple[Sample, ...]
    split: Split
    folds: tuple[Split, ...]
    out: Path
    init: str
    data: str

    @property
    def work(self) -> Path:
        """Where checkpoints and logs go."""
        return self.out / WORK


# How well a model segments micrographs that it was not trained on, as `segment` would.


def count_by_sample(
    engine: Engine,
    samples: Sequence[Sample],
    recipe: Recipe,
    keep: Path | None = None,
) -> list[npt.NDArray[np.int64]]:
    """Segment samples and count truth (row) against prediction (column) in each.

    Parameters
    ----------
    engine : Engine
        What predicts.
    samples : sequence of Sample
        At the recipe's pixel size.
    recipe : Recipe
        Its ``[inference]`` says how tiles overlap, and what the classical prior weighs.
    keep : Path, optional
        Folder for the masks, on the pixels of the image files, so that `evaluate` can compare them.

    Returns
    -------
    list of ndarray of int, shape (2, 3, 3)
        Against the labels; and against the labels as they were given, before registration.
    """
    counts = []
    for sample in samples:
        given = sample.labels if sample.as_given is None else sample.as_given
        micrograph = sample.micrograph(recipe.data.nm_per_pixel)
        bands = segment_bands(micrograph, recipe, lambda: engine)
        phases = np.concatenate([band.phases for band in bands])
        counts.append(np.stack([count_pixels(truth, phases) for truth in (sample.labels, given)]))
        if keep and sample.frame:
            path = keep / f"{sample.name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            whole, size = sample.frame.restore(phases), sample.frame.pixel_size
            write_mask(path, PhaseMask.from_array(sample.name, whole, size, {"method": "held out"}))
    return counts


# Probabilities that mean what they say: one temperature, fitted on micrographs held out.

Logits = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

_BINS = 15
_MOST_PIXELS = 400_000
_LIMITS = (0.2, 5.0)  # beyond, a network knows nothing, and 16-bit inference less


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it is worth.

    Parameters
    ----------
    temperature : float
        Divides the logits.
    error_before, error_after : float
        Expected calibration error on the pixels it was fitted on, without and with it.
    pixels : int
        How many these were.
    """

    temperature: float
    error_before: float
    error_after: float
    pixels: int


def gather_logits(
    network: keras.Model, samples: Sequence[Sample], recipe: Recipe
) -> tuple[Logits, Labels]:
    """Return logits (n, 3) and labels (n,) of random labelled pixels, the same number per sample.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with weights.
    samples : sequence of Sample
        Of parents that the network was not trained on.
    recipe : Recipe
        Its seed chooses the pixels.
    """
    rng = np.random.default_rng([recipe.training.seed, 2])
    share = _MOST_PIXELS // max(1, len(samples))
    shown = normalise_samples(samples, recipe.data)
    parts = [_gather(network, sample, share, rng) for sample in shown]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def calibrate(logits: Logits, labels: Labels) -> Calibration:
    """Find the temperature under which the labels are likeliest.

    Parameters
    ----------
    logits : ndarray, shape (n, 3)
        Of held-out pixels.
    labels : ndarray of int, shape (n,)
        0, 1, 2.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural
    networks. ICML, arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), labels)

    bounds = tuple(np.log(_LIMITS))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    temperature = float(np.exp(found.x))
    return Calibration(
        temperature=temperature,
        error_before=expected_calibration_error(logits, labels),
        error_after=expected_calibration_error(logits / temperature, labels),
        pixels=len(labels),
    )


def negative_log_likelihood(logits: Logits, labels: Labels) -> float:
    """Return the mean of -log p(label)."""
    high = logits.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(logits - high).sum(axis=1)) + high[:, 0]
    return float(np.mean(normaliser - logits[np.arange(len(labels)), labels]))


def expected_calibration_error(logits: Logits, labels: Labels, bins: int = _BINS) -> float:
    """Return the mean distance between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    logits : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
    bins : int
        Of equal width between 0 and 1 (Guo et al. 2017, equation 3).
    """
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = shares.max(axis=1) / shares.sum(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _gather(
    network: keras.Model, sample: Sample, most: int, rng: np.random.Generator
) -> tuple[Logits, Labels]:
    height, width = network.input_shape[1:3]
    tiles = FixedTiles([sample], (height, width), 1)
    share = min(1.0, most / max(1, int((sample.labels < 3).sum())))
    found = list(_draw_pixels(network, tiles, share, rng))
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def _draw_pixels(
    network: keras.Model, tiles: FixedTiles, share: float, rng: np.random.Generator
) -> Iterator[tuple[Logits, Labels]]:
    for step in range(len(tiles)):
        grey, labels = tiles[step]
        chosen = (labels < 3) & (rng.random(labels.shape) < share)
        logits = network.predict_on_batch(grey)
        yield np.asarray(logits[chosen], float), labels[chosen].astype(np.intp)


# What a network did on samples that were held out: counts, and logits to calibrate by.


@dataclass(frozen=True)
class Findings:
    """Held-out samples, judged.

    Parameters
    ----------
    names, parts : tuple of str
        Of each sample.
    counts : ndarray of int, shape (samples, 2, 3, 3)
        See `count_by_sample`.
    logits : ndarray of float32, shape (n, 3)
        Of random pixels of the samples that may calibrate.
    labels : ndarray of uint8, shape (n,)
        Of the same pixels.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]

    def calibrate(self) -> Calibration | None:
        """Return the temperature for these pixels, None where there are none."""
        if not len(self.labels):
            return None
        return calibrate(self.logits.astype(float), self.labels.astype(np.intp))

    def facts(self, on: str) -> dict[str, Any]:
        """Return what the card tells of them; `on` says what they are.

        The pooled figures are those of the test part, where there is one.
        """
        if not self.names:
            return {}
        rows = []
        for name, part, (counts, as_given) in zip(self.names, self.parts, self.counts, strict=True):
            row: dict[str, Any] = {"name": name, "part": part, **score_counts(counts)}
            if (as_given != counts).any():
                row["as_given"] = score_counts(as_given)
            rows.append(row)
        chosen = np.array([part == "test" for part in self.parts])
        chosen = chosen if chosen.any() else ~chosen
        pooled = score_counts(self.counts[chosen, 0].sum(axis=0))
        iou = {phase.name.lower(): pooled[f"iou_{phase.name.lower()}"] for phase in PHASES}
        return {
            "iou": {phase: value for phase, value in iou.items() if value is not None},
            "pixel_accuracy": pooled["pixel_accuracy"],
            "judged": {"on": on, "images": rows},
        }


def judge_engine(
    engine: Engine,
    samples: Sequence[Sample],
    split: Split,
    recipe: Recipe,
    keep: Path | None = None,
) -> Findings:
    """Segment every sample that was held out.

    Parameters
    ----------
    engine : Engine
        Of a model trained on the split's training part.
    samples : sequence of Sample
        All.
    split : Split
        Their parts.
    recipe : Recipe
        How to predict.
    keep
        See `count_by_sample`.
    """
    held = [sample for sample in samples if split.part[sample.name] != "train"]
    empty = pool_findings([])
    if not held:
        return empty
    return dataclasses.replace(
        empty,
        names=tuple(sample.name for sample in held),
        parts=tuple(split.part[sample.name] for sample in held),
        counts=np.stack(count_by_sample(engine, held, recipe, keep)),
    )


def judge_network(
    network: keras.Model,
    samples: Sequence[Sample],
    split: Split,
    recipe: Recipe,
    keep: Path | None = None,
) -> Findings:
    """Segment every sample that was held out, and gather pixels to calibrate by.

    Those come from the validation part, so that the test part judges what it did not shape; from
    the test part where nothing validates.

    Parameters
    ----------
    network : keras.Model
        Trained on the split's training part; for the recipe's inference tile.
    samples, split, recipe, keep
        See `judge_engine`.
    """
    found = judge_engine(KerasEngine(network), samples, split, recipe, keep)
    fitting = split.choose(samples, "validation") or split.choose(samples, "test")
    if not fitting:
        return found
    logits, labels = gather_logits(network, fitting, recipe)
    return dataclasses.replace(
        found, logits=logits.astype(np.float32), labels=labels.astype(np.uint8)
    )


def pool_findings(found: Sequence[Findings]) -> Findings:
    """Put the findings of folds together; of none, return empty ones."""
    empty = Findings(
        (),
        (),
        np.zeros((0, 2, 3, 3), np.int64),
        np.zeros((0, 3), np.float32),
        np.zeros(0, np.uint8),
    )
    return Findings(
        names=sum((one.names for one in found), ()),
        parts=sum((one.parts for one in found), ()),
        counts=np.concatenate([empty.counts, *(one.counts for one in found)]),
        logits=np.concatenate([empty.logits, *(one.logits for one in found)]),
        labels=np.concatenate([empty.labels, *(one.labels for one in found)]),
    )


def save_findings(path: Path, found: Findings) -> None:
    """Keep the findings of a fold, so that a resumed campaign need not judge again."""
    names = np.frombuffer(json.dumps([found.names, found.parts]).encode(), np.uint8)
    arrays: Arrays = {"counts": found.counts, "logits": found.logits, "labels": found.labels}
    write_arrays(path, arrays | {"names": names}, compressed=True)


def load_findings(path: Path) -> Findings:
    """Read what `save_findings` wrote.

    Raises
    ------
    MudrockError
        If the file is damaged.
    """
    arrays = read_named_arrays(path)
    try:
        names, parts = json.loads(bytes(arrays["names"].tobytes()))
        counts, logits, labels = (arrays[name] for name in ("counts", "logits", "labels"))
    except (KeyError, ValueError) as error:
        raise MudrockError(f"{path}: no findings of a fold", "remove it to judge again") from error
    return Findings(tuple(names), tuple(parts), counts, logits, labels)


# What the card of a model tells of its data, its training and how well it does.


def describe_figures(campaign: Campaign, split: Split, findings: Findings | None) -> dict[str, Any]:
    """Return what the card tells of the data, of leaks, and of how well the model does."""
    facts = {"data": _describe_parts(campaign, split), "leaks": split.shared_parents()}
    if findings:
        on = "every parent, held out in turn" if campaign.folds else "the parents held out"
        facts |= findings.facts(on)
    return facts


def _describe_parts(campaign: Campaign, split: Split) -> dict[str, Any]:
    parts = {}
    for part in PARTS:
        samples = split.choose(campaign.samples, part)
        if samples:
            pixels = sum(sample.grey.size for sample in samples)
            parents = split.parents(part)
            parts[part] = {"parents": parents, "files": len(samples), "megapixels": pixels / 1e6}
    kind = "folds" if campaign.folds and split is campaign.split else split.kind
    return {"name": campaign.data, "split": kind, "parts": parts}


def describe_training(campaign: Campaign, trained: Trained) -> dict[str, Any]:
    """Return what the card tells of how the network was trained."""
    source = campaign.work / "init.txt"
    return {
        "started_from": source.read_text("utf-8") if source.is_file() else campaign.init,
        "epochs_done": trained.progress.epochs,
        "ended": trained.ended,
        "hours": trained.progress.seconds / 3600,
        "backend": f"{keras.backend.backend()}, Keras {keras.__version__}",
        "machine": f"{platform.system()} {platform.machine()}",
    }


# What a user wants trained, kept so that a stopped training can go on with it.

_FILE = "order.json"
_STRETCHABLE = ("training.epochs",)  # what a resumed training may change


@dataclass(frozen=True)
class Order:
    """The options of a training.

    Parameters
    ----------
    recipe : Recipe
        As it was asked for, steps still open.
    init : str
        See `give_start`.
    split : str
        ``""`` (by parent), ``paper``, or the path of a CSV.
    folds : int
        Trainings that judge before the one that gives the model; 0 for none.
    pixel_size : str
        Overrides the files where it is not empty.
    """

    recipe: Recipe
    init: str
    split: str
    folds: int
    pixel_size: str

    @classmethod
    def place(
        cls,
        recipe: str,
        settings: Sequence[str],
        init: str | None,
        split: str | None,
        folds: int,
        pixel_size: str | None,
    ) -> Self:
        """Make an order of command-line values.

        Raises
        ------
        UsageError
            If they contradict each other or name nothing.
        MudrockError
            If the recipe is wrong.
        """
        if folds == 1:
            raise UsageError("--folds 1: one fold holds everything out", "--folds 2 or more")
        if folds and split:
            raise UsageError("--folds and --split exclude each other", "folds are by parent")
        loaded = load_recipe(recipe, settings)
        first = init or ("scratch" if loaded.network.encoder == "plain" else "imagenet")
        order = cls(loaded, first, split or "", folds, pixel_size or "")
        _ = order.size  # a length that cannot be read is told before any work
        return order

    @property
    def size(self) -> PixelSize | None:
        """The pixel size that overrides the files'."""
        if not self.pixel_size:
            return None
        try:
            return PixelSize.parse(self.pixel_size, "--pixel-size")
        except MudrockError as error:
            raise UsageError(error.message, error.hint) from error


def refuse_taken(out: Path) -> None:
    """Refuse a folder that holds a model or a training that stopped.

    Raises
    ------
    UsageError
        If it does.
    """
    if (out / CARD).is_file():
        raise UsageError(f"{out}: holds a model already", "another --out; or --resume for more")
    if any((out / WORK).rglob(LAST)):
        raise UsageError(f"{out}: holds a stopped training", "--resume, or another --out")


def record_order(out: Path, order: Order) -> None:
    """Keep an order in the folder of its model.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    table = {
        "recipe": order.recipe.to_toml(),
        "init": order.init,
        "split": order.split,
        "folds": order.folds,
        "pixel_size": order.pixel_size,
    }
    try:
        write_text(out / WORK / _FILE, json.dumps(table, indent=2) + "\n")
    except MudrockError as error:
        raise UsageError(error.message, "choose another --out") from error


def recall_order(out: Path, settings: Sequence[str]) -> Order:
    """Return the order of a training that stopped.

    Parameters
    ----------
    out : Path
        The model folder.
    settings : sequence of str
        More epochs, as ``training.epochs=80``; the schedule stays what it was, so that more epochs
        run at its end rate.

    Raises
    ------
    UsageError
        If there is nothing to go on with, or something else is to be changed.
    """
    path = out / WORK / _FILE
    if not path.is_file():
        raise UsageError(f"{out}: holds no stopped training", "train without --resume")
    for setting in settings:
        if setting.partition("=")[0].strip() not in _STRETCHABLE:
            allowed = " and ".join(_STRETCHABLE)
            raise UsageError(f"--set {setting}: a resumed training can change only {allowed}")
    try:
        table = json.loads(path.read_text("utf-8"))
        recipe = change_recipe(Recipe.from_toml(table["recipe"], str(path)), settings)
        return Order(recipe, *(table[key] for key in ("init", "split", "folds", "pixel_size")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MudrockError(f"{path}: cannot be read ({error})", "train anew") from error


def plan_campaign(order: Order, samples: Sequence[Sample], data: Path, out: Path) -> Campaign:
    """Divide the samples as the order wants them.

    Raises
    ------
    MudrockError
        If they cannot be divided so, see the functions in `split`.
    """
    recipe, seed = order.recipe, order.recipe.training.seed
    folds: list[Split] = []
    used = list(samples)
    if order.split == "paper":
        used = make_tiles(samples, recipe.data, 1.0, seed)
        split = split_like_the_paper(used, recipe.data.parts, seed, read_image_sets(data))
    elif order.split:
        split = read_split(Path(order.split), samples)
    elif order.folds:
        folds = split_in_folds(samples, order.folds, seed)
        split = take_all(samples)
    elif recipe.data.parts[0] == 1:
        split = take_all(samples)
    else:
        split = split_by_parent(samples, recipe.data.parts, seed)
    name = data.resolve().name
    return Campaign(recipe, tuple(used), split, tuple(folds), out, order.init, name)


# From labelled micrographs to a model folder: train, judge, calibrate, write.

FINDINGS = "findings.npz"


class Narrator(Watcher, Protocol):
    """Is told of the campaign's stages too."""

    def on_stage(self, title: str) -> None:
        """Hear what begins."""


@dataclass(frozen=True)
class Outcome:
    """A model, and how its training ended (see `Trained`)."""

    model: TrainedModel
    trained: Trained


def run_campaign(campaign: Campaign, narrator: Narrator, *, resume: bool = False) -> Outcome:
    """Train, judge, calibrate, and write the model folder.

    Parameters
    ----------
    campaign : Campaign
        What to do.
    narrator : Narrator
        Is told how it goes.
    resume : bool
        Go on from the checkpoints in the folder.

    Returns
    -------
    Outcome
        Also of a training that was stopped: then from the weights it had, not judged.

    Raises
    ------
    MudrockError
        See `train_network` and `write_model`.
    """
    found = []
    for number, fold in enumerate(campaign.folds, start=1):
        folder = campaign.work / f"fold-{number}"
        if resume and (folder / FINDINGS).is_file():
            found.append(load_findings(folder / FINDINGS))
            continue
        held = ", ".join(fold.parents("test"))
        narrator.on_stage(f"fold {number} of {len(campaign.folds)}, without {held}")
        recipe, network, trained = _train(campaign, fold, folder, narrator, resume)
        if trained.ended == "interrupted":
            return _write(campaign, fold, recipe, network, trained, None)
        narrator.on_stage("judging")
        found.append(_judge(campaign, fold, recipe, network))
        save_findings(folder / FINDINGS, found[-1])
    write_split(campaign.out / "split.csv", campaign.split, campaign.samples)
    narrator.on_stage("training")
    last = _lengthen(campaign)
    recipe, network, trained = _train(last, campaign.split, campaign.work, narrator, resume)
    findings = None
    if trained.ended != "interrupted":
        narrator.on_stage("judging")
        findings = (
            pool_findings(found)
            if campaign.folds
            else _judge(campaign, campaign.split, recipe, network)
        )
    narrator.on_stage("writing the model")
    return _write(campaign, campaign.split, recipe, network, trained, findings)


def _lengthen(campaign: Campaign) -> Campaign:
    """Let the last training go as often over each micrograph as those of the folds did.

    It has more micrographs, so the figures of the folds hold for it only with more steps.
    """
    if not campaign.folds:
        return campaign

    def count(split: Split) -> int:
        return sum(sample.grey.size for sample in split.choose(campaign.samples, "train"))

    factor = count(campaign.split) * len(campaign.folds) / sum(map(count, campaign.folds))
    training = campaign.recipe.training
    longer = replace(training, epochs=round(training.epochs * factor))
    return replace(campaign, recipe=replace(campaign.recipe, training=longer))


def _train(
    campaign: Campaign, split: Split, folder: Path, narrator: Narrator, resume: bool
) -> tuple[Recipe, keras.Model, Trained]:
    """Train on one split; returns the completed recipe and a network in full precision."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = campaign.recipe.training.seed
    train = split.choose(campaign.samples, "train")
    if split is not campaign.split:
        write_split(folder / "split.csv", split, campaign.samples)
    if split.kind != "paper":  # whose tiles were cut and copied before they were divided
        train = make_tiles(train, campaign.recipe.data, campaign.recipe.data.parts[0], seed)
    recipe = _complete(campaign.recipe, train, folder if resume else None)
    write_text(folder / "recipe.toml", recipe.to_toml())
    validation = split.choose(campaign.samples, "validation")

    def start(network: keras.Model) -> None:
        if not (resume and (folder / "last.npz").is_file()):
            write_text(folder / "init.txt", give_start(network, campaign.init, recipe.network))

    key = _fingerprint(campaign, split, recipe)
    trained = train_network(
        recipe, train, validation, folder, start, narrator, key=key, resume=resume
    )
    tile = recipe.inference.tile
    network = build_network(recipe.network, tile, tile)
    for variable in network.weights:
        variable.assign(trained.weights[variable.path])
    return recipe, network, trained


def _judge(campaign: Campaign, split: Split, recipe: Recipe, network: keras.Model) -> Findings:
    return judge_network(network, campaign.samples, split, recipe, campaign.work / HELD_OUT)


def _complete(recipe: Recipe, train: list[Sample], stopped: Path | None) -> Recipe:
    """Write out the steps that a recipe leaves open; those of a stopped training stay its own."""
    source = stopped / "recipe.toml" if stopped else None
    if source is not None and source.is_file():
        before = Recipe.from_toml(source.read_text("utf-8"), str(source))
        decay = before.optimizer.decay_steps
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, decay_steps=decay))
    return complete_recipe(recipe, train)


def _fingerprint(campaign: Campaign, split: Split, recipe: Recipe) -> str:
    """Return a hash of what a checkpoint was trained by and on; more epochs may follow."""
    table = recipe.to_dict()
    del table["training"]["epochs"]
    del table["inference"]  # comes after training
    files = [(sample.name, split.part[sample.name], *sample.files) for sample in campaign.samples]
    text = json.dumps([table, files, campaign.init, keras.backend.backend()])
    return hashlib.sha256(text.encode()).hexdigest()


def _write(
    campaign: Campaign,
    split: Split,
    recipe: Recipe,
    network: keras.Model,
    trained: Trained,
    findings: Findings | None,
) -> Outcome:
    calibration = findings.calibrate() if findings else None
    facts: dict[str, Any] = {"mudrock": mudrock_cli.__version__}
    facts |= describe_figures(campaign, split, findings)
    facts["training"] = describe_training(campaign, trained)
    if calibration:
        facts["calibration"] = asdict(calibration)
    temperature = calibration.temperature if calibration else 1.0
    model = write_model(campaign.out, recipe, network, facts, temperature)
    return Outcome(model, trained)
