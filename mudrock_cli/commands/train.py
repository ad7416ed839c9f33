"""``mudrock train``: labelled micrographs to a model folder."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mudrock_cli.commands.options import RARE, Values, check_folder
from mudrock_cli.errors import ExitCode, MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.commands.console import TrainingConsole
    from mudrock_cli.cross_validation import TrainingConfiguration, TrainingPlan
    from mudrock_cli.deeplab.dataset import Sample


def train(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of masks; or with images/ and labels/, or in VOC layout."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The model folder; its name is the model's.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="finetune (the default where --init is a model), strokes (the same in a minute), "
            "fast (otherwise), paper, unet, forest, or a file.",
            metavar="NAME",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="First weights: a model's name or folder (by default the one that ships, where it "
            "fits), imagenet (downloaded), scratch, a .npz or .h5.",
            metavar="START",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value: optimizer.rate=0.001.", metavar="KEY=VALUE"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="A CSV of name,part; or paper: at random, which leaks.",
            metavar="FILE",
            rich_help_panel=RARE,
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="First hold each micrograph out in turn, in N trainings.")
    ] = 0,
    pixel_size: Annotated[
        str | None,
        typer.Option(help="Of all files, whatever they tell: 10nm, 0.01um.", metavar="LENGTH"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that stopped in --out.")
    ] = False,
    micrographs: Annotated[
        Path | None,
        typer.Option(
            help="Where the micrographs of masks are, if not beside or below them.",
            metavar="FOLDER",
            rich_help_panel=RARE,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Labelled micrographs on which a fine-tuned model may lose nothing.",
            metavar="FOLDER",
            rich_help_panel=RARE,
        ),
    ] = None,
    values: Values = None,
) -> None:
    """Train a network on labelled micrographs, or teach a model a new rock by a few masks.

    train MASKS --init kumano --out models/mine fine-tunes a model on corrected masks, or on strokes
    of a brush (255 where nothing is painted), within minutes. A mask finds its micrograph by its
    hash or by name.

    Files of one micrograph never stand on both sides of the split, so the figures on the model's
    card hold for micrographs that it has not seen. Ctrl-C leaves a usable model; --resume goes on
    where it stopped. KERAS_BACKEND chooses tensorflow, jax or torch.
    """
    from mudrock_cli.commands.console import TrainingConsole
    from mudrock_cli.deeplab.weights import start_backend

    start_backend()
    from mudrock_cli.cross_validation import (
        WORK,
        TrainingConfiguration,
        refuse_taken,
        run_training,
    )
    from mudrock_cli.files import lock_folder, remove_leftovers
    from mudrock_cli.report.figures import draw_curves

    if resume:
        if recipe or init or split or folds or pixel_size or micrographs or keep or values:
            raise UsageError(
                "--resume goes on with the recipe, start, split and folders of the stopped "
                "training",
                "leave all but DATA, --out and --set out",
            )
        wanted = TrainingConfiguration.read(out, settings or [])
    else:
        check_folder(micrographs, "--micrographs")
        check_folder(keep, "--keep")
        wanted = TrainingConfiguration.from_options(
            recipe, settings or [], init, split, folds, pixel_size, micrographs, keep, values
        )
        refuse_taken(out)
    with TrainingConsole() as console, contextlib.ExitStack() as stack:
        plan = _plan(data, out, wanted, console)
        stack.enter_context(lock_folder(out / WORK))
        for folder in (out, *(out / WORK).glob("fold-*")):
            remove_leftovers(folder)
        wanted.write(out)
        outcome = run_training(plan, console, resume=resume)
        trained = outcome.trained
        if trained and trained.progress.history:
            draw_curves(out / "curves.png", trained.progress.history)
        console.close(outcome.model, trained)
    if trained and trained.ended == "interrupted":
        raise typer.Exit(ExitCode.INTERRUPTED)
    if trained and trained.ended != "finished":
        raise MudrockError(
            f"{trained.ended}; the model has the weights of the epoch before",
            "lower the rate (--set optimizer.rate=) or raise optimizer.warmup_steps",
        )


def _plan(
    data: Path, out: Path, wanted: "TrainingConfiguration", console: "TrainingConsole"
) -> "TrainingPlan":
    """Read the data and divide it."""
    from mudrock_cli.cross_validation import find_known_sources, plan_training
    from mudrock_cli.deeplab.dataset import load_samples

    console.on_stage("reading the data")
    folder = Path(wanted.micrographs) if wanted.micrographs else None
    loaded = load_samples(data, wanted.recipe.data, wanted.size, folder, wanted.value_table)
    for remark in loaded.remarks:
        console.warn(remark)
    kept: tuple[Sample, ...] = ()
    if wanted.keep:
        old = load_samples(Path(wanted.keep), wanted.recipe.data, wanted.size)
        kept = old.samples
        for remark in old.remarks:
            console.warn(f"--keep: {remark}")
    plan = plan_training(wanted, loaded.samples, data, out, kept)
    console.print_split(plan)
    is_judged = plan.split.sources("validation") or plan.split.sources("test")
    if len(plan.split.sources("train")) == 1 and is_judged:
        console.warn(
            "a single micrograph trains, the others are held out to judge the model: label more, "
            "or let --folds hold each of them out in turn and train on all"
        )
    known = find_known_sources(plan)
    if known:
        console.warn(
            f"the model {plan.init}, from which this starts, was trained on {', '.join(known)}: "
            "the figures will be too good; --init imagenet or scratch"
        )
    return plan
