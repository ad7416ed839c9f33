"""How good a phase mask is: pixels, outlines and objects against the truth; a row per image.

Everything is counted over pixels whose **truth** is a phase; pixels that the truth leaves VOID are
not judged. A prediction that is VOID where the truth is a phase is wrong there. Where the truth
says clay or silt and not which (`mudrock_cli.image.labels`), either is right, and only phases that
are told from all others have figures. Counts of several images are added up (pooled), or the
figures of each are averaged.
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
from mudrock_cli.image.labels import find_told, settle_partial
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.components import Components, count_pairs, label_mask
from mudrock_cli.measure.instances import equivalent_diameters
from mudrock_cli.measure.schema import SCORES, make_schema, pack_values

PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
"""The rows of a confusion matrix, and with VOID behind them its columns."""

OBJECTS = (Phase.SILT, Phase.PORE)
"""The phases that come in objects; clay is what lies between them."""

MIN_PIXELS = 10
"""Instances smaller than this are specks, not grains or pores, and are not matched."""

SPLITS = ("train", "validation", "test", "unknown")
"""Splits in the order of the table; ``unknown``: images that the model's split does not name."""

ALL = "all"

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Values = dict[str, float | int | str | None]

_BAND_PIXELS = 1 << 23
_BAD = 16  # a code no pair of phases reaches
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_LARGEST_DISC = 15  # pixels; above, a distance transform is the cheaper way


def count_confusion(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]) -> Counts:
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
        sizes = [" × ".join(map(str, mask.shape[::-1])) for mask in (truth, prediction)]
        raise MudrockError(
            f"the truth is {sizes[0]} pixels, the prediction {sizes[1]}",
            "compare masks of the same micrograph",
        )
    # What a truth and a predicted value add to the code of a pair.
    rows, columns = np.full(256, 4 * _BAD, np.uint8), np.full(256, 4 * _BAD, np.uint8)
    rows[[*PHASES, Phase.VOID]] = 0, 4, 8, 12
    columns[[*PHASES, Phase.VOID]] = 0, 1, 2, 3
    counts = np.bincount((rows[truth] + columns[prediction]).ravel(), minlength=256)
    if counts[_BAD:].any():
        raise MudrockError(
            "a mask holds values that are no phase",
            "masks hold 0 (clay), 1 (silt), 2 (pore) and 255 (no specimen)",
        )
    return counts[:12].reshape(3, 4).astype(np.int64)


def compute_accuracy(confusion: Counts) -> float:
    """Return the share of judged pixels whose phase is right; NaN without any."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else math.nan


def compute_iou(confusion: Counts) -> Floats:
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


def compute_fractions(confusion: Counts) -> Floats:
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


def count_boundary(
    truth: npt.NDArray[np.uint8],
    prediction: npt.NDArray[np.uint8],
    tolerance: float,
    own: slice = slice(None),
) -> Counts:
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

    Returns
    -------
    ndarray of int64, shape (4, 3)
        Outline pixels of the prediction, those of them close to the true outline, outline pixels
        of the truth, those of them close to the predicted outline; by clay, silt and pore.
    """
    tolerance += 1e-6  # 30 nm at 10 nm per pixel are 3 pixels, whatever the division says
    judged = truth != Phase.VOID
    counts = np.zeros((4, 3), np.int64)
    for column, phase in enumerate(PHASES):
        true = find_outline(truth == phase, judged)
        predicted = find_outline((prediction == phase) & judged, judged)
        kinds = (
            predicted,
            predicted & _dilate(true, tolerance),
            true,
            true & _dilate(predicted, tolerance),
        )
        counts[:, column] = [np.count_nonzero(kind[own]) for kind in kinds]
    return counts


def find_outline(member: Mask, judged: Mask) -> Mask:
    """Mark the pixels of a phase beside (up, down, left, right) a judged pixel of another phase.

    Neither the border of the image nor pixels without a true phase make an outline.
    """
    inside = cv2.erode((member | ~judged).view(np.uint8), _CROSS)
    outline: Mask = member & (inside == 0)
    return outline


