"""Outlines along pixel sides: polygons that hold exactly the pixels of an object.

Every side between an object's pixel and another pixel is an edge, walked with the object to its
right. Where two pixels of an object touch only at a corner, the walk stays with its own pixel, so
a region that hangs together by a corner becomes two polygons, and every polygon is simple: no
ring touches itself.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import COLOURS, Phase

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


# What other programs read: QuPath's GeoJSON, COCO, ImageJ's regions.
#
# Coordinates are pixels of the full image, x to the right and y down from the upper left corner of
# the first pixel.

Labels = npt.NDArray[np.uint32]

IMAGEJ_SIDE = 32767
"""ImageJ keeps corners as 16-bit numbers with sign."""


@dataclass(frozen=True)
class Labelled:
    """The objects of one image.

    Parameters
    ----------
    name : str
        Name of the image.
    file : str
        Its file name.
    labels : ndarray of uint32, shape (H, W)
        Label of each pixel, 0 for none.
    phases : ndarray of uint8, shape (N,)
        Phase of label i + 1.
    um : float or None
        Side of a pixel, µm, where it is known.
    """

    name: str
    file: str
    labels: Labels
    phases: npt.NDArray[np.uint8]
    um: float | None


def to_geojson(image: Labelled) -> str:
    """Return the objects of an image as GeoJSON that QuPath imports as detections."""
    areas = np.bincount(image.labels.ravel(), minlength=len(image.phases) + 1)
    features = [
        {
            "type": "Feature",
            "id": f"{image.name}-{label}",
            "geometry": _to_geometry(polygons),
            "properties": {
                "objectType": "detection",
                "name": f"{_word(image, label)} {label}",
                "classification": {
                    "name": _word(image, label),
                    "color": list(COLOURS[Phase(int(image.phases[label - 1]))]),
                },
                "measurements": _measure(int(areas[label]), label, image.um),
            },
        }
        for label, polygons in trace_outlines(image.labels).items()
    ]
    collection = {"type": "FeatureCollection", "features": features}
    return json.dumps(collection, separators=(",", ":"), ensure_ascii=False)


def to_coco(images: Iterable[Labelled]) -> str:
    """Return the objects of all images as one COCO file, masks as run lengths: areas are exact."""
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        height, width = image.labels.shape
        number = len(pictures) + 1
        pictures.append({"id": number, "file_name": image.file, "width": width, "height": height})
        for label, counts, box in _encode_runs(image.labels):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(image.phases[label - 1]),
                    "segmentation": {"size": [height, width], "counts": counts},
                    "area": sum(counts[1::2]),
                    "bbox": box,
                    "iscrowd": 0,
                    "label": label,
                }
            )
    categories = [
        {"id": int(phase), "name": phase.name.lower()} for phase in (Phase.SILT, Phase.PORE)
    ]
    told = {"images": pictures, "annotations": annotations, "categories": categories}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def write_rois(path: Path, image: Labelled) -> None:
    """Write the objects of an image as a zip of ImageJ regions, for the ROI Manager.

    Raises
    ------
    MudrockError
        If the image is larger than ImageJ's regions reach.
    """
    if max(image.labels.shape) > IMAGEJ_SIDE:
        raise MudrockError(
            f"{image.file}: ImageJ's regions end at {IMAGEJ_SIDE} pixels",
            "use --to geojson or --to labels",
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for label, polygons in trace_outlines(image.labels).items():
            name = f"{_word(image, label)}-{label:06}"
            colour = bytes((255, *COLOURS[Phase(int(image.phases[label - 1]))]))
            archive.writestr(f"{name}.roi", _to_roi(name, polygons, colour))


def _word(image: Labelled, label: int) -> str:
    return Phase(int(image.phases[label - 1])).name.lower()


def _measure(pixels: int, label: int, um: float | None) -> Mapping[str, float]:
    """Return what QuPath shows of an object."""
    measures: dict[str, float] = {"label": label, "area px": pixels}
    if um is not None:
        area = pixels * um**2
        measures |= {"area µm²": area, "ECD µm": float(np.sqrt(4 * area / np.pi))}
    return measures


def _to_geometry(polygons: Sequence[Polygon]) -> Mapping[str, Any]:
    parts = [
        [_close(polygon.shell), *(_close(hole) for hole in polygon.holes)] for polygon in polygons
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _close(ring: npt.NDArray[np.int64]) -> list[list[int]]:
    points: list[list[int]] = ring.tolist()
    return [*points, points[0]]


def _encode_runs(labels: Labels) -> Iterable[tuple[int, list[int], list[int]]]:
    """Yield label, run lengths down the columns (COCO's), and bounding box of each object."""
    height = labels.shape[0]
    flat = labels.T.ravel()
    place = np.flatnonzero(flat)
    order = np.argsort(flat[place], kind="stable")
    place = place[order]
    label = flat[place]
    if not len(place):
        return
    # A run goes on while label and column position do; it may go on into the next column.
    first = np.r_[True, (np.diff(place) != 1) | (np.diff(label.astype(np.int64)) != 0)]
    start = np.flatnonzero(first)
    length = np.diff(np.r_[start, len(place)])
    begins, owner = place[start], label[start]
    bounds = np.flatnonzero(np.r_[True, np.diff(owner.astype(np.int64)) != 0, True])
    for low, high in pairwise(bounds):
        begin, size = begins[low:high], length[low:high]
        gaps = begin - np.r_[0, (begin + size)[:-1]]
        counts = np.stack([gaps, size], axis=1).ravel()
        last = flat.size - int(begin[-1] + size[-1])
        own = place[start[low] : start[high] if high < len(start) else len(place)]
        rows, columns = own % height, own // height
        top, left = int(rows.min()), int(columns.min())
        box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
        yield int(owner[low]), [*counts.tolist(), *([last] if last else [])], box


def _to_roi(name: str, polygons: Sequence[Polygon], colour: bytes) -> bytes:
    """Return an ImageJ region: a traced outline, or a composite where there are holes or parts."""
    from roifile import ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frompoints(polygons[0].shell, name=name)
    roi.roitype = ROI_TYPE.TRACED
    roi.stroke_color = colour
    rings = [ring for polygon in polygons for ring in (polygon.shell, *polygon.holes)]
    if len(rings) > 1:
        corners = np.concatenate([polygon.shell for polygon in polygons])
        roi.roitype = ROI_TYPE.RECT
        roi.left, roi.top = corners.min(axis=0).tolist()
        roi.right, roi.bottom = corners.max(axis=0).tolist()
        roi.n_coordinates = 0
        roi.integer_coordinates = None
        roi.multi_coordinates = np.concatenate([_to_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
    data: bytes = roi.tobytes()
    return data


def _to_path(ring: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return a ring as ImageJ's path: 0 x y moves, 1 x y draws, 4 closes."""
    steps = np.ones((len(ring), 3), np.float32)
    steps[0, 0] = 0
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(4))
