"""From labelled micrographs to a model folder: train, judge, calibrate, write."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import keras

import mudrock_cli
from mudrock_cli.deeplab.campaign.facts import describe_figures, describe_training
from mudrock_cli.deeplab.campaign.findings import (
    Findings,
    judge_network,
    load_findings,
    pool_findings,
    save_findings,
)
from mudrock_cli.deeplab.campaign.plan import HELD_OUT, Campaign
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.split import Split
from mudrock_cli.deeplab.data.split_file import write_split
from mudrock_cli.deeplab.data.tiling import make_tiles
from mudrock_cli.deeplab.model.folder import write_model
from mudrock_cli.deeplab.model.zoo import TrainedModel
from mudrock_cli.deeplab.network.architecture import build_network
from mudrock_cli.deeplab.network.start import give_start
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.deeplab.training.loop import Trained, Watcher
from mudrock_cli.deeplab.training.trainer import complete_recipe, train_network
from mudrock_cli.image.placement import write_text

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
    train = [*train, *campaign.phantoms]
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
    return judge_network(
        network, campaign.samples, split, recipe, campaign.ask, campaign.work / HELD_OUT
    )


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
    for name in ("epochs", "patience"):
        del table["training"][name]
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
