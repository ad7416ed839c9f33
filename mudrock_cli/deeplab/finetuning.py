"""A few labels teach a network that knows other rock: how much of what they teach is taken on.

Fine-tuning learns from a few tiles what may be wrong elsewhere. So the model's weights lie between
those of the start and those that were learned. Where halves of the labels, each judging what the
other half alone teaches, tell that less is better, less is taken on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import keras
import numpy as np

from mudrock_cli.deeplab.augmentation import FixedTiles
from mudrock_cli.deeplab.dataset import Sample, normalise_samples, read_tile_name
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.split import group_duplicates
from mudrock_cli.deeplab.training import PHASES, PhaseLoss, PhaseScores
from mudrock_cli.deeplab.weights import Arrays
from mudrock_cli.image.types import Phase

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of what was learned, that are compared
_GAP = 20  # pixels: what lies nearer to each other than twice this is one piece
_LEAST = 0.2  # share of the labels that a half has at least

Iou = dict[str, float]
"""IoU of each phase that is shown, and ``mean``."""


def halve_labels(samples: Sequence[Sample]) -> list[tuple[list[Sample], list[Sample]]]:
    """Divide labels into halves: each teaches once, and judges once what the other taught.

    Strokes that lie close together, tiles that touch and duplicates stay together, for they show
    the same.

    Parameters
    ----------
    samples : sequence of Sample
        What is to be learned from.

    Returns
    -------
    list of (teach, judge)
        Two, or none where there is only one piece, or one that has nearly all of the labels. Each
        part holds the samples that have labels in it; the other labels are void.
    """
    joined = _join_samples(samples)
    numbered = []
    areas: Counter[tuple[str, int]] = Counter()  # of a piece: of one sample, or of several
    for sample in samples:
        known = sample.labels != Phase.VOID
        if sample.name in joined:
            numbers = known.astype(np.int32)
        else:
            around = np.ones((2 * _GAP + 1, 2 * _GAP + 1), np.uint8)
            numbers = cv2.connectedComponents(cv2.dilate(known.astype(np.uint8), around))[1]
        numbered.append(np.where(known, numbers, 0))
        for number, area in enumerate(np.bincount(numbered[-1].ravel()).tolist()):
            if number and area:
                areas[joined.get(sample.name, sample.name), number] += area
    half_of: dict[tuple[str, int], int] = {}
    sizes = [0, 0]
    for piece, area in areas.most_common():
        half_of[piece] = sizes.index(min(sizes))
        sizes[half_of[piece]] += area
    if min(sizes) < _LEAST * sum(sizes):
        return []
    parts: tuple[list[Sample], list[Sample]] = [], []
    for sample, numbers in zip(samples, numbered, strict=True):
        name = joined.get(sample.name, sample.name)
        for half, part in enumerate(parts):
            own = [number for of, number in half_of if of == name and half_of[of, number] == half]
            labels = np.where(np.isin(numbers, own), sample.labels, np.uint8(Phase.VOID))
            if (labels != Phase.VOID).any():
                part.append(replace(sample, labels=labels))
    return [(parts[0], parts[1]), (parts[1], parts[0])]


def _join_samples(samples: Sequence[Sample]) -> dict[str, str]:
    """Return which samples show the same place or touch: the first name of each one's group."""
    together = [set(group) for group in group_duplicates(samples)]
    together += [
        {one.name, other.name} for one, other in combinations(samples, 2) if _touch(one, other)
    ]
    first: dict[str, str] = {}
    for group in together:
        known = {first.get(name, name) for name in group}
        joined = group | {name for name, of in first.items() if of in known}
        first |= dict.fromkeys(joined, min(joined))
    return first


def _touch(one: Sample, other: Sample) -> bool:
    """Tell whether two tiles, by their names, lie next to each other in their micrograph."""
    first, second = (_locate(sample) for sample in (one, other))
    if first is None or second is None or first[0] != second[0]:
        return False
    (_, left, top, width, height), (_, x, y, wide, high) = first, second
    return (
        max(left, x) - min(left + width, x + wide) <= 2 * _GAP
        and max(top, y) - min(top + height, y + high) <= 2 * _GAP
    )


