"""Atrous encoders: the classification networks of ``keras.applications``, kept dense.

Layer names, kernels and paddings are those of ``keras.applications``, so its weights load by name
and, where no stride is replaced, the activations are equal. An output stride below the network's
own replaces the later strides by dilation (Chen et al. 2017, arXiv:1706.05587).
"""

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

    Attributes
    ----------
    keeps_statistics : bool
        Normalise by the moving statistics in training, too, and leave them as they are: a few
        tiles of one micrograph tell other ones than the many that the network was trained on.
    """

    keeps_statistics = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (N, H, W, C) over the batch in training, by moving statistics otherwise."""
        training = training and not self.keeps_statistics
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


def separable_conv(
    x: keras.KerasTensor, channels: int, recipe: NetworkRecipe, *, name: str, rate: int = 1
) -> keras.KerasTensor:
    """Filter each channel by 3 × 3, then mix channels: a ninth of a 3 × 3 convolution's work.

    Normalised and cut at zero after either, as in DeepLab-v3+ (Chen et al. 2018, figure 3).
    """
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=rate, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = BatchNorm(momentum=recipe.batch_norm_decay, epsilon=1e-5, name=f"{name}_depthwise_bn")(x)
    x = layers.Activation("relu", name=f"{name}_depthwise_relu")(x)
    return conv_bn_relu(x, channels, 1, recipe, name=name)


