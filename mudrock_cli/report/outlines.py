"""Outlines along pixel sides: polygons that hold exactly the pixels of an object.

Every side between an object's pixel and another pixel is an edge, walked with the object to its
right. Where two pixels of an object touch only at a corner, the walk stays with its own pixel, so
a region that hangs together by a corner becomes two polygons, and every polygon is simple: no
ring touches itself.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.intp]
Ring = npt.NDArray[np.int64]
"""Corners (x, y) of pixels, shape (N, 2), not closed; only where the direction changes."""

# East, south, west, north: steps of the corner (row, column), and the pixels ahead to the right
# and to the left.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_AHEAD_RIGHT = ((0, 0), (0, -1), (-1, -1), (-1, 0))
_AHEAD_LEFT = ((-1, 0), (0, 0), (0, -1), (-1, -1))


@dataclass(frozen=True)
class Polygon:
    """A region without its holes.

    Parameters
    ----------
    shell : ndarray of int64, shape (N, 2)
        Outer ring, clockwise on the screen.
    holes : tuple of ndarray of int64
        Inner rings, counter-clockwise on the screen.
    """

    shell: Ring
    holes: tuple[Ring, ...] = ()


def trace_outlines(labels: npt.NDArray[np.uint32]) -> dict[int, list[Polygon]]:
    """Trace the outlines of all objects.

    Parameters
    ----------
    labels : ndarray of uint32, shape (H, W)
        0 is no object.

    Returns
    -------
    dict of int to list of Polygon
        Polygons of each label, rising; more than one where parts touch at corners only.
    """
    padded = np.pad(labels, 1)
    width = padded.shape[1]
    start, label, following = _link(padded)
    shells: dict[int, list[Ring]] = {}
    holes: dict[int, list[Ring]] = {}
    for loop in _walk(following):
        corners = start[loop]
        for ring in _split(corners):
            points = np.stack([ring % width - 1, ring // width - 1], axis=1).astype(np.int64)
            kind = shells if enclosed_area(points) > 0 else holes
            kind.setdefault(int(label[loop[0]]), []).append(_straighten(points))
    return {number: _assign(shells[number], holes.get(number, [])) for number in sorted(shells)}


def enclosed_area(ring: Ring) -> int:
    """Return the pixels that a ring encloses, negative for a hole."""
    x, y = ring[:, 0], ring[:, 1]
    return int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) // 2


def _link(padded: npt.NDArray[np.uint32]) -> tuple[Ints, npt.NDArray[np.uint32], Ints]:
    """Find all edges: the corner each starts at, its label, and the edge that follows it."""
    height, width = padded.shape
    flat = padded.ravel()
    number = np.full((4, height * width), -1, np.intp)
    starts, labels, directions = [], [], []
    count = 0
    for direction in range(4):
        right, left = _AHEAD_RIGHT[direction], _AHEAD_LEFT[direction]
        # An edge starts at the upper left corner of pixel (row, column), for all but the rim.
        rows, columns = slice(1, height), slice(1, width)
        inside = padded[_shift(rows, right[0], height), _shift(columns, right[1], width)]
        outside = padded[_shift(rows, left[0], height), _shift(columns, left[1], width)]
        row, column = np.nonzero((inside != outside) & (inside != 0))
        corner = (row + 1) * width + column + 1
        number[direction, corner] = np.arange(count, count + len(corner))
        count += len(corner)
        starts.append(corner)
        labels.append(inside[row, column])
        directions.append(np.full(len(corner), direction))
    start, label = np.concatenate(starts), np.concatenate(labels)
    way = np.concatenate(directions)
    step, ahead_right, ahead_left = (
        np.array([row * width + column for row, column in table])[way]
        for table in (_STEPS, _AHEAD_RIGHT, _AHEAD_LEFT)
    )
    end = start + step
    keeps_right = flat[end + ahead_right] == label
    keeps_left = flat[end + ahead_left] == label
    turn = np.where(~keeps_right, 1, np.where(keeps_left, 3, 0))
    return start, label, number[(way + turn) % 4, end]


def _shift(span: slice, step: int, length: int) -> slice:
    """Move a span of corners to the pixels beside them."""
    return slice(span.start + step, min(span.stop + step, length))


def _walk(following: Ints) -> list[Ints]:
    """Return the loops of edges."""
    after = following.tolist()
    seen = bytearray(len(after))
    loops = []
    for first in range(len(after)):
        if seen[first]:
            continue
        loop, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            loop.append(edge)
            edge = after[edge]
        loops.append(np.array(loop, np.intp))
    return loops


def _split(corners: Ints) -> list[Ints]:
    """Split a loop where it passes a corner twice."""
    if len(np.unique(corners)) == len(corners):
        return [corners]
    rings: list[Ints] = []
    path: list[int] = []
    place: dict[int, int] = {}
    for corner in corners.tolist():
        if corner in place:
            start = place[corner]
            rings.append(np.array(path[start:], np.intp))
            for passed in path[start:]:
                del place[passed]
            del path[start:]
        place[corner] = len(path)
        path.append(corner)
    rings.append(np.array(path, np.intp))
    return rings


def _straighten(ring: Ring) -> Ring:
    """Leave out the corners at which the direction does not change."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns: Ring = ring[(before != after).any(axis=1)]
    return turns


def _assign(shells: list[Ring], holes: list[Ring]) -> list[Polygon]:
    """Give each hole to the shell that it lies in."""
    if len(shells) == 1:
        return [Polygon(shells[0], tuple(holes))]
    owned: list[list[Ring]] = [[] for _ in shells]
    # A point just inside the hole, beside its topmost corner; the smallest shell around it.
    order = sorted(range(len(shells)), key=lambda index: enclosed_area(shells[index]))
    for hole in holes:
        x, y = hole[np.lexsort((hole[:, 0], hole[:, 1]))[0]] + 0.5
        own = next(index for index in order if _contains(shells[index], float(x), float(y)))
        owned[own].append(hole)
    return [Polygon(shell, tuple(own)) for shell, own in zip(shells, owned, strict=True)]


def _contains(ring: Ring, x: float, y: float) -> bool:
    """Say whether a point that is no corner lies in a ring (crossings of a ray)."""
    following = np.roll(ring, -1, axis=0)
    spans = (ring[:, 1] > y) != (following[:, 1] > y)
    return bool(np.count_nonzero(spans & (ring[:, 0] > x)) % 2)
