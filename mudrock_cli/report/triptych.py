"""Truth, prediction and their difference side by side, as in the paper's Figure 7."""

import math

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.report.overlay import MAX_SIDE, draw_overlay_by_bands

Rgb = npt.NDArray[np.uint8]

_GAP = 12  # pixels between the panels
_FLAT = 150  # grey of the panels where there is no micrograph
_BAND_PIXELS = 1 << 22
_RIGHT = 0  # a code of agreement; VOID in the truth counts as that
ERRORS: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("silt invented", (220, 40, 40)),
    ("silt missed", (255, 190, 60)),
    ("pore invented", (40, 200, 80)),
    ("pore missed", (60, 130, 255)),
    ("no phase", (255, 0, 255)),
)
"""Kinds of wrong pixels and their colours. Where silt and pore are mistaken for each other, the
predicted one counts as invented; no phase: VOID is predicted on specimen."""


def draw_triptych(
    truth: PhaseMask,
    prediction: PhaseMask,
    micrograph: Micrograph | None,
    pixel_size: PixelSize | None,
    title: str,
) -> Rgb:
    """Draw truth, prediction and difference side by side under a line of text.

    Parameters
    ----------
    truth, prediction : PhaseMask
        Masks of one shape.
    micrograph : Micrograph or None
        What they are laid over; a flat grey without.
    pixel_size : PixelSize or None
        For the scale bar.
    title : str
        What the prediction is.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        At most `MAX_SIDE` wide.
    """
    width = truth.shape[1]
    read_grey = _read_flat if micrograph is None else micrograph.read
    panel = math.ceil(width / math.ceil(3 * width / (MAX_SIDE - 2 * _GAP)))
    panels = [
        _fit(draw_overlay_by_bands(truth.shape, read_grey, mask.read, pixel_size), panel)
        for mask in (truth, prediction)
    ]
    panels.append(_fit(_draw_difference(truth, prediction, micrograph), panel))
    gap = np.full((panels[0].shape[0], _GAP, 3), 255, np.uint8)
    row = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    return np.concatenate([_draw_header(row.shape[1], panel, title), row])


def classify_errors(
    truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return for every pixel 0 where it is right or not judged, else 1 + its place in `ERRORS`."""
    codes = np.full(truth.shape, _RIGHT, np.uint8)
    wrong = (truth != prediction) & (truth != Phase.VOID)
    codes[wrong & (truth == Phase.SILT)] = 2
    codes[wrong & (truth == Phase.PORE)] = 4
    codes[wrong & (prediction == Phase.SILT)] = 1
    codes[wrong & (prediction == Phase.PORE)] = 3
    codes[wrong & (prediction == Phase.VOID)] = 5
    return codes


def _draw_difference(truth: PhaseMask, prediction: PhaseMask, micrograph: Micrograph | None) -> Rgb:
    """Draw wrong pixels in the colours of `ERRORS` over the dimmed micrograph."""
    height, width = truth.shape
    read_grey = _read_flat if micrograph is None else micrograph.read
    factor = math.ceil(max(truth.shape) / MAX_SIDE)
    colours = np.array([(0, 0, 0), *(colour for _, colour in ERRORS)], np.uint8)
    bands = []
    step = max(_BAND_PIXELS // width, 1) * factor
    for top in range(0, height, step):
        rows, columns = slice(top, min(top + step, height)), slice(0, width)
        codes = classify_errors(truth.read(rows, columns), prediction.read(rows, columns))
        grey = read_grey(rows, columns)
        band = np.repeat((grey // 2 + 90)[..., None], 3, axis=2)
        band[codes > 0] = colours[codes[codes > 0]]
        size = math.ceil(width / factor), math.ceil(band.shape[0] / factor)
        bands.append(cv2.resize(band, size, interpolation=cv2.INTER_AREA) if factor > 1 else band)
    return np.concatenate(bands)


def _read_flat(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
    return np.full((rows.stop - rows.start, columns.stop - columns.start), _FLAT, np.uint8)


def _fit(rgb: Rgb, width: int) -> Rgb:
    if rgb.shape[1] == width:
        return rgb
    size = width, max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _draw_header(width: int, panel: int, title: str) -> Rgb:
    """Name the panels and explain the colours of the third."""
    size = max(9, min(panel // 30, 36))
    font = ImageFont.load_default(size)
    picture = Image.new("RGB", (width, 3 * size + 6), "white")
    draw = ImageDraw.Draw(picture)
    starts = [number * (panel + _GAP) for number in range(3)]
    for start, text in zip(starts, ("truth", title, "difference"), strict=True):
        draw.text((start + 2, 2), text, font=font, fill="black")
    left = float(starts[2] + 2)
    for text, colour in ERRORS[:4]:
        draw.rectangle((left, 1.7 * size, left + 0.7 * size, 2.4 * size), fill=colour)
        draw.text((left + size, 1.5 * size), text, font=font, fill="black")
        left += 1.5 * size + draw.textlength(text, font=font)
    return np.asarray(picture)
