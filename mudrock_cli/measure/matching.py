"""Predicted grains and pores against true ones, object by object."""

from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
"""Instance numbers from 1 on, shape (H, W); 0 is background."""


@dataclass(frozen=True)
class Matches:
    """Instances of one phase in the truth and in the prediction, and which belong together.

    A true and a predicted instance match when their intersection over union exceeds 0.5; then
    neither can match another (Kirillov et al. 2019, Panoptic segmentation). Instances below the
    smallest area are not judged: such a true one is not missed, nor is the prediction that
    matches it invented.

    Parameters
    ----------
    matched, missed, invented : int
        True instances with a match, true ones without, predicted ones without.
    iou_sum : float
        Sum of the intersection over union of the matched pairs.
    splits : int
        True instances that hold more than half of each of two or more predicted ones.
    merges : int
        Predicted instances that hold more than half of each of two or more true ones.
    true_areas, predicted_areas : ndarray of int64
        Area in pixels of every judged instance.
    """

    matched: int = 0
    missed: int = 0
    invented: int = 0
    iou_sum: float = 0.0
    splits: int = 0
    merges: int = 0
    true_areas: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    predicted_areas: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __add__(self, other: Self) -> Self:
        """Pool two images."""
        return type(self)(
            self.matched + other.matched,
            self.missed + other.missed,
            self.invented + other.invented,
            self.iou_sum + other.iou_sum,
            self.splits + other.splits,
            self.merges + other.merges,
            np.concatenate([self.true_areas, other.true_areas]),
            np.concatenate([self.predicted_areas, other.predicted_areas]),
        )

    @property
    def recognition_quality(self) -> float:
        """F1 of finding instances: matched / (matched + missed / 2 + invented / 2)."""
        count = self.matched + (self.missed + self.invented) / 2
        return self.matched / count if count else float("nan")

    @property
    def segmentation_quality(self) -> float:
        """Mean intersection over union of the matched pairs."""
        return self.iou_sum / self.matched if self.matched else float("nan")

    @property
    def panoptic_quality(self) -> float:
        """Recognition times segmentation quality; 0 without a match, NaN without an instance."""
        count = self.matched + (self.missed + self.invented) / 2
        return self.iou_sum / count if count else float("nan")


def match_instances(
    truth: npt.NDArray[np.bool_], prediction: npt.NDArray[np.bool_], min_pixels: int = 1
) -> Matches:
    """Match the 8-connected regions of two masks of one phase.

    Parameters
    ----------
    truth, prediction : ndarray of bool, shape (H, W)
        Pixels of the phase; pixels that are not judged are False in both.
    min_pixels : int
        Smallest area that is judged.
    """
    true_labels, true_areas = _label(truth)
    predicted_labels, predicted_areas = _label(prediction)
    true, predicted, shared = count_overlaps(true_labels, predicted_labels)
    iou = shared / (true_areas[true] + predicted_areas[predicted] - shared)
    true_judged, predicted_judged = true_areas >= min_pixels, predicted_areas >= min_pixels
    true_judged[0] = predicted_judged[0] = False

    pair = iou > 0.5
    hit = pair & true_judged[true]
    matched = int(hit.sum())
    unmatched = predicted_judged.copy()
    unmatched[predicted[pair]] = False
    judged = true_judged[true] & predicted_judged[predicted]
    inside_true = judged & (2 * shared > predicted_areas[predicted])
    inside_predicted = judged & (2 * shared > true_areas[true])
    return Matches(
        matched=matched,
        missed=int(true_judged.sum()) - matched,
        invented=int(unmatched.sum()),
        iou_sum=float(iou[hit].sum()),
        splits=_count_repeated(true[inside_true]),
        merges=_count_repeated(predicted[inside_predicted]),
        true_areas=true_areas[true_judged],
        predicted_areas=predicted_areas[predicted_judged],
    )


def count_overlaps(
    first: Labels, second: Labels
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the pixels that each instance of one image shares with each of another.

    Runs along the rows are counted, not pixels: there are some hundred times fewer.

    Parameters
    ----------
    first, second : ndarray of int32, shape (H, W)
        Instance numbers, 0 for background.

    Returns
    -------
    tuple of ndarray of int64, shape (n,)
        Numbers in `first`, numbers in `second`, shared pixels, of every pair that overlaps.
    """
    a, b = first.ravel(), second.ravel()
    starts = np.flatnonzero((a[1:] != a[:-1]) | (b[1:] != b[:-1])) + 1
    starts = np.concatenate([[0], starts]) if a.size else starts
    lengths = np.diff(starts, append=a.size)
    a_runs, b_runs = a[starts].astype(np.int64), b[starts].astype(np.int64)
    both = (a_runs > 0) & (b_runs > 0)
    width = int(b_runs.max(initial=0)) + 1
    codes, inverse = np.unique(a_runs[both] * width + b_runs[both], return_inverse=True)
    shared = np.bincount(inverse, lengths[both], minlength=codes.size).astype(np.int64)
    return codes // width, codes % width, shared


def _label(mask: npt.NDArray[np.bool_]) -> tuple[Labels, npt.NDArray[np.int64]]:
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    return labels, boxes[:count, cv2.CC_STAT_AREA].astype(np.int64)


def _count_repeated(numbers: npt.NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.bincount(numbers) > 1)) if numbers.size else 0


def measure_distance(
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    first_weights: npt.NDArray[np.float64] | None = None,
    second_weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Return the Wasserstein-1 distance of two samples: the area between their step functions.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n,) and (m,)
        Values, such as equivalent-circle diameters.
    first_weights, second_weights : ndarray of float64, optional
        Weight of each value, such as its area; equal without.

    Returns
    -------
    float
        In the unit of the values; NaN when a sample is empty.
    """
    if not (first.size and second.size):
        return float("nan")
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    u = np.ones(first.size) if first_weights is None else first_weights
    v = np.ones(second.size) if second_weights is None else second_weights
    steps = np.concatenate([u / u.sum(), -v / v.sum()])[order]
    gaps = np.diff(values[order])
    return float(np.abs(np.cumsum(steps)[:-1]) @ gaps)
