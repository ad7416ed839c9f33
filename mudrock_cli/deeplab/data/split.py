"""Which micrographs train, which choose the epoch, which judge; a parent is never divided."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.likeness import group_copies
from mudrock_cli.errors import MudrockError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """The part of every sample.

    Parameters
    ----------
    kind : str
        ``parents``, ``file`` (given by the user), ``paper`` (random per file: leaks) or ``all``.
    part : mapping of str
        From a sample's name to ``train``, ``validation`` or ``test``.
    parent : mapping of str
        From a sample's name to its parent.
    """

    kind: str
    part: Mapping[str, str]
    parent: Mapping[str, str]

    def choose(self, samples: Iterable[Sample], part: str) -> list[Sample]:
        """Return the samples of one part, in their order."""
        return [sample for sample in samples if self.part[sample.name] == part]

    def parents(self, part: str) -> list[str]:
        """Return the parents of one part, sorted."""
        return sorted({self.parent[name] for name, of in self.part.items() if of == part})

    def shared_parents(self) -> list[str]:
        """Return the parents that stand on two sides; a split that shares none does not leak."""
        sides = [set(self.parents(part)) for part in PARTS]
        return sorted((sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2]))


def find_parents(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the parent of each sample: by its name, and by content where copies are found.

    Tiles of one parent (``parent_tile_variant``), identical files, flipped and turned copies and
    crops that overlap get one parent, whatever they are called.
    """
    chosen = {sample.name: sample.parent for sample in samples}
    for group in group_copies(samples):
        parents = sorted({chosen[name] for name in group})
        merged = {name: parents[0] for name, parent in chosen.items() if parent in parents}
        chosen |= merged
    return chosen


def split_by_parent(
    samples: Sequence[Sample], shares: tuple[float, float, float], seed: int
) -> Split:
    """Divide parents among training, validation and test, as near to the shares as they allow.

    Large parents are given out first, each to the part that lacks most of its area; every part
    with a share gets a parent as long as there are enough, validation before test.

    Parameters
    ----------
    samples : sequence of Sample
        All of them.
    shares : tuple of float
        Of the area, for training, validation, test.
    seed : int
        Orders parents of like area.

    Raises
    ------
    MudrockError
        If all samples have one parent: then nothing can be held out.
    """
    parent = find_parents(samples)
    area = _areas(samples, parent)
    if len(area) < 2 and shares[0] < 1:
        raise _refuse_single(next(iter(area)), len(samples))
    needed = [index for index in (0, 1, 2) if shares[index] > 0][: len(area)]
    total = sum(area.values())
    lacking = [shares[index] * total if index in needed else 0.0 for index in (0, 1, 2)]
    given: dict[str, int] = {}
    order = _largest_first(area, seed)
    for position, name in enumerate(order):
        empty = [index for index in needed if index not in given.values()]
        last_ones = len(order) - position <= len(empty)
        choices = empty if last_ones else needed
        part = max(choices, key=lambda index: (lacking[index], -index))
        given[name] = part
        lacking[part] -= area[name]
    part_of = {name: PARTS[given[parent[name]]] for name in parent}
    return Split("parents", part_of, parent)


def split_in_folds(samples: Sequence[Sample], folds: int, seed: int) -> list[Split]:
    """Hold every parent out once: `folds` splits whose test parts together are all samples.

    Raises
    ------
    MudrockError
        If there are fewer parents than folds.
    """
    parent = find_parents(samples)
    area = _areas(samples, parent)
    if len(area) < folds:
        raise MudrockError(
            f"{folds} folds need as many parents, the data has {len(area)}",
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
            {name: "test" if fold_of[of] == fold else "train" for name, of in parent.items()},
            parent,
        )
        for fold in range(folds)
    ]


def split_like_the_paper(
    samples: Sequence[Sample],
    shares: tuple[float, float, float],
    seed: int,
    image_sets: Mapping[str, Sequence[str]],
) -> Split:
    """Divide files at random, or as the data's ``ImageSets`` do; tiles of one parent part ways.

    What is measured by such a split is too good: see `Split.shared_parents`.
    """
    names = [sample.name for sample in samples]
    listed = {
        name: part
        for part, aliases in (("train", ("train",)), ("validation", ("val",)), ("test", ("test",)))
        for alias in aliases
        for name in image_sets.get(alias, ())
    }
    part = {name: listed.get(name, "") for name in names}
    if not all(part.values()):
        order = np.random.default_rng(seed).permutation(len(names))
        edges = np.rint(np.cumsum(shares) * len(names)).astype(int)
        for rank, index in enumerate(order):
            part[names[index]] = PARTS[int(np.searchsorted(edges, rank, side="right"))]
    return Split("paper", part, find_parents(samples))


def take_all(samples: Sequence[Sample]) -> Split:
    """Train on everything; nothing is held out."""
    return Split("all", {sample.name: "train" for sample in samples}, find_parents(samples))


def _areas(samples: Iterable[Sample], parent: Mapping[str, str]) -> dict[str, float]:
    area: dict[str, float] = {}
    for sample in samples:
        name = parent[sample.name]
        area[name] = area.get(name, 0.0) + float(sample.grey.size)
    return area


def _largest_first(area: Mapping[str, float], seed: int) -> list[str]:
    """Order parents by size class (factors of two), at random within one."""
    names = sorted(area)
    shuffled = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    return sorted(shuffled, key=lambda name: -round(float(np.log2(area[name]))))


def _refuse_single(parent: str, count: int) -> MudrockError:
    what = "the only micrograph" if count == 1 else f"the one parent of all {count} files"
    return MudrockError(
        f"{parent} is {what}: nothing can be held out to judge the network",
        "add a micrograph of another place, or train without judging: --set data.parts=[1,0,0]",
    )
