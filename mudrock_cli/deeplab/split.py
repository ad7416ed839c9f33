"""Which micrographs train, which validate, which judge; a source micrograph is never divided.

Tiles, mirrored and turned copies and overlapping crops of one micrograph belong together, whatever
they are called: duplicates are found by what they show.
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.config import read_rows
from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import IMAGE_SUFFIXES, write_text

PARTS = ("train", "validation", "test")
_MADE = re.compile(r"(.+)(?:_d\d+|_\d+_[a-z])")  # of a tile or copy, see `augmentation.make_tiles`
_COLUMNS = ("name", "part", "parent", "image_sha256", "label_sha256")


@dataclass(frozen=True)
class Split:
    """The part of every sample.

    Parameters
    ----------
    kind : str
        ``parents``, ``file`` (given by the user), ``paper`` (random per file: leaks) or ``all``.
    part : mapping of str
        From a sample's name to ``train``, ``validation`` or ``test``.
    source : mapping of str
        From a sample's name to its source.
    """

    kind: str
    part: Mapping[str, str]
    source: Mapping[str, str]

    def choose(self, samples: Iterable[Sample], part: str) -> list[Sample]:
        """Return the samples of one part, in their order."""
        return [sample for sample in samples if self.part[sample.name] == part]

    def sources(self, part: str) -> list[str]:
        """Return the sources of one part, sorted."""
        return sorted({self.source[name] for name, of in self.part.items() if of == part})

    def leaking_sources(self) -> list[str]:
        """Return the sources that stand on two sides; a split that shares none does not leak."""
        sides = [set(self.sources(part)) for part in PARTS]
        return sorted((sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2]))


def find_sources(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the source micrograph of each sample, by its name and by its content.

    Tiles of one source (``source_tile_variant``), identical files, flipped and turned copies and
    crops that overlap get one source, whatever they are called.
    """
    chosen = {sample.name: sample.source for sample in samples}
    for group in group_duplicates(samples):
        sources = sorted({chosen[name] for name in group})
        merged = {name: sources[0] for name, source in chosen.items() if source in sources}
        chosen |= merged
    return chosen


def split_by_source(
    samples: Sequence[Sample], shares: tuple[float, float, float], seed: int
) -> Split:
    """Divide sources among training, validation and test, as near to the shares as they allow.

    Large sources are given out first, each to the part that lacks most of its area; every part
    with a share gets a source as long as there are enough, validation before test. A source whose
    labels leave open which of two phases it is trains, unless all do.

    Parameters
    ----------
    samples : sequence of Sample
        All of them.
    shares : tuple of float
        Of the area, for training, validation, test.
    seed : int
        Orders sources of like area.

    Raises
    ------
    MudrockError
        If all samples have one source: then nothing can be held out.
    """
    source = find_sources(samples)
    partial = _find_partial(samples, source)
    area = _areas(samples, source)
    if len(area) < 2 and shares[0] < 1:
        raise _refuse_single(next(iter(area)), len(samples))
    area = {name: size for name, size in area.items() if name not in partial}
    wanted = [index for index in (0, 1, 2) if shares[index] > 0]
    needed = [index for index in wanted if index or not partial][: len(area)]
    total = sum(area.values())
    lacking = [shares[index] * total if index in wanted else 0.0 for index in (0, 1, 2)]
    given: dict[str, int] = {}
    order = _largest_first(area, seed)
    for position, name in enumerate(order):
        empty = [index for index in needed if index not in given.values()]
        last_ones = len(order) - position <= len(empty)
        choices = empty if last_ones else wanted
        part = max(choices, key=lambda index: (lacking[index], -index))
        given[name] = part
        lacking[part] -= area[name]
    part_of = {name: PARTS[given.get(of, 0)] for name, of in source.items()}
    return Split("parents", part_of, source)


