from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mudrock_cli.report.export import trace_outlines

LABELS = arrays(
    np.uint32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
)


def rings_of(outline: shapely.Geometry) -> list[np.ndarray]:
    parts = shapely.get_parts(outline)
    return [
        shapely.get_coordinates(ring) for part in parts for ring in (part.exterior, *part.interiors)
    ]


def fill(outline: shapely.Geometry, shape: tuple[int, int]) -> np.ndarray:
    """Fill by the even-odd rule at pixel centres, with nothing of the tracer's."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for ring in rings_of(outline):
        for (x0, y0), (x1, y1) in pairwise(ring):
            assert (x0 == x1) != (y0 == y1)
            if x0 == x1:
                inside ^= (min(y0, y1) < row) & (row < max(y0, y1)) & (column < x0)
    return inside


@given(LABELS)
@settings(max_examples=150, deadline=None)
def test_polygons_hold_exactly_the_pixels(labels: np.ndarray) -> None:
    outlines = dict(trace_outlines(labels))
    assert list(outlines) == sorted(set(np.unique(labels)) - {0})
    for label, outline in outlines.items():
        np.testing.assert_array_equal(fill(outline, labels.shape), labels == label)
        assert outline.area == (labels == label).sum()
        assert outline.is_valid


@given(LABELS)
@settings(max_examples=50, deadline=None)
def test_corners_stand_only_where_the_direction_changes(labels: np.ndarray) -> None:
    for _, outline in trace_outlines(labels):
        for ring in rings_of(outline):
            sides = np.diff(ring, axis=0)
            turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
            assert (turns != 0).all()


def test_a_square_has_four_corners_and_a_ring_a_hole() -> None:
    labels = np.zeros((10, 12), np.uint32)
    labels[2:6, 3:9] = 7
    square = dict(trace_outlines(labels))[7]
    corners = shapely.get_coordinates(square)
    assert sorted(corners[:-1].tolist()) == [[3, 2], [3, 6], [9, 2], [9, 6]]
    labels[3:5, 4:6] = 0
    ring = dict(trace_outlines(labels))[7]
    assert len(ring.interiors) == 1
    assert shapely.Polygon(ring.interiors[0]).area == 4


def test_parts_that_touch_at_a_corner_are_two_polygons() -> None:
    assert len(shapely.get_parts(dict(trace_outlines(np.eye(2, dtype=np.uint32)))[1])) == 2


def test_nothing() -> None:
    assert dict(trace_outlines(np.zeros((4, 4), np.uint32))) == {}