def _locate(sample: Sample) -> tuple[str, int, int, int, int] | None:
    """Return micrograph, left, top, width and height of a tile, in pixels of the file."""
    place = read_tile_name(sample.name)
    if place is None or sample.frame is None:
        return None
    whole = sample.frame.deduplicated
    return (*place, len(whole.columns), len(whole.rows))


@dataclass(frozen=True)
class Blend:
    """How much of what was learned a model has, and what decided it.

    Parameters
    ----------
    share : float
        Of the way from the weights of the start (0) to those that were learned (1).
    new, old : dict
        IoU by share: of the halves of the labels, each judged by the other, their mean; and on the
        micrographs of ``--keep``. Empty where there is nothing.
    """

    share: float
    new: Mapping[float, Iou]
    old: Mapping[float, Iou]


def blend_weights(start: Arrays, learned: Arrays, share: float) -> Arrays:
    """Return weights between two sets (Wortsman et al. 2022, arXiv:2109.01903)."""
    if share in (0.0, 1.0):  # exactly
        return dict(learned if share else start)
    return {name: (1 - share) * start[name] + share * learned[name] for name in learned}


CHANCE = 0.03
"""Of mean IoU, by which halves of a few tiles differ for no reason."""


def choose_blend(
    network: keras.Model,
    start: Arrays,
    learned: Arrays,
    halves: Sequence[tuple[Arrays, Sequence[Sample]]],
    old: Sequence[Sample],
    recipe: Recipe,
) -> Blend:
    """Choose how much of what was learned a model takes on.

    The largest share up to ``training.blend`` that loses no more than ``training.loss_allowed`` of
    mean IoU on `old`, and no more than .03 on the halves against the best such share, of which the
    start is one.

    Parameters
    ----------
    network : keras.Model
        Of the recipe, for any tile size; has other weights afterwards.
    start, learned : dict of ndarray
        By variable path.
    halves : sequence of (dict of ndarray, sequence of Sample)
        What one half of the labels taught, and the other half to judge it by.
    old : sequence of Sample
        Labelled micrographs of which nothing is to be lost.
    recipe : Recipe
        Of the training.
    """
    most = recipe.training.blend
    if not (halves or old):
        return Blend(most, {}, {})
    shares = sorted({*(share for share in _SHARES if share < most), most})
    network.compile(loss=PhaseLoss(recipe.loss), metrics=[PhaseScores()])
    kept = normalise_samples(old, recipe.data)
    judges = [(taught, normalise_samples(part, recipe.data)) for taught, part in halves]
    judged: dict[float, Iou] = {}
    known: dict[float, Iou] = {}
    for share in shares:
        if judges:
            found = [_score(network, start, taught, share, part) for taught, part in judges]
            names = dict.fromkeys(name for one in found for name in one)
            judged[share] = {
                name: float(np.mean([one[name] for one in found if name in one])) for name in names
            }
        if kept:
            known[share] = _score(network, start, learned, share, kept)
    floor = known[0.0]["mean"] - recipe.training.loss_allowed if known else 0.0
    allowed = [share for share in shares if not known or known[share]["mean"] >= floor]
    if judged:
        best = max(judged[share]["mean"] for share in allowed)
        allowed = [share for share in allowed if judged[share]["mean"] >= best - CHANCE]
    return Blend(max(allowed), judged, known)


def _score(
    network: keras.Model, start: Arrays, learned: Arrays, share: float, samples: Sequence[Sample]
) -> Iou:
    weights = blend_weights(start, learned, share)
    for variable in network.weights:
        variable.assign(weights[variable.path])
    tiles = FixedTiles(samples, network.input_shape[1:3], 1)
    figures = network.evaluate(tiles, verbose=0, return_dict=True)
    found = {phase.name.lower(): float(figures[f"iou_{phase.name.lower()}"]) for phase in PHASES}
    return {"mean": float(figures["iou_mean"])} | {k: v for k, v in found.items() if v == v}
