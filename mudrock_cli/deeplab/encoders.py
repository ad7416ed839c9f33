"""What encoders and decoders are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from mudrock_cli.deeplab.recipe import NetworkRecipe


class BatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """`keras.layers.BatchNormalization`, by one fused kernel where TensorFlow trains.

    Keras composes it of a dozen operations over float32 copies of its input; on a CPU these take
    more than half of a training step. PyTorch, JAX and inference go Keras's own way. The channels
    come last, and statistics are float32 in both.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (N, H, W, C) over the batch in training, by moving statistics otherwise."""
        if not (training and self.trainable) or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros((0,)),
            variance=tf.zeros((0,)),
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        variance *= (count - 1) / count  # the kernel divides by one pixel less
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs


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


# Atrous encoders: the classification networks of ``keras.applications``, kept dense.
#
# Layer names, kernels and paddings are those of ``keras.applications``, so its weights load by name
# and, at output stride 32, the activations are equal. A smaller output stride replaces the later
# strides by dilation (Chen et al. 2017, arXiv:1706.05587).


@dataclass(frozen=True)
class Features:
    """What a decoder takes from an encoder, as Keras tensors (N, h, w, channels).

    ``detail`` is at stride 2, ``low_level`` at stride 4, ``deep`` at the output stride.
    """

    detail: keras.KerasTensor
    low_level: keras.KerasTensor
    deep: keras.KerasTensor


@dataclass
class _Dilation:
    """Hands out strides until the output stride is reached, dilation afterwards."""

    output_stride: int
    reached: int = 1
    rate: int = 1

    def spend(self, stride: int) -> tuple[int, int]:
        """Return the stride and the dilation rate of the layer that wants `stride`."""
        rate = self.rate
        if self.reached < self.output_stride:
            self.reached *= stride
            return stride, rate
        self.rate *= stride
        return 1, rate


def encode(
    name: str, image: keras.KerasTensor, output_stride: int, batch_norm_decay: float
) -> Features:
    """Build the encoder `name` on a normalised image.

    Parameters
    ----------
    name : {"mobilenetv2", "resnet50", "resnet101"}
        Which classification network.
    image : KerasTensor, shape (N, H, W, 3)
        Grey in −1..1, three times.
    output_stride : {8, 16, 32}
        Ratio of input to deepest feature resolution.
    batch_norm_decay : float
        Share of the old moving statistics that a training step keeps.
    """
    if name == "mobilenetv2":
        return _mobilenetv2(image, output_stride, batch_norm_decay)
    blocks = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}[name]
    return _resnet_v2(image, blocks, output_stride, batch_norm_decay)


def _resnet_v2(
    image: keras.KerasTensor, blocks: tuple[int, ...], output_stride: int, decay: float
) -> Features:
    """Residual network with pre-activation (He et al. 2016b), last block of a stack strided."""
    dilation = _Dilation(output_stride)
    norm = _normaliser(decay, epsilon=1.001e-5)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=dilation.spend(2)[0], name="conv1_conv")(x)  # H/2
    detail = x
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=dilation.spend(2)[0], name="pool1_pool")(x)  # H/4
    low_level = None
    for stack, (count, filters, last_stride) in enumerate(
        zip(blocks, (64, 128, 256, 512), (2, 2, 2, 1), strict=True), start=2
    ):
        for unit in range(1, count + 1):
            stride, rate = dilation.spend(last_stride if unit == count else 1)
            block = f"conv{stack}_block{unit}"
            x, inner = _bottleneck_v2(x, filters, stride, rate, unit == 1, norm, block)
            if block == f"conv2_block{blocks[0]}":
                low_level = inner  # H/4, 64 channels, before the stack's stride
    x = norm("post_bn")(x)
    deep = layers.Activation("relu", name="post_relu")(x)  # H/os, 2048 channels
    return Features(detail, low_level, deep)


def _bottleneck_v2(
    x: keras.KerasTensor,
    filters: int,
    stride: int,
    rate: int,
    project: bool,
    norm: Callable[[str], keras.Layer],
    name: str,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """1×1, 3×3, 1×1 convolutions around a shortcut; returns the sum and the first activation."""
    preact = norm(f"{name}_preact_bn")(x)
    preact = layers.Activation("relu", name=f"{name}_preact_relu")(preact)
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(preact)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    else:
        shortcut = x
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(preact)
    x = norm(f"{name}_1_bn")(x)
    inner = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = layers.ZeroPadding2D(rate, name=f"{name}_2_pad")(inner)
    x = layers.Conv2D(
        filters, 3, strides=stride, dilation_rate=rate, use_bias=False, name=f"{name}_2_conv"
    )(x)
    x = norm(f"{name}_2_bn")(x)
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x]), inner


def _mobilenetv2(image: keras.KerasTensor, output_stride: int, decay: float) -> Features:
    """Inverted residuals with linear bottlenecks (Sandler et al. 2018), width 1.0."""
    dilation = _Dilation(output_stride)
    norm = _normaliser(decay, epsilon=1e-3)
    x = layers.Conv2D(
        32, 3, strides=dilation.spend(2)[0], padding="same", use_bias=False, name="Conv1"
    )(image)
    x = norm("bn_Conv1")(x)
    x = layers.ReLU(6.0, name="Conv1_relu")(x)  # H/2, 32 channels
    # (expansion, channels, repeats, stride of the first repeat): table 2 of the paper
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    table += [(6, 160, 3, 2), (6, 320, 1, 1)]
    index, expanded = 0, {}
    for expansion, channels, repeats, first_stride in table:
        for repeat in range(repeats):
            stride, rate = dilation.spend(first_stride if repeat == 0 else 1)
            x, expanded[index] = _inverted_residual(
                x, expansion, channels, stride, rate, norm, index
            )
            index += 1
    # Blocks 1 and 3 widen before they stride: their expansions are the richest views at H/2, H/4.
    return Features(detail=expanded[1], low_level=expanded[3], deep=x)  # deep: H/os, 320


def _inverted_residual(
    x: keras.KerasTensor,
    expansion: int,
    channels: int,
    stride: int,
    rate: int,
    norm: Callable[[str], keras.Layer],
    index: int,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Widen, filter each channel, narrow; returns the block's output and its widened input."""
    name = f"block_{index}" if index else "expanded_conv"
    source = x
    if expansion > 1:
        x = layers.Conv2D(
            expansion * x.shape[-1], 1, padding="same", use_bias=False, name=f"{name}_expand"
        )(x)
        x = norm(f"{name}_expand_BN")(x)
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    widened = x
    if stride > 1:
        # As keras.applications pads: an even side on its end only, an odd one on both.
        pads = tuple((size % 2, 1) for size in x.shape[1:3])
        x = layers.ZeroPadding2D(pads, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        dilation_rate=rate,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{name}_depthwise",
    )(x)
    x = norm(f"{name}_depthwise_BN")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(channels, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
    x = norm(f"{name}_project_BN")(x)
    if stride == 1 and source.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([source, x])
    return x, widened


def _normaliser(decay: float, epsilon: float) -> Callable[[str], keras.Layer]:
    def norm(name: str) -> keras.Layer:
        return BatchNorm(momentum=decay, epsilon=epsilon, name=name)

    return norm
