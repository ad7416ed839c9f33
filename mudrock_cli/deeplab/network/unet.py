"""The plain encoder-decoder that the paper sets DeepLab-v3+ against (its Figure 1A)."""

import keras
from keras import layers

from mudrock_cli.deeplab.network.blocks import conv_bn_relu, resize_like
from mudrock_cli.deeplab.recipes.recipe import NetworkRecipe


def decode_unet(x: keras.KerasTensor, recipe: NetworkRecipe) -> keras.KerasTensor:
    """Halve the image level by level, then double it back, each level beside its equal.

    Neither atrous convolution nor spatial pyramid: what these add is what the comparison measures.
    Normalised and padded, which the first U-Net (Ronneberger et al. 2015, arXiv:1505.04597) was
    not, so that both architectures train by one recipe.

    Parameters
    ----------
    x : KerasTensor, shape (N, H, W, 3)
        Grey in −1..1, three times.
    recipe : NetworkRecipe
        ``unet_channels`` and ``unet_levels``.

    Returns
    -------
    KerasTensor, shape (N, H, W, unet_channels)
    """
    skips = []
    width = recipe.unet_channels
    for level in range(recipe.unet_levels):
        x = _convolve_twice(x, width * 2**level, recipe, f"down_{level}")  # H/2^level
        skips.append(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"down_{level}_pool")(x)
    x = _convolve_twice(x, width * 2**recipe.unet_levels, recipe, "bottom")
    for level in reversed(range(recipe.unet_levels)):
        x = resize_like(x, skips[level], name=f"up_{level}_resize")
        x = conv_bn_relu(x, width * 2**level, 3, recipe, name=f"up_{level}_narrow")
        x = layers.Concatenate(name=f"up_{level}_concat")([skips[level], x])
        x = _convolve_twice(x, width * 2**level, recipe, f"up_{level}")
    return x


def _convolve_twice(
    x: keras.KerasTensor, channels: int, recipe: NetworkRecipe, name: str
) -> keras.KerasTensor:
    x = conv_bn_relu(x, channels, 3, recipe, name=f"{name}_1")
    return conv_bn_relu(x, channels, 3, recipe, name=f"{name}_2")
