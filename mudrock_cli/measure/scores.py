"""Truth against prediction, pixel by pixel: the confusion matrix and what follows from it.

Everything is counted over pixels whose **truth** is a phase; pixels that the truth leaves VOID are
not judged. A prediction that is VOID where the truth is a phase is wrong there.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import atomic_write
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.components import Components, count_pairs, label_mask
from mudrock_cli.measure.schema import SCORES, make_schema

PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
"""The rows of a confusion matrix, and with VOID behind them its columns."""

Confusion = npt.NDArray[np.int64]
"""Pixel counts, shape (3, 4): truth clay, silt, pore by prediction clay, silt, pore, VOID."""

_BAND_PIXELS = 1 << 20
_BAD = 16  # a code no pair of phases reaches


def count_confusion(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]) -> Confusion:
    """Count how often each phase was predicted as each.

    Parameters
    ----------
    truth, prediction : ndarray of uint8, shape (H, W)
        Phases 0, 1, 2 or VOID (255).

    Returns
    -------
    ndarray of int64, shape (3, 4)
        Rows: truth clay, silt, pore. Columns: prediction clay, silt, pore, VOID.

    Raises
    ------
    MudrockError
        If the shapes differ, or a value is no phase.
    """
    if truth.shape != prediction.shape:
        raise MudrockError(
            f"the truth is {_size(truth)} pixels, the prediction {_size(prediction)}",
            "compare masks of the same micrograph",
        )
    rows, columns = _code_tables()
    counts = np.zeros(256, np.int64)
    step = max(1, _BAND_PIXELS // max(1, truth.shape[1]))
    for top in range(0, truth.shape[0], step):
        code = rows[truth[top : top + step]] + columns[prediction[top : top + step]]
        counts += np.bincount(code.ravel(), minlength=256)
    if counts[_BAD:].any():
        raise MudrockError(
            "a mask holds values that are no phase",
            "masks hold 0 (clay), 1 (silt), 2 (pore) and 255 (no specimen)",
        )
    return counts[:12].reshape(3, 4)


def _code_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return what a truth and a predicted value add to the code of a pair."""
    rows, columns = np.full(256, 4 * _BAD, np.uint8), np.full(256, 4 * _BAD, np.uint8)
    rows[list(PHASES)] = 0, 4, 8
    rows[Phase.VOID] = 12
    columns[[*PHASES, Phase.VOID]] = 0, 1, 2, 3
    return rows, columns


def _size(mask: npt.NDArray[np.uint8]) -> str:
    return " × ".join(str(side) for side in reversed(mask.shape))


