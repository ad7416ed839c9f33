"""What the decoders are made of."""

import keras
from keras import layers

from mudrock_cli.deeplab.fused_norm import BatchNorm
from mudrock_cli.deeplab.recipe import NetworkRecipe


def conv_bn_relu(
    x: keras.KerasTensor,
    channels: int,
    size: int,
    recipe: NetworkRecipe,
    *,
    name: str,
    rate: int = 1,
    stride: int = 1,
) -> keras.KerasTensor:
    """Convolve (padding keeps the size), normalise over the batch, cut at zero."""
    x = layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        dilation_rate=rate,
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    x = BatchNorm(momentum=recipe.batch_norm_decay, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def resize_like(x: keras.KerasTensor, target: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Bilinear resize to the height and width of another tensor (sizes are static)."""
    height, width = target.shape[1:3]
    if (height, width) == tuple(x.shape[1:3]):
        return x
    return layers.Resizing(height, width, interpolation="bilinear", name=name)(x)
