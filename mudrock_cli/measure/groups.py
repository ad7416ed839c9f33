r"""Images that belong together: samples, depths, beds; their figures, and what tells two apart.

``--group`` takes a CSV file (first column the image's name, the other columns what it belongs to)
or a regular expression with named groups that is searched in the image's name, such as
``(?P<sample>[A-Z]+)_(?P<depth>\d+)``.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from mudrock_cli.config import read_text
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import IMAGE_SUFFIXES
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.schema import INSTANCES, SUMMARY, Column
from mudrock_cli.measure.summary import (
    FRACTIONS,
    Field,
    Row,
    name_interval,
    pool_grains,
    sum_areas,
    summarise,
    warn_of_fields,
)
from mudrock_cli.measure.uncertainty import rock_difference

Key = tuple[str, ...]

MOST_COMPARED = 12
"""Of more groups than this, pairs are not compared: nobody reads such a table."""

_PATTERN_HINT = "name what to group by, for example --group '(?P<sample>[A-Za-z]+)_\\d+'"
_NUMBER = re.compile(r"[+-]?(?!0\d)(\d+\.?\d*|\.\d+)")
_TABLE_HINT = "write a header and a row per image: name,sample,depth"


@dataclass(frozen=True)
class Grouping:
    """How images are put into groups: by a pattern or by a table."""

    columns: tuple[str, ...]  # what describes a group, for example ("sample", "depth")
    source: str  # the CSV file or the pattern, for messages
    pattern: re.Pattern[str] | None = None  # searched in the name of an image
    table: dict[str, Key] = field(default_factory=dict)  # the key of each image, by name

    def find(self, name: str) -> Key | None:
        """Return the key of an image, or None where it has none."""
        if self.pattern is None:
            return self._look_up(_strip_ending(name))
        match = self.pattern.search(name)
        return tuple(match[column] or "" for column in self.columns) if match else None

    def _look_up(self, name: str) -> Key | None:
        """Find a name in the table: whole, with fewer folders or more, or without any."""
        alone = Path(name).name
        longer = [
            key
            for key in self._paths.get(alone, ())
            if f"/{key}".endswith(f"/{name}") or f"/{name}".endswith(f"/{key}")
        ]
        known = [name, *(longer if len(longer) == 1 else ()), alone]
        return next((self.table[key] for key in known if key in self.table), None)

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        """The names in the table, by what they are without folders."""
        found: dict[str, list[str]] = {}
        for name in self.table:
            found.setdefault(Path(name).name, []).append(name)
        return found


def read_grouping(text: str) -> Grouping:
    """Read the value of ``--group``: the path of a CSV file, or a pattern with named groups.

    Raises
    ------
    MudrockError
        If the file cannot be read, has no column besides the name or names an image twice, or if
        the pattern is wrong or has no named group.
    """
    if text.lower().endswith(".csv"):
        return _read_table(Path(text))
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise MudrockError(
            f"--group {text!r} is no regular expression: {error}", _PATTERN_HINT
        ) from error
    if not pattern.groupindex:
        raise MudrockError(f"--group {text!r} has no named group", _PATTERN_HINT)
    return Grouping(tuple(pattern.groupindex), text, pattern)


def _read_table(path: Path) -> Grouping:
    """Read a CSV file of names and what they belong to."""
    try:
        stream = io.StringIO(read_text(path, _TABLE_HINT, "utf-8-sig"))
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if any(row)] or [[]]
    except csv.Error as error:
        raise MudrockError(f"{path}: cannot be read ({error})", _TABLE_HINT) from error
    width = max((place for place, title in enumerate(rows[0], 1) if title), default=0)
    rows = [row if any(row[width:]) else row[:width] for row in rows]  # spreadsheets leave commas
    if len(rows) < 2 or len(rows[0]) < 2:
        raise MudrockError(f"{path}: no groups in it", _TABLE_HINT)
    titles = rows[0][1:]
    wrong = next((title for title in titles if not title or titles.count(title) > 1), None)
    if wrong is not None:
        reason = f"two columns are called {wrong[:60]}" if wrong else "a column has no title"
        raise MudrockError(f"{path}: {reason}", _TABLE_HINT)
    table: dict[str, Key] = {}
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise MudrockError(
                f"{path}: line {line} has {len(row)} cells, the header {len(rows[0])}", _TABLE_HINT
            )
        name = _strip_ending(row[0])
        if name in table:
            raise MudrockError(f"{path}: line {line} names {name[:60]} again", _TABLE_HINT)
        table[name] = tuple(row[1:])
    return Grouping(tuple(rows[0][1:]), str(path), None, table)


def _strip_ending(name: str) -> str:
    path = Path(name)
    known = path.suffix.lower() in IMAGE_SUFFIXES
    return (path.with_suffix("") if known else path).as_posix()


def assign_groups(grouping: Grouping, names: Sequence[str]) -> list[Key]:
    """Return the key of each image.

    Raises
    ------
    MudrockError
        If an image belongs to no group.
    """
    keys = [grouping.find(name) for name in names]
    missing = [name for name, key in zip(names, keys, strict=True) if key is None]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MudrockError(
            f"{missing[0]}{others}: no group in {grouping.source}",
            "add a row for it to the CSV file, or widen the pattern",
        )
    return [key for key in keys if key is not None]


@dataclass(frozen=True)
class Groups:
    """The groups of some images, as the tables tell them.

    Parameters
    ----------
    words : dict of str to str
        Group of each image, in words: ``sample A, depth_m 1200``; empty without groups.
    columns : tuple of Column
        A column of the tables for each name of the grouping: numbers where all its values are.
    values : dict of str to dict
        What these columns hold, by image and by group.
    """

    words: dict[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


def describe_groups(grouping: Grouping, names: Sequence[str]) -> Groups:
    """Return the groups of images.

    Raises
    ------
    MudrockError
        If an image belongs to no group.
    """
    keys = assign_groups(grouping, names)
    known = {column.name for column in (*INSTANCES, *SUMMARY)}
    columns: list[Column] = []
    values: dict[str, dict[str, Any]] = {name: {} for name in names}
    words = dict.fromkeys(names, "")
    for place, title in enumerate(grouping.columns):
        texts = [key[place] for key in keys]
        numbers = _read_numbers(texts)
        column = f"group_{title}" if title in known else title
        kind, meaning = "category" if numbers is None else "float", f"{title} of the image's group"
        columns.append(Column(column, kind, "", meaning, "given by --group"))
        for name, text, value in zip(names, texts, numbers or texts, strict=True):
            values[name][column] = value if text else None
            words[name] += f"{', ' if place else ''}{title} {text}"
    return Groups(words, tuple(columns), values | {words[name]: values[name] for name in names})


def _read_numbers(texts: Sequence[str]) -> list[float] | None:
    """Return texts as numbers (0 for an empty one), None where they are names: 007, 1E2."""
    found = [text for text in texts if text]
    if not found or not all(_NUMBER.fullmatch(text) for text in found):
        return None
    return [float(text or 0) for text in texts]


def pool_fields(
    fields: Mapping[str, Field],
    groups: Mapping[str, str],
    min_silt_um: float,
    min_pore_um: float = 0.0,
) -> Iterator[Row]:
    """Yield the rows of the summary for groups, for pairs of groups, and last for all images.

    Parameters
    ----------
    fields : mapping of str to Field
        The images, by name; at least one.
    groups : mapping of str to str
        Group of each image; empty where there are none.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    min_pore_um : float
        Pores with a smaller ECD are not counted, µm.
    """
    members: defaultdict[str, list[Field]] = defaultdict(list)
    for name, group in groups.items():
        if name in fields:
            members[group].append(fields[name])

    def pool(some: Sequence[Field]) -> Row:
        row = summarise(some, min_silt_um, min_pore_um)
        return row | {"warnings": list(warn_of_fields(row, some).values())}

    for group in sorted(members):
        yield pool(members[group]) | {"scope": "group", "group": group}
    for first, second in combinations(sorted(members), 2) if len(members) <= MOST_COMPARED else ():
        row = compare_groups(members[first], members[second])
        yield row | {"scope": "comparison", "group": first, "other_group": second}
    yield pool(list(fields.values())) | {"scope": "pooled"}


def compare_groups(first: Sequence[Field], second: Sequence[Field]) -> Row:
    """Compare sizes and fractions of two groups of images.

    Returns
    -------
    dict
        Values of columns of the summary; differences are second less first. Distances of sizes
        (``scipy.stats.ks_2samp``, ``wasserstein_distance``) are NaN where a group has no object.
    """
    from scipy.stats import ks_2samp, wasserstein_distance

    row: Row = {"images": len(first) + len(second)}
    row |= compare_fractions(first, second)
    if min(len(first), len(second)) == 1:
        row["warnings"] = [
            "a group of one field cannot be compared: how fields of it differ is not known"
        ]
    for phase in (Phase.PORE, Phase.SILT):
        sizes = [pool_grains(some, phase).ecd for some in (first, second)]
        if all(map(len, sizes)):
            # SciPy's law of many objects divides by zero for one against one.
            method = "asymp" if sum(map(len, sizes)) > 2 else "exact"
            test, word = ks_2samp(*sizes, method=method), phase.name.lower()
            row |= {
                f"{word}_ks": float(test.statistic),
                f"{word}_ks_p": float(test.pvalue),
                f"{word}_wasserstein_um": float(wasserstein_distance(*sizes)),
            }
    return row


def compare_fractions(first: Sequence[Field], second: Sequence[Field]) -> Row:
    """Return the differences of the fractions of two groups, second less first, with intervals."""
    row: Row = {}
    for phase, name in FRACTIONS.items():
        difference = rock_difference(sum_areas(first, phase), sum_areas(second, phase))
        row |= name_interval(f"{name}_difference", difference)
    return row
