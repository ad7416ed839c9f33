"""Pictures to check masks by: phases over the micrograph, steps of the workflow, differences.

Everything is read band by band and never held whole.
"""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mudrock_cli.files import atomic_write
from mudrock_cli.image.labels import settle_partial
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import COLOURS, Inside, Phase, PixelSize, Reader

if TYPE_CHECKING:
    from mudrock_cli.classical.workflow import Intermediates


Grey = npt.NDArray[np.uint8]
Rgb = npt.NDArray[np.uint8]

_SHARE = 0.22  # of the image's width that a bar may take
_SMALLEST = 64  # pixels: a smaller picture has no room for a bar
_UNITS = ((1e-3, "nm"), (1.0, "µm"), (1e3, "mm"))


def choose_length_um(longest_um: float) -> float:
    """Return the largest of ..., 1, 2, 5, 10, 20, 50, ... micrometres up to `longest_um`."""
    decade = 10.0 ** math.floor(math.log10(longest_um))
    # a rounding error must not turn 4.9999999 of a 5 into a 2
    fitting = [step for step in (1, 2, 5) if step * decade <= longest_um * (1 + 1e-9)]
    return fitting[-1] * decade if fitting else decade / 2


def format_bar_length(length_um: float) -> str:
    """Return a length with the unit that keeps the number between 1 and 1000."""
    scale, unit = max((u for u in _UNITS if length_um >= u[0] * (1 - 1e-9)), default=_UNITS[0])
    return f"{length_um / scale:.6g} {unit}"


def _draw_scale_bar(rgb: npt.NDArray[np.uint8], um_per_pixel: float) -> None:
    """Draw a bar with its length into the lower right corner, in place, unless that is tiny."""
    height, width = rgb.shape[:2]
    if min(height, width) < _SMALLEST:
        return
    length_um = choose_length_um(_SHARE * width * um_per_pixel)
    length, text = round(length_um / um_per_pixel), format_bar_length(length_um)
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


# The picture that people check: a micrograph with its phases in colour and a scale bar.

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
        _draw_scale_bar(rgb[: specimen_rows or len(rgb)], pixel_size.um * factor)
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
    with atomic_write(path) as part:
        Image.fromarray(picture).save(part, format="PNG", compress_level=4)


# The contact sheet of `groundtruth`: a reader sees which step went wrong.

_GAP, _COLUMNS = 12, 3  # pixels between pictures; pictures in a row
_THUMBNAIL = 900  # pixels of a picture's longer side at most


class StepSheet:
    """Collects what each step of the workflow makes of an image, reduced, band by band.

    Parameters
    ----------
    micrograph : Micrograph
        What the workflow is shown; only its specimen is drawn.
    """

    def __init__(self, micrograph: Micrograph) -> None:
        shape = micrograph.specimen.shape
        self._factor = max(1, math.ceil(max(shape) / _THUMBNAIL))
        self._shape = math.ceil(shape[0] / self._factor), math.ceil(shape[1] / self._factor)
        self._pictures: dict[str, Grey] = {}

    def add_band(self, rows: slice, images: "Intermediates") -> None:
        """Take in a band of the specimen's rows."""
        steps = {
            "1 micrograph": images.grey,
            "2 median, finest scale": images.smooth,
            "3 closing, mean of the scales": images.closing,
            "4 contrast: bottom-hat less top-hat": images.contrast,
            "5 pores: contrast above the threshold": 255 * images.pores,
            "6 smooth solid": 255 * images.solid,
            "7 smooth solid, eroded and dilated": 255 * images.opened,
        }
        for title, band in steps.items():
            picture = self._pictures.setdefault(title, np.zeros(self._shape, np.uint8))
            first = rows.start // self._factor
            last = math.ceil((rows.start + len(band)) / self._factor)
            size = (self._shape[1], max(last - first, 1))
            picture[first:last] = cv2.resize(band, size, interpolation=cv2.INTER_AREA)

    def save(self, path: Path, micrograph: Micrograph, mask: PhaseMask) -> None:
        """Write the sheet; the phases of the finished mask, on the file's micrograph, come last."""
        box = micrograph.specimen
        grey, phases = (Inside(source.read, box) for source in (micrograph, mask))
        overlay = draw_overlay_by_bands(box.shape, grey, phases, micrograph.pixel_size)
        panels = self._pictures | {"8 phases: grains chosen by size": _fit(overlay, self._shape)}
        save_overlay(path, _lay_out(panels, self._shape))


