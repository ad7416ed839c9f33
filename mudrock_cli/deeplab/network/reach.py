"""How far the pores reach: what tells a silt grain from clay is the absence of pores around it.

The labels that networks of this kind learn from call a region silt where a disc fits between the
pores (erosion and dilation of the solid; Landry et al. 2017, Bihani et al. 2022). Grey levels and
textures of silt differ from rock to rock, that rule does not. So a first guess of the pores is
dilated and opened here by several radii, and a few convolutions decide upon the result.
"""

import keras
from keras import layers

from mudrock_cli.deeplab.network.blocks import conv_bn_relu, resize_like
from mudrock_cli.deeplab.recipes.recipe import NetworkRecipe

_WINDOW = 5  # a pooling reaches two cells, 8 pixels, further
_FIRST_OPENED = 3  # levels: opening by less tells little
_CHANNELS = 48


def add_reach(
    scores: keras.KerasTensor, features: keras.KerasTensor, recipe: NetworkRecipe
) -> keras.KerasTensor:
    """Correct phase scores by where the pores are.

    Parameters
    ----------
    scores : KerasTensor, shape (N, H/2, W/2, 3)
        First guess, before the softmax.
    features : KerasTensor, shape (N, H/2, W/2, C)
        What the guess was made from.
    recipe : NetworkRecipe
        `reach_levels` dilations, each 8 pixels wider than the one before.

    Returns
    -------
    KerasTensor, shape (N, H/2, W/2, 3)
        Corrected scores.
    """
    shares = layers.Softmax(name="reach_shares")(scores)
    pore = layers.MaxPooling2D(2, name="reach_pore")(shares)[..., 2:]  # H/4 × W/4 × 1
    near, opened = [pore], []
    for level in range(1, recipe.reach_levels + 1):
        near.append(_dilate(near[-1], f"reach_near_{level}"))
        if level >= _FIRST_OPENED:
            solid = layers.Rescaling(-1.0, offset=1.0, name=f"reach_eroded_{level}")(near[-1])
            for step in range(1, level + 1):
                solid = _dilate(solid, f"reach_opened_{level}_{step}")
            opened.append(solid)
    view = layers.AveragePooling2D(2, name="reach_view")(features)
    y = layers.Concatenate(name="reach_concat")([view, *near, *opened])
    for index, rate in enumerate((1, 4, 8), start=1):  # sees 100 pixels each way
        y = conv_bn_relu(y, _CHANNELS, 3, recipe, name=f"reach_{index}", rate=rate)
    correction = layers.Conv2D(3, 1, name="reach_scores")(y)
    correction = resize_like(correction, scores, name="reach_scores_up")
    return layers.Add(name="reached_scores")([scores, correction])


def _dilate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.MaxPooling2D(_WINDOW, strides=1, padding="same", name=name)(x)
