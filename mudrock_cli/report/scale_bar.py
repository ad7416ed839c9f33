"""Scale bars: a round length, drawn where it can be read."""

import math
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_SHARE = 0.22  # of the image's width that a bar may take
_SMALLEST = 64  # pixels: a smaller picture has no room for a bar
_UNITS = ((1e-3, "nm"), (1.0, "µm"), (1e3, "mm"))


def choose_length_um(longest_um: float) -> float:
    """Return the largest of ..., 1, 2, 5, 10, 20, 50, ... micrometres up to `longest_um`."""
    decade = 10.0 ** math.floor(math.log10(longest_um))
    # a rounding error must not turn 4.9999999 of a 5 into a 2
    fitting = [step for step in (1, 2, 5) if step * decade <= longest_um * (1 + 1e-9)]
    return fitting[-1] * decade if fitting else decade / 2


def format_length(length_um: float) -> str:
    """Return a length with the unit that keeps the number between 1 and 1000."""
    scale, unit = max((u for u in _UNITS if length_um >= u[0] * (1 - 1e-9)), default=_UNITS[0])
    return f"{length_um / scale:.6g} {unit}"


def draw_scale_bar(rgb: npt.NDArray[np.uint8], um_per_pixel: float) -> None:
    """Draw a bar with its length into the lower right corner, in place.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        Unchanged when smaller than 64 pixels in a direction.
    um_per_pixel : float
        Micrometres per pixel of `rgb`.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < _SMALLEST:
        return
    length_um = choose_length_um(_SHARE * width * um_per_pixel)
    length, text = round(length_um / um_per_pixel), format_length(length_um)
    font = _load_font(max(round(min(width, 2 * height) / 42), 9))
    left, top, right, bottom = font.getbbox(text)
    text_width, text_height = math.ceil(right - left), math.ceil(bottom - top)
    pad = max(text_height // 2, 3)
    thick = max(text_height // 3, 2)
    box_width = max(length, text_width) + 2 * pad
    box_height = text_height + thick + 3 * pad
    box = rgb[height - pad - box_height : height - pad, width - pad - box_width : width - pad]
    picture = Image.fromarray(np.ascontiguousarray(box // 4))
    draw = ImageDraw.Draw(picture)
    draw.text(((box_width - text_width) / 2 - left, pad - top), text, font=font, fill="white")
    start = (box_width - length) // 2
    bar_top = box_height - pad - thick
    draw.rectangle((start, bar_top, start + length - 1, bar_top + thick - 1), fill="white")
    box[...] = np.asarray(picture)


@cache
def _load_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which travels with Matplotlib; Pillow's own font has no micro sign."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)
