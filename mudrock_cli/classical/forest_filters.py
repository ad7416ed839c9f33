"""Filter responses that tell a forest what surrounds a pixel.

Gaussians at several scales, and at each scale the Sobel gradient, the two eigenvalues of the
Hessian, the difference to the next finer Gaussian and the local standard deviation: the features
of the Trainable Weka Segmentation (Arganda-Carreras et al. 2017, doi 10.1093/bioinformatics/btx180)
that Bihani et al. (2022) compare with.
"""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]

_KINDS = ("gauss", "sobel", "hessian_high", "hessian_low", "difference", "deviation")
_BORDER = cv2.BORDER_REFLECT
_MOST_SIGMA = 4.0  # pixels: wider Gaussians are computed on a reduced image


def name_responses(scales: Sequence[float]) -> list[str]:
    """Return the names of the responses, in the order in which they are computed."""
    return ["grey", *(f"{kind}_{scale:g}" for scale in scales for kind in _KINDS)]


def find_levels(scales: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Mark the responses that rise with the brightness; the others rise with contrast only."""
    return np.array([name.split("_")[0] in ("grey", "gauss") for name in name_responses(scales)])


def find_reach(scales: Sequence[float]) -> int:
    """Return how many pixels away a response still looks; a multiple of all reductions."""
    widest = max(scales)
    step = _reduction(widest)
    return step * math.ceil((4 * widest + 2 * step + 1) / step)


def find_step(scales: Sequence[float]) -> int:
    """Return the grid in rows on which a band must begin to give what the whole image gives."""
    return _reduction(max(scales))


def compute_responses(grey: npt.NDArray[np.uint8], scales: Sequence[float]) -> Iterator[Image]:
    """Compute the responses one after the other, so that memory holds few of them.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)
        Grey levels; the image is mirrored at its border.
    scales : sequence of float
        Standard deviations of the Gaussians in pixels, ascending.

    Yields
    ------
    ndarray of float32, shape (H, W)
        In the order of :func:`name_responses`. Derivatives are multiplied by the scale to their
        order, which makes them comparable between scales (Lindeberg 1998).
    """
    finer = grey.astype(np.float32)
    yield finer
    squares = finer * finer
    plain = finer
    for scale in scales:
        smooth = blur(plain, scale)
        yield smooth
        across, along = _derive(smooth, 1, 0) * scale, _derive(smooth, 0, 1) * scale
        yield cv2.magnitude(across, along)
        xx, yy = _derive(smooth, 2, 0) * scale**2, _derive(smooth, 0, 2) * scale**2
        xy = _derive(smooth, 1, 1) * scale**2
        middle, half = (xx + yy) / 2, cv2.magnitude((xx - yy) / 2, xy)
        yield middle + half
        yield middle - half
        yield finer - smooth
        yield np.sqrt(np.maximum(blur(squares, scale) - smooth * smooth, 0))
        finer = smooth


def blur(image: Image, sigma: float) -> Image:
    """Convolve with a Gaussian; a wide one on an image reduced by averaging, then enlarged."""
    step = _reduction(sigma)
    if step == 1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=_BORDER), np.float32)
    height, width = image.shape
    padded = cv2.copyMakeBorder(image, 0, -height % step, 0, -width % step, _BORDER)
    size = padded.shape[1], padded.shape[0]
    small = cv2.resize(padded, (size[0] // step, size[1] // step), interpolation=cv2.INTER_AREA)
    # Averaging over a block adds a variance of 1/12, linear interpolation one of 1/6 small pixels.
    reduced = math.sqrt((sigma / step) ** 2 - 1 / 12 - 1 / 6)
    small = cv2.GaussianBlur(small, (0, 0), reduced, borderType=_BORDER)
    return np.asarray(cv2.resize(small, size)[:height, :width], np.float32)


def _reduction(sigma: float) -> int:
    step = 1
    while sigma / step > _MOST_SIGMA:
        step *= 2
    return step


def _derive(image: Image, across: int, along: int) -> Image:
    """Return a derivative per pixel, by a 3 × 3 Sobel operator."""
    scale = 1 / 8 if across + along == 1 else 1 / 4
    return np.asarray(cv2.Sobel(image, cv2.CV_32F, across, along, ksize=3, scale=scale), np.float32)
