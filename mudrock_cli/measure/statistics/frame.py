"""Correct sizes and numbers for the grains that the frame cuts.

A large grain is more often cut by the frame than a small one, so leaving out what touches the
frame (a cut grain has no size) makes the rest too fine. Miles and Lantuéjoul weigh every grain
that is left by the inverse of its chance of being whole in the frame.

How to use it: ``frame_weights`` per image gives one weight per instance (0 = touches the frame,
left out); pass these weights, times the area for a distribution by area, wherever a weight is
taken (percentiles, histograms, grading). ``describe_weights`` says whether the corrected figures
can be trusted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_EFFECTIVE = 30.0
"""Fewer effective objects than this: percentiles are unstable."""

LARGEST_SHARE = 0.1
"""One object with more than this share of the total weight: the result hangs on it."""


@dataclass(frozen=True)
class FrameCorrection:
    """How far a frame correction carries.

    Parameters
    ----------
    counted : int
        Objects that lie whole in the frame.
    excluded : int
        Objects that touch the frame.
    corrected_number : float
        Estimated number of objects that belong to the frame, the sum of the weights.
    effective_number : float
        Kish's effective number of objects, at most `counted`.
    largest_weight : float
        Largest single weight; NaN where no object is whole.
    largest_share : float
        Largest weight as a share of all weights; NaN where no object is whole.
    unstable : bool
        True where fewer than ``LEAST_EFFECTIVE`` effective objects are left, or where one object
        has more than ``LARGEST_SHARE`` of the weight.
    """

    counted: int
    excluded: int
    corrected_number: float
    effective_number: float
    largest_weight: float
    largest_share: float
    unstable: bool


def inclusion_probability(
    heights: npt.ArrayLike, widths: npt.ArrayLike, frame: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Return the chance that an object placed at random lies whole in the frame.

    Parameters
    ----------
    heights, widths : array_like, shape (N,)
        Vertical and horizontal Feret diameter (sides of the bounding box), in the unit of `frame`.
    frame : tuple of float
        Height and width of the specimen in the image.

    Returns
    -------
    ndarray of float64, shape (N,)
        ``(W - Fx) (H - Fy) / (W H)``, 0 for objects as large as the frame.

    Notes
    -----
    Miles (1974), Lantuéjoul (1980); ISO 13322-1:2014, 5.3.3.
    """
    height, width = frame
    down = np.clip(1.0 - np.asarray(heights, np.float64) / height, 0.0, 1.0)
    across = np.clip(1.0 - np.asarray(widths, np.float64) / width, 0.0, 1.0)
    return down * across


def frame_weights(
    heights: npt.ArrayLike,
    widths: npt.ArrayLike,
    touches: npt.ArrayLike,
    frame: tuple[float, float],
) -> npt.NDArray[np.float64]:
    """Return the Miles-Lantuéjoul weight of each object.

    Parameters
    ----------
    heights, widths : array_like, shape (N,)
        Vertical and horizontal Feret diameter, in the unit of `frame`.
    touches : array_like of bool, shape (N,)
        True for objects that touch the frame.
    frame : tuple of float
        Height and width of the specimen in the image.

    Returns
    -------
    ndarray of float64, shape (N,)
        The inverse of `inclusion_probability` (1 or more); 0 for objects that touch the frame.
    """
    chance = inclusion_probability(heights, widths, frame)
    whole = ~np.asarray(touches, bool) & (chance > 0)
    return np.divide(1.0, chance, out=np.zeros_like(chance), where=whole)


def effective_number(weights: npt.ArrayLike) -> float:
    """Return Kish's effective sample size ``(sum w)^2 / sum w^2``; 0 for no weight at all.

    Notes
    -----
    Kish (1965), Survey Sampling.
    """
    weights = np.asarray(weights, np.float64)
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares else 0.0


def describe_weights(weights: npt.ArrayLike) -> FrameCorrection:
    """Say how many objects carry a corrected figure, and whether it is stable.

    Parameters
    ----------
    weights : array_like, shape (N,)
        From `frame_weights`, of one image or of several together.
    """
    weights = np.asarray(weights, np.float64)
    counted = int(np.count_nonzero(weights))
    total = float(weights.sum())
    largest = float(weights.max()) if counted else float("nan")
    effective = effective_number(weights)
    share = largest / total if counted else float("nan")
    return FrameCorrection(
        counted=counted,
        excluded=len(weights) - counted,
        corrected_number=total,
        effective_number=effective,
        largest_weight=largest,
        largest_share=share,
        unstable=effective < LEAST_EFFECTIVE or share > LARGEST_SHARE,
    )
