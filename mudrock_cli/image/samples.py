"""The pixels of a file as they are stored: any type, any colours, read through windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.types import Facts, Reader


class Colours(Enum):
    """What a stored sample means."""

    GREY = "grey"
    INVERTED = "grey, zero is white"
    PALETTE = "index into a colour table"
    RGB = "red, green, blue"


@dataclass(frozen=True)
class Samples:
    """Stored samples of one image.

    Parameters
    ----------
    path : Path
        File they are read from.
    shape : tuple of int
        Rows and columns.
    channels : int
        Samples per pixel; 2 or 4 when an alpha channel follows the colours.
    dtype : dtype
        Type of a sample.
    bits : int
        Bits of a sample in the file; fewer than eight are held in uint8.
    colours : Colours
        What the samples mean.
    read : callable
        ``read(rows, columns)``, shape (rows, columns, channels).
    palette : ndarray of uint8, shape (n, 3), optional
        Colour table.
    lossy : bool
        Compressed as JPEG, so that even a flat area is not of one value.
    tags : mapping
        TIFF tag codes to raw values, of the tags that carry facts; empty for other formats.
    resolution : tuple of float, optional
        XResolution and YResolution of a TIFF file as they stand.
    facts : tuple of Facts
        What the metadata of another format tell of the pixel size.
    provenance : mapping, optional
        How mudrock made it, where the format holds that apart; TIFF has it in a tag.
    reduced : tuple of Samples
        The same image in fewer pixels, as far as the file holds it, the largest first.
    """

    path: Path
    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    bits: int
    colours: Colours
    read: Reader
    palette: npt.NDArray[np.uint8] | None = None
    lossy: bool = False
    tags: Mapping[int, bytes] = field(default_factory=dict)
    resolution: tuple[float, float] | None = None
    facts: tuple[Facts, ...] = ()
    provenance: Mapping[str, Any] | None = None
    reduced: "tuple[Samples, ...]" = ()


def is_reduced(shape: tuple[int, int], whole: tuple[int, int]) -> bool:
    """Return whether an image of `shape` may be the one of `whole` in fewer pixels.

    Parameters
    ----------
    shape, whole : tuple of int
        Rows and columns.
    """
    factors = [large / small for small, large in zip(shape, whole, strict=True)]
    # A side of the smaller image may be rounded up or down.
    slack = [factor / small for factor, small in zip(factors, shape, strict=True)]
    return min(factors) > 1 and abs(factors[0] - factors[1]) <= sum(slack)
