"""From labelled micrographs to a model folder: divide, train, judge on those held out, write."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import keras
import numpy as np
import numpy.typing as npt

import mudrock_cli
from mudrock_cli.classical.forest import Forest, ForestRecipe, train_forest
from mudrock_cli.deeplab.augmentation import make_tiles
from mudrock_cli.deeplab.calibration import (
    MOST_PIXELS,
    Calibration,
    Labels,
    Logits,
    calibrate,
    gather_logits,
)
from mudrock_cli.deeplab.dataset import Sample, name_source, read_image_sets
from mudrock_cli.deeplab.engine import Engine, KerasEngine
from mudrock_cli.deeplab.finetuning import (
    CHANCE,
    Blend,
    Iou,
    blend_weights,
    choose_blend,
    halve_labels,
)
from mudrock_cli.deeplab.last_layer import solve_last_layer
from mudrock_cli.deeplab.model import (
    CARD,
    DEFAULT_MODEL,
    TrainedModel,
    assembling,
    describe_model,
    list_models,
    load_model,
    models_folder,
    seal_model,
    write_model,
)
from mudrock_cli.deeplab.network import build_network, give_start
from mudrock_cli.deeplab.recipe import Recipe, change_recipe, load_recipe
from mudrock_cli.deeplab.split import (
    PARTS,
    Split,
    read_split,
    split_by_source,
    split_in_folds,
    split_like_the_paper,
    take_all,
    write_split,
)
from mudrock_cli.deeplab.training import (
    LAST,
    Trained,
    Watcher,
    complete_recipe,
    count_epochs,
    train_network,
)
from mudrock_cli.deeplab.training_range import (
    DISTANCE,
    ENTROPY,
    LEAST,
    RANGE,
    SKEW,
    FeatureDistribution,
    Features,
    Limits,
    describe_appearance,
    encode_appearance,
    read_training_range,
    span_training_range,
    widen_training_range,
    write_training_range,
)
from mudrock_cli.deeplab.weights import Arrays, read_variables, write_arrays
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import read_named_arrays, write_text
from mudrock_cli.image.labels import (
    ValueTable,
    drop_partial,
    find_told,
    parse_values,
    settle_partial,
)
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.scores import compute_accuracy, compute_iou, count_confusion
from mudrock_cli.segmentation import ForestEngine, find_prior, open_engine, segment_bands

WORK = "training"  # below the model folder: checkpoints, logs, the configuration
HELD_OUT = "held-out"  # below that: masks of micrographs by models that did not train on them
RESULTS = "findings.npz"  # of a fold
_CONFIGURATION = "order.json"
_STRETCHABLE = ("training.epochs",)  # what a resumed training may change

_ARRAYS = ("counts", "told", "logits", "labels", "evidence")

Counts = npt.NDArray[np.int64]
Told = npt.NDArray[np.bool_]


# What is to be trained, and on what.


@dataclass(frozen=True)
class TrainingConfiguration:
    """The options of a training, kept so that one that stopped can go on.

    Parameters
    ----------
    recipe : Recipe
        As it was asked for, steps still open.
    init : str
        See `give_start`.
    split : str
        ``""`` (by source micrograph), ``paper``, or the path of a CSV.
    folds : int
        Trainings that judge before the one that gives the model; 0 for none.
    pixel_size : str
        Overrides the files where it is not empty.
    micrographs, keep : str
        Folder of the micrographs, where they do not lie with the masks; labelled micrographs of
        which fine-tuning is to lose nothing. Empty for none.
    values : str
        What the values of labels mean, see `parse_values`; empty where they are ours.
    """

    recipe: Recipe
    init: str
    split: str
    folds: int
    pixel_size: str
    micrographs: str = ""
    keep: str = ""
    values: str = ""

    @classmethod
    def from_options(
        cls,
        recipe: str | None,
        settings: Sequence[str],
        init: str | None,
        split: str | None,
        folds: int,
        pixel_size: str | None,
        micrographs: Path | None = None,
        keep: Path | None = None,
        values: str | None = None,
    ) -> Self:
        """Take command-line values; a start that is a model is fine-tuned by default.

        Raises
        ------
        UsageError
            If they contradict each other or name nothing, or the start is a forest.
        MudrockError
            If the recipe is wrong.
        """
        if folds == 1:
            raise UsageError("--folds 1: one fold holds everything out", "--folds 2 or more")
        if folds and split:
            raise UsageError("--folds and --split exclude each other", "folds are by micrograph")
        start = load_start(init) if init else None
        name = recipe or ("finetune" if start else "fast")
        loaded = load_recipe(name, settings, lambda: (start or load_model(DEFAULT_MODEL)).recipe)
        if loaded.training.finetune and init and not start:
            raise UsageError(
                f"--init {init}: is no model, and recipe {name} fine-tunes one",
                f"--init {DEFAULT_MODEL} or a model folder; or --recipe fast",
            )
        if keep and not loaded.training.finetune:
            raise UsageError(
                f"--keep {keep}: recipe {name} trains anew and keeps nothing of a start",
                "--recipe finetune, or leave --keep out",
            )
        first = init or (DEFAULT_MODEL if loaded.training.finetune else _choose_start(loaded))
        folder, kept = (str(folder or "") for folder in (micrographs, keep))
        made = cls(loaded, first, split or "", folds, pixel_size or "", folder, kept, values or "")
        _ = made.size, made.value_table  # what cannot be read is told before any work
        return made

    @classmethod
    def read(cls, out: Path, settings: Sequence[str]) -> Self:
        """Read the configuration of a training that stopped.

        Parameters
        ----------
        out : Path
            The model folder.
        settings : sequence of str
            More epochs, as ``training.epochs=80``; the schedule stays what it was, so that more
            epochs run at its end rate.

        Raises
        ------
        UsageError
            If there is nothing to go on with, or something else is to be changed.
        """
        path = out / WORK / _CONFIGURATION
        if not path.is_file():
            raise UsageError(f"{out}: holds no stopped training", "train without --resume")
        for setting in settings:
            if setting.partition("=")[0].strip() not in _STRETCHABLE:
                allowed = " and ".join(_STRETCHABLE)
                raise UsageError(f"--set {setting}: a resumed training can change only {allowed}")
        try:
            table = json.loads(path.read_text("utf-8"))
            recipe = change_recipe(Recipe.from_toml(table.pop("recipe"), str(path)), settings)
            return cls(recipe, **table)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MudrockError(f"{path}: cannot be read ({error})", "train anew") from error

    def write(self, out: Path) -> None:
        """Keep the configuration in the folder of its model.

        Raises
        ------
        UsageError
            If the folder cannot be written.
        """
        table = {**vars(self), "recipe": self.recipe.to_toml()}
        try:
            write_text(out / WORK / _CONFIGURATION, json.dumps(table, indent=2) + "\n")
        except MudrockError as error:
            raise UsageError(error.message, "choose another --out") from error

    @property
    def size(self) -> PixelSize | None:
        """The pixel size that overrides the files'."""
        if not self.pixel_size:
            return None
        try:
            return PixelSize.parse(self.pixel_size, "--pixel-size")
        except MudrockError as error:
            raise UsageError(error.message, error.hint) from error

    @property
    def value_table(self) -> ValueTable | None:
        """What the values of labels mean, where they are not ours."""
        return parse_values(self.values) if self.values else None