def _dilate(outline: Mask, radius: float) -> Mask:
    """Mark all pixels within a distance of an outline."""
    if not outline.any():
        return outline
    if radius > _LARGEST_DISC:
        far = (~outline).view(np.uint8)
        near: Mask = cv2.distanceTransform(far, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius
        return near
    reach = np.arange(-int(radius), int(radius) + 1)
    disc = (np.hypot(reach[:, None], reach) <= radius).astype(np.uint8)
    near = cv2.dilate(outline.view(np.uint8), disc) > 0
    return near


def compute_boundary_f1(counts: Counts) -> Floats:
    """Return the boundary F1 of clay, silt and pore from counts of `count_boundary`.

    Notes
    -----
    F1 = 2PR / (P + R), where P is the share of the predicted outline close to the true one and R
    the share of the true outline close to the predicted one (Csurka et al. 2013, What is a good
    evaluation measure for semantic segmentation?). 0 when only one side has an outline, NaN when
    neither has.
    """
    predicted, predicted_close, true, true_close = counts
    precision = predicted_close / np.maximum(predicted, 1)
    recall = true_close / np.maximum(true, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return np.where(predicted + true == 0, np.nan, f1)


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
    true_areas: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    predicted_areas: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    def __add__(self, other: Self) -> "Matches":
        """Pool two images."""
        values: dict[str, Any] = {
            name: np.concatenate([own, vars(other)[name]])
            if isinstance(own, np.ndarray)
            else own + vars(other)[name]
            for name, own in vars(self).items()
        }
        return Matches(**values)

    @property
    def recognition_quality(self) -> float:
        """F1 of finding instances: matched / (matched + missed / 2 + invented / 2)."""
        count = self.matched + (self.missed + self.invented) / 2
        return self.matched / count if count else math.nan

    @property
    def segmentation_quality(self) -> float:
        """Mean intersection over union of the matched pairs."""
        return self.iou_sum / self.matched if self.matched else math.nan

    @property
    def panoptic_quality(self) -> float:
        """Recognition times segmentation quality; 0 without a match, NaN without an instance."""
        count = self.matched + (self.missed + self.invented) / 2
        return self.iou_sum / count if count else math.nan


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
    phase: Phase, true: Components, predicted: Components, pairs: Counts, min_pixels: int
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


def count_overlaps(first: npt.NDArray[np.integer], second: npt.NDArray[np.integer]) -> Counts:
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


def _count_repeated(numbers: Counts) -> int:
    return int(np.count_nonzero(np.bincount(numbers) > 1))


@dataclass(frozen=True)
class Scores:
    """What was counted on one image, or on several pooled.

    Every pixel and every instance counts alike, whatever image it is on.

    Parameters
    ----------
    confusion : ndarray of int64, shape (3, 4)
        Truth clay, silt, pore by prediction clay, silt, pore, VOID.
    boundary : ndarray of int64, shape (4, 3)
        Outline pixels, as `count_boundary` counts them.
    matches : dict
        Instances of silt and of pores.
    diameters : dict
        Equivalent-circle diameters of silt and of pores: truth, prediction; in `unit`.
    unit : str or None
        ``"um"``, or ``"px"`` without a pixel size; None when images of both kinds are pooled.
    told : ndarray of bool, shape (3,)
        Whether the truth tells clay, silt, pore from all others; what is not told has no figures.
    """

    confusion: Counts
    boundary: Counts
    matches: dict[Phase, Matches]
    diameters: dict[Phase, tuple[Floats, Floats]]
    unit: str | None
    told: Mask = field(default_factory=lambda: np.ones(len(PHASES), np.bool_))

    @property
    def iou(self) -> Floats:
        """Intersection over union of clay, silt, pore; shape (3,), NaN of what is not told."""
        return np.where(self.told, compute_iou(self.confusion), np.nan)

    def __add__(self, other: "Scores") -> "Scores":
        """Pool two images."""
        return Scores(
            self.confusion + other.confusion,
            self.boundary + other.boundary,
            {phase: self.matches[phase] + other.matches[phase] for phase in OBJECTS},
            {
                phase: (np.concatenate([true, more_true]), np.concatenate([predicted, more]))
                for phase in OBJECTS
                for true, predicted in [self.diameters[phase]]
                for more_true, more in [other.diameters[phase]]
            },
            self.unit if self.unit == other.unit else None,
            self.told & other.told,
        )


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
        Masks of the same micrograph; read band by band. The truth may leave two phases open.
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
    if truth.shape != prediction.shape:
        sizes = [f"{mask.shape[1]} × {mask.shape[0]}" for mask in (truth, prediction)]
        raise MudrockError(
            f"{prediction.path or prediction.name}: {sizes[1]} pixels, its label has {sizes[0]}",
            "compare masks of the same micrograph at the same size",
        )
    confusion = np.zeros((3, 4), np.int64)
    boundary = np.zeros((4, 3), np.int64)
    reach = math.ceil(tolerance) + 1
    told = np.ones(len(PHASES), np.bool_)
    step = max(1, _BAND_PIXELS // truth.shape[1])
    for top in range(0, truth.shape[0], step):
        bottom = min(top + step, truth.shape[0])
        rows = slice(max(0, top - reach), bottom + reach)
        own = slice(top - rows.start, bottom - rows.start)
        labels, predicted = truth.read(rows, slice(None)), prediction.read(rows, slice(None))
        told &= find_told(labels)
        true = settle_partial(labels, predicted)
        confusion += count_confusion(true[own], predicted[own])
        boundary += count_boundary(true, predicted, tolerance, own)
    if not confusion.any():
        raise MudrockError(
            f"{truth.path or truth.name}: no pixel is labelled",
            "label some pixels, or leave it out",
        )

    def read_settled(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        return settle_partial(truth.read(rows, columns), prediction.read(rows, columns))

    def read_judged(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        judged = truth.read(rows, columns) != Phase.VOID
        return np.where(judged, prediction.read(rows, columns), np.uint8(Phase.VOID))

    settled = truth if told.all() else dataclasses.replace(truth, read=read_settled)
    judged = dataclasses.replace(prediction, read=read_judged)
    matches = match_instances(settled, judged, min_pixels)
    scale = 1.0 if um_per_pixel is None else um_per_pixel
    return Scores(
        confusion=confusion,
        boundary=boundary,
        matches=matches,
        diameters={
            phase: (
                equivalent_diameters(scale, match.true_areas),
                equivalent_diameters(scale, match.predicted_areas),
            )
            for phase, match in matches.items()
        },
        unit="px" if um_per_pixel is None else "um",
        told=told,
    )


def describe_scores(scores: Scores) -> Values:
    """Return every column of `SCORES` that a record of counts determines; None: not told."""
    values: Values = {"pixels": int(scores.confusion.sum())}
    values["pixel_accuracy"] = compute_accuracy(scores.confusion)
    fractions = compute_fractions(scores.confusion)
    f1 = compute_boundary_f1(scores.boundary)
    iou = scores.iou
    for row, phase in enumerate(PHASES):
        name = phase.name.lower()
        own: Values = {
            f"iou_{name}": float(iou[row]),
            f"absent_{name}": int(np.isnan(iou[row])),
            f"boundary_f1_{name}": float(f1[row]),
            f"fraction_{name}_truth_percent": 100 * float(fractions[0, row]),
            f"fraction_{name}_predicted_percent": 100 * float(fractions[1, row]),
            f"fraction_{name}_error_points": 100 * float(fractions[1, row] - fractions[0, row]),
        }
        for column, other in enumerate([*PHASES, Phase.VOID]):
            own[f"{name}_as_{other.name.lower()}_pixels"] = int(scores.confusion[row, column])
        if phase in OBJECTS:
            own |= _describe_instances(scores, phase)
        values |= own if scores.told[row] else dict.fromkeys(own)
    values["iou_mean"] = _mean(iou)
    return values


def _describe_instances(scores: Scores, phase: Phase) -> Values:
    name, match, unit = phase.name.lower(), scores.matches[phase], scores.unit
    true, predicted = scores.diameters[phase]
    distances = {
        "": _measure_distance(true, predicted),
        "_by_area": _measure_distance(true, predicted, true**2, predicted**2),
    }
    values: Values = {
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
    }
    for weighted, distance in distances.items():
        for each in ("um", "px"):
            values[f"ecd_distance{weighted}_{name}_{each}"] = distance if unit == each else None
    return values


def _measure_distance(true: Floats, predicted: Floats, *weights: Floats) -> float:
    """Return the Wasserstein-1 distance of diameters; NaN where a side has none."""
    from scipy.stats import wasserstein_distance

    if not (true.size and predicted.size):
        return math.nan
    return float(wasserstein_distance(true, predicted, *weights))


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


def _mean(numbers: Floats) -> float:
    known = numbers[~np.isnan(numbers)]
    return float(known.mean()) if known.size else math.nan


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
        With the keys of `SCORES`, in its order.
    """
    described = [(one, describe_scores(one.scores)) for one in images]
    rows: list[Values] = []

    def add(level: str, method: str, split: str | None, image: str | None, values: Values) -> None:
        head: Values = {"level": level, "method": method, "split": split, "image": image}
        row = head | values
        rows.append({column.name: row[column.name] for column in SCORES})

    for one, values in described:
        add("image", one.method, one.split, one.image, {"images": 1} | values)
    for method in dict.fromkeys(one.method for one in images):
        ours = [(one, values) for one, values in described if one.method == method]
        known = {one.split for one, _ in ours}
        for split in (ALL, *(name for name in SPLITS if name in known)):
            part = [(one, values) for one, values in ours if split in (ALL, one.split)]
            number: Values = {"images": len(part)}
            pooled = functools.reduce(operator.add, (one.scores for one, _ in part))
            mean = average_values([values for _, values in part])
            add("mean", method, split, None, number | mean)
            add("pooled", method, split, None, number | describe_scores(pooled))
    return rows


def write_scores(path: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write the rows as Parquet beside its place, and move the file there; NaN becomes null.

    Parameters
    ----------
    path : Path
        Target.
    rows : sequence of dict
        From `tabulate_scores`.
    facts : mapping
        Options and paths for the ``mudrock`` key of the metadata; values that JSON can hold.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    arrays = [pack_values([row[column.name] for row in rows], column.type) for column in SCORES]
    table = pa.Table.from_arrays(arrays, schema=make_schema(SCORES, "scores", facts))
    with atomic_write(path, "choose another --out, or make room") as part:
        pq.write_table(table, part, compression="zstd")