def split_in_folds(samples: Sequence[Sample], folds: int, seed: int) -> list[Split]:
    """Hold every source out once: `folds` splits whose test parts together are all samples.

    A source whose labels leave open which of two phases it is always trains, unless all do.

    Raises
    ------
    MudrockError
        If there are fewer sources than folds.
    """
    source = find_sources(samples)
    partial = _find_partial(samples, source)
    area = {name: size for name, size in _areas(samples, source).items() if name not in partial}
    if len(area) < folds:
        told = " that tell the phases apart" if partial else ""
        raise MudrockError(
            f"{folds} folds need as many sources{told}, the data has {len(area)}",
            f"--folds {len(area)}, or more micrographs" if len(area) > 1 else "more micrographs",
        )
    held = [0.0] * folds
    fold_of: dict[str, int] = {}
    for name in _largest_first(area, seed):
        fold_of[name] = int(np.argmin(held))
        held[fold_of[name]] += area[name]
    return [
        Split(
            "parents",
            {name: "test" if fold_of.get(of) == fold else "train" for name, of in source.items()},
            source,
        )
        for fold in range(folds)
    ]


def split_like_the_paper(
    samples: Sequence[Sample],
    shares: tuple[float, float, float],
    seed: int,
    image_sets: Mapping[str, Sequence[str]],
) -> Split:
    """Divide files at random, or as the data's ``ImageSets`` do; tiles of one source part ways.

    The lists name files, or tiles of them, whose copies follow. What is measured by such a split is
    too good: see `Split.leaking_sources`.
    """
    names = [sample.name for sample in samples]
    listed = {
        name: part
        for part, aliases in (("train", ("train",)), ("validation", ("val",)), ("test", ("test",)))
        for alias in aliases
        for name in image_sets.get(alias, ())
    }
    part = {}
    for name in names:
        known = (listed[each] for each in _list_ancestors(name) if each in listed)
        part[name] = next(known, "")
    if not all(part.values()):
        order = np.random.default_rng(seed).permutation(len(names))
        edges = np.rint(np.cumsum(shares) * len(names)).astype(int)
        for rank, index in enumerate(order):
            part[names[index]] = PARTS[int(np.searchsorted(edges, rank, side="right"))]
    return Split("paper", part, find_sources(samples))


def _list_ancestors(name: str) -> Iterator[str]:
    """Yield a file's name and those of what it was made of: copy, tile, file, micrograph."""
    yield name
    match = _MADE.fullmatch(name)
    if match:
        yield from _list_ancestors(match[1])


def take_all(samples: Sequence[Sample]) -> Split:
    """Train on everything; nothing is held out."""
    return Split("all", {sample.name: "train" for sample in samples}, find_sources(samples))


def _find_partial(samples: Iterable[Sample], source: Mapping[str, str]) -> set[str]:
    """Return the sources that cannot judge all phases; none where no other source could."""
    found = {source[sample.name] for sample in samples if sample.is_partial}
    return found if found != set(source.values()) else set()


def _areas(samples: Iterable[Sample], source: Mapping[str, str]) -> dict[str, float]:
    area: dict[str, float] = {}
    for sample in samples:
        name = source[sample.name]
        area[name] = area.get(name, 0.0) + float(sample.grey.size)
    return area


def _largest_first(area: Mapping[str, float], seed: int) -> list[str]:
    """Order sources by size class (factors of two), at random within one."""
    names = sorted(area)
    shuffled = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    return sorted(shuffled, key=lambda name: -round(float(np.log2(area[name]))))


def _refuse_single(source: str, count: int) -> MudrockError:
    what = "the only micrograph" if count == 1 else f"the one source of all {count} files"
    return MudrockError(
        f"{source} is {what}: nothing can be held out to judge the network",
        "add a micrograph of another place, or train without judging: --set data.parts=[1,0,0]",
    )


def read_parts(path: Path) -> dict[str, dict[str, str]]:
    """Read which file, or which source micrograph, is in which part.

    Parameters
    ----------
    path : Path
        CSV with the columns ``name`` and ``part`` at least, as training records it.

    Returns
    -------
    dict of mapping
        Rows by name, without the ending of an image file.

    Raises
    ------
    MudrockError
        If the file cannot be read or is no such table.
    """
    expected = f"expected a CSV with the columns name,part; parts are {', '.join(PARTS)}"
    rows = read_rows(path, expected)
    told = {_strip_ending(row.get("name") or ""): row for row in rows}
    wrong = sorted({row.get("part") or "" for row in rows} - set(PARTS))
    if not rows or wrong or "" in told:
        reason = (
            f"the part {wrong[0][:60]!r} is unknown" if any(wrong) else "names no part of an image"
        )
        raise MudrockError(f"{path}: {reason}", expected)
    return told


