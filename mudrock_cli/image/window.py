"""Half-open boxes of pixels, and readers that return the pixels inside one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy.typing as npt

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
