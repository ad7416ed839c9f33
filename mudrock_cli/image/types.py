"""The nouns of images: phases, pixel sizes, boxes and readers, facts, stored samples."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError


class Phase(IntEnum):
    """What a pixel of a phase mask shows.

    ``VOID`` marks pixels without specimen (a data bar) or without a label.
    """

    CLAY = 0
    SILT = 1
    PORE = 2
    VOID = 255


COLOURS: dict[Phase, tuple[int, int, int]] = {
    Phase.CLAY: (128, 128, 128),
    Phase.SILT: (220, 40, 40),
    Phase.PORE: (40, 180, 60),
    Phase.VOID: (0, 0, 0),
}
"""Red, green, blue of each phase: silt red, pore green, clay grey (Bihani et al. 2022)."""


def palette() -> npt.NDArray[np.uint8]:
    """Return the colour table of a mask.

    Returns
    -------
    ndarray of uint8, shape (256, 3)
        Row *i* is the colour of grey value *i*; values that are no phase are black.
    """
    table = np.zeros((256, 3), np.uint8)
    for phase, colour in COLOURS.items():
        table[phase] = colour
    return table


# The length that one pixel covers, and where that length was read.

_NM_PER_UNIT = {
    "pm": 1e-3,
    "å": 0.1,
    "angstrom": 0.1,
    "nm": 1.0,
    "um": 1e3,
    "µm": 1e3,  # micro sign
    "μm": 1e3,  # Greek mu
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "picometer": 1e-3,
    "millimeter": 1e6,
    "centimeter": 1e7,
    "meter": 1e9,
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
}
_BOX = re.compile(r"\s*" + r"\s*,\s*".join([r"(\d{1,9})"] * 4) + r"\s*")
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([^\s\d.]+)\s*")


@dataclass(frozen=True)
class PixelSize:
    """Side of a square pixel on the specimen.

    Parameters
    ----------
    nm : float
        Nanometres per pixel, finite and at least `LEAST_NM`.
    source : str
        Where the number was read, for example ``"FEI tag 34682 [Scan] PixelWidth"``.

    Raises
    ------
    MudrockError
        If `nm` is no such number or `source` is empty.
    """

    LEAST_NM: ClassVar[float] = 1e-3
    """A hundredth of an atom; smaller ones are lengths in another unit."""

    nm: float
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.nm) and self.nm >= self.LEAST_NM):
            raise MudrockError(f"a pixel size of {self.nm} nm is impossible ({self.source})")
        if not self.source:
            raise MudrockError("a pixel size needs a source")

    @property
    def um(self) -> float:
        """Micrometres per pixel."""
        return self.nm / 1e3

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Read a length with its unit, such as ``10nm`` or ``0.01 um``.

        Parameters
        ----------
        text : str
            A number and a unit of length.
        source : str
            Where the text comes from.

        Raises
        ------
        MudrockError
            If the text is no length, or the length is not positive.
        """
        match = _LENGTH.fullmatch(text)
        unit = _NM_PER_UNIT.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise MudrockError(
                f"cannot read the length {text!r} ({source})",
                "write a number and a unit, for example 10nm or 0.01um",
            )
        return cls(float(match[1]) * unit, source)


# Half-open boxes of pixels, and readers that return the pixels inside one.

Reader = Callable[[slice, slice], npt.NDArray[Any]]
"""``read(rows, columns)`` returns the pixels of a window; slices as in NumPy, without a step."""