def _strip_ending(name: str) -> str:
    known = Path(name).suffix.lower() in IMAGE_SUFFIXES
    return Path(name).with_suffix("").as_posix() if known else name


def read_split(path: Path, samples: Sequence[Sample]) -> Split:
    """Read a split that was recorded or written by hand.

    Parameters
    ----------
    path : Path
        See `read_parts`; hashes, where they stand there, must be those of the files.
    samples : sequence of Sample
        All of them.

    Raises
    ------
    MudrockError
        If it is no such table, leaves a sample out, or a file has changed since.
    """
    told = read_parts(path)
    source = find_sources(samples)
    part = {}
    for sample in samples:
        row = told.get(sample.name) or told.get(source[sample.name])
        if row is None:
            raise MudrockError(f"{path}: has no row for {sample.name}", "add it, or its source")
        if row.get("image_sha256") and _strip_ending(row["name"]) == sample.name:
            _check_hashes(path, row, sample)
        part[sample.name] = str(row["part"])
    if "train" not in part.values():
        raise MudrockError(f"{path}: gives no file to train")
    return Split("file", part, source)


def write_split(path: Path, split: Split, samples: Sequence[Sample]) -> None:
    """Record a split with the hash of every file, so that it can be given again."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for sample in samples:
        table.writerow(
            [sample.name, split.part[sample.name], split.source[sample.name], *sample.files]
        )
    write_text(path, text.getvalue())


def _check_hashes(path: Path, row: Mapping[str, str], sample: Sample) -> None:
    recorded = (row.get("image_sha256"), row.get("label_sha256"))
    if recorded != sample.files:
        raise MudrockError(
            f"{sample.name}: is not the file that {path} recorded (SHA-256 differs)",
            "give the data of that split, or split anew",
        )


# Duplicates among samples: mirrored, turned, changed in grey, overlapping.

_THUMBNAIL = 32  # pixels of a side
_ALIKE = 0.8  # correlation of thumbnails; of 78 tiles of six micrographs none reached 0.35
_BLOCK = 512  # thumbnails compared at once

_SIDE = 64  # pixels of the smaller sample's shorter side, when overlaps are looked for
_FINEST = 4  # least reduction: noise and compression do not survive it
_PIECE = 0.4  # of a side; samples that share less are not found
_FEWEST = 15  # pixels of a piece's side; less tells nothing
_FOUND = 0.85  # correlation: 101 crops of one image gave 0.9 to 1 or less than 0.8
_MOST_PAIRS = 250_000  # a quarter of a millisecond each


def group_duplicates(samples: Sequence[Sample]) -> list[list[str]]:
    """Return the names of samples that show the same place, as groups of two or more.

    Two samples are duplicates when one is, pixel by pixel, the other mirrored or turned by
    quarters; when their thumbnails, mirrored or turned and freed of brightness, contrast and
    shading, correlate above 0.8: so a copy that was brightened or compressed is found too; or when
    they overlap, see `find_overlaps`.

    Parameters
    ----------
    samples : sequence of Sample
        With different names.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    def group(pairs: Iterable[tuple[int, int]]) -> npt.NDArray[np.integer]:
        ends = np.array(list(pairs), int).reshape(-1, 2).T
        graph = coo_array((np.ones(len(ends[0])), tuple(ends)), shape=(len(samples),) * 2)
        found: npt.NDArray[np.integer] = connected_components(graph, directed=False)[1]
        return found

    known = [*_find_identical(samples), *_find_alike(samples)]
    groups = group([*known, *find_overlaps(samples, group(known))])
    members = [np.flatnonzero(groups == number).tolist() for number in np.unique(groups)]
    return [[samples[index].name for index in some] for some in members if len(some) > 1]


