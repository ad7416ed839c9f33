r"""Images that belong together: samples, depths, beds; and what tells two groups apart.

``--group`` takes a CSV file (first column the image's name, the other columns what it belongs to)
or a regular expression with named groups that is searched in the image's name, such as
``(?P<sample>[A-Z]+)_(?P<depth>\d+)``.

How to use it: ``read_grouping(text)``, then ``assign_groups(grouping, names)`` gives the key of
each image; rows with one key are pooled like the images of a batch; ``compare_groups`` is called
for each pair of groups.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mudrock_cli.config import read_text
from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.uncertainty import Interval, bootstrap_difference

Key = tuple[str, ...]


@dataclass(frozen=True)
class Grouping:
    """How images are put into groups.

    Parameters
    ----------
    columns : tuple of str
        What a group is described by, for example ``("sample", "depth")``.
    source : str
        The CSV file or the pattern, for messages.
    pattern : re.Pattern or None
        Searched in the name of an image.
    table : dict of str to tuple of str
        The key of each image, by name.
    """

    columns: tuple[str, ...]
    source: str
    pattern: re.Pattern[str] | None = None
    table: dict[str, Key] = field(default_factory=dict)

    def find(self, name: str) -> Key | None:
        """Return the key of an image, or None where it has none."""
        if self.pattern is None:
            return self.table.get(name, self.table.get(_stem(name)))
        match = self.pattern.search(name)
        return tuple(match[column] or "" for column in self.columns) if match else None


@dataclass(frozen=True)
class GroupComparison:
    """What tells a second group from a first.

    Parameters
    ----------
    ks : float
        Kolmogorov-Smirnov distance between the size distributions by number, 0 to 1.
    ks_p : float
        Its p value if objects were independent. They are not: objects of one field resemble each
        other, so it is too small.
    wasserstein_um : float
        Wasserstein distance: how far, on average, a size has to be moved, µm.
    porosity_difference : Interval
        Porosity of the second less that of the first, with the bootstrap interval over blocks and
        images.
    """

    ks: float
    ks_p: float
    wasserstein_um: float
    porosity_difference: Interval


def read_grouping(text: str) -> Grouping:
    """Read the value of ``--group``.

    Parameters
    ----------
    text : str
        Path of a CSV file, or a regular expression with named groups.

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


def compare_groups(
    first_um: npt.ArrayLike,
    second_um: npt.ArrayLike,
    first_blocks: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    second_blocks: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
) -> GroupComparison:
    """Compare sizes and porosity of two groups.

    Parameters
    ----------
    first_um, second_um : array_like, shape (N,) and (M,)
        Equivalent-circle diameters of the objects of one phase, µm.
    first_blocks, second_blocks : tuple of array_like
        Pore area, specimen area and image of each block (see ``intervals.bootstrap_fraction``).

    Notes
    -----
    ``scipy.stats.ks_2samp`` and ``scipy.stats.wasserstein_distance``; NaN where a group has no
    object.
    """
    from scipy.stats import ks_2samp, wasserstein_distance

    first, second = np.asarray(first_um, np.float64), np.asarray(second_um, np.float64)
    difference = bootstrap_difference(first_blocks, second_blocks)
    if not (len(first) and len(second)):
        return GroupComparison(np.nan, np.nan, np.nan, difference)
    test = ks_2samp(first, second, method="asymp")
    distance = float(wasserstein_distance(first, second))
    return GroupComparison(float(test.statistic), float(test.pvalue), distance, difference)


_PATTERN_HINT = "name what to group by, for example --group '(?P<sample>[A-Za-z]+)_\\d+'"
_TABLE_HINT = "write a header and a row per image: name,sample,depth"


def _stem(name: str) -> str:
    """Return a name without folders and suffix."""
    return Path(name).stem if Path(name).suffix.lower() in _SUFFIXES else Path(name).name


_SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"}


def _read_table(path: Path) -> Grouping:
    """Read a CSV file of names and what they belong to."""
    try:
        stream = io.StringIO(read_text(path, _TABLE_HINT, "utf-8-sig"))
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if any(row)]
    except csv.Error as error:
        raise MudrockError(f"{path}: cannot be read ({error})", _TABLE_HINT) from error
    if len(rows) < 2 or len(rows[0]) < 2:
        raise MudrockError(f"{path}: no groups in it", _TABLE_HINT)
    table: dict[str, Key] = {}
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise MudrockError(
                f"{path}: line {line} has {len(row)} cells, the header {len(rows[0])}", _TABLE_HINT
            )
        name = _stem(row[0])
        if name in table:
            raise MudrockError(f"{path}: line {line} names {name[:60]} again", _TABLE_HINT)
        table[name] = tuple(row[1:])
    return Grouping(tuple(rows[0][1:]), str(path), None, table)