def _choose_start(recipe: Recipe) -> str:
    """Return the default start: the model that ships, where it fits, needs no download."""
    network = recipe.network
    if network.encoder == "plain":
        return "scratch"
    if DEFAULT_MODEL in list_models():
        shipped = load_model(DEFAULT_MODEL).recipe.network
        if (shipped.architecture, shipped.encoder) == (network.architecture, network.encoder):
            return DEFAULT_MODEL
    return "imagenet"


def load_start(init: str) -> TrainedModel | None:
    """Return the model that training starts from; None where it starts from something else.

    Raises
    ------
    UsageError
        If it is a random forest.
    """
    if init not in list_models() and not (Path(init) / CARD).is_file():
        return None
    model = load_model(init)
    if model.recipe.network.architecture == "forest":
        raise UsageError(
            f"--init {init}: a random forest has no weights to start from",
            f"--init {DEFAULT_MODEL}, or grow one from the labels: --recipe forest",
        )
    return model


def locate_start(init: str) -> str:
    """Return the folder of a model that is named, else what was given; see `give_start`."""
    return str(models_folder() / init) if init in list_models() else init


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


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides a model.

    Parameters
    ----------
    recipe : Recipe
        Of the model.
    samples : tuple of Sample
        Whole micrographs, or tiles where the split divides tiles.
    split : Split
        Of the training that gives the model.
    folds : tuple of Split
        Trainings before it that only judge: each holds some source micrographs out.
    out : Path
        The model folder.
    init : str
        See `give_start`.
    data : str
        What the data is called on the card.
    keep : tuple of Sample
        Labelled micrographs of which fine-tuning is to lose nothing.
    """

    recipe: Recipe
    samples: tuple[Sample, ...]
    split: Split
    folds: tuple[Split, ...]
    out: Path
    init: str
    data: str
    keep: tuple[Sample, ...] = ()

    @property
    def work(self) -> Path:
        """Where checkpoints and logs go."""
        return self.out / WORK

    @property
    def is_forest(self) -> bool:
        """Whether a random forest is grown, in place of a network."""
        return self.recipe.network.architecture == "forest"


def find_known_sources(plan: TrainingPlan) -> list[str]:
    """Return the micrographs that are held out but known to the model that training starts from.

    They are found by their names, in the card of that model.
    """
    start = None if plan.is_forest else load_start(plan.init)
    known = set(start.known_sources if start else ())
    splits = plan.folds or (plan.split,)
    held_out = {
        name
        for split in splits
        for part in ("validation", "test")
        for name in _name_sources(plan, split, part)
    }
    return sorted(known & held_out)


def _name_sources(plan: TrainingPlan, split: Split, part: str) -> list[str]:
    """Return all names of the source micrographs of a part; duplicates have several."""
    names = {name_source(sample.name) for sample in split.choose(plan.samples, part)}
    return sorted({*split.sources(part), *names})


def plan_training(
    configuration: TrainingConfiguration,
    samples: Sequence[Sample],
    data: Path,
    out: Path,
    keep: Sequence[Sample] = (),
) -> TrainingPlan:
    """Divide the samples as the configuration wants them.

    Raises
    ------
    MudrockError
        If they cannot be divided so, see the functions in `split`.
    """
    recipe, seed = configuration.recipe, configuration.recipe.training.seed
    folds: list[Split] = []
    used = list(samples)
    if configuration.split == "paper":
        used = make_tiles(samples, recipe.data, 1.0, seed)
        split = split_like_the_paper(used, recipe.data.parts, seed, read_image_sets(data))
    elif configuration.split:
        split = read_split(Path(configuration.split), samples)
    elif configuration.folds:
        folds = split_in_folds(samples, configuration.folds, seed)
        split = take_all(samples)
    elif recipe.data.parts[0] == 1:
        split = take_all(samples)
    else:
        split = split_by_source(samples, recipe.data.parts, seed)
    name = data.resolve().name
    init = configuration.init
    return TrainingPlan(recipe, tuple(used), split, tuple(folds), out, init, name, tuple(keep))


# How well a model segments micrographs that it was not trained on.


def score_confusion(confusion: Counts, told: Told | None = None) -> dict[str, float | None]:
    """Return pixel accuracy, IoU of each phase (None where it is nowhere) and their mean.

    Parameters
    ----------
    confusion : ndarray of int, shape (3, 3)
        Pixels of each phase of the truth (row) that were called each phase (column).
    told : ndarray of bool, shape (3,), optional
        Phases that the truth tells from all others; of the rest there is no IoU.
    """
    iou = compute_iou(confusion)
    if told is not None:
        iou[~told] = np.nan
    known = iou[~np.isnan(iou)]
    figures: dict[str, float | None] = {
        "pixel_accuracy": compute_accuracy(confusion) if confusion.any() else 0.0,
        "iou_mean": float(known.mean()) if known.size else None,
    }
    for phase in (Phase.CLAY, Phase.SILT, Phase.PORE):
        value = float(iou[phase])
        figures[f"iou_{phase.name.lower()}"] = None if np.isnan(value) else value
    return figures


def count_by_sample(
    engine: Engine, samples: Sequence[Sample], recipe: Recipe, keep: Path | None = None
) -> list[Counts]:
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
        Against the labels; and against the labels as they were given, before registration. An open
        label counts as `settle_partial` says.
    """
    counts = []
    for sample in samples:
        given = sample.labels if sample.as_given is None else sample.as_given
        bands = segment_bands(sample.micrograph(recipe.data.nm_per_pixel), recipe, lambda: engine)
        phases = np.concatenate([band.phases for band in bands])
        truths = (settle_partial(labels, phases) for labels in (sample.labels, given))
        both = [count_confusion(truth, phases)[:, :3] for truth in truths]
        counts.append(np.stack(both))
        if keep and sample.frame:
            path = keep / f"{sample.name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            whole, size = sample.frame.restore(phases), sample.frame.pixel_size
            write_mask(path, PhaseMask.from_array(sample.name, whole, size, {"method": "held out"}))
    return counts


