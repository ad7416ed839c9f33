"""Open PNG, JPEG and BMP files: these are decoded once, in one piece."""

import threading
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin

from mudrock_cli.errors import MudrockError, reading
from mudrock_cli.image.limits import check_expansion, check_header, check_segment
from mudrock_cli.image.types import Box, Colours, Samples

_PLUGINS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\x89PNG": PngImagePlugin.PngImageFile,
    b"\xff\xd8": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}
# Pillow mode: channels, bytes per sample, bits of a sample, what the samples mean
_MODES = {
    "1": (1, 1, 1, Colours.GREY),
    "L": (1, 1, 8, Colours.GREY),
    "LA": (2, 1, 8, Colours.GREY),
    "I;16": (1, 2, 16, Colours.GREY),
    "I": (1, 4, 32, Colours.GREY),
    "P": (1, 1, 8, Colours.PALETTE),
    "RGB": (3, 1, 8, Colours.RGB),
    "RGBA": (4, 1, 8, Colours.RGB),
}
_DEEP = {"RGB;16B": (3, Colours.RGB), "RGBA;16B": (4, Colours.RGB), "LA;16B": (2, Colours.GREY)}
"""What Pillow would cut to eight bits, by what it calls the pixels of the file."""
_COLOUR_BYTES = 4
"""Of a pixel of several channels in memory, however many they are."""
_COEFFICIENTS = 3
"""A progressive JPEG holds the coefficients of all its pixels beside them."""
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.int32),
}


def open_raster(
    path: Path, head: bytes, max_pixels: int, *, allow_high_compression: bool = False
) -> Samples | None:
    """Open a PNG, JPEG or BMP file.

    Parameters
    ----------
    path : Path
        File.
    head : bytes
        Its first bytes, which tell the format.
    max_pixels : int
        Ceiling of pixels.
    allow_high_compression : bool
        Allow files that expand far (masks do).

    Returns
    -------
    Samples or None
        None when the file is of none of these formats.

    Raises
    ------
    MudrockError
        If the file is broken, or of a kind that is not supported.
    """
    plugin = next((kind for magic, kind in _PLUGINS.items() if head.startswith(magic)), None)
    if plugin is None:
        return None
    # The plugin itself, not Image.open, whose ceiling of pixels is a global of the process.
    with reading(path), plugin(path) as image:
        width, height = image.size
        mode = image.mode
        check_header(path, (height, width), max_pixels)
        if mode not in _MODES:
            raise MudrockError(f"{path}: colours {mode} are not supported", "save it as grey")
        channels, size, bits, colours = _MODES[mode]
        stored_as = str(image.tile[0][3]) if image.tile else ""
        deep = stored_as in _DEEP
        if deep:
            size, bits, (channels, colours) = 2, 16, _DEEP[stored_as]
        palette = image.getpalette("RGB") if mode == "P" else None
    promised, stored = height * width * channels * size, path.stat().st_size
    lossy = plugin is JpegImagePlugin.JpegImageFile
    held = height * width * size * (1 if channels == 1 else _COLOUR_BYTES)
    check_segment(path, promised=held * (_COEFFICIENTS if lossy else 1), stored=stored)
    if not allow_high_compression:
        check_expansion(path, (height, width), max_pixels, promised=promised, stored=stored)
    return Samples(
        path=path,
        shape=(height, width),
        channels=channels,
        dtype=_TYPES[size],
        bits=bits,
        colours=colours,
        has_alpha=channels in (2, 4),
        read=_DeepOnce(path) if deep else _DecodedOnce(path, plugin),
        palette=np.array(palette, np.uint8).reshape(-1, 3) if palette is not None else None,
    )


class _DecodedOnce:
    """Decode the file at the first window, and serve every window from memory."""

    def __init__(self, path: Path, plugin: type[ImageFile.ImageFile]) -> None:
        self._path, self._plugin = path, plugin
        self._image: Image.Image | None = None
        self._lock = threading.Lock()

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        with self._lock:
            if self._image is None:
                with reading(self._path), self._plugin(self._path) as image:
                    image.load()
                    mapped = getattr(image, "map", None) is not None  # the file may change
                    self._image = image.copy() if mapped else image
            width, height = self._image.size
            box = Box.from_slices(rows, columns, (height, width))
            # As an array the whole image would be in memory three times.
            return _to_array(self._image.crop((box.left, box.top, box.right, box.bottom)))


def _to_array(image: Image.Image) -> npt.NDArray[Any]:
    """Return the pixels, shape (rows, columns, channels)."""
    pixels = np.asarray(image)
    if pixels.dtype == bool:
        pixels = pixels.view(np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., None]


class _DeepOnce:
    """Decode a PNG of 16 bits in several channels at the first window, and keep it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels: npt.NDArray[np.uint16] | None = None
        self._lock = threading.Lock()

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        with self._lock:
            if self._pixels is None:
                with reading(self._path):
                    self._pixels = imagecodecs.png_decode(self._path.read_bytes())
            return self._pixels[rows, columns]
