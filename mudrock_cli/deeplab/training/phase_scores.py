"""Pixel accuracy and IoU of each phase, counted while a network is trained or judged."""

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from mudrock_cli.deeplab.training.losses import encode_labels
from mudrock_cli.image.phase import Phase

PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)


class PhaseScores(keras.metrics.Metric):  # type: ignore[misc]
    """Counts truth against prediction over labelled pixels; its result is the counts (3, 3)."""

    def __init__(self) -> None:
        super().__init__(name="counts", dtype="float32")
        self.counts = self.add_variable((3, 3), initializer="zeros", name="counts")

    def update_state(
        self,
        y_true: keras.KerasTensor,
        y_pred: keras.KerasTensor,
        sample_weight: None = None,
    ) -> None:
        """Add a batch of labels (N, H, W) and logits (N, H, W, 3)."""
        truth = ops.reshape(encode_labels(y_true)[0], (-1, 3))
        chosen = ops.one_hot(ops.reshape(ops.argmax(y_pred, axis=-1), (-1,)), 3, dtype="float32")
        self.counts.assign(self.counts + ops.matmul(ops.transpose(truth), chosen))

    def result(self) -> dict[str, keras.KerasTensor]:
        """Return the figures of `score_counts`, as tensors."""
        hits = ops.diagonal(self.counts)
        union = ops.sum(self.counts, axis=0) + ops.sum(self.counts, axis=1) - hits
        there = ops.cast(union > 0, "float32")
        iou = hits / union  # NaN for a phase that is nowhere
        known = ops.where(union > 0, iou, 0.0)
        figures = {
            "pixel_accuracy": ops.sum(hits) / ops.maximum(ops.sum(self.counts), 1.0),
            "iou_mean": ops.sum(known) / ops.maximum(ops.sum(there), 1.0),
        }
        return figures | {f"iou_{phase.name.lower()}": iou[phase] for phase in PHASES}


def count_pixels(truth: npt.NDArray[Any], found: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return how often phase i (row) was called phase j (column), where the truth is labelled."""
    known = truth < len(PHASES)
    pairs = truth[known].astype(np.int64) * 3 + found[known]
    return np.bincount(pairs, minlength=9).reshape(3, 3)


def score_counts(counts: npt.NDArray[np.int64]) -> dict[str, float | None]:
    """Return pixel accuracy, IoU of each phase (None where it is nowhere) and their mean."""
    hits = np.diagonal(counts).astype(float)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    iou = [hit / whole if whole else math.nan for hit, whole in zip(hits, union, strict=True)]
    known = [value for value in iou if not math.isnan(value)]
    figures: dict[str, float | None] = {
        "pixel_accuracy": float(hits.sum() / max(1, counts.sum())),
        "iou_mean": float(np.mean(known)) if known else None,
    }
    for phase, value in zip(PHASES, iou, strict=True):
        figures[f"iou_{phase.name.lower()}"] = None if math.isnan(value) else float(value)
    return figures
