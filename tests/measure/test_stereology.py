import numpy as np
import pytest
from scipy.stats import norm

from mudrock_cli.measure.sizes import frame_weights
from mudrock_cli.measure.stereology import (
    lay_classes,
    section_matrix,
    spread_matrix,
    unfold,
    unfold_sections,
)
from mudrock_cli.measure.window import Window


def test_saltykovs_published_coefficients() -> None:
    """Underwood (1970), table 5.4: diameters in steps of 10^-0.1, relative section frequencies."""
    edges = 10 ** (np.arange(-12, 1) / 10)
    inverse = np.linalg.inv(section_matrix(edges, edges[1:])[::-1, ::-1])
    coefficients = inverse[0, 0] * 1.0, *inverse[1:4, 0]
    first = edges[-1] * np.array(coefficients)
    assert first[0] == pytest.approx(1.6461, abs=2e-4)
    # The next ones are N_V(2) per section of class 1, scaled by the sphere of class 2.
    scaled = [-first[index] * edges[-1 - index] / edges[-1] for index in (1, 2, 3)]
    assert scaled == pytest.approx([0.4561, 0.1162, 0.0415], abs=2e-4)


def test_schwartz_and_saltykovs_coefficients_for_equal_steps() -> None:
    """Classes of equal width (Underwood 1970, table 5.3, where the last digits are rounded)."""
    inverse = np.linalg.inv(section_matrix(np.arange(0, 6), np.arange(1, 6)))
    assert inverse[0, :3] == pytest.approx([1.0, -0.1547, -0.0360], abs=4e-4)
    assert inverse[1, 1:3] == pytest.approx([0.5774, -0.1529], abs=1e-4)


def _cut_spheres(rng: np.random.Generator, diameters: np.ndarray, side: float) -> tuple:
    """Cut a box of spheres by a plane: diameters and places of the sections."""
    depth = diameters.max()
    height = rng.uniform(-depth, depth, len(diameters))
    place = rng.uniform(0, side, (len(diameters), 2))
    cut = np.abs(height) < diameters / 2
    return np.sqrt(diameters[cut] ** 2 - 4 * height[cut] ** 2), place[cut], 2 * depth