@dataclass(frozen=True)
class Box:
    """Pixels ``top <= row < bottom`` and ``left <= column < right``."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def rows(self) -> slice:
        """The rows as a slice."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """The columns as a slice."""
        return slice(self.left, self.right)

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Self:
        """Return the box that holds a whole image of `shape` (rows, columns)."""
        return cls(0, 0, *shape)

    @classmethod
    def from_slices(cls, rows: slice, columns: slice, shape: tuple[int, int]) -> Self:
        """Resolve two slices on an image, clipped to it as NumPy does.

        Parameters
        ----------
        rows, columns : slice
            Window; missing ends mean the edge of the image.
        shape : tuple of int
            Rows and columns of the image.

        Raises
        ------
        ValueError
            If a slice has a step other than 1.
        """
        if rows.step not in (None, 1) or columns.step not in (None, 1):
            raise ValueError("a window is read without a step")
        top, bottom, _ = rows.indices(shape[0])
        left, right, _ = columns.indices(shape[1])
        return cls(top, left, max(top, bottom), max(left, right))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``x,y,width,height`` in pixels, as ImageJ and Fiji list a rectangle.

        Raises
        ------
        MudrockError
            If the text is no such box, or the box holds no pixel.
        """
        match = _BOX.fullmatch(text)
        left, top, width, height = map(int, match.groups()) if match else (0, 0, 0, 0)
        if not (width and height):
            raise MudrockError(
                f"{text[:60]!r} is no box of pixels",
                "write x,y,width,height, for example 0,0,800,600",
            )
        return cls(top, left, top + height, left + width)

    def intersect(self, other: "Box") -> "Box":
        """Return the pixels that both boxes hold (an empty box when there are none)."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Box(top, left, max(top, bottom), max(left, right))

    def scale(self, shape: tuple[int, int], new_shape: tuple[int, int]) -> "Box":
        """Return the box on another grid of the same image, without pixels it covers in part.

        Parameters
        ----------
        shape, new_shape : tuple of int
            Rows and columns of the image before and after.
        """
        top, left = (
            math.ceil(edge * new / old)
            for edge, old, new in zip((self.top, self.left), shape, new_shape, strict=True)
        )
        bottom, right = (
            edge * new // old
            for edge, old, new in zip((self.bottom, self.right), shape, new_shape, strict=True)
        )
        return Box(top, left, max(top, bottom), max(left, right))


@dataclass(frozen=True)
class Inside:
    """Reads what lies in a box of an image, as if it were the whole image.

    Parameters
    ----------
    read : callable
        ``read(rows, columns)`` of the image.
    box : Box
        Where rows and columns count from.
    """

    read: Reader
    box: Box

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the pixels of a window."""
        window = Box.from_slices(rows, columns, self.box.shape)
        return self.read(
            slice(self.box.top + window.top, self.box.top + window.bottom),
            slice(self.box.left + window.left, self.box.left + window.right),
        )


@dataclass(frozen=True)
class Level:
    """An image in fewer pixels.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    read : callable
        ``read(rows, columns)``, as for the image itself.
    """

    shape: tuple[int, int]
    read: Reader


@dataclass(frozen=True)
class Facts:
    """What one source tells.

    Parameters
    ----------
    source : str
        The tag or file and the entry, for example ``"FEI tag 34682 [Scan] PixelWidth"``.
    pixel : tuple of float, optional
        Width and height of a pixel in nanometres.
    frame : tuple of int, optional
        Rows and columns that the microscope scanned, without a data bar.
    bar_rows : int, optional
        Height of the data bar below the frame, 0 when there is none.
    instrument : mapping of str
        Vendor, model, detector, voltage, working distance, magnification, date.
    """

    source: str
    pixel: tuple[float, float] | None = None
    frame: tuple[int, int] | None = None
    bar_rows: int | None = None
    instrument: Mapping[str, str] = field(default_factory=dict)


# The pixels of a file as they are stored: any type, any colours, read through windows.


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
    has_alpha : bool
        Whether the last channel is opacity.
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
    warnings : tuple of str
        What else the file holds, and what of it was taken.
    """

    path: Path
    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    bits: int
    colours: Colours
    read: Reader
    palette: npt.NDArray[np.uint8] | None = None
    has_alpha: bool = False
    tags: Mapping[int, bytes] = field(default_factory=dict)
    resolution: tuple[float, float] | None = None
    facts: tuple[Facts, ...] = ()
    provenance: Mapping[str, Any] | None = None
    reduced: "tuple[Samples, ...]" = ()
    warnings: tuple[str, ...] = ()


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


# The builtin `map`, or one that does the parts of a work on a cluster.


Part = TypeVar("Part")
Result = TypeVar("Result")


class Map(Protocol):
    """Does the same work on many parts and yields the results in the order of the parts.

    The work and the parts may have to travel to another process: functions are importable by
    name (or a `functools.partial` of one), and what they are given can be pickled.
    """

    def __call__(
        self, work: Callable[[Part], Result], parts: Iterable[Part], /
    ) -> Iterator[Result]:
        """Yield ``work(part)`` of every part, in order."""
        ...
