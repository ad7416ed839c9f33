"""What a user wants trained, kept so that a stopped training can go on with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mudrock_cli.deeplab.campaign.plan import WORK, Campaign
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.pairing import read_image_sets
from mudrock_cli.deeplab.data.split import (
    Split,
    split_by_parent,
    split_in_folds,
    split_like_the_paper,
    take_all,
)
from mudrock_cli.deeplab.data.split_file import read_split
from mudrock_cli.deeplab.data.tiling import make_tiles
from mudrock_cli.deeplab.model.zoo import CARD
from mudrock_cli.deeplab.recipes.cookbook import change_recipe, load_recipe
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.deeplab.training.loop import LAST
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.placement import write_text

_FILE = "order.json"
_STRETCHABLE = ("training.epochs", "training.patience")  # what a resumed training may change


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
        More epochs or another patience, as ``training.epochs=80``; the schedule stays what it
        was, so that more epochs run at its end rate.

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
