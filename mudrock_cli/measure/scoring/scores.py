"""How good a phase mask is, seen from all sides: one record per image, pooled or averaged."""

import dataclasses
import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.scoring import confusion as pixels
from mudrock_cli.measure.scoring.boundary import BoundaryCounts, count_boundary
from mudrock_cli.measure.scoring.matching import Matches, match_instances, measure_distance

MIN_PIXELS = 10
"""Instances smaller than this are specks, not grains or pores, and are not matched."""
OBJECTS = (Phase.SILT, Phase.PORE)
"""The phases that come in objects; clay is what lies between them."""

_BAND_PIXELS = 1 << 23

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

    confusion: pixels.Confusion
    boundary: BoundaryCounts
    matches: dict[Phase, Matches]
    diameters: dict[Phase, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
    unit: str | None

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of clay, silt, pore; shape (3,)."""
        return pixels.compute_iou(self.confusion)


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
    step = max(1, _BAND_PIXELS // truth.shape[1])
    for top in range(0, truth.shape[0], step):
        bottom = min(top + step, truth.shape[0])
        rows = slice(max(0, top - reach), bottom + reach)
        own = slice(top - rows.start, bottom - rows.start)
        true, predicted = truth.read(rows, slice(None)), prediction.read(rows, slice(None))
        confusion += pixels.count_confusion(true[own], predicted[own])
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
    values["pixel_accuracy"] = pixels.compute_accuracy(scores.confusion)
    fractions = pixels.compute_fractions(scores.confusion)
    f1 = scores.boundary.compute_f1()
    iou = scores.iou
    for row, phase in enumerate(pixels.PHASES):
        name = phase.name.lower()
        values[f"iou_{name}"] = float(iou[row])
        values[f"absent_{name}"] = int(np.isnan(iou[row]))
        values[f"boundary_f1_{name}"] = float(f1[row])
        values[f"fraction_{name}_truth_percent"] = 100 * float(fractions[0, row])
        values[f"fraction_{name}_predicted_percent"] = 100 * float(fractions[1, row])
        values[f"fraction_{name}_error_points"] = 100 * float(fractions[1, row] - fractions[0, row])
        for column, other in enumerate([*pixels.PHASES, Phase.VOID]):
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