def resize_like(x: keras.KerasTensor, target: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Bilinear resize to the height and width of another tensor (sizes are static)."""
    height, width = target.shape[1:3]
    if (height, width) == tuple(x.shape[1:3]):
        return x
    return layers.Resizing(height, width, interpolation="bilinear", name=name)(x)


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

    def spend(self, stride: int) -> int:
        """Return the stride of a layer that wants `stride`; `rate` is that of the layers after."""
        if self.reached < self.output_stride:
            self.reached *= stride
            return stride
        self.rate *= stride
        return 1


@dataclass(frozen=True)
class _Layers:
    """Makes the layers of an encoder: their epsilon and decay, ReLU limit and bias are its own."""

    decay: float
    epsilon: float
    limit: float | None = None  # of the ReLU

    def norm(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return BatchNorm(momentum=self.decay, epsilon=self.epsilon, name=name)(x)

    def norm_relu(self, x: keras.KerasTensor, norm: str, relu: str) -> keras.KerasTensor:
        return layers.ReLU(self.limit, name=relu)(self.norm(x, norm))


def encode(
    name: str, image: keras.KerasTensor, output_stride: int, batch_norm_decay: float
) -> Features:
    """Build the encoder `name` on a normalised image.

    Parameters
    ----------
    name : {"mobilenetv2", "resnet50", "resnet50v1", "resnet101"}
        Which classification network. ``resnet50v1`` ends before its fifth stack, at stride 16.
    image : KerasTensor, shape (N, H, W, 3)
        Grey in −1..1, three times.
    output_stride : {8, 16, 32}
        Ratio of input to deepest feature resolution.
    batch_norm_decay : float
        Share of the old moving statistics that a training step keeps.
    """
    dilation = _Dilation(output_stride)
    if name == "mobilenetv2":
        return _mobilenetv2(image, dilation, _Layers(batch_norm_decay, 1e-3, limit=6.0))
    make = _Layers(batch_norm_decay, 1.001e-5)
    if name == "resnet50v1":
        return _resnet_v1(image, dilation, make)
    blocks = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}[name]
    return _resnet_v2(image, blocks, dilation, make)


def _resnet_stem(
    image: keras.KerasTensor, dilation: _Dilation, finish: Callable[[Any], Any]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the first convolution, finished, at H/2, and its maxima at H/4; 64 channels."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    detail = finish(layers.Conv2D(64, 7, strides=dilation.spend(2), name="conv1_conv")(x))
    x = layers.ZeroPadding2D(1, name="pool1_pad")(detail)
    return detail, layers.MaxPooling2D(3, strides=dilation.spend(2), name="pool1_pool")(x)


def _resnet_v1(image: keras.KerasTensor, dilation: _Dilation, make: _Layers) -> Features:
    """First four stacks of ResNet-50 (He et al. 2016a, arXiv:1512.03385); it takes BGR − mean."""
    means = (103.939, 116.779, 123.68)
    x = layers.Rescaling(127.5, offset=[127.5 - mean for mean in means], name="less_mean")(image)
    detail, x = _resnet_stem(x, dilation, lambda y: make.norm_relu(y, "conv1_bn", "conv1_relu"))
    low_level = x
    for stack, (count, filters) in enumerate(((3, 64), (4, 128), (6, 256)), start=2):
        for unit in range(1, count + 1):
            stride = dilation.spend(2) if stack > 2 and unit == 1 else 1
            block = f"conv{stack}_block{unit}"
            x = _bottleneck_v1(x, filters, stride, dilation.rate, unit == 1, make, block)
        low_level = x if stack == 2 else low_level  # H/4, 256 channels
    return Features(detail, low_level, deep=x)  # deep: H/os, 1024 channels


def _bottleneck_v1(
    x: keras.KerasTensor,
    filters: int,
    stride: int,
    rate: int,
    project: bool,
    make: _Layers,
    name: str,
) -> keras.KerasTensor:
    """1×1 (strided), 3×3, 1×1 convolutions, added to a shortcut, cut at zero."""
    shortcut = x
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = make.norm(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = make.norm_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(filters, 3, padding="same", dilation_rate=rate, name=f"{name}_2_conv")(x)
    x = make.norm_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = make.norm(layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x), f"{name}_3_bn")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _resnet_v2(
    image: keras.KerasTensor, blocks: tuple[int, ...], dilation: _Dilation, make: _Layers
) -> Features:
    """Residual network with pre-activation (He et al. 2016b), last block of a stack strided."""
    detail, x = _resnet_stem(image, dilation, lambda y: y)
    low_level = x
    for stack, (count, filters, last_stride) in enumerate(
        zip(blocks, (64, 128, 256, 512), (2, 2, 2, 1), strict=True), start=2
    ):
        for unit in range(1, count + 1):
            rate = dilation.rate
            stride = dilation.spend(last_stride if unit == count else 1)
            block = f"conv{stack}_block{unit}"
            x, inner = _bottleneck_v2(x, filters, stride, rate, unit == 1, make, block)
            if stack == 2:
                low_level = inner  # of its last: H/4, 64 channels, before the stack's stride
    return Features(detail, low_level, deep=make.norm_relu(x, "post_bn", "post_relu"))  # 2048


def _bottleneck_v2(
    x: keras.KerasTensor,
    filters: int,
    stride: int,
    rate: int,
    project: bool,
    make: _Layers,
    name: str,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """1×1, 3×3, 1×1 convolutions around a shortcut; returns the sum and the first activation."""
    preact = make.norm_relu(x, f"{name}_preact_bn", f"{name}_preact_relu")
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(preact)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    else:
        shortcut = x
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(preact)
    inner = make.norm_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.ZeroPadding2D(rate, name=f"{name}_2_pad")(inner)
    x = layers.Conv2D(
        filters, 3, strides=stride, dilation_rate=rate, use_bias=False, name=f"{name}_2_conv"
    )(x)
    x = make.norm_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x]), inner


_INVERTED_RESIDUALS = (  # expansion, channels, repeats, stride of the first: table 2 of the paper
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _mobilenetv2(image: keras.KerasTensor, dilation: _Dilation, make: _Layers) -> Features:
    """Inverted residuals with linear bottlenecks (Sandler et al. 2018), width 1.0."""
    x = layers.Conv2D(
        32, 3, strides=dilation.spend(2), padding="same", use_bias=False, name="Conv1"
    )(image)
    x = make.norm_relu(x, "bn_Conv1", "Conv1_relu")  # H/2, 32 channels
    expanded: list[keras.KerasTensor] = []
    for expansion, channels, repeats, first_stride in _INVERTED_RESIDUALS:
        for repeat in range(repeats):
            rate = dilation.rate
            stride = dilation.spend(first_stride if repeat == 0 else 1)
            name = f"block_{len(expanded)}" if expanded else "expanded_conv"
            x, widened = _inverted_residual(x, expansion, channels, stride, rate, make, name)
            expanded.append(widened)
    # Blocks 1 and 3 widen before they stride: their expansions are the richest views at H/2, H/4.
    return Features(detail=expanded[1], low_level=expanded[3], deep=x)  # deep: H/os, 320


def _inverted_residual(
    x: keras.KerasTensor,
    expansion: int,
    channels: int,
    stride: int,
    rate: int,
    make: _Layers,
    name: str,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Widen, filter each channel, narrow; returns the block's output and its widened input."""
    source = x
    if expansion > 1:
        x = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand")(x)
        x = make.norm_relu(x, f"{name}_expand_BN", f"{name}_expand_relu")
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
    x = make.norm_relu(x, f"{name}_depthwise_BN", f"{name}_depthwise_relu")
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = make.norm(x, f"{name}_project_BN")
    if stride == 1 and source.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([source, x])
    return x, widened