@dataclass(frozen=True)
class HeldOutResults:
    """Samples that were held out, judged.

    Parameters
    ----------
    names, parts : tuple of str
        Of each sample.
    counts : ndarray of int, shape (samples, 2, 3, 3)
        See `count_by_sample`.
    told : ndarray of bool, shape (samples, 3)
        Phases that the labels of each tell from all others.
    logits : ndarray of float32, shape (n, 3)
        Of random pixels of the samples that may calibrate; none for a forest.
    labels : ndarray of uint8, shape (n,)
        Of the same pixels.
    evidence : ndarray of float32, shape (n, 3)
        What the classical prior adds to these logits.
    """

    names: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    counts: Counts = field(default_factory=lambda: np.zeros((0, 2, 3, 3), np.int64))
    told: Told = field(default_factory=lambda: np.zeros((0, 3), bool))
    logits: npt.NDArray[np.floating] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    labels: npt.NDArray[np.integer] = field(default_factory=lambda: np.zeros(0, np.uint8))
    evidence: npt.NDArray[np.floating] = field(default_factory=lambda: np.zeros((0, 3), np.float32))

    @classmethod
    def pool(cls, found: Sequence[Self]) -> Self:
        """Put the results of folds together."""
        joined = {
            name: np.concatenate([getattr(one, name) for one in (cls(), *found)])
            for name in _ARRAYS
        }
        names, parts = (sum((getattr(one, key) for one in found), ()) for key in ("names", "parts"))
        return cls(names, parts, **joined)

    @classmethod
    def read(cls, path: Path, key: str) -> Self | None:
        """Read what `write` wrote; None where it was written by another key.

        Raises
        ------
        MudrockError
            If the file is damaged.
        """
        arrays = read_named_arrays(path)
        try:
            names, parts, *of = json.loads(bytes(arrays["names"].tobytes()))
            if of != [key]:
                return None
            values = [arrays[name] for name in _ARRAYS]
        except (KeyError, TypeError, ValueError) as error:
            raise MudrockError(
                f"{path}: no results of a fold", "remove it to judge again"
            ) from error
        return cls(tuple(names), tuple(parts), *values)

    def write(self, path: Path, key: str) -> None:
        """Keep the results of a fold, so that a resumed training need not judge again.

        Parameters
        ----------
        path : Path
            A ``.npz``.
        key : str
            What the fold was trained by and on; results of another key are not taken up.
        """
        names = np.frombuffer(json.dumps([self.names, self.parts, key]).encode(), np.uint8)
        arrays: Arrays = {name: getattr(self, name) for name in _ARRAYS}
        write_arrays(path, arrays | {"names": names}, compressed=True)

    def calibrate(self) -> Calibration | None:
        """Return the temperature for these pixels, None where there are none."""
        return calibrate(self.logits, self.labels) if len(self.labels) else None

    def calibrate_confidence(self, temperature: float) -> Calibration | None:
        """Return the further temperature of network and prior together, None without a prior.

        Parameters
        ----------
        temperature : float
            That of the model, which divides logits and evidence.
        """
        if not self.evidence.any():
            return None
        return calibrate((self.logits + self.evidence) / temperature, self.labels)

    def describe(self, on: str) -> dict[str, Any]:
        """Return what the card tells of them; `on` says what they are.

        The pooled figures are those of the test part, where there is one.
        """
        if not self.names:
            return {}
        rows = []
        each = zip(self.names, self.parts, self.counts, self.told, strict=True)
        for name, part, (counts, as_given), told in each:
            row: dict[str, Any] = {"name": name, "part": part, **score_confusion(counts, told)}
            errors = 100 * (counts.sum(axis=0) - counts.sum(axis=1)) / max(1, counts.sum())
            for phase, key in ((Phase.PORE, "porosity"), (Phase.SILT, "silt")):
                if told[phase]:
                    row[f"{key}_error_points"] = float(errors[phase])
            if (as_given != counts).any():
                row["as_given"] = score_confusion(as_given, told)
            rows.append(row)
        chosen = np.array([part == "test" for part in self.parts])
        chosen = chosen if chosen.any() else ~chosen
        pooled = score_confusion(self.counts[chosen, 0].sum(axis=0), self.told[chosen].all(axis=0))
        iou = {phase: pooled[f"iou_{phase}"] for phase in ("clay", "silt", "pore")}
        return {
            "iou": {phase: value for phase, value in iou.items() if value is not None},
            "pixel_accuracy": pooled["pixel_accuracy"],
            "judged": {"on": on, "images": rows},
        }


