"""The paper's offline part: equal tiles, mirrored copies, copies of changed contrast."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.recipes.recipe import DataRecipe

_GAIN, _OFFSET = 0.2, 20.0  # of changed copies, ±; the paper gives no figures


def make_tiles(
    samples: Sequence[Sample], recipe: DataRecipe, share: float, seed: int
) -> list[Sample]:
    """Cut samples into tiles and add their copies; see `cut_tiles` and `add_copies`."""
    return add_copies(cut_tiles(samples, recipe), recipe, share, seed)


def cut_tiles(samples: Sequence[Sample], recipe: DataRecipe) -> list[Sample]:
    """Cut samples into equal tiles, named ``parent_tile_a``; leave them whole without a tile size.

    Tiles are spread evenly, so that the last ends on the edge; neighbours overlap where the size
    is no multiple of the tile's. A sample smaller than a tile stays as it is.
    """
    if not recipe.tile[0]:
        return list(samples)
    tiles = []
    for sample in samples:
        for number, (rows, columns) in enumerate(_spread(sample.grey.shape, recipe.tile), start=1):
            tiles.append(
                dataclasses.replace(
                    sample,
                    name=f"{sample.name}_{number}_a",
                    grey=sample.grey[rows, columns],
                    labels=sample.labels[rows, columns],
                    as_given=None,
                    frame=None,
                )
            )
    return tiles


def add_copies(
    tiles: Sequence[Sample], recipe: DataRecipe, share: float, seed: int
) -> list[Sample]:
    """Add what the paper made of its tiles before it trained.

    Parameters
    ----------
    tiles : sequence of Sample
        From `cut_tiles`.
    recipe : DataRecipe
        ``mirrored`` adds copies mirrored left-right (``b``) and upside down (``c``); ``images``
        adds copies of random ones with changed contrast and brightness (``d``, numbered).
    share : float
        Share of ``images`` that these tiles are to reach: of the training part.
    seed : int
        Decides which are copied, and how they are changed.
    """
    if not recipe.tile[0]:
        return list(tiles)
    made = list(tiles)
    if recipe.mirrored:
        for variant, axis in (("b", 1), ("c", 0)):
            made += [_mirror(tile, variant, axis) for tile in tiles]
    rng = np.random.default_rng([seed, 1])
    missing = max(0, round(recipe.images * share) - len(made))
    for number, index in enumerate(rng.integers(len(made), size=missing)):
        made.append(_recolour(made[index], number, rng))
    return made


def _spread(shape: tuple[int, ...], tile: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    starts = []
    for size, side in zip(shape, tile, strict=True):
        count = max(1, -(-size // side))
        starts.append(np.rint(np.linspace(0, max(0, size - side), count)).astype(int))
    for top in starts[0]:
        for left in starts[1]:
            yield slice(int(top), int(top) + tile[0]), slice(int(left), int(left) + tile[1])


def _mirror(tile: Sample, variant: str, axis: int) -> Sample:
    name = f"{tile.name.removesuffix('_a')}_{variant}"
    grey, labels = (
        np.ascontiguousarray(np.flip(array, axis)) for array in (tile.grey, tile.labels)
    )
    return dataclasses.replace(tile, name=name, grey=grey, labels=labels)


def _recolour(tile: Sample, number: int, rng: np.random.Generator) -> Sample:
    gain = 1 + rng.uniform(-_GAIN, _GAIN)
    offset = rng.uniform(-_OFFSET, _OFFSET)
    mean = tile.grey.mean()
    changed = np.clip(np.rint((tile.grey - mean) * gain + mean + offset), 0, 255)
    return dataclasses.replace(tile, name=f"{tile.name}_d{number}", grey=changed.astype(np.uint8))
