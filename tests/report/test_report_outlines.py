import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mudrock_cli.report.export import Polygon, enclosed_area, trace_outlines

LABELS = arrays(
    np.uint32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
)


def fill(polygons: list[Polygon], shape: tuple[int, int]) -> np.ndarray:
    """Fill by the even-odd rule at pixel centres, with nothing of the tracer's."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        for ring in (polygon.shell, *polygon.holes):
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if x0 == x1:
                    inside ^= (min(y0, y1) < row) & (row < max(y0, y1)) & (column < x0)
    return inside


@given(LABELS)
@settings(max_examples=150, deadline=None)
def test_polygons_hold_exactly_the_pixels(labels: np.ndarray) -> None:
    outlines = trace_outlines(labels)
    assert list(outlines) == sorted(set(np.unique(labels)) - {0})
    for label, polygons in outlines.items():
        np.testing.assert_array_equal(fill(polygons, labels.shape), labels == label)
        rings = [ring for polygon in polygons for ring in (polygon.shell, *polygon.holes)]
        assert sum(enclosed_area(ring) for ring in rings) == (labels == label).sum()
        assert all(enclosed_area(polygon.shell) > 0 for polygon in polygons)


@given(LABELS)
@settings(max_examples=150, deadline=None)
def test_polygons_are_valid_for_a_geometry_library(labels: np.ndarray) -> None:
    shapely = pytest.importorskip("shapely", reason="shapely is not installed")
    for polygons in trace_outlines(labels).values():
        for polygon in polygons:
            assert shapely.Polygon(polygon.shell, polygon.holes).is_valid
        parts = shapely.MultiPolygon([(polygon.shell, polygon.holes) for polygon in polygons])
        assert parts.is_valid


def test_a_square_has_four_corners_and_a_ring_a_hole() -> None:
    labels = np.zeros((10, 12), np.uint32)
    labels[2:6, 3:9] = 7
    (square,) = trace_outlines(labels)[7]
    assert sorted(square.shell.tolist()) == [[3, 2], [3, 6], [9, 2], [9, 6]]
    labels[3:5, 4:6] = 0
    (ring,) = trace_outlines(labels)[7]
    assert len(ring.holes) == 1
    assert enclosed_area(ring.holes[0]) == -4


def test_parts_that_touch_at_a_corner_are_two_polygons() -> None:
    assert len(trace_outlines(np.eye(2, dtype=np.uint32))[1]) == 2


def test_nothing() -> None:
    assert trace_outlines(np.zeros((4, 4), np.uint32)) == {}