# Train, judge, calibrate, write.


class StageWatcher(Watcher, Protocol):
    """Is told of the stages of a training too."""

    def on_stage(self, title: str, epochs: int = 0) -> None:
        """Hear what begins."""


@dataclass(frozen=True)
class Outcome:
    """A model, and how its training ended; a forest has no epochs."""

    model: TrainedModel
    trained: Trained | None


@dataclass(frozen=True)
class _Fitted:
    """A model trained on one split, in memory."""

    recipe: Recipe
    network: keras.Model = None
    forest: Forest | None = None
    trained: Trained | None = None
    seconds: float = 0.0
    blend: Blend | None = None
    judged: int = 0  # labelled pixels that chose the blend
    is_other_rock: bool = False  # than those that the start knows

    @property
    def is_interrupted(self) -> bool:
        return self.trained is not None and self.trained.ended == "interrupted"


def run_training(plan: TrainingPlan, watcher: StageWatcher, *, resume: bool = False) -> Outcome:
    """Train, judge, calibrate, measure the training range, and write the model folder.

    Parameters
    ----------
    plan : TrainingPlan
        What to do.
    watcher : StageWatcher
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
        See `train_network`, `train_forest` and `write_model`.
    """
    found = []
    for number, fold in enumerate(plan.folds, start=1):
        folder = plan.work / f"fold-{number}"
        key = _hash_training(plan, fold, plan.recipe.to_dict())
        if resume and (folder / RESULTS).is_file():
            before = HeldOutResults.read(folder / RESULTS, key)
            if before:
                found.append(before)
                continue
        held = ", ".join(fold.sources("test"))
        title = f"fold {number} of {len(plan.folds)}, without {held}"
        watcher.on_stage(title, count_epochs(plan.recipe))
        fitted = _fit(plan, fold, folder, watcher, resume)
        if fitted.is_interrupted:
            write_split(plan.out / "split.csv", fold, plan.samples)
            return _write(plan, fold, fitted, None)
        watcher.on_stage("judging")
        found.append(_judge(plan, fold, fitted))
        found[-1].write(folder / RESULTS, key)
    write_split(plan.out / "split.csv", plan.split, plan.samples)
    longer = _lengthen(plan)
    watcher.on_stage("training", count_epochs(longer.recipe))
    fitted = _fit(longer, plan.split, plan.work, watcher, resume)
    results = None
    if not fitted.is_interrupted:
        watcher.on_stage("judging")
        pooled = HeldOutResults.pool(found)
        results = pooled if plan.folds else _judge(plan, plan.split, fitted)
    watcher.on_stage("writing the model")
    outcome = _write(plan, plan.split, fitted, results)
    if fitted.is_interrupted:
        return outcome
    watcher.on_stage("measuring the training range")
    model, train = outcome.model, plan.split.choose(plan.samples, "train")
    micrographs = [sample.micrograph(model.nm_per_pixel) for sample in train]
    start = load_start(plan.init) if plan.recipe.training.finetune else None
    return replace(outcome, model=measure_training_range(model, micrographs, start))


