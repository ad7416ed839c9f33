"""Train the paper's other method, the random forest, by the same split and onto the same card."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import mudrock_cli
from mudrock_cli.errors import ExitCode, MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.classical.forest import Forest
    from mudrock_cli.commands.console import TrainingConsole
    from mudrock_cli.cross_validation import Campaign, Findings, Narrator, Order, Outcome
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.deeplab.split import Split


def run_forest_campaign(campaign: "Campaign", narrator: "Narrator") -> "TrainedModel":
    """Grow forests on the folds and on the split, judge them, and write the model folder.

    Parameters
    ----------
    campaign : Campaign
        With a recipe of architecture ``forest``.
    narrator : Narrator
        Is told how it goes.

    Raises
    ------
    MudrockError
        If a phase is missing, or the folder cannot be written.
    """
    from mudrock_cli.cross_validation import pool_findings
    from mudrock_cli.deeplab.split import write_split

    found = []
    for number, fold in enumerate(campaign.folds, start=1):
        held = ", ".join(fold.parents("test"))
        narrator.on_stage(f"fold {number} of {len(campaign.folds)}, without {held}")
        found.append(_judge(campaign, fold, _grow(campaign, fold)))
    narrator.on_stage("growing the forest")
    began = time.monotonic()
    forest = _grow(campaign, campaign.split)
    hours = (time.monotonic() - began) / 3600
    narrator.on_stage("judging")
    findings = pool_findings(found) if campaign.folds else _judge(campaign, campaign.split, forest)
    write_split(campaign.out / "split.csv", campaign.split, campaign.samples)
    return _write(campaign, forest, findings, hours)


def _grow(campaign: "Campaign", split: "Split") -> "Forest":
    from mudrock_cli.classical.forest import ForestRecipe, train_forest

    samples = split.choose(campaign.samples, "train")
    recipe = ForestRecipe.from_toml(campaign.recipe.to_toml())
    return train_forest([s.grey for s in samples], [s.labels for s in samples], recipe)


def _judge(campaign: "Campaign", split: "Split", forest: "Forest") -> "Findings":
    from mudrock_cli.cross_validation import HELD_OUT, judge_engine
    from mudrock_cli.segmentation import ForestEngine

    engine = ForestEngine(forest, campaign.recipe.inference.tile)
    keep = campaign.work / HELD_OUT
    return judge_engine(engine, campaign.samples, split, campaign.recipe, keep=keep)


def _write(
    campaign: "Campaign", forest: "Forest", findings: "Findings", hours: float
) -> "TrainedModel":
    from mudrock_cli.cross_validation import describe_figures
    from mudrock_cli.deeplab.model import assembling, describe_model, load_model, seal_model
    from mudrock_cli.files import write_text

    facts: dict[str, Any] = {"mudrock": mudrock_cli.__version__, "temperature": 1.0}
    facts |= describe_figures(campaign, campaign.split, findings)
    facts["training"] = {"trees": forest.recipe.trees, "hours": hours}
    with assembling(campaign.out) as scratch:
        forest.save(scratch)
        write_text(scratch / "card.md", describe_model(campaign.out.name, campaign.recipe, facts))
        seal_model(scratch, facts)
    return load_model(str(campaign.out))


# ``mudrock train``: labelled micrographs to a model folder.


def train(
    data: Annotated[
        Path,
        typer.Argument(help="Folder with images/ and labels/, or in PASCAL VOC layout."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The model folder; its name is the model's.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(help="fast (the default), paper, unet, forest, or a file.", metavar="NAME"),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="First weights: imagenet (the default), scratch, a .npz or .h5, a model folder.",
            metavar="START",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value: optimizer.rate=0.001.", metavar="KEY=VALUE"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="A CSV of name,part; or paper: at random, which leaks.", metavar="FILE"),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="First hold each parent out in turn, in N trainings.")
    ] = 0,
    pixel_size: Annotated[
        str | None, typer.Option(help="Overrides the files: 10nm, 0.01um.", metavar="LENGTH")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that stopped in --out.")
    ] = False,
) -> None:
    """Train a network on labelled micrographs.

    Files of one micrograph never stand on both sides of the split, so the figures on the model's
    card hold for micrographs that it has not seen. Ctrl-C leaves a usable model; --resume goes on
    where it stopped. KERAS_BACKEND chooses tensorflow, jax or torch.
    """
    from mudrock_cli.commands.console import TrainingConsole
    from mudrock_cli.deeplab.weights import start_backend

    start_backend()
    from mudrock_cli.cross_validation import (
        WORK,
        Order,
        recall_order,
        record_order,
        refuse_taken,
    )
    from mudrock_cli.files import lock_folder, remove_leftovers

    if resume:
        if recipe or init or split or folds or pixel_size:
            raise UsageError(
                "--resume goes on with the recipe, start and split of the stopped training",
                "leave --recipe, --init, --split, --folds and --pixel-size out",
            )
        order = recall_order(out, settings or [])
    else:
        order = Order.place(recipe or "fast", settings or [], init, split, folds, pixel_size)
        refuse_taken(out)
    with TrainingConsole() as narrator, contextlib.ExitStack() as claim:
        campaign = _plan(data, out, order, narrator)
        claim.enter_context(lock_folder(out / WORK))
        for folder in (out, *(out / WORK).glob("fold-*")):
            remove_leftovers(folder)
        record_order(out, order)
        if order.recipe.network.architecture == "forest":
            forest = run_forest_campaign(campaign, narrator)
            narrator.close(_measure_range(forest, campaign, narrator), None)
            return
        outcome = _run(campaign, narrator, resume)
        narrator.close(outcome.model, outcome.trained)
    _exit_unless_ended_well(outcome)


def _plan(data: Path, out: Path, order: "Order", narrator: "TrainingConsole") -> "Campaign":
    """Read the data and divide it."""
    from mudrock_cli.cross_validation import plan_campaign
    from mudrock_cli.deeplab.dataset import load_samples

    narrator.on_stage("reading the data")
    loaded = load_samples(data, order.recipe.data, order.size)
    for remark in loaded.remarks:
        narrator.warn(remark)
    campaign = plan_campaign(order, loaded.samples, data, out)
    narrator.tell_split(campaign)
    return campaign


def _run(campaign: "Campaign", narrator: "TrainingConsole", resume: bool) -> "Outcome":
    from mudrock_cli.cross_validation import run_campaign
    from mudrock_cli.report.figures import draw_curves

    outcome = run_campaign(campaign, narrator, resume=resume)
    if outcome.trained.ended != "interrupted":
        model = _measure_range(outcome.model, campaign, narrator)
        outcome = replace(outcome, model=model)
    if outcome.trained.progress.history:
        draw_curves(campaign.out / "curves.png", outcome.trained.progress.history)
    return outcome


def _measure_range(
    model: "TrainedModel", campaign: "Campaign", narrator: "TrainingConsole"
) -> "TrainedModel":
    """Put on the model's card what its training micrographs span."""
    from mudrock_cli.segmentation import measure_training_range

    narrator.on_stage("measuring what the model knows")
    train = campaign.split.choose(campaign.samples, "train")
    return measure_training_range(
        model, [sample.micrograph(model.nm_per_pixel) for sample in train]
    )


def _exit_unless_ended_well(outcome: "Outcome") -> None:
    ended = outcome.trained.ended
    if ended == "interrupted":
        raise typer.Exit(ExitCode.INTERRUPTED)
    if ended not in ("finished",):
        raise MudrockError(
            f"{ended}; the model has the weights of the epoch before",
            "lower the rate (--set optimizer.rate=) or raise optimizer.warmup_steps",
        )
