"""What encoders and decoders are made of."""

from typing import Any

import keras
from keras import layers

from mudrock_cli.deeplab.recipes.recipe import NetworkRecipe


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
