"""Truth against prediction, pixel by pixel: the confusion matrix and what follows from it.

Everything is counted over pixels whose **truth** is a phase; pixels that the truth leaves VOID are
not judged. A prediction that is VOID where the truth is a phase is wrong there.
"""

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.phase import Phase

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
