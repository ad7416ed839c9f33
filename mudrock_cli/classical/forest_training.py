"""Grow a random forest from masks or from a few strokes of the brush."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical import forest_filters as filters
from mudrock_cli.classical.forest import Floats, Forest, Grey, to_steps
from mudrock_cli.classical.forest_recipe import ForestRecipe
from mudrock_cli.classical.forest_trees import grow_trees
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.phase import Phase

_PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
_TAIL = 0.002  # share of the training pixels below and above the 256 steps of a response


def train_forest(images: Sequence[Grey], labels: Sequence[Grey], recipe: ForestRecipe) -> Forest:
    """Grow a forest from labelled images.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W)
        Grey levels at the recipe's pixel size.
    labels : sequence of ndarray of uint8, shape (H, W)
        Phases 0, 1, 2; 255 where nothing is known: whole masks, or a few strokes of the brush.
    recipe : ForestRecipe
        How to grow it.

    Raises
    ------
    MudrockError
        If sizes differ, a label is no phase, or fewer than two phases are labelled.
    """
    rng = np.random.default_rng(recipe.seed)
    counts = np.array([_count_phases(*pair) for pair in zip(images, labels, strict=True)])
    totals = counts.sum(axis=0)
    if np.count_nonzero(totals) < 2:
        raise MudrockError(
            "fewer than two phases are labelled", "label some pixels of clay, silt and pore"
        )
    drawn = np.stack(
        [
            rng.multivariate_hypergeometric(column, min(recipe.pixels_per_phase, column.sum()))
            for column in counts.T
        ],
        axis=1,
    )
    parts, phases = [], []
    for image, label, numbers in zip(images, labels, drawn, strict=True):
        places = [
            rng.choice(np.flatnonzero(label == phase), number, replace=False)
            for phase, number in zip(_PHASES, numbers, strict=True)
        ]
        chosen = np.concatenate(places)
        responses = filters.compute_responses(image, recipe.scales)
        parts.append(np.stack([response.ravel()[chosen] for response in responses], axis=1))
        phases.append(np.repeat(np.array(_PHASES, np.uint8), numbers))
    samples = _vary(np.concatenate(parts), recipe, rng)
    low, high = np.quantile(samples, [_TAIL, 1 - _TAIL], axis=0).astype(np.float32)
    high = np.maximum(high, low + np.float32(1e-3))
    steps = np.stack(
        [to_steps(np.ascontiguousarray(c), low[i], high[i]) for i, c in enumerate(samples.T)],
        axis=1,
    )
    trees = grow_trees(
        steps,
        np.concatenate(phases),
        trees=recipe.trees,
        features_per_node=recipe.features_per_node,
        depth=recipe.depth,
        min_leaf=recipe.min_leaf,
        seed=recipe.seed,
    )
    pixels = sum(image.size for image in images)
    prior = _weigh(totals, drawn.sum(axis=0), recipe.prior if 2 * totals.sum() > pixels else 0.0)
    return Forest(recipe, low, high, trees, prior)


def _count_phases(image: Grey, label: Grey) -> npt.NDArray[np.int64]:
    if image.shape != label.shape:
        raise MudrockError(
            f"an image of {image.shape} does not belong to a label of {label.shape}",
            "label the image at its own size",
        )
    counts = np.bincount(label.ravel(), minlength=256)
    if counts[3:255].any():
        raise MudrockError("a label holds values that are no phase", "labels hold 0, 1, 2 and 255")
    return counts[list(_PHASES)]


def _vary(samples: Floats, recipe: ForestRecipe, rng: np.random.Generator) -> Floats:
    """Change brightness and contrast around each sample; the filters are linear, so exactly so."""
    gain = np.exp(rng.normal(0, recipe.contrast, len(samples))).astype(np.float32)
    shift = rng.normal(0, recipe.brightness, len(samples)).astype(np.float32)
    levels = filters.find_levels(recipe.scales)
    return np.asarray(samples * gain[:, None] + shift[:, None] * levels, np.float32)


def _weigh(totals: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64], strength: float) -> Floats:
    """Return by how much more frequent each phase is than among the training pixels."""
    frequency = np.maximum(totals, 1) / totals.sum()
    share = np.maximum(drawn, 1) / drawn.sum()
    equal = 1 / (3 * share)  # undoes unequal shares, where a phase has too few pixels
    weights = equal ** (1 - strength) * (frequency / share) ** strength
    return np.asarray(weights / weights.sum(), np.float32)