def test_spheres_of_known_number_are_found_again() -> None:
    rng = np.random.default_rng(0)
    side, number = 1000.0, 400_000
    edges = np.array([1.5, 3.0, 6.0, 12.0])
    kind = rng.choice(3, number, p=[0.7, 0.2, 0.1])
    diameters = edges[kind] * 2 ** rng.random(number)
    sections, place, thickness = _cut_spheres(rng, diameters, side)
    image = (place // 200).astype(int) @ (5, 1)
    result = unfold_sections(
        sections, np.ones(len(sections)), image, np.full(25, 200.0**2), edges=edges
    )
    truth = np.bincount(kind) / (side**2 * thickness)
    np.testing.assert_allclose(result.spheres, truth, rtol=0.03)
    assert (result.low <= truth * 1.02).all()
    assert (result.high >= truth * 0.98).all()
    np.testing.assert_allclose(result.diameters, np.sqrt(edges[1:] * edges[:-1]))


def _see_field(rng: np.random.Generator, side: float, median: float, sigma: float, share: float):
    """Sections of lognormal spheres in a field: diameters, whether whole; spheres per volume."""
    per_volume = share / (np.pi / 6 * median**3 * np.exp(4.5 * sigma**2))
    margin = median * np.exp(4 * sigma) / 2
    number = rng.poisson(per_volume * median * np.exp(sigma**2 / 2) * (side + 2 * margin) ** 2)
    # A plane meets spheres in proportion to their diameter.
    spheres = median * np.exp(sigma * rng.standard_normal(number) + sigma**2)
    diameter = spheres * np.sqrt(1 - rng.random(number) ** 2)
    away = np.abs(rng.uniform(-margin, side + margin, (2, number)) - side / 2)
    seen = (away < side / 2 + diameter / 2).all(axis=0)
    whole = (away < side / 2 - diameter / 2).all(axis=0)
    return diameter[seen], whole[seen], per_volume


@pytest.mark.parametrize(("side", "fields"), [(20.0, 20), (100.0, 1)])
def test_lognormal_spheres_in_fields_lie_within_the_band(side: float, fields: int) -> None:
    rng = np.random.default_rng(7)
    median, sigma = 3.0, 0.35
    inside, totals = [], []
    for _ in range(60):
        views = [_see_field(rng, side, median, sigma, 0.15) for _ in range(fields)]
        diameter, whole = (np.concatenate([view[part] for view in views]) for part in (0, 1))
        image = np.repeat(np.arange(fields), [len(view[0]) for view in views])
        weights = frame_weights(diameter, diameter, ~whole, Window(side, side))
        edges = lay_classes(2.0, diameter[whole].max())
        found = unfold_sections(diameter, weights, image, np.full(fields, side**2), edges=edges)
        truth = views[0][2] * np.diff(norm.cdf(np.log(edges / median) / sigma))
        enough = found.counted >= 5
        inside += list(((found.low <= truth) & (truth <= found.high))[enough])
        totals.append(found.spheres.sum() / (views[0][2] * norm.sf(np.log(2 / median) / sigma)))
    assert np.mean(inside) >= 0.9
    assert np.mean(totals) == pytest.approx(1, abs=0.05)


def test_sections_alone_would_mislead() -> None:
    """Spheres of one size: the sections spread over all classes, the unfolding puts them back."""
    rng = np.random.default_rng(1)
    sections, _, thickness = _cut_spheres(rng, np.full(100_000, 10.0), 1000.0)
    edges = 10.0 ** np.linspace(0.4, 1.0, 7)
    counts = np.histogram(sections, edges)[0]
    spheres = unfold(section_matrix(edges, edges[1:]), counts / 1000.0**2)
    assert counts[-1] / counts.sum() < 0.7
    assert spheres[-1] / spheres.sum() > 0.97
    assert spheres[-1] == pytest.approx(100_000 / (1000.0**2 * thickness), rel=0.02)


def test_fields_that_differ_widen_the_band() -> None:
    diameter = np.tile([2.5, 3.5, 4.5, 5.5, 6.5], 40)
    edges = lay_classes(2.0, 7.0)
    even = np.repeat(np.arange(10), 20)
    clustered = np.repeat([0, 1, 2], [120, 60, 20])
    narrow, wide = (
        unfold_sections(diameter, np.ones(200), image, np.full(10, 400.0), edges=edges)
        for image in (even, clustered)
    )
    np.testing.assert_allclose(wide.spheres, narrow.spheres)
    assert ((wide.high - wide.low) > 2 * (narrow.high - narrow.low))[narrow.counted > 0].all()


def test_no_negative_spheres() -> None:
    spheres = unfold(spread_matrix([1, 2, 4]), [0.0, 1.0])
    assert (spheres >= 0).all()
    assert spheres[1] > 0


def test_doubled_lengths_divide_numbers_per_volume_by_eight() -> None:
    edges, sections = np.array([1.0, 2, 3, 4]), np.array([3.0, 2, 2])
    np.testing.assert_allclose(
        unfold(spread_matrix(2 * edges), sections / 4), unfold(spread_matrix(edges), sections) / 8
    )


def test_classes_reach_the_largest() -> None:
    assert lay_classes(2, 20)[[0, -1]] == pytest.approx([2, 20])
    assert lay_classes(2, 21)[-1] >= 21
    assert len(lay_classes(2, 2)) == 2


def test_no_sections() -> None:
    nothing = unfold_sections([], [], [], np.ones(4), edges=[1, 2, 4])
    assert nothing.spheres.tolist() == [0, 0]
