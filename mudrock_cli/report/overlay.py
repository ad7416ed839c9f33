"""The picture that people check: a micrograph with its phases in colour and a scale bar."""

import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from mudrock_cli.image.phase import COLOURS, Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.placement import placing
from mudrock_cli.image.window import Reader
from mudrock_cli.report.scale_bar import draw_scale_bar

Rgb = npt.NDArray[np.uint8]

MAX_SIDE = 4000
"""Longest side of an overlay in pixels; larger images are reduced by a whole number."""
_TINTS = {Phase.SILT: 0.33, Phase.PORE: 0.45}  # opacity; pores are dark and need more colour
_OUTLINE, _VOID = 0.85, 0.35  # opacity of outlines; brightness of void
_BAND_PIXELS = 1 << 22


def draw_overlay_by_bands(
    shape: tuple[int, int], read_grey: Reader, read_phases: Reader, pixel_size: PixelSize | None
) -> Rgb:
    """Lay the phases over a micrograph: silt red, pore green, both outlined; clay stays clear.

    The image is read band by band and never held whole; VOID is dimmed.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    read_grey, read_phases : callable
        ``read(rows, columns)`` returning uint8 windows.
    pixel_size : PixelSize or None
        None leaves out the scale bar.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        Reduced by a whole number until no side exceeds `MAX_SIDE`.
    """
    height, width = shape
    factor = math.ceil(max(shape) / MAX_SIDE)
    rgb = np.empty((math.ceil(height / factor), math.ceil(width / factor), 3), np.uint8)
    specimen_rows = 0
    step = max(_BAND_PIXELS // width, 1) * factor
    for top in range(0, height, step):
        bottom = min(top + step, height)
        above, below = min(factor, top), min(factor, height - bottom)  # outlines need neighbours
        rows = slice(top - above, bottom + below)
        phases = read_phases(rows, slice(0, width))
        band = _tint(read_grey(rows, slice(0, width)), phases, factor)[above : above + bottom - top]
        rgb[top // factor : top // factor + math.ceil(len(band) / factor)] = _reduce(band, factor)
        occupied = np.flatnonzero((phases != Phase.VOID).any(axis=1))
        if occupied.size:
            specimen_rows = (top - above + int(occupied[-1])) // factor + 1
    if pixel_size is not None:
        draw_scale_bar(rgb[: specimen_rows or len(rgb)], pixel_size.um * factor)
    return rgb


def _tint(
    grey: npt.NDArray[np.uint8], phases: npt.NDArray[np.uint8], thickness: int
) -> npt.NDArray[np.uint8]:
    """Colour a band; outlines lie inside their region, so a region of one pixel stays visible."""
    codes = np.zeros(phases.shape, np.uint8)
    kernel = np.ones((2 * thickness + 1, 2 * thickness + 1), np.uint8)
    for code, phase in ((1, Phase.SILT), (3, Phase.PORE)):
        region = (phases == phase).astype(np.uint8)
        # beyond the border the region goes on: cv2.erode's default, so the frame gets no outline
        codes += region * np.uint8(code + 1) - cv2.erode(region, kernel)
    codes[phases == Phase.VOID] = 5
    table = _tint_table()
    return np.asarray(table[codes, grey])


def _tint_table() -> npt.NDArray[np.uint8]:
    """Colours (6, 256, 3) by code (clay, silt, its outline, pore, its outline, void) and grey."""
    grey = np.arange(256)[:, None] * np.ones(3)
    rows = [grey]
    for phase, tint in _TINTS.items():
        colour = np.array(COLOURS[phase])
        rows += [grey + opacity * (colour - grey) for opacity in (tint, _OUTLINE)]
    return np.rint(np.stack([*rows, grey * _VOID])).astype(np.uint8)


def _reduce(band: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    """Average blocks of `factor`² pixels; a block cut by the border takes what it has."""
    if factor == 1:
        return band
    rows, columns = (-band.shape[0]) % factor, (-band.shape[1]) % factor
    padded = cv2.copyMakeBorder(band, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
    size = (padded.shape[1] // factor, padded.shape[0] // factor)
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)


def save_overlay(path: Path, rgb: Rgb) -> None:
    """Write an overlay as PNG beside its place and move it there.

    Parameters
    ----------
    path : Path
        Target, ``.png``.
    rgb : ndarray of uint8, shape (H, W, 3)
        Reduced by a whole number when a side exceeds `MAX_SIDE`.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    picture = _reduce(rgb, math.ceil(max(rgb.shape[:2]) / MAX_SIDE))
    with placing(path) as part:
        Image.fromarray(picture).save(part, format="PNG", compress_level=4)