def _lay_out(panels: Mapping[str, Grey | Rgb], shape: tuple[int, int]) -> Rgb:
    """Lay out pictures of one shape in rows, a title above each."""
    height, width = shape
    size = max(11, round(width / 36))
    font, title = ImageFont.load_default(size), round(1.7 * size)
    rows, columns = math.ceil(len(panels) / _COLUMNS), min(_COLUMNS, len(panels))
    extent = (columns * (width + _GAP) + _GAP, rows * (height + title + _GAP) + _GAP)
    sheet = Image.new("RGB", extent, "white")
    draw = ImageDraw.Draw(sheet)
    for number, (text, picture) in enumerate(panels.items()):
        left = _GAP + number % _COLUMNS * (width + _GAP)
        top = _GAP + number // _COLUMNS * (height + title + _GAP)
        draw.text((left, top), text, font=font, fill="black")
        sheet.paste(Image.fromarray(picture).convert("RGB"), (left, top + title))
    return np.asarray(sheet)


# Truth, prediction and their difference side by side, as in the paper's Figure 7.

_FLAT = 150  # grey of the panels where there is no micrograph
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
        Masks of one shape. Where the truth leaves two phases open, either is right.
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
    height, width = truth.shape
    read_grey = _read_flat if micrograph is None else micrograph.read
    across = math.ceil(width / math.ceil(3 * width / (MAX_SIDE - 2 * _GAP)))
    size = max(1, round(height * across / width)), across
    first, second = (
        draw_overlay_by_bands(truth.shape, read_grey, mask.read, pixel_size)
        for mask in (truth, prediction)
    )
    third = _draw_difference(truth, prediction, read_grey)
    gap = np.full((size[0], _GAP, 3), 255, np.uint8)
    panels = [_fit(first, size), gap, _fit(second, size), gap, _fit(third, size)]
    row = np.concatenate(panels, axis=1)
    return np.concatenate([_draw_header(row.shape[1], across, title), row])


def classify_errors(
    truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return for every pixel 0 where it is right or not judged, else 1 + its place in `ERRORS`."""
    codes = np.zeros(truth.shape, np.uint8)  # right; VOID in the truth counts as that
    wrong = (truth != prediction) & (truth != Phase.VOID)
    codes[wrong & (truth == Phase.SILT)] = 2
    codes[wrong & (truth == Phase.PORE)] = 4
    codes[wrong & (prediction == Phase.SILT)] = 1
    codes[wrong & (prediction == Phase.PORE)] = 3
    codes[wrong & (prediction == Phase.VOID)] = 5
    return codes


def _draw_difference(truth: PhaseMask, prediction: PhaseMask, read_grey: Reader) -> Rgb:
    """Draw wrong pixels in the colours of `ERRORS` over the dimmed micrograph."""
    height, width = truth.shape
    factor = math.ceil(max(truth.shape) / MAX_SIDE)
    colours = np.array([(0, 0, 0), *(colour for _, colour in ERRORS)], np.uint8)
    bands = []
    step = max(_BAND_PIXELS // width, 1) * factor
    for top in range(0, height, step):
        rows, columns = slice(top, min(top + step, height)), slice(0, width)
        predicted = prediction.read(rows, columns)
        codes = classify_errors(settle_partial(truth.read(rows, columns), predicted), predicted)
        band = np.repeat((read_grey(rows, columns) // 2 + 90)[..., None], 3, axis=2)
        band[codes > 0] = colours[codes[codes > 0]]
        bands.append(_reduce(band, factor))
    return np.concatenate(bands)


def _read_flat(rows: slice, columns: slice) -> Grey:
    return np.full((rows.stop - rows.start, columns.stop - columns.start), _FLAT, np.uint8)


def _fit(rgb: Rgb, shape: tuple[int, int]) -> Rgb:
    if rgb.shape[:2] == shape:
        return rgb
    return np.asarray(cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


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