def compute_accuracy(confusion: Confusion) -> float:
    """Return the share of judged pixels whose phase is right; NaN without any."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def compute_iou(confusion: Confusion) -> npt.NDArray[np.float64]:
    """Return intersection over union of each phase (Jaccard index).

    Returns
    -------
    ndarray of float64, shape (3,)
        Clay, silt, pore: pixels right / (pixels in the truth or in the prediction); NaN for a
        phase that neither of them holds, which says nothing about the prediction.
    """
    hit = np.diagonal(confusion)
    union = confusion.sum(axis=1) + confusion[:, :3].sum(axis=0) - hit
    iou = np.full(3, np.nan)
    np.divide(hit, union, out=iou, where=union > 0)
    return iou


def compute_fractions(confusion: Confusion) -> npt.NDArray[np.float64]:
    """Return the area fraction of each phase in the truth and in the prediction.

    Returns
    -------
    ndarray of float64, shape (2, 3)
        Truth, prediction by clay, silt, pore. Porosity is the fraction of pore. Predicted
        fractions refer to the judged pixels that have a predicted phase; NaN without any.
    """
    counts = np.stack([confusion.sum(axis=1), confusion[:, :3].sum(axis=0)])
    total = counts.sum(axis=1, keepdims=True)
    fractions = np.full((2, 3), np.nan)
    np.divide(counts, total, out=fractions, where=total > 0)
    return fractions


# How well the outlines of the phases lie on the true outlines: boundary F1.

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_LARGEST_DISC = 15  # pixels; above, a distance transform is the cheaper way


@dataclass(frozen=True)
class BoundaryCounts:
    """Outline pixels of clay, silt and pore, each array of int64 with shape (3,).

    Parameters
    ----------
    predicted, predicted_close : ndarray
        Outline pixels of the prediction, and those of them close to the true outline.
    true, true_close : ndarray
        Outline pixels of the truth, and those of them close to the predicted outline.
    """

    predicted: npt.NDArray[np.int64]
    predicted_close: npt.NDArray[np.int64]
    true: npt.NDArray[np.int64]
    true_close: npt.NDArray[np.int64]

    @classmethod
    def none(cls) -> Self:
        """Return the counts of no image."""
        return cls(*np.zeros((4, 3), np.int64))

    def __add__(self, other: Self) -> Self:
        """Pool two images."""
        return type(self)(
            self.predicted + other.predicted,
            self.predicted_close + other.predicted_close,
            self.true + other.true,
            self.true_close + other.true_close,
        )

    def compute_f1(self) -> npt.NDArray[np.float64]:
        """Return the boundary F1 of clay, silt and pore.

        F1 = 2PR / (P + R), where P is the share of the predicted outline close to the true one
        and R the share of the true outline close to the predicted one (Csurka et al. 2013, What
        is a good evaluation measure for semantic segmentation?). 0 when only one side has an
        outline, NaN when neither has.
        """
        sides = (self.predicted > 0).astype(int) + (self.true > 0)
        precision = self.predicted_close / np.maximum(self.predicted, 1)
        recall = self.true_close / np.maximum(self.true, 1)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        return np.where(sides == 0, np.nan, f1)


def count_boundary(
    truth: npt.NDArray[np.uint8],
    prediction: npt.NDArray[np.uint8],
    tolerance: float,
    own: slice = slice(None),
) -> BoundaryCounts:
    """Count outline pixels that have an outline of the other mask within a tolerance.

    Parameters
    ----------
    truth, prediction : ndarray of uint8, shape (H, W)
        Phases; pixels that the truth leaves VOID belong to no outline.
    tolerance : float
        Euclidean distance in pixels up to which outlines count as the same.
    own : slice
        Rows whose outline pixels are counted; in a band of a larger image, the rows above and
        below within the tolerance and one more are there to be seen only.
    """
    tolerance += 1e-6  # 30 nm at 10 nm per pixel are 3 pixels, whatever the division says
    judged = truth != Phase.VOID
    counts = np.zeros((4, 3), np.int64)
    for column, phase in enumerate(PHASES):
        true = find_outline(truth == phase, judged)
        predicted = find_outline((prediction == phase) & judged, judged)
        counts[:, column] = (
            np.count_nonzero(predicted[own]),
            _count_close(predicted, true, tolerance, own),
            np.count_nonzero(true[own]),
            _count_close(true, predicted, tolerance, own),
        )
    return BoundaryCounts(*counts)


def find_outline(
    member: npt.NDArray[np.bool_], judged: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Mark the pixels of a phase beside (up, down, left, right) a judged pixel of another phase.

    Neither the border of the image nor pixels without a true phase make an outline.
    """
    inside = cv2.erode((member | ~judged).view(np.uint8), _CROSS)
    outline: npt.NDArray[np.bool_] = member & (inside == 0)
    return outline


def _count_close(
    outline: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], tolerance: float, own: slice
) -> int:
    if not other.any():
        return 0
    near = _grow(other, tolerance) if tolerance <= _LARGEST_DISC else _reach(other, tolerance)
    return int(np.count_nonzero(outline[own] & near[own]))


