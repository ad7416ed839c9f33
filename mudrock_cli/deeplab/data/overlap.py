"""Crops of one image, found by a piece of one that lies in the other."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.data.dataset import Sample

_SIDE = 64  # pixels of the smaller sample's shorter side, when it is compared
_FINEST = 4  # least reduction: noise and compression do not survive it
_PIECE = 0.4  # of a side; samples that share less are not found
_FEWEST = 15  # pixels of a piece's side; less tells nothing
_FOUND = 0.85  # correlation: 101 crops of one image gave 0.9 to 1 or less than 0.8
_MOST_PAIRS = 250_000  # a quarter of a millisecond each


def find_overlaps(
    samples: Sequence[Sample], together: Callable[[str, str], bool]
) -> Iterator[tuple[str, str]]:
    """Yield names of two samples that show, in part, the same place in the same position.

    The corners and the middle of the smaller one are looked for in the larger one, so samples are
    found that share two fifths of both sides. Nothing is looked for among more than some 700
    samples: so many are tiles, whose names tell where they belong.

    Parameters
    ----------
    samples : sequence of Sample
        At one pixel size.
    together : callable
        Tells of two names whether they are known to belong together: these are not compared.
    """
    if math.comb(len(samples), 2) > _MOST_PAIRS:
        return

    @cache
    def reduce(index: int, factor: int) -> npt.NDArray[np.float32]:
        return _reduce(samples[index].grey, factor)

    for first, second in combinations(range(len(samples)), 2):
        if together(samples[first].name, samples[second].name):
            continue
        small, large = sorted((first, second), key=lambda index: samples[index].grey.size)
        factor = max(_FINEST, min(samples[small].grey.shape) // _SIDE)
        if _share_a_piece(reduce(small, factor), reduce(large, factor)):
            yield samples[first].name, samples[second].name


def _reduce(grey: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.float32]:
    """Reduce by a whole factor and take slow changes of brightness away."""
    height, width = (max(1, size // factor) for size in grey.shape)
    whole = grey[: height * factor, : width * factor].astype(np.float32)
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small - cv2.GaussianBlur(small, (0, 0), 6), np.float32)


def _share_a_piece(small: npt.NDArray[np.float32], large: npt.NDArray[np.float32]) -> bool:
    height, width = (int(_PIECE * size) for size in small.shape)
    if min(height, width) < _FEWEST or height > large.shape[0] or width > large.shape[1]:
        return False
    bottom, right = small.shape[0] - height, small.shape[1] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    for top, left in corners:
        piece = small[top : top + height, left : left + width]
        if piece.std() > 1 and cv2.matchTemplate(large, piece, cv2.TM_CCOEFF_NORMED).max() > _FOUND:
            return True
    return False
