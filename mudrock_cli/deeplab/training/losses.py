"""What training minimises: weighted cross-entropy, and soft Dice beside it."""

import keras
from keras import ops

from mudrock_cli.deeplab.recipes.recipe import LossRecipe
from mudrock_cli.image.phase import Phase

_PHASES = 3


def encode_labels(labels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return labels (N, H, W) as one-hot (N, H, W, 3), zero where void, and where they are not."""
    labels = ops.cast(labels, "int32")
    known = ops.cast(ops.not_equal(labels, int(Phase.VOID)), "float32")
    phase = ops.minimum(labels, _PHASES - 1)  # PyTorch refuses numbers beyond the last phase
    return ops.one_hot(phase, _PHASES, dtype="float32") * known[..., None], known


class PhaseLoss(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy over labelled pixels, weighted by phase, plus a share of soft Dice.

    Parameters
    ----------
    recipe : LossRecipe
        Weights of the phases and of the Dice term (Milletari et al. 2016, arXiv:1606.04797).
    """

    def __init__(self, recipe: LossRecipe) -> None:
        super().__init__(name="phase_loss")
        self.recipe = recipe

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the loss of labels (N, H, W) and logits (N, H, W, 3), shape (1,).

        Already averaged; not a scalar, because Keras divides a scalar among no devices.
        """
        one_hot, known = encode_labels(y_true)
        logits = ops.cast(y_pred, "float32")
        log_share = ops.log_softmax(logits, axis=-1)
        weights = ops.convert_to_tensor(self.recipe.class_weights, dtype="float32")
        per_phase = one_hot * weights
        loss = -ops.sum(per_phase * log_share) / (ops.sum(per_phase) + 1e-6)
        if self.recipe.dice:
            share = ops.exp(log_share) * known[..., None]
            overlap = ops.sum(share * one_hot, axis=(0, 1, 2))
            total = ops.sum(share, axis=(0, 1, 2)) + ops.sum(one_hot, axis=(0, 1, 2))
            dice = 1 - ops.mean((2 * overlap + 1) / (total + 1))
            loss = loss + self.recipe.dice * dice
        return ops.reshape(loss, (1,))
