"""Hulls and Feret diameters against scikit-image, SciPy and shapes with known answers."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull
from skimage.measure import find_contours, regionprops

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.measure import shapes as hull
from mudrock_cli.measure.components import label_mask


def measure(shape: npt.NDArray[np.bool_], band_rows: int | None = None) -> hull.Hulls:
    mask = PhaseMask.from_array("a", shape.astype(np.uint8))
    return label_mask(mask, band_rows=band_rows).objects.hulls


def caliper_widths(points: npt.NDArray[np.float64]) -> float:
    """Smallest width over the directions of all hull edges, the plain way."""
    corners = points[ConvexHull(points).vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([-edges[:, 1], edges[:, 0]]) / np.hypot(*edges.T)
    return float(np.ptp(corners @ normals, axis=0).min())


@given(arrays(np.bool_, st.tuples(st.integers(1, 15), st.integers(1, 15))), st.integers(1, 15))
@settings(max_examples=100, deadline=None)
def test_equals_scikit_image(shape: npt.NDArray[np.bool_], band_rows: int) -> None:
    area, feret_min, feret_max = measure(shape, band_rows)
    mask = PhaseMask.from_array("a", shape.astype(np.uint8))
    labels = np.concatenate(list(label_mask(mask).paint(mask))).astype(np.int64)
    for region in regionprops(labels):
        index = region.label - 1
        assert area[index] == region.area_convex
        assert feret_max[index] == pytest.approx(region.feret_diameter_max, abs=1e-9)
        outline = find_contours(np.pad(region.image_convex, 2).astype(float), 0.5)[0]
        assert feret_min[index] == pytest.approx(caliper_widths(outline), abs=1e-9)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 1), (1, 9), (20, 31)])
def test_rectangle(height: int, width: int) -> None:
    area, feret_min, feret_max = measure(np.pad(np.ones((height, width), bool), 2))
    assert area == [height * width]
    # Its outline cuts the corners: the largest distance runs between sides, not corners.
    assert feret_max == pytest.approx(
        [max(np.hypot(height - 1, width), np.hypot(height, width - 1))]
    )
    if height > 1 and width > 1:
        assert feret_min == pytest.approx([min(height, width)])


def test_disc_tends_to_its_diameter() -> None:
    radius = 200.3
    y, x = np.mgrid[-205:206, -205:206]
    area, feret_min, feret_max = measure(np.hypot(y, x) <= radius)
    assert area[0] == pytest.approx(np.pi * radius**2, rel=4e-3)
    assert feret_min[0] == pytest.approx(2 * radius, rel=4e-3)
    assert feret_max[0] == pytest.approx(2 * radius, rel=5e-3)
    assert feret_min[0] <= feret_max[0]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = np.random.default_rng(0).random((80, 80)) < 0.3
    whole = measure(shape)
    monkeypatch.setattr(hull, "_CHUNK", 5)
    for expected, found in zip(whole, measure(shape), strict=True):
        np.testing.assert_array_equal(found, expected)