def _orient(picture: npt.NDArray[np.generic]) -> Iterator[npt.NDArray[np.generic]]:
    """Yield the eight ways in which a picture can lie."""
    for turned in (picture, np.rot90(picture)):
        yield from (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1])


def _find_identical(samples: Sequence[Sample]) -> Iterator[tuple[int, int]]:
    seen: dict[str, int] = {}
    for index, sample in enumerate(samples):
        hashes = (
            hashlib.sha256(f"{view.shape}".encode() + np.ascontiguousarray(view).tobytes())
            for view in _orient(sample.grey)
        )
        first = seen.setdefault(min(each.hexdigest() for each in hashes), index)
        if first != index:
            yield first, index


def _find_alike(samples: Sequence[Sample]) -> Iterator[tuple[int, int]]:
    thumbnails = np.stack([_make_thumbnail(sample.grey) for sample in samples])
    flat = thumbnails.reshape(len(samples), -1)
    views = [
        np.stack(oriented).reshape(len(samples), -1)
        for oriented in zip(*(_orient(one) for one in thumbnails), strict=True)
    ]
    for top in range(0, len(samples), _BLOCK):
        block = flat[top : top + _BLOCK]
        best = np.maximum.reduce([block @ view.T for view in views])
        for row, column in np.argwhere(best > _ALIKE):
            if top + row < column:
                yield int(top + row), int(column)


def _make_thumbnail(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Reduce to a square of fixed size, without slow changes of brightness, of norm 1.

    A picture without detail becomes 0: it is like nothing but its exact copy.
    """
    small = cv2.resize(
        grey.astype(np.float32), (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA
    )
    around = cv2.GaussianBlur(small, (0, 0), _THUMBNAIL / 8, borderType=cv2.BORDER_REFLECT)
    detail = small - around
    detail -= detail.mean()
    norm = float(np.linalg.norm(detail))
    flat = norm < 1e-3 * _THUMBNAIL
    return np.zeros_like(detail) if flat else np.asarray(detail / norm, np.float32)


def find_overlaps(
    samples: Sequence[Sample], groups: npt.NDArray[np.integer]
) -> Iterator[tuple[int, int]]:
    """Yield the numbers of two samples that show, in part, the same place in the same position.

    The corners and the middle of the smaller one are looked for in the larger one, so samples are
    found that share two fifths of both sides. Nothing is looked for among more than some 700
    samples: so many are tiles, whose names tell where they belong.

    Parameters
    ----------
    samples : sequence of Sample
        At one pixel size.
    groups : ndarray of int, shape (samples,)
        Those of one number are known to belong together, and are not compared.
    """
    if math.comb(len(samples), 2) > _MOST_PAIRS:
        return

    @cache
    def reduce(index: int, factor: int) -> npt.NDArray[np.float32]:
        return _reduce(samples[index].grey, factor)

    for first, second in combinations(range(len(samples)), 2):
        if groups[first] == groups[second]:
            continue
        small, large = sorted((first, second), key=lambda index: samples[index].grey.size)
        factor = max(_FINEST, min(samples[small].grey.shape) // _SIDE)
        if _share_a_piece(reduce(small, factor), reduce(large, factor)):
            yield first, second


def _reduce(grey: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.float32]:
    """Reduce by a whole factor and take slow changes of brightness away."""
    height, width = (max(1, size // factor) for size in grey.shape)
    whole = grey[: height * factor, : width * factor].astype(np.float32)
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small - cv2.GaussianBlur(small, (0, 0), 6), np.float32)


def _share_a_piece(small: npt.NDArray[np.float32], large: npt.NDArray[np.float32]) -> bool:
    height, width = (int(_PIECE * size) for size in small.shape)
    if min(height, width) < _FEWEST or height > large.shape[0] or width > large.shape[1]:
        return False
    bottom, right = small.shape[0] - height, small.shape[1] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    for top, left in corners:
        piece = small[top : top + height, left : left + width]
        if piece.std() > 1 and cv2.matchTemplate(large, piece, cv2.TM_CCOEFF_NORMED).max() > _FOUND:
            return True
    return False
