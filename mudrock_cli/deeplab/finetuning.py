"""A few labels teach a network that knows other rock: what is held out, and how much is taken on.

Fine-tuning learns from a few tiles what may be wrong elsewhere. So the model's weights lie between
those of the start and those that were learned; how far, labels decide that taught nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from mudrock_cli.deeplab.augmentation import FixedTiles
from mudrock_cli.deeplab.dataset import Sample, normalise_samples
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.training import PHASES, PhaseLoss, PhaseScores
from mudrock_cli.deeplab.weights import Arrays
from mudrock_cli.image.types import Phase

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of what was learned, that are compared
_WINDOW = 256  # pixels: of a tile of 400 × 343 that was resampled to 12 nm, a good half
_TOLD = 0.01  # share of a window from which on a phase counts as shown there

Iou = dict[str, float]
"""IoU of each phase that is shown, and ``mean``."""


def hold_out_windows(
    samples: Sequence[Sample], recipe: Recipe
) -> tuple[list[Sample], list[Sample]]:
    """Hold windows out of the labels, of a training crop's size or less.

    Windows are taken that show the most phases and labels, from as many samples as possible.

    Parameters
    ----------
    samples : sequence of Sample
        What is to be learned from.
    recipe : Recipe
        Its ``training.held_out`` is the share of the labelled pixels, rounded down to whole
        windows: none where the labels do not suffice.

    Returns
    -------
    train, held : list of Sample
        The same samples: labels are void in the windows, and void everywhere else. Samples of
        which nothing is held out are not in the second list.
    """
    height, width = (min(side, _WINDOW) for side in recipe.data.crop)
    labelled = sum(int((sample.labels != Phase.VOID).sum()) for sample in samples)
    wanted = int(recipe.training.held_out * labelled / (height * width))
    candidates = []
    for index, sample in enumerate(samples if wanted else ()):
        rows, columns = sample.labels.shape
        for top in range(0, max(1, rows - height + 1), height):
            for left in range(0, max(1, columns - width + 1), width):
                piece = sample.labels[top : top + height, left : left + width]
                shares = [float((piece == phase).mean()) for phase in PHASES]
                shown = sum(share > _TOLD for share in shares)
                candidates.append((-shown, -round(sum(shares), 3), index, top, left))
    windows: dict[int, list[tuple[slice, slice]]] = {}
    for _ in range(min(wanted, len(candidates) - 1)):
        best = min(candidates, key=lambda one: (len(windows.get(one[2], ())), one))
        candidates.remove(best)
        *_, index, top, left = best
        windows.setdefault(index, []).append((slice(top, top + height), slice(left, left + width)))
    train, held = list(samples), []
    for index, places in windows.items():
        sample = samples[index]
        inside = np.zeros(sample.labels.shape, bool)
        for place in places:
            inside[place] = True
        void = np.uint8(Phase.VOID)
        train[index] = replace(sample, labels=np.where(inside, void, sample.labels))
        held.append(replace(sample, labels=np.where(inside, sample.labels, void)))
    return train, held


@dataclass(frozen=True)
class Blend:
    """How much of what was learned a model has, and what decided it.

    Parameters
    ----------
    share : float
        Of the way from the weights of the start (0) to those that were learned (1).
    new, old : dict
        IoU by share, on what was held out of the labels and on the micrographs of ``--keep``;
        empty where there is nothing.
    """

    share: float
    new: Mapping[float, Iou]
    old: Mapping[float, Iou]


def blend_weights(start: Arrays, learned: Arrays, share: float) -> Arrays:
    """Return weights between two sets (Wortsman et al. 2022, arXiv:2109.01903)."""
    if share in (0.0, 1.0):  # exactly
        return dict(learned if share else start)
    return {name: (1 - share) * start[name] + share * learned[name] for name in learned}


_ENOUGH = 0.01  # of mean IoU: less is chance


def choose_blend(
    network: keras.Model,
    start: Arrays,
    learned: Arrays,
    new: Sequence[Sample],
    old: Sequence[Sample],
    recipe: Recipe,
) -> Blend:
    """Choose how much of what was learned a model takes on.

    Among the shares that lose no more than ``training.loss_allowed`` on `old`, of which the start
    is one, the smallest whose mean IoU on `new` is within .01 of the highest: what is not needed is
    not unlearnt. Where nothing new is held out, the largest such share up to
    ``training.blend``.

    Parameters
    ----------
    network : keras.Model
        Of the recipe, for any tile size; has other weights afterwards.
    start, learned : dict of ndarray
        By variable path.
    new : sequence of Sample
        Labels of the new micrographs that were held out.
    old : sequence of Sample
        Labelled micrographs of which nothing is to be lost.
    recipe : Recipe
        Of the training.
    """
    most = recipe.training.blend
    if not (new or old):
        return Blend(most, {}, {})
    shares = sorted(
        {*(share for share in _SHARES if new or share <= most), *(() if new else (most,))}
    )
    network.compile(loss=PhaseLoss(recipe.loss), metrics=[PhaseScores()])
    parts = [normalise_samples(part, recipe.data) for part in (new, old)]
    found: list[dict[float, Iou]] = [{}, {}]
    for share in shares:
        weights = blend_weights(start, learned, share)
        for variable in network.weights:
            variable.assign(weights[variable.path])
        for scores, part in zip(found, parts, strict=True):
            if part:
                scores[share] = _score(network, part)
    judged, kept = found
    floor = kept[0.0]["mean"] - recipe.training.loss_allowed if kept else 0.0
    allowed = [share for share in shares if not kept or kept[share]["mean"] >= floor]
    if not judged:
        return Blend(max(allowed), judged, kept)
    enough = max(judged[share]["mean"] for share in allowed) - _ENOUGH
    return Blend(min(s for s in allowed if judged[s]["mean"] >= enough), judged, kept)


def _score(network: keras.Model, samples: Sequence[Sample]) -> Iou:
    tiles = FixedTiles(samples, network.input_shape[1:3], 1)
    figures = network.evaluate(tiles, verbose=0, return_dict=True)
    found = {phase.name.lower(): float(figures[f"iou_{phase.name.lower()}"]) for phase in PHASES}
    return {"mean": float(figures["iou_mean"])} | {k: v for k, v in found.items() if v == v}
