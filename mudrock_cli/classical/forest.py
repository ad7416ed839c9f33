"""The paper's other method: a random forest on filter responses, pixel by pixel.

What the Trainable Weka Segmentation does, for a user with a few labelled patches and no GPU. A
forest is kept as a model folder: ``recipe.toml`` and ``weights.npz``, which holds numbers only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical import forest_filters as filters
from mudrock_cli.classical.forest_recipe import ForestRecipe
from mudrock_cli.classical.forest_trees import Responses, Trees
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.named_arrays import read_named_arrays
from mudrock_cli.image.placement import placing
from mudrock_cli.image.texts import read_text
from mudrock_cli.image.window import Reader

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

WEIGHTS = "weights.npz"
RECIPE = "recipe.toml"
_BAND_PIXELS = 1 << 20


@dataclass(frozen=True)
class Forest:
    """A trained forest.

    Parameters
    ----------
    recipe : ForestRecipe
        How it was grown.
    low, high : ndarray of float32, shape (F,)
        The responses that become step 0 and step 255.
    trees : Trees
        The trees.
    prior : ndarray of float32, shape (3,)
        Weights of clay, silt and pore against the equal shares of the training pixels.
    """

    recipe: ForestRecipe
    low: Floats
    high: Floats
    trees: Trees
    prior: Floats

    def predict(self, grey: Grey, threads: int | None = None) -> Floats:
        """Return the probability of each phase at each pixel.

        Parameters
        ----------
        grey : ndarray of uint8, shape (H, W)
            Grey levels at the recipe's pixel size.
        threads : int, optional
            All cores by default.

        Returns
        -------
        ndarray of float32, shape (H, W, 3)
            Clay, silt, pore; they add up to 1.
        """
        bands = self.predict_bands(lambda r, c: grey[r, c], grey.shape, threads)
        return np.concatenate([band for _, band in bands])

    def predict_bands(
        self, read: Reader, shape: tuple[int, int], threads: int | None = None
    ) -> Iterator[tuple[slice, Floats]]:
        """Predict an image that is read through windows, from top to bottom, every row once.

        Parameters
        ----------
        read : callable
            ``read(rows, columns)`` returns grey levels at the recipe's pixel size.
        shape : tuple of int
            Rows and columns of the image.
        threads : int, optional
            All cores by default.

        Yields
        ------
        rows : slice
            Rows of the image.
        probabilities : ndarray of float32, shape (rows, columns, 3)
            Clay, silt, pore; they add up to 1.
        """
        height, width = shape
        reach, step = filters.find_reach(self.recipe.scales), filters.find_step(self.recipe.scales)
        count = max(reach, _BAND_PIXELS // width // step * step)
        for top in range(0, height, count):
            bottom = min(top + count, height)
            start = max(0, top - reach)
            seen = read(slice(start, min(bottom + reach, height)), slice(0, width))
            responses = self._compute_steps(seen, slice(top - start, bottom - start))
            found = self.trees.predict(responses, self.prior, threads)
            yield slice(top, bottom), found.reshape(bottom - top, width, 3)

    def _compute_steps(self, grey: Grey, rows: slice) -> Responses:
        """Return the responses of some rows in 256 steps, shape (pixels, F)."""
        steps = np.empty((rows.stop - rows.start, grey.shape[1], len(self.low)), np.uint8)
        for column, response in enumerate(filters.compute_responses(grey, self.recipe.scales)):
            inner = response[rows]
            steps[..., column] = to_steps(inner, self.low[column], self.high[column])
        return steps.reshape(-1, len(self.low))

    def save(self, folder: Path) -> None:
        """Write ``recipe.toml`` and ``weights.npz`` into a model folder.

        Raises
        ------
        MudrockError
            If they cannot be written.
        """
        arrays: dict[str, Any] = {
            "low": self.low,
            "high": self.high,
            "prior": self.prior,
            "feature": self.trees.feature,
            "threshold": self.trees.threshold,
            "value": self.trees.value,
        }
        with placing(folder / WEIGHTS) as part, part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        with placing(folder / RECIPE) as part:
            part.write_text(self.recipe.to_toml(), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model folder; arrays only, each checked before it is used.

        Raises
        ------
        MudrockError
            If a file is missing or damaged, or the arrays do not belong to the recipe.
        """
        source = folder / RECIPE
        recipe = ForestRecipe.from_toml(read_text(source), str(source))
        path = folder / WEIGHTS
        shapes = _describe_arrays(recipe)
        try:
            arrays = read_named_arrays(path)
        except MudrockError as error:
            raise MudrockError(error.message, _AGAIN) from error
        missing = sorted(set(shapes) - set(arrays))
        if missing:
            raise MudrockError(f"{path}: no arrays of a forest ({missing[0]} is missing)", _AGAIN)
        for name, (shape, kind) in shapes.items():
            array = arrays[name]
            if array.shape != shape or array.dtype != kind:
                raise MudrockError(
                    f"{path}: {name} is {array.dtype} {array.shape}, the recipe makes it "
                    f"{kind} {shape}",
                    _AGAIN,
                )
        _check_values(arrays, path)
        trees = Trees(arrays["feature"], arrays["threshold"], arrays["value"])
        return cls(recipe, arrays["low"], arrays["high"], trees, arrays["prior"])


_AGAIN = "train the model again"


def _describe_arrays(recipe: ForestRecipe) -> dict[str, tuple[tuple[int, ...], npt.DTypeLike]]:
    count, leaves = len(filters.name_responses(recipe.scales)), 2**recipe.depth
    return {
        "low": ((count,), np.dtype(np.float32)),
        "high": ((count,), np.dtype(np.float32)),
        "prior": ((3,), np.dtype(np.float32)),
        "feature": ((recipe.trees, leaves), np.dtype(np.uint8)),
        "threshold": ((recipe.trees, leaves), np.dtype(np.uint8)),
        "value": ((recipe.trees, leaves, 3), np.dtype(np.float16)),
    }


def _check_values(arrays: dict[str, npt.NDArray[Any]], path: Path) -> None:
    finite = all(np.isfinite(arrays[name]).all() for name in ("low", "high", "prior", "value"))
    ordered = finite and (arrays["low"] < arrays["high"]).all()
    positive = finite and (arrays["prior"] > 0).all() and (arrays["value"] >= 0).all()
    known = arrays["feature"].max() < len(arrays["low"])
    if not (ordered and positive and known and (arrays["value"].sum(axis=2) > 0.9).all()):
        raise MudrockError(f"{path}: holds numbers that no forest has", _AGAIN)


def to_steps(response: Floats, low: np.float32, high: np.float32) -> Responses:
    """Bring responses to 256 steps; what lies outside goes to the first or last."""
    gain = 255 / (float(high) - float(low))
    scaled = cv2.addWeighted(response, gain, response, 0, -float(low) * gain, dtype=cv2.CV_8U)
    return np.asarray(scaled, np.uint8).reshape(response.shape)
