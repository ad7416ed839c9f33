"""Labels that drift away from their micrograph: found by matching pores to dark pixels, undone.

A mask that passed through a program which resized it by a hair lies ever further off its micrograph
towards one edge. Ten pixels are enough to teach a network that pores lie beside the dark.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase

Grey = npt.NDArray[np.uint8]

_BLOCK = 192  # pixels: wide enough to hold several pores
_REACH = 16  # pixels that a block may have drifted
_FEWEST_BLOCKS = 12
_LEAST_DRIFT = 2.0  # pixels at the worst edge: less is within an outline's uncertainty
_LEAST_GAIN = 1.1  # of the correlation between pores and dark pixels


@dataclass(frozen=True)
class Drift:
    """A linear displacement of labels against their micrograph.

    Parameters
    ----------
    rows, columns : tuple of float
        Offset in pixels and slope in pixels per pixel: what the micrograph shows at row *y* is
        labelled at row ``y + offset + slope * y``.
    before, after : float
        Correlation of the pore labels with local darkness, as they came and registered.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    before: float
    after: float

    def reach(self, shape: tuple[int, int]) -> float:
        """Return the largest displacement in pixels within `shape`."""
        pairs = zip((self.rows, self.columns), shape, strict=True)
        return max(abs(o + s * end) for (o, s), n in pairs for end in (0, n - 1))


def register_labels(grey: Grey, labels: Grey) -> tuple[Grey, Drift | None]:
    """Move labels back onto their micrograph where they clearly drift.

    Parameters
    ----------
    grey, labels : ndarray of uint8, shape (H, W)
        Grey levels, and phases of which pores are dark.

    Returns
    -------
    labels : ndarray of uint8, shape (H, W)
        By nearest neighbour; ``VOID`` where a label would come from outside. The very input where
        nothing was moved.
    drift : Drift or None
        What was undone; None where the labels lie within two pixels, where moving them would not
        raise their correlation with darkness by a tenth, or where too few pores tell.
    """
    darkness = _local_darkness(grey)
    pores = (labels == Phase.PORE).astype(np.float32)
    positions, shifts = _match_blocks(darkness, pores)
    if len(positions) < _FEWEST_BLOCKS:
        return labels, None
    rows, columns = (_fit_line(positions[:, axis], shifts[:, axis]) for axis in (0, 1))
    drift = Drift(rows, columns, 0.0, 0.0)
    if drift.reach(grey.shape) < _LEAST_DRIFT:
        return labels, None
    moved = _undo(labels, drift)
    before = _correlate(darkness, labels)
    after = _correlate(darkness, moved)
    if after < _LEAST_GAIN * max(before, 0.05):
        return labels, None
    return moved, Drift(rows, columns, before, after)


def _local_darkness(grey: Grey) -> npt.NDArray[np.float32]:
    """How much darker a pixel is than its surroundings: fields differ in brightness."""
    level = grey.astype(np.float32)
    around = cv2.blur(level, (81, 81), borderType=cv2.BORDER_REFLECT)
    return np.asarray(around - level, np.float32)


def _match_blocks(
    darkness: npt.NDArray[np.float32], pores: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return centres (N, 2) of blocks and by how much their labels must move (N, 2)."""
    positions, shifts = [], []
    for top in range(_REACH, darkness.shape[0] - _BLOCK - _REACH + 1, _BLOCK // 2):
        for left in range(_REACH, darkness.shape[1] - _BLOCK - _REACH + 1, _BLOCK // 2):
            block = pores[top : top + _BLOCK, left : left + _BLOCK]
            if not 0.02 < block.mean() < 0.5:
                continue
            around = darkness[
                top - _REACH : top + _BLOCK + _REACH, left - _REACH : left + _BLOCK + _REACH
            ]
            match = cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED)
            _, best, _, (x, y) = cv2.minMaxLoc(match)
            if best > 0.3:
                # The block shows at y - _REACH from where it lies: labels lie off by the opposite.
                positions.append((top + _BLOCK / 2, left + _BLOCK / 2))
                shifts.append((_REACH - y, _REACH - x))
    return np.array(positions, float).reshape(-1, 2), np.array(shifts, float).reshape(-1, 2)


def _fit_line(
    position: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Fit a line that half of the matches being wrong cannot tilt (Siegel 1982)."""
    from scipy.stats import siegelslopes

    if np.ptp(position) == 0:
        return float(np.median(shift)), 0.0
    fit = siegelslopes(shift, position)
    return float(fit.intercept), float(fit.slope)


def _undo(labels: Grey, drift: Drift) -> Grey:
    moved = np.full_like(labels, Phase.VOID)
    sources = []
    for (offset, slope), length in zip((drift.rows, drift.columns), labels.shape, strict=True):
        place = np.arange(length)
        sources.append(np.rint(place + offset + slope * place).astype(int))
    inside = [(s >= 0) & (s < n) for s, n in zip(sources, labels.shape, strict=True)]
    picked = labels[np.ix_(sources[0][inside[0]], sources[1][inside[1]])]
    moved[np.ix_(*inside)] = picked
    return moved


def _correlate(darkness: npt.NDArray[np.float32], labels: Grey) -> float:
    known = labels != Phase.VOID
    return float(np.corrcoef(darkness[known], labels[known] == Phase.PORE)[0, 1])
