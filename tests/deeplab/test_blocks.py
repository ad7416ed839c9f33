import numpy as np
import pytest

pytestmark = pytest.mark.network


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_fused_kernel_trains_like_keras(precision: str) -> None:
    import keras
    import tensorflow as tf

    from mudrock_cli.deeplab.encoders import BatchNorm

    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(3, 2, (2, 9, 7, 5)), tf.float32)
    pull = tf.constant(rng.normal(size=inputs.shape), tf.float32)
    results = []
    for kind in (BatchNorm, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3, dtype=keras.DTypePolicy(precision))
        layer.build(inputs.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 5))
        layer.beta.assign(np.linspace(-1, 1, 5))
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * pull)
        slopes = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        still = layer(inputs, training=False)
        results.append(
            [np.asarray(tf.cast(x, tf.float32)) for x in (outputs, still, *slopes)]
            + [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
        )
    tolerance = 1e-4 if precision == "float32" else 0.03
    for fused, composed in zip(*results, strict=True):
        np.testing.assert_allclose(fused, composed, rtol=tolerance, atol=tolerance)
