"""How well the outlines of the phases lie on the true outlines: boundary F1."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase
from mudrock_cli.measure.scoring.confusion import PHASES

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
