"""Small text files that somebody else may have written: recipes as dataclasses, cards, tables.

A recipe is a frozen dataclass whose fields are dataclasses, one for each table of the TOML file::

    @dataclass(frozen=True)
    class Pore:
        darkness: float = setting(0.2, "0 is the solid, 1 the deepest pore", low=0, high=1)


    @dataclass(frozen=True)
    class Recipe:
        pore: Pore = field(default_factory=Pore)


    recipe = from_toml(Recipe, text, "mine.toml")
    to_toml(recipe)
"""

import csv
import dataclasses
import io
import math
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints, runtime_checkable

import tomli_w

from mudrock_cli.errors import MudrockError, UsageError, describe

Value = TypeVar("Value")
Recipe = TypeVar("Recipe")

_MOST_BYTES = 1 << 22
_MOST_TOML = 1 << 15  # its reader takes minutes for a key of a hundred thousand dots


def read_text(path: Path, hint: str = "", encoding: str = "utf-8") -> str:
    """Read a text file, within reason.

    Parameters
    ----------
    path : Path
        File.
    hint : str
        What to do where it is none.
    encoding : str
        How it is written.

    Raises
    ------
    MudrockError
        If it is no regular file (a pipe would be waited for), larger than 4 MB, or no text.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise MudrockError(f"{path}: cannot be read (not a file)", hint)
        if size > _MOST_BYTES:
            raise MudrockError(
                f"{path}: cannot be read ({size / 1e6:.0f} MB are too many for a text)", hint
            )
        return path.read_text(encoding)
    except UnicodeError as error:
        raise MudrockError(f"{path}: cannot be read (no text in {encoding})", hint) from error
    except OSError as error:
        raise MudrockError(f"{path}: cannot be read ({describe(error)})", hint) from error


def read_rows(path: Path, hint: str) -> list[dict[str, str]]:
    """Read a CSV with a header as a dictionary a row; a cell that is missing is empty.

    Parameters
    ----------
    path : Path
        File, in UTF-8 with or without its mark.
    hint : str
        What such a file should be.

    Raises
    ------
    MudrockError
        If it is no text, or no CSV.
    """
    text = io.StringIO(read_text(path, hint, "utf-8-sig"))
    try:
        rows = list(csv.DictReader(text, restval=""))
    except csv.Error as error:
        raise MudrockError(f"{path}: cannot be read ({error})", hint) from error
    return [{key: value for key, value in row.items() if key is not None} for row in rows]


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML.

    Parameters
    ----------
    text : str
        What may be TOML.
    source : str
        Where it is from, for the message.

    Raises
    ------
    MudrockError
        If it is none, is endless, nests too deep or holds a number of thousands of digits.
    """
    if len(text) > _MOST_TOML:
        raise MudrockError(f"{source} is not valid TOML: {len(text)} letters are too many")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MudrockError(f"{source} is not valid TOML: {describe(error)}") from error


def setting(
    default: Value,
    meaning: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    length: tuple[int, int] | None = None,
    choices: tuple[Any, ...] = (),
) -> Value:
    """Declare a field of a recipe; `from_toml` refuses what it does not allow.

    Parameters
    ----------
    default : bool, int, float, str or tuple of one of them
        Value that the field has where the file leaves it out.
    meaning : str
        What the field is, with its unit; shown where a value is refused.
    low, high : float
        Smallest and largest number allowed; of a tuple: for each of its numbers.
    length : tuple of int, optional
        Fewest and most values of a tuple without a fixed length.
    choices : tuple, optional
        All values that are allowed, instead of a range.
    """
    allowed = _Allowed(meaning, low, high, length, choices)
    field: Value = dataclasses.field(default=default, metadata={"allowed": allowed})
    return field


@runtime_checkable
class HasConflicts(Protocol):
    """A recipe some of whose values exclude each other."""

    def find_conflicts(self) -> Iterable[tuple[str, Any, str]]:
        """Yield ``section.key``, its value and what is allowed, wherever values do not agree."""


def from_toml(kind: type[Recipe], text: str, source: str) -> Recipe:
    """Read a recipe from TOML; whatever the text leaves out keeps its default.

    Parameters
    ----------
    kind : type
        Dataclass of the recipe, see the head of this module.
    text : str
        TOML.
    source : str
        Where it is from, for messages.

    Raises
    ------
    MudrockError
        If the text is no TOML, or `from_dict` refuses what it says.
    """
    return from_dict(kind, parse_toml(text, source), source)


