"""DeepLab-v3+ (Chen et al. 2018, arXiv:1802.02611) for grey micrographs, on any Keras backend."""

import keras
from keras import layers

from mudrock_cli.deeplab.network.blocks import conv_bn_relu, resize_like
from mudrock_cli.deeplab.network.encoders import encode
from mudrock_cli.deeplab.network.relief import add_relief
from mudrock_cli.deeplab.network.unet import decode_unet
from mudrock_cli.deeplab.recipes.recipe import NetworkRecipe

_PHASES = 3


def build_network(recipe: NetworkRecipe, height: int, width: int) -> keras.Model:
    """Build the network for one tile size; its weights fit every other tile size.

    Parameters
    ----------
    recipe : NetworkRecipe
        Encoder, output stride and widths.
    height, width : int
        Tile in pixels; any size, for DeepLab at best a multiple of 32.

    Returns
    -------
    keras.Model
        Grey (N, height, width, 1), 0..255 → logits (N, height, width, 3), float32, in the order
        clay, silt, pore.
    """
    grey = keras.Input((height, width, 1), name="grey")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(grey)
    others = add_relief(grey) if recipe.relief else [x, x]
    # H × W × 3: as ImageNet weights expect.
    x = layers.Concatenate(name="grey_as_rgb")([x, *others])
    y = decode_unet(x, recipe) if recipe.architecture == "unet" else _deeplab(x, recipe)
    if recipe.dropout:
        y = layers.SpatialDropout2D(recipe.dropout, name="dropout")(y)
    scores = layers.Conv2D(_PHASES, 1, name="phase_scores")(y)
    logits = resize_like(scores, x, name="phase_scores_up")  # H × W × 3
    if recipe.outline_channels:
        logits = _draw_outlines(logits, y, x, recipe)
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model(grey, logits, name=f"{recipe.architecture}_{recipe.encoder}")


def _deeplab(x: keras.KerasTensor, recipe: NetworkRecipe) -> keras.KerasTensor:
    features = encode(recipe.encoder, x, recipe.output_stride, recipe.batch_norm_decay)
    y = _aspp(features.deep, recipe)  # H/os × W/os × 256
    low = conv_bn_relu(
        features.low_level, recipe.low_level_channels, 1, recipe, name="low_level"
    )  # H/4 × W/4 × 48
    y = resize_like(y, low, name="aspp_up")
    y = layers.Concatenate(name="decoder_concat")([y, low])  # H/4 × W/4 × 304
    y = conv_bn_relu(y, recipe.decoder_channels, 3, recipe, name="decoder_1")
    y = conv_bn_relu(y, recipe.decoder_channels, 3, recipe, name="decoder_2")
    if recipe.detail_channels:
        width = recipe.detail_channels
        skip = conv_bn_relu(features.detail, width, 1, recipe, name="detail_skip")
        y = _add_skip(y, skip, recipe, name="detail")  # H/2 × W/2
    return y


def _aspp(x: keras.KerasTensor, recipe: NetworkRecipe) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling: one view per rate, and the mean of the image."""
    factor = 2 if recipe.output_stride == 8 else 1
    views = [conv_bn_relu(x, recipe.aspp_channels, 1, recipe, name="aspp_0")]
    for index, rate in enumerate(recipe.rates, start=1):
        name = f"aspp_{index}"
        views.append(
            conv_bn_relu(x, recipe.aspp_channels, 3, recipe, name=name, rate=factor * rate)
        )
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool_mean")(x)  # 1 × 1
    pooled = conv_bn_relu(pooled, recipe.aspp_channels, 1, recipe, name="aspp_pool")
    views.append(resize_like(pooled, x, name="aspp_pool_up"))
    y = layers.Concatenate(name="aspp_concat")(views)
    return conv_bn_relu(y, recipe.aspp_channels, 1, recipe, name="aspp_out")


def _add_skip(
    y: keras.KerasTensor, skip: keras.KerasTensor, recipe: NetworkRecipe, *, name: str
) -> keras.KerasTensor:
    """Sharpen the decoder by a finer view, for pores a few pixels wide."""
    width = skip.shape[-1]
    y = conv_bn_relu(y, width, 1, recipe, name=f"{name}_narrow")
    y = resize_like(y, skip, name=f"{name}_up")
    y = layers.Concatenate(name=f"{name}_concat")([y, skip])
    return conv_bn_relu(y, 2 * width, 3, recipe, name=name)


def _draw_outlines(
    scores: keras.KerasTensor, y: keras.KerasTensor, x: keras.KerasTensor, recipe: NetworkRecipe
) -> keras.KerasTensor:
    """Correct scores at H × W, which were interpolated, by what the image shows pixel by pixel."""
    skip = conv_bn_relu(x, recipe.outline_channels, 3, recipe, name="outline_skip")
    y = _add_skip(y, skip, recipe, name="outline")  # H × W
    correction = layers.Conv2D(_PHASES, 1, kernel_initializer="zeros", name="outline_scores")(y)
    return layers.Add(name="outlined_scores")([scores, correction])
