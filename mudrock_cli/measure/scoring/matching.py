"""Predicted grains and pores against true ones, object by object."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.objects.labelling import label_mask
from mudrock_cli.measure.objects.pieces import Pieces, count_pairs

Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer]


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
    truth: PhaseMask, prediction: PhaseMask, min_pixels: int = 1
) -> dict[Phase, Matches]:
    """Match the silt regions and the pores of two masks.

    Parameters
    ----------
    truth, prediction : PhaseMask
        Masks of one shape; pixels that are not judged are VOID in both.
    min_pixels : int
        Smallest area that is judged.

    Returns
    -------
    dict of Phase to Matches
        For `Phase.SILT` and `Phase.PORE`.
    """
    true, predicted = label_mask(truth), label_mask(prediction)
    pairs = np.zeros((3, 0), np.int64)
    bands = zip(true.paint(truth), predicted.paint(prediction), strict=True)
    for true_band, predicted_band in bands:
        found = count_overlaps(true_band, predicted_band)
        pairs = np.concatenate([pairs, found], axis=1)
    pairs = count_pairs(*pairs)
    return {
        phase: _match_phase(phase, true.objects, predicted.objects, pairs, min_pixels)
        for phase in (Phase.SILT, Phase.PORE)
    }


def _match_phase(
    phase: Phase, true: Pieces, predicted: Pieces, pairs: Ints, min_pixels: int
) -> Matches:
    """Match the instances of one phase; `pairs` holds their labels, from 1 on, and pixels."""
    one, other = pairs[0] - 1, pairs[1] - 1
    same = (true.phase[one] == phase) & (predicted.phase[other] == phase)
    one, other, shared = one[same], other[same], pairs[2, same]
    true_area, predicted_area = true.sums["area"], predicted.sums["area"]
    iou = shared / (true_area[one] + predicted_area[other] - shared)
    true_judged = (true.phase == phase) & (true_area >= min_pixels)
    predicted_judged = (predicted.phase == phase) & (predicted_area >= min_pixels)

    pair = iou > 0.5
    hit = pair & true_judged[one]
    matched = int(hit.sum())
    unmatched = predicted_judged.copy()
    unmatched[other[pair]] = False
    judged = true_judged[one] & predicted_judged[other]
    inside_true = judged & (2 * shared > predicted_area[other])
    inside_predicted = judged & (2 * shared > true_area[one])
    return Matches(
        matched=matched,
        missed=int(true_judged.sum()) - matched,
        invented=int(unmatched.sum()),
        iou_sum=float(iou[hit].sum()),
        splits=_count_repeated(one[inside_true]),
        merges=_count_repeated(other[inside_predicted]),
        true_areas=true_area[true_judged],
        predicted_areas=predicted_area[predicted_judged],
    )


def count_overlaps(first: Labels, second: Labels) -> Ints:
    """Count the pixels that each instance of one image shares with each of another.

    Runs along the rows are counted, not pixels: there are some hundred times fewer.

    Parameters
    ----------
    first, second : ndarray of integers, shape (H, W)
        Instance numbers, 0 for background.

    Returns
    -------
    ndarray of int64, shape (3, n)
        Number in `first`, number in `second`, shared pixels, of every pair that overlaps.
    """
    a, b = first.ravel(), second.ravel()
    changes = np.flatnonzero((a[1:] != a[:-1]) | (b[1:] != b[:-1])) + 1
    starts = np.concatenate([np.zeros(min(a.size, 1), np.int64), changes])
    lengths = np.diff(starts, append=a.size)
    both = (a[starts] > 0) & (b[starts] > 0)
    starts, lengths = starts[both], lengths[both]
    return count_pairs(a[starts].astype(np.int64), b[starts].astype(np.int64), lengths)


def _count_repeated(numbers: Ints) -> int:
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
