"""Random changes of a training crop: where it lies, how it is turned, how an SEM might see it."""

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.recipes.recipe import AugmentRecipe
from mudrock_cli.image.phase import Phase

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def draw_crop(
    grey: Grey,
    labels: Grey,
    size: tuple[int, int],
    recipe: AugmentRecipe,
    rng: np.random.Generator,
) -> tuple[Floats, Grey]:
    """Cut a random window, bring it to `size` at a random scale, and change it at random.

    Parameters
    ----------
    grey, labels : ndarray of uint8, shape (H, W)
        A micrograph and its phases (0, 1, 2; 255 where nothing is known).
    size : tuple of int
        Rows and columns of the crop.
    recipe : AugmentRecipe
        Which changes, and how strong.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    grey : ndarray of float32, shape `size`
        0..255.
    labels : ndarray of uint8, shape `size`
        Resampled by nearest neighbour only; 255 outside the micrograph.
    """
    matrix = _draw_matrix(grey.shape, size, recipe, rng)
    flags = cv2.WARP_INVERSE_MAP
    rows, columns = size
    crop = cv2.warpAffine(
        grey, matrix, (columns, rows), flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    ).astype(np.float32)
    truth = cv2.warpAffine(
        labels,
        matrix,
        (columns, rows),
        flags=flags | cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=int(Phase.VOID),
    )
    return change_grey(crop, recipe, rng), np.asarray(truth, np.uint8)


def _draw_matrix(
    shape: tuple[int, ...], size: tuple[int, int], recipe: AugmentRecipe, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw the affine map from crop to micrograph coordinates, (x, y) order."""
    scale = np.exp(rng.uniform(*np.log(recipe.scale)))
    turn = np.eye(2)
    if recipe.quarter_turns:
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[rng.integers(4)]
        turn = np.array([[cos, -sin], [sin, cos]], float)
    if recipe.flip_horizontal and rng.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    if recipe.flip_vertical and rng.random() < 0.5:
        turn = turn @ np.diag([1.0, -1.0])
    linear = turn / scale
    half = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    reach = np.abs(linear @ np.diag(half)).sum(axis=1)
    limits = np.array([shape[1] - 1, shape[0] - 1])
    spare = np.maximum(limits - 2 * reach, 0)  # 0: the crop is wider and the micrograph centred
    centre = limits / 2 + (rng.random(2) - 0.5) * spare
    return np.column_stack([linear, centre - linear @ half])


def change_grey(grey: Floats, recipe: AugmentRecipe, rng: np.random.Generator) -> Floats:
    """Change grey levels as detectors, charging and milling do; geometry stays.

    Parameters
    ----------
    grey : ndarray of float32, shape (H, W)
        0..255.
    recipe : AugmentRecipe
        Strengths; a strength of 0 draws nothing from `rng`.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Clipped to 0..255.
    """
    if recipe.gamma:
        exponent = np.float32(np.exp(rng.uniform(-recipe.gamma, recipe.gamma)))
        grey = np.asarray(255 * (grey / 255) ** exponent, np.float32)
    if recipe.contrast or recipe.brightness:
        grey = _gain_and_offset(grey, recipe, rng)
    if recipe.seams and rng.random() < recipe.seams:
        grey = _add_seams(grey, recipe, rng)
    if recipe.shading:
        grey = grey + _shading(grey.shape, recipe.shading, rng)
    if recipe.curtaining:
        grey = grey + _streaks(grey.shape[1], recipe.curtaining, rng)[None, :]
    if recipe.charging:
        grey = grey + _streaks(grey.shape[0], recipe.charging, rng)[:, None]
    if recipe.blur:
        sigma = rng.uniform(0, recipe.blur)
        if sigma > 0.25:  # less than that changes nothing on a pixel grid
            grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    if recipe.noise:
        grey = _add_shot_noise(grey, rng.uniform(0, recipe.noise), rng)
    return np.clip(grey, 0, 255).astype(np.float32)


def _gain_and_offset(grey: Floats, recipe: AugmentRecipe, rng: np.random.Generator) -> Floats:
    gain = 1 + rng.uniform(-recipe.contrast, recipe.contrast)
    offset = rng.uniform(-recipe.brightness, recipe.brightness)
    mean = grey.mean()
    changed: Floats = (grey - mean) * np.float32(gain) + np.float32(mean + offset)
    return changed


def _add_seams(grey: Floats, recipe: AugmentRecipe, rng: np.random.Generator) -> Floats:
    """Step brightness and contrast across one random corner, as between fields of a mosaic."""
    grey = grey.copy()
    row, column = (int(rng.integers(n // 8, n - n // 8)) for n in grey.shape)
    for rows in (slice(row), slice(row, None)):
        for columns in (slice(column), slice(column, None)):
            grey[rows, columns] = _gain_and_offset(grey[rows, columns], recipe, rng)
    return grey


def _shading(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> Floats:
    tilt = rng.uniform(-strength, strength, 2).astype(np.float32)
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    plane: Floats = tilt[0] * rows + tilt[1] * columns
    return plane


def _streaks(length: int, strength: float, rng: np.random.Generator) -> Floats:
    """Draw streaks of a random typical width, zero on average."""
    width = np.exp(rng.uniform(0, np.log(12)))
    noise = rng.standard_normal((1, length)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), width)[0]
    spread = float(smooth.std()) or 1.0
    streaks: Floats = (smooth - smooth.mean()) / spread * np.float32(rng.uniform(0, strength))
    return streaks


def _add_shot_noise(grey: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Add noise whose variance grows with the signal, as electron counting gives."""
    spread = np.float32(strength) * np.sqrt(np.clip(grey, 16, 255) / 255)
    return grey + spread * rng.standard_normal(grey.shape, dtype=np.float32)
