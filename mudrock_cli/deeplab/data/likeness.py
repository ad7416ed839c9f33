"""Copies among samples, found by what they show: mirrored, turned, changed in grey, overlapping."""

import hashlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.overlap import find_overlaps

_SIDE = 32  # of a thumbnail
_ALIKE = 0.8  # correlation of thumbnails; of 78 tiles of six micrographs none reached 0.35
_BLOCK = 512  # thumbnails compared at once


def group_copies(samples: Sequence[Sample]) -> list[set[str]]:
    """Return the names of samples that show the same place, as groups of two or more.

    Two samples are copies when one is, pixel by pixel, the other mirrored or turned by quarters,
    or when their thumbnails, mirrored or turned and freed of brightness, contrast and shading,
    correlate above 0.8: so a copy that was brightened or compressed is found too. Crops that
    overlap are copies in part, see `find_overlaps`.

    Parameters
    ----------
    samples : sequence of Sample
        With different names.
    """
    leader = {sample.name: sample.name for sample in samples}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    def together(first: str, second: str) -> bool:
        return find(first) == find(second)

    for first, second in (*_identical(samples), *_alike(samples)):
        leader[find(first)] = find(second)
    for first, second in find_overlaps(samples, together):
        leader[find(first)] = find(second)
    groups: dict[str, set[str]] = {}
    for name in leader:
        groups.setdefault(find(name), set()).add(name)
    return [group for group in groups.values() if len(group) > 1]


def _orient(picture: npt.NDArray[np.generic]) -> Iterator[npt.NDArray[np.generic]]:
    """Yield the eight ways in which a picture can lie."""
    for turned in (picture, np.rot90(picture)):
        yield from (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1])


def _hash_in_any_orientation(grey: npt.NDArray[np.uint8]) -> str:
    """Return one hash for a picture and all its mirrored and turned copies."""
    return min(
        hashlib.sha256(str(view.shape).encode() + np.ascontiguousarray(view).tobytes()).hexdigest()
        for view in _orient(grey)
    )


def _identical(samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for sample in samples:
        first = seen.setdefault(_hash_in_any_orientation(sample.grey), sample.name)
        if first != sample.name:
            yield first, sample.name


def _alike(samples: Sequence[Sample]) -> Iterator[tuple[str, str]]:
    thumbnails = np.stack([_thumbnail(sample.grey) for sample in samples])
    flat = thumbnails.reshape(len(samples), -1)
    views = [
        np.stack(oriented).reshape(len(samples), -1)
        for oriented in zip(*(_orient(one) for one in thumbnails), strict=True)
    ]
    for top in range(0, len(samples), _BLOCK):
        block = flat[top : top + _BLOCK]
        best = np.maximum.reduce([block @ view.T for view in views])
        for row, column in np.argwhere(best > _ALIKE):
            if top + row < column:
                yield samples[top + row].name, samples[column].name


def _thumbnail(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Reduce to a square of fixed size, without slow changes of brightness, of norm 1."""
    small = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), _SIDE / 8, borderType=cv2.BORDER_REFLECT)
    detail -= detail.mean()
    norm = float(np.linalg.norm(detail))
    flat = norm < 1e-3 * _SIDE  # a picture without detail is like nothing but its exact copy
    return np.zeros_like(detail) if flat else np.asarray(detail / norm, np.float32)