def from_dict(
    kind: type[Recipe], table: Mapping[str, Any], source: str, section: str = ""
) -> Recipe:
    """Read a recipe from nested dictionaries; whatever is left out keeps its default.

    Parameters
    ----------
    kind : type
        Dataclass of the recipe, or of one of its sections. A field without `setting` that is no
        dataclass must be a dictionary, and is taken as it is.
    table : mapping
        Values by key, or by section and key.
    source : str
        Where it is from, for messages.
    section : str
        Name of the section, where `kind` is one.

    Raises
    ------
    MudrockError
        For the first key that is unknown, value that is of the wrong type, out of its range or in
        conflict with another; with what is allowed as the hint.
    """
    recipe = _read_table(kind, table, source, section)
    if isinstance(recipe, HasConflicts):
        for name, value, allowed in recipe.find_conflicts():
            raise _refuse(source, name, value, allowed)
    return recipe


def to_dict(recipe: Any) -> dict[str, Any]:
    """Return a recipe as nested dictionaries of plain values, defaults included."""
    return dataclasses.asdict(recipe)


def to_toml(recipe: Any) -> str:
    """Write a recipe as TOML, defaults included; empty tables are left out."""
    return tomli_w.dumps({name: value for name, value in to_dict(recipe).items() if value != {}})


def list_packaged(package: str) -> list[str]:
    """Return the names of the recipes in a package's folder ``recipes``, sorted."""
    names = (Path(entry.name) for entry in (files(package) / "recipes").iterdir())
    return sorted(name.stem for name in names if name.suffix == ".toml")


def read_packaged(package: str, name: str) -> tuple[str, str]:
    """Read a packaged recipe by its name, or a recipe file.

    Parameters
    ----------
    package : str
        With a folder ``recipes``.
    name : str
        One of `list_packaged`, or the path of a TOML file.

    Returns
    -------
    text, source : str
        What stands there, and how messages name it.

    Raises
    ------
    UsageError
        If there is no such recipe or file, or it is no text.
    """
    known = list_packaged(package)
    if name in known:
        return (files(package) / "recipes" / f"{name}.toml").read_text("utf-8"), f"recipe {name}"
    hint = f"give a TOML file, or one of: {', '.join(known)}"
    if not Path(name).exists():
        raise UsageError(f"{name}: no recipe of this name and no such file", hint)
    try:
        return read_text(Path(name), hint), name
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


@dataclasses.dataclass(frozen=True)
class _Allowed:
    """What a field may hold; see `setting`."""

    meaning: str
    low: float
    high: float
    length: tuple[int, int] | None
    choices: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Return whether a value of the right type is allowed."""
        if isinstance(value, tuple):
            short, long = self.length or (0, math.inf)
            return short <= len(value) <= long and all(self.holds(item) for item in value)
        if self.choices:
            return value in self.choices
        return isinstance(value, bool | str) or self.low <= value <= self.high

    def describe(self, hint: Any) -> str:
        """Return what is allowed, in words."""
        inner = get_args(hint) or (hint,)
        one = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        words = f"one of: {', '.join(map(str, self.choices))}" if self.choices else one[inner[0]]
        words += f" from {self.low:g}" if math.isfinite(self.low) else ""
        words += f" up to {self.high:g}" if math.isfinite(self.high) else ""
        if get_origin(hint) is tuple:
            few, most = self.length or (len(inner), len(inner))
            words = f"a list of {few if few == most else f'{few} to {most}'}, each {words}"
        return f"{words} ({self.meaning})"


def _read_table(kind: type[Recipe], table: Any, source: str, section: str) -> Recipe:
    where = f"{source}: [{section}]" if section else source
    if not isinstance(table, Mapping):
        raise MudrockError(f"{where} must be a table")
    hints = get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise MudrockError(f"{where} has no key {unknown[0][:200]}", f"known: {', '.join(hints)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        hint, allowed = hints[key], fields[key].metadata.get("allowed")
        name = f"{section}.{key}" if section else key
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            values[key] = _read_table(hint, value, source, name)
        elif allowed is None:
            if not isinstance(value, Mapping):
                raise MudrockError(f"{source}: [{name}] must be a table")
            values[key] = value
        else:
            try:
                values[key] = _convert(hint, value)
            except ValueError:
                raise _refuse(source, name, value, allowed.describe(hint)) from None
            if not allowed.holds(values[key]):
                raise _refuse(source, name, value, allowed.describe(hint))
    return kind(**values)


def _convert(hint: Any, value: Any) -> Any:
    """Convert a TOML value to the type of its field, or raise a ValueError."""
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        free = inner[-1] is Ellipsis
        if not isinstance(value, list | tuple) or not (free or len(value) == len(inner)):
            raise ValueError
        return tuple(_convert(inner[0], item) for item in value)
    if hint is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not hint:
        raise ValueError
    return value


def _refuse(source: str, name: str, value: Any, allowed: str) -> MudrockError:
    shown = reprlib.repr(list(value) if isinstance(value, tuple) else value)
    return MudrockError(f"{source}: {name} cannot be {shown}", f"allowed: {allowed}")
