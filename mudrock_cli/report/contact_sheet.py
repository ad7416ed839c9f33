"""A contact sheet: small pictures with titles, so that a reader sees which step went wrong."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mudrock_cli.report.overlay import Rgb

_GAP, _COLUMNS = 12, 3


class Thumbnails:
    """Reduced pictures of one image, filled band by band.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    longest : int
        Pixels of a picture's longer side at most.
    """

    def __init__(self, shape: tuple[int, int], longest: int = 900) -> None:
        self.factor = max(1, math.ceil(max(shape) / longest))
        self._shape = shape
        self._pictures: dict[str, npt.NDArray[np.uint8]] = {}

    def add(self, title: str, top: int, band: npt.NDArray[np.uint8]) -> None:
        """Put a band of full size, uint8, shape (rows, columns), at row `top` of a picture."""
        height, width = (math.ceil(side / self.factor) for side in self._shape)
        picture = self._pictures.setdefault(title, np.zeros((height, width), np.uint8))
        first, last = top // self.factor, math.ceil((top + len(band)) / self.factor)
        size = (width, max(last - first, 1))
        picture[first:last] = cv2.resize(band, size, interpolation=cv2.INTER_AREA)

    def pictures(self) -> Mapping[str, npt.NDArray[np.uint8]]:
        """Return the pictures in the order in which they began."""
        return self._pictures


def draw_contact_sheet(panels: Sequence[tuple[str, npt.NDArray[np.uint8]]]) -> Rgb:
    """Lay out pictures of one size in rows of three, a title above each.

    Parameters
    ----------
    panels : sequence of (str, ndarray of uint8)
        Titles, and pictures of shape (rows, columns) or (rows, columns, 3).

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    height, width = panels[0][1].shape[:2]
    size = max(11, round(width / 36))
    font, title = ImageFont.load_default(size), round(1.7 * size)
    rows = math.ceil(len(panels) / _COLUMNS)
    columns = min(_COLUMNS, len(panels))
    extent = (columns * (width + _GAP) + _GAP, rows * (height + title + _GAP) + _GAP)
    sheet = Image.new("RGB", extent, "white")
    draw = ImageDraw.Draw(sheet)
    for number, (text, picture) in enumerate(panels):
        left = _GAP + number % _COLUMNS * (width + _GAP)
        top = _GAP + number // _COLUMNS * (height + title + _GAP)
        draw.text((left, top), text, font=font, fill="black")
        sheet.paste(Image.fromarray(picture).convert("RGB"), (left, top + title))
    return np.asarray(sheet)