def _lengthen(plan: TrainingPlan) -> TrainingPlan:
    """Let the last training go as often over each micrograph as those of the folds did.

    It has more micrographs, so the figures of the folds hold for it only with more steps.
    """
    if not plan.folds:
        return plan

    def count(split: Split) -> int:
        return sum(sample.grey.size for sample in split.choose(plan.samples, "train"))

    factor = count(plan.split) * len(plan.folds) / sum(map(count, plan.folds))
    training = plan.recipe.training
    longer = replace(training, epochs=round(training.epochs * factor))
    return replace(plan, recipe=replace(plan.recipe, training=longer))


def _fit(
    plan: TrainingPlan, split: Split, folder: Path, watcher: StageWatcher, resume: bool
) -> _Fitted:
    """Train on one split; a network comes in full precision, for the tiles of inference."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe, train = plan.recipe, split.choose(plan.samples, "train")
    if split is not plan.split:
        write_split(folder / "split.csv", split, plan.samples)
    if plan.is_forest:
        began = time.monotonic()
        grown = ForestRecipe.from_toml(recipe.to_toml())
        labels = [drop_partial(sample.labels) for sample in train]
        forest = train_forest([sample.grey for sample in train], labels, grown)
        return _Fitted(recipe, forest=forest, seconds=time.monotonic() - began)
    if split.kind != "paper":  # whose tiles were cut and copied before they were divided
        train = make_tiles(train, recipe.data, recipe.data.parts[0], recipe.training.seed)
    is_other_rock = recipe.training.finetune and _lies_outside(train, recipe, plan.init)
    if is_other_rock:  # there is nothing of the start to be careful with
        whole = replace(recipe.training, blend=1.0, halves=False)
        recipe = replace(recipe, training=whole)
    recipe = _complete(recipe, train, folder if resume else None)
    write_text(folder / "recipe.toml", recipe.to_toml())

    before: Arrays = {}

    def start(network: keras.Model) -> None:
        if recipe.training.finetune or not (resume and (folder / LAST).is_file()):
            write_text(
                folder / "init.txt", give_start(network, locate_start(plan.init), recipe.network)
            )
            before.update(read_variables(network) if recipe.training.finetune else {})

    tile = recipe.inference.tile
    network = build_network(recipe.network, tile, tile)

    def learn(recipe: Recipe, samples: list[Sample], folder: Path) -> Trained:
        if recipe.training.last_layer:
            start(network)
            return solve_last_layer(network, samples, recipe)
        validation = split.choose(plan.samples, "validation")
        key = _fingerprint(plan, split, recipe)
        return train_network(
            recipe, samples, validation, folder, start, watcher, key=key, resume=resume
        )

    trained = learn(recipe, train, folder)
    weights, blend, judged = trained.weights, None, 0
    if recipe.training.finetune and trained.ended != "interrupted":
        halves = _learn_halves(recipe, train, folder, watcher, learn, resume)
        if halves is None:
            trained = replace(trained, ended="interrupted")
        else:
            watcher.on_stage("comparing with the start")
            blend = choose_blend(network, before, weights, halves, plan.keep, recipe)
            judged = sum(
                int((sample.labels != Phase.VOID).sum()) for _, part in halves for sample in part
            )
        share = blend.share if blend else recipe.training.blend
        weights = blend_weights(before, weights, share)
    for variable in network.weights:
        variable.assign(weights[variable.path])
    seconds = trained.progress.seconds
    return _Fitted(recipe, network, None, trained, seconds, blend, judged, is_other_rock)


def _lies_outside(samples: Sequence[Sample], recipe: Recipe, init: str) -> bool:
    """Tell whether all micrographs lie outside the training range of the model at the start."""
    start = load_start(init)
    if start is None or not (start.path / RANGE).is_file():
        return False
    limits = read_training_range(start).get(DISTANCE)
    known, nm = FeatureDistribution.read(start.path / RANGE), recipe.data.nm_per_pixel
    seen = [encode_appearance(sample.micrograph(nm), nm) for sample in samples]
    return limits is not None and min(map(known.measure_distance, seen)) > limits.high


def _learn_halves(
    recipe: Recipe,
    train: list[Sample],
    folder: Path,
    watcher: StageWatcher,
    learn: Callable[[Recipe, list[Sample], Path], Trained],
    resume: bool,
) -> list[tuple[Arrays, list[Sample]]] | None:
    """Return what each half of the labels teaches, with the half to judge it; None if stopped.

    Half of the labels get half of the epochs, so that each is seen as often.
    """
    epochs = -(-recipe.training.epochs // 2)
    shorter = replace(recipe.training, epochs=epochs)
    optimizer = replace(recipe.optimizer, decay_steps=epochs * recipe.training.steps_per_epoch)
    half = replace(recipe, training=shorter, optimizer=optimizer)
    found = []
    for number, (teach, judge) in enumerate(halve_labels(train) if shorter.halves else (), 1):
        watcher.on_stage(f"half of the labels, {number} of 2", count_epochs(half))
        place = folder / f"half-{number}"
        place.mkdir(exist_ok=True)
        half = _complete(half, teach, place if resume else None)
        write_text(place / "recipe.toml", half.to_toml())
        trained = learn(half, teach, place)
        if trained.ended == "interrupted":
            return None
        found.append((trained.weights, judge))
    return found


def _complete(recipe: Recipe, train: list[Sample], stopped: Path | None) -> Recipe:
    """Write out the steps that a recipe leaves open; those of a stopped training stay its own."""
    source = stopped / "recipe.toml" if stopped else None
    if source is not None and source.is_file():
        before = Recipe.from_toml(source.read_text("utf-8"), str(source))
        decay = before.optimizer.decay_steps
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, decay_steps=decay))
    return complete_recipe(recipe, train)


def _fingerprint(plan: TrainingPlan, split: Split, recipe: Recipe) -> str:
    """Return a hash of what a checkpoint was trained by and on; more epochs may follow."""
    table = recipe.to_dict()
    del table["training"]["epochs"]
    del table["inference"]  # comes after training
    return _hash_training(plan, split, table)


def _hash_training(plan: TrainingPlan, split: Split, table: Mapping[str, Any]) -> str:
    """Return a hash of values of the recipe, of the files and their parts, and of the start."""
    files = [(sample.name, split.part[sample.name], *sample.files) for sample in plan.samples]
    text = json.dumps([table, files, plan.init, keras.backend.backend()])
    return hashlib.sha256(text.encode()).hexdigest()


def _judge(plan: TrainingPlan, split: Split, fitted: _Fitted) -> HeldOutResults:
    """Segment every sample that was held out, and gather pixels of some to calibrate by.

    Those come from the validation part, so that the test part judges what it did not shape; from
    the test part where nothing validates.
    """
    held = [sample for sample in plan.samples if split.part[sample.name] != "train"]
    if not held:
        return HeldOutResults()
    recipe = fitted.recipe
    engine: Engine
    if fitted.forest is not None:
        engine = ForestEngine(fitted.forest, recipe.inference.tile)
    else:
        engine = KerasEngine(fitted.network)
    found = HeldOutResults(
        names=tuple(sample.name for sample in held),
        parts=tuple(split.part[sample.name] for sample in held),
        counts=np.stack(count_by_sample(engine, held, recipe, plan.work / HELD_OUT)),
        told=np.stack([find_told(sample.labels) for sample in held]),
    )
    fitting = split.choose(held, "validation") or held
    fitting = [sample for sample in fitting if not sample.is_partial]
    if fitted.forest is not None or not fitting:
        return found
    logits, labels, evidence = gather_evidence(fitted.network, fitting, recipe)
    return replace(found, logits=logits, labels=labels, evidence=evidence)


def gather_evidence(
    network: keras.Model, samples: Sequence[Sample], recipe: Recipe
) -> tuple[Logits, Labels, Logits]:
    """Return logits (n, 3) and labels (n,) of random pixels, and what the prior adds (n, 3).

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with weights.
    samples : sequence of Sample
        Of micrographs that the network was not trained on; at least one, its labels all settled.
    recipe : Recipe
        Its ``[inference]`` says what the classical prior weighs.
    """
    gathered = []
    for sample in samples:
        prior = find_prior(sample.micrograph(recipe.data.nm_per_pixel), recipe)
        factors = prior.factors if prior else np.ones((3, 3), np.float32)
        found = np.concatenate(list(prior.bands)) if prior else np.zeros_like(sample.labels)
        # One number per pixel, so that the phases found are those of the pixels chosen.
        coded = np.where(sample.labels == Phase.VOID, Phase.VOID, sample.labels + 3 * found)
        shown = replace(sample, labels=coded.astype(np.uint8))
        logits, codes = gather_logits(network, [shown], recipe, MOST_PIXELS // len(samples))
        gathered.append((logits, codes % 3, np.log(factors)[codes // 3]))
    logits, labels, evidence = (np.concatenate(arrays) for arrays in zip(*gathered, strict=True))
    return logits, labels, evidence


def _write(
    plan: TrainingPlan, split: Split, fitted: _Fitted, results: HeldOutResults | None
) -> Outcome:
    calibration = results.calibrate() if results else None
    temperature = 1.0
    facts: dict[str, Any] = {"mudrock": mudrock_cli.__version__, "temperature": temperature}
    facts |= {
        "data": _describe_data(plan, split),
        "leaks": sorted({*split.leaking_sources(), *find_known_sources(plan)}),
    }
    if results:
        whole = "every source micrograph, held out in turn"
        on = whole if plan.folds else "the source micrographs held out"
        facts |= results.describe(on)
    facts["training"] = _describe_training(plan, fitted)
    if fitted.forest is not None:
        with assembling(plan.out) as scratch:
            fitted.forest.save(scratch)
            card = describe_model(plan.out.name, fitted.recipe, facts)
            write_text(scratch / "card.md", card)
            seal_model(scratch, facts)
        return Outcome(load_model(str(plan.out)), None)
    if plan.recipe.training.finetune:
        start, told = _describe_finetuning(plan, fitted)
        facts |= told
        temperature = start.temperature
        if start.confidence_temperature != 1:
            facts["confidence_temperature"] = start.confidence_temperature
    if calibration:
        facts["calibration"] = asdict(calibration)
        temperature = calibration.temperature
        facts.pop("confidence_temperature", None)
    if results and (confidence := results.calibrate_confidence(temperature)):
        facts["confidence_calibration"] = asdict(confidence)
        facts["confidence_temperature"] = confidence.temperature
    model = write_model(plan.out, fitted.recipe, fitted.network, facts, temperature)
    return Outcome(model, fitted.trained)


def _describe_data(plan: TrainingPlan, split: Split) -> dict[str, Any]:
    parts = {}
    for part in PARTS:
        samples = split.choose(plan.samples, part)
        if samples:
            pixels = sum(sample.grey.size for sample in samples)
            sources = split.sources(part)
            parts[part] = {"parents": sources, "files": len(samples), "megapixels": pixels / 1e6}
    kind = "folds" if plan.folds and split is plan.split else split.kind
    start = None if plan.is_forest else load_start(plan.init)
    known = {*_name_sources(plan, split, "train"), *(start.known_sources if start else ())}
    return {"name": plan.data, "split": kind, "parts": parts, "known": sorted(known)}


def _describe_finetuning(
    plan: TrainingPlan, fitted: _Fitted
) -> tuple[TrainedModel, dict[str, Any]]:
    """Return the start of a fine-tuned model, and what its card tells of both."""
    start = load_start(plan.init)
    assert start is not None  # `TrainingConfiguration.from_options` took care
    told: dict[str, Any] = {"start": start.name, "start_sha256": start.digest}
    told |= {"known": start.known_sources, "other_rock": fitted.is_other_rock}
    if fitted.blend:
        told |= {
            "share": fitted.blend.share,
            "loss_allowed": plan.recipe.training.loss_allowed,
            "halves_pixels": fitted.judged,
            "halves": _by_share(fitted.blend.new),
            "halves_chance": CHANCE,
            "kept_micrographs": [sample.name for sample in plan.keep],
            "kept": _by_share(fitted.blend.old),
        }
    inherited = ("licence", "citation")
    return start, {"finetuning": told} | {
        key: start.card[key] for key in inherited if key in start.card
    }


def _by_share(scores: Mapping[float, Iou]) -> list[dict[str, float]]:
    return [{"share": share, **iou} for share, iou in scores.items()]


def _describe_training(plan: TrainingPlan, fitted: _Fitted) -> dict[str, Any]:
    hours = fitted.seconds / 3600
    if fitted.forest is not None or fitted.trained is None:
        return {"trees": fitted.forest.recipe.trees if fitted.forest else 0, "hours": hours}
    source = plan.work / "init.txt"
    return {
        "started_from": source.read_text("utf-8") if source.is_file() else plan.init,
        "epochs_done": fitted.trained.progress.epochs,
        "ended": fitted.trained.ended,
        "hours": hours,
        "backend": f"{keras.backend.backend()}, Keras {keras.__version__}",
        "machine": f"{platform.system()} {platform.machine()}",
    }


# The range of the training micrographs, put on the card.

_MOST_MEASURED = 60  # micrographs; more hardly widen the range


def measure_training_range(
    model: TrainedModel, micrographs: Sequence[Micrograph], start: TrainedModel | None = None
) -> TrainedModel:
    """Measure the micrographs that a model was trained on, and add their range to its folder.

    ``range.npz`` gets what the encoder sees of them; ``card.md`` and ``card.json`` are written
    anew; what the model predicts, and its hash, stay.

    Parameters
    ----------
    model : TrainedModel
        The finished model. It segments the micrographs, to learn its mean entropy on them; of a
        forest, whose votes are no probabilities, only the looks count.
    micrographs : sequence of Micrograph
        What it was trained on, whole; of more than sixty, at most sixty spread evenly are measured.
        Fewer than three span nothing, and the card stays as it is.
    start : TrainedModel, optional
        The model that it was fine-tuned from, whose range they widen, be they few.

    Returns
    -------
    TrainedModel
        The same folder, loaded with its new card.

    Raises
    ------
    MudrockError
        If a micrograph cannot be read, or the folder not be written.
    """
    if len(micrographs) < LEAST and not start:
        return model
    chosen = micrographs[:: -(-len(micrographs) // _MOST_MEASURED)]
    windows: dict[str, list[Features]] = {}
    for micrograph in chosen:
        seen = encode_appearance(micrograph, model.nm_per_pixel)
        windows.setdefault(name_source(micrograph.name), []).append(seen)
    distribution = FeatureDistribution.gather(windows)
    limit = distribution.find_limit()
    before = read_training_range(start) if start else {}
    if start and DISTANCE in before and (start.path / RANGE).is_file():
        distribution = FeatureDistribution.read(start.path / RANGE).extend(distribution)
        new = (distribution.measure_distance(np.concatenate(seen)) for seen in windows.values())
        limit = max(before.pop(DISTANCE).high, *new)
    known = {} if limit is None else {DISTANCE: Limits(0.0, limit)}
    engine = None if model.recipe.network.architecture == "forest" else open_engine(model)
    figures: list[dict[str, float | None]] = []
    for micrograph in chosen:
        figures.append({SKEW: describe_appearance(micrograph, model.nm_per_pixel)[SKEW]})
    if engine is not None:
        for row, micrograph in zip(figures, chosen, strict=True):
            row[ENTROPY] = _measure_entropy(micrograph, model, engine)
    known |= widen_training_range(before, figures) if start else span_training_range(figures)
    distribution.write(model.path / RANGE)
    facts = {key: value for key, value in model.card.items() if key != "sha256"}
    facts["domain"] = write_training_range(known)
    write_text(model.path / "card.md", describe_model(model.name, model.recipe, facts))
    return seal_model(model.path, facts)


def _measure_entropy(micrograph: Micrograph, model: TrainedModel, engine: Engine) -> float:
    bands = segment_bands(micrograph, model.recipe, lambda: engine, temperature=model.temperature)
    box = micrograph.specimen
    return sum(band.entropy for band in bands) / max(1, box.height * box.width)
