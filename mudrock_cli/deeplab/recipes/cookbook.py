"""Recipes by name, from a file, and with single values changed."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.texts import parse_toml, read_text

_RECIPES = files("mudrock_cli.deeplab.recipes")


def list_recipes() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    found = (Path(entry.name) for entry in _RECIPES.iterdir())
    return sorted(path.stem for path in found if path.suffix == ".toml")


def load_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Load a recipe.

    Parameters
    ----------
    name : str
        Of a packaged recipe, or the path of a TOML file.
    settings : sequence of str
        Values that override the recipe's, as ``section.key=value`` with the value in TOML; text
        needs no quotes.

    Raises
    ------
    UsageError
        If there is no such recipe, or a setting cannot be read.
    MudrockError
        If the recipe or a value in it is wrong.
    """
    if name in list_recipes():
        text, source = (_RECIPES / f"{name}.toml").read_text("utf-8"), f"recipe {name}"
    else:
        text, source = _read(Path(name)), name
    table = parse_toml(text, source)
    for setting in settings:
        _override(table, setting)
    return Recipe.from_dict(table, f"{source} with --set" if settings else source)


def change_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with single values changed; see `load_recipe`."""
    table = recipe.to_dict()
    for setting in settings:
        _override(table, setting)
    return Recipe.from_dict(table, "recipe with --set")


def _read(path: Path) -> str:
    if not path.is_file():
        known = ", ".join(list_recipes())
        raise UsageError(f"{path}: no recipe of this name and no such file", f"recipes: {known}")
    try:
        return read_text(path)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def _override(table: dict[str, Any], setting: str) -> None:
    name, equals, value = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key and section):
        raise UsageError(f"--set {setting}: cannot be read", "write --set optimizer.rate=0.01")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    inner = table.setdefault(section, {})
    if not isinstance(inner, dict):
        raise UsageError(f"--set {setting}: {section} is no section of a recipe")
    inner[key] = parsed