def _grow(mask: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    """Dilate by a disc; several times faster than distances while the disc is small."""
    reach = np.arange(-int(radius), int(radius) + 1)
    disc = (np.hypot(reach[:, None], reach) <= radius).astype(np.uint8)
    grown: npt.NDArray[np.bool_] = cv2.dilate(mask.view(np.uint8), disc) > 0
    return grown


def _reach(mask: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    """Mark all pixels within a distance of the mask."""
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near: npt.NDArray[np.bool_] = distance <= radius
    return near


# Predicted grains and pores against true ones, object by object.

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
    phase: Phase, true: Components, predicted: Components, pairs: Ints, min_pixels: int
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


# How good a phase mask is, seen from all sides: one record per image, pooled or averaged.

MIN_PIXELS = 10
"""Instances smaller than this are specks, not grains or pores, and are not matched."""
OBJECTS = (Phase.SILT, Phase.PORE)
"""The phases that come in objects; clay is what lies between them."""

_BAND_PIXELS_SCORES = 1 << 23

Values = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Scores:
    """What was counted on one image, or on several pooled.

    Parameters
    ----------
    confusion : ndarray of int64, shape (3, 4)
        Truth clay, silt, pore by prediction clay, silt, pore, VOID.
    boundary : BoundaryCounts
        Outline pixels.
    matches : dict
        Instances of silt and of pores.
    diameters : dict
        Equivalent-circle diameters of silt and of pores: truth, prediction; in `unit`.
    unit : str or None
        ``"um"``, or ``"px"`` without a pixel size; None when images of both kinds are pooled.
    """

    confusion: Confusion
    boundary: BoundaryCounts
    matches: dict[Phase, Matches]
    diameters: dict[Phase, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
    unit: str | None

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of clay, silt, pore; shape (3,)."""
        return compute_iou(self.confusion)


def score_mask(
    truth: PhaseMask,
    prediction: PhaseMask,
    *,
    tolerance: float,
    min_pixels: int = MIN_PIXELS,
    um_per_pixel: float | None = None,
) -> Scores:
    """Compare a predicted mask with the true one where the truth is not VOID.

    Parameters
    ----------
    truth, prediction : PhaseMask
        Masks of the same micrograph; read band by band.
    tolerance : float
        How far apart outlines may lie for the boundary F1, in pixels.
    min_pixels : int
        Smallest instance that is matched.
    um_per_pixel : float, optional
        Without it, diameters stay in pixels.

    Raises
    ------
    MudrockError
        If the shapes differ, a mask cannot be read or the truth has no labelled pixel.
    """
    _check_shapes(truth, prediction)
    confusion = np.zeros((3, 4), np.int64)
    boundary = BoundaryCounts.none()
    reach = math.ceil(tolerance) + 1
    step = max(1, _BAND_PIXELS_SCORES // truth.shape[1])
    for top in range(0, truth.shape[0], step):
        bottom = min(top + step, truth.shape[0])
        rows = slice(max(0, top - reach), bottom + reach)
        own = slice(top - rows.start, bottom - rows.start)
        true, predicted = truth.read(rows, slice(None)), prediction.read(rows, slice(None))
        confusion += count_confusion(true[own], predicted[own])
        boundary += count_boundary(true, predicted, tolerance, own)
    if not confusion.any():
        raise MudrockError(
            f"{truth.path or truth.name}: no pixel is labelled",
            "label some pixels, or leave it out",
        )
    matches = match_instances(truth, _hide(prediction, truth), min_pixels)
    scale = 1.0 if um_per_pixel is None else um_per_pixel
    return Scores(
        confusion=confusion,
        boundary=boundary,
        matches=matches,
        diameters={
            phase: (
                compute_diameters(match.true_areas) * scale,
                compute_diameters(match.predicted_areas) * scale,
            )
            for phase, match in matches.items()
        },
        unit="px" if um_per_pixel is None else "um",
    )


def _check_shapes(truth: PhaseMask, prediction: PhaseMask) -> None:
    if truth.shape != prediction.shape:
        sizes = [f"{mask.shape[1]} × {mask.shape[0]}" for mask in (truth, prediction)]
        raise MudrockError(
            f"{prediction.path or prediction.name}: {sizes[1]} pixels, its label has {sizes[0]}",
            "compare masks of the same micrograph at the same size",
        )


def _hide(prediction: PhaseMask, truth: PhaseMask) -> PhaseMask:
    """Return the prediction, VOID wherever the truth is."""

    def read(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        judged = truth.read(rows, columns) != Phase.VOID
        return np.where(judged, prediction.read(rows, columns), np.uint8(Phase.VOID))

    return dataclasses.replace(prediction, read=read)


def compute_diameters(areas: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the equivalent-circle diameter √(4A/π) of areas in pixels."""
    return np.sqrt(4 / np.pi * areas.astype(np.float64))


def pool_scores(scores: Sequence[Scores]) -> Scores:
    """Pool images: every pixel and every instance counts alike, whatever image it is on."""
    units = {one.unit for one in scores}
    return Scores(
        confusion=sum((one.confusion for one in scores), np.zeros((3, 4), np.int64)),
        boundary=functools.reduce(operator.add, (one.boundary for one in scores)),
        matches={
            phase: functools.reduce(operator.add, (one.matches[phase] for one in scores))
            for phase in OBJECTS
        },
        diameters={
            phase: (
                np.concatenate([one.diameters[phase][0] for one in scores]),
                np.concatenate([one.diameters[phase][1] for one in scores]),
            )
            for phase in OBJECTS
        },
        unit=units.pop() if len(units) == 1 else None,
    )


def describe_scores(scores: Scores) -> Values:
    """Return every column of :data:`score_columns.COLUMNS` that a record of counts determines."""
    values: Values = {"pixels": int(scores.confusion.sum())}
    values["pixel_accuracy"] = compute_accuracy(scores.confusion)
    fractions = compute_fractions(scores.confusion)
    f1 = scores.boundary.compute_f1()
    iou = scores.iou
    for row, phase in enumerate(PHASES):
        name = phase.name.lower()
        values[f"iou_{name}"] = float(iou[row])
        values[f"absent_{name}"] = int(np.isnan(iou[row]))
        values[f"boundary_f1_{name}"] = float(f1[row])
        values[f"fraction_{name}_truth_percent"] = 100 * float(fractions[0, row])
        values[f"fraction_{name}_predicted_percent"] = 100 * float(fractions[1, row])
        values[f"fraction_{name}_error_points"] = 100 * float(fractions[1, row] - fractions[0, row])
        for column, other in enumerate([*PHASES, Phase.VOID]):
            count = int(scores.confusion[row, column])
            values[f"{name}_as_{other.name.lower()}_pixels"] = count
    values["iou_mean"] = _mean(iou)
    for phase in OBJECTS:
        values |= _describe_instances(scores, phase)
    return values


def _describe_instances(scores: Scores, phase: Phase) -> Values:
    name, match = phase.name.lower(), scores.matches[phase]
    true, predicted = scores.diameters[phase]
    by_number = measure_distance(true, predicted)
    by_area = measure_distance(true, predicted, true**2, predicted**2)
    return {
        f"instances_{name}_truth": match.true_areas.size,
        f"instances_{name}_predicted": match.predicted_areas.size,
        f"matched_{name}": match.matched,
        f"missed_{name}": match.missed,
        f"invented_{name}": match.invented,
        f"splits_{name}": match.splits,
        f"merges_{name}": match.merges,
        f"panoptic_quality_{name}": match.panoptic_quality,
        f"segmentation_quality_{name}": match.segmentation_quality,
        f"recognition_quality_{name}": match.recognition_quality,
        f"ecd_distance_{name}_um": by_number if scores.unit == "um" else None,
        f"ecd_distance_{name}_px": by_number if scores.unit == "px" else None,
        f"ecd_distance_by_area_{name}_um": by_area if scores.unit == "um" else None,
        f"ecd_distance_by_area_{name}_px": by_area if scores.unit == "px" else None,
    }


def average_values(rows: Sequence[Values]) -> Values:
    """Average rows of images: every image counts alike, whatever its size.

    A value that an image does not have (NaN or None: its phase is absent from truth and
    prediction) is left out of that mean. Counts are summed, so ``absent_pore`` says how many
    images were left out; errors of fractions are averaged as magnitudes, so that too much in
    one image does not hide too little in another.
    """
    mean: Values = {}
    for key in rows[0]:
        numbers = [value for row in rows if isinstance(value := row[key], int | float)]
        if key.endswith("_error_points"):
            mean[key] = _mean(np.abs(np.array(numbers, np.float64)))
        elif all(isinstance(number, int) for number in numbers) and numbers:
            mean[key] = int(sum(numbers))
        else:
            mean[key] = _mean(np.array(numbers, np.float64)) if numbers else None
    return mean


def _mean(numbers: npt.NDArray[np.float64]) -> float:
    known = numbers[~np.isnan(numbers)]
    return float(known.mean()) if known.size else float("nan")


# Scores of many images by several methods as one table.

SPLITS = ("train", "validation", "test", "unknown")
"""Splits in the order of the table; ``unknown``: images that the model's split does not name."""
ALL = "all"


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image by one method.

    Parameters
    ----------
    method : str
        A model's name, or that of a folder of masks.
    image : str
        Name of the label.
    split : str or None
        Where the image stood when the model was trained; None when nothing is known.
    scores : Scores
        What was counted.
    """

    method: str
    image: str
    split: str | None
    scores: Scores


def tabulate_scores(images: Sequence[ImageScores]) -> list[Values]:
    """Return a row per image, then per method and split a mean and a pooled row.

    Parameters
    ----------
    images : sequence of ImageScores
        All images by all methods.

    Returns
    -------
    list of dict
        With the keys of :data:`SCORES`, in its order.
    """
    described = [(one, describe_scores(one.scores)) for one in images]
    rows: list[Values] = []
    for one, values in described:
        rows.append(_head("image", one.method, one.split, one.image, 1) | values)
    for method in dict.fromkeys(one.method for one in images):
        ours = [(one, values) for one, values in described if one.method == method]
        known = {one.split for one, _ in ours}
        for split in (ALL, *(name for name in SPLITS if name in known)):
            part = [(one, values) for one, values in ours if split in (ALL, one.split)]
            mean = average_values([values for _, values in part])
            pooled = describe_scores(pool_scores([one.scores for one, _ in part]))
            rows.append(_head("mean", method, split, None, len(part)) | mean)
            rows.append(_head("pooled", method, split, None, len(part)) | pooled)
    return [{column.name: row[column.name] for column in SCORES} for row in rows]


def _head(level: str, method: str, split: str | None, image: str | None, images: int) -> Values:
    return {"level": level, "method": method, "split": split, "image": image, "images": images}


def build_table(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> pa.Table:
    """Return the rows as an Arrow table of the one schema; NaN becomes null.

    Parameters
    ----------
    rows : sequence of dict
        From :func:`tabulate_scores`.
    facts : mapping
        Options and paths for the ``mudrock`` key of the metadata; JSON-able.
    """
    schema = make_schema(SCORES, "scores", facts)
    arrays = [
        pa.array([_to_null(row[column.name]) for row in rows], type=field.type)
        for column, field in zip(SCORES, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_scores(path: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write the rows as Parquet beside its place, and move the file there.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    with atomic_write(path, "choose another --out, or make room") as part:
        pq.write_table(build_table(rows, facts), part, compression="zstd")


def _to_null(value: float | int | str | None) -> float | int | str | None:
    return None if value != value else value  # NaN differs from itself
