import numpy as np
import pytest

from mudrock_cli.measure.stereology import lay_classes, section_matrix, unfold, unfold_sections


def test_saltykovs_published_coefficients() -> None:
    """Underwood (1970), table 5.4: diameters in steps of 10^-0.1, relative section frequencies."""
    edges = 10 ** (np.arange(-12, 1) / 10)
    inverse = np.linalg.inv(section_matrix(edges)[::-1, ::-1])
    coefficients = inverse[0, 0] * 1.0, *inverse[1:4, 0]
    first = edges[-1] * np.array(coefficients)
    assert first[0] == pytest.approx(1.6461, abs=2e-4)
    # The next ones are N_V(2) per section of class 1, scaled by the sphere of class 2.
    scaled = [-first[index] * edges[-1 - index] / edges[-1] for index in (1, 2, 3)]
    assert scaled == pytest.approx([0.4561, 0.1162, 0.0415], abs=2e-4)


def test_schwartz_and_saltykovs_coefficients_for_equal_steps() -> None:
    """Classes of equal width (Underwood 1970, table 5.3, where the last digits are rounded)."""
    inverse = np.linalg.inv(section_matrix(np.arange(0, 6)))
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
    diameters = rng.choice([3.0, 6.0, 12.0], number, p=[0.7, 0.2, 0.1])
    sections, place, thickness = _cut_spheres(rng, diameters, side)
    edges = np.array([1.5, 3.0, 6.0, 12.0])
    block = (place // 200).astype(int) @ (5, 1)
    result = unfold_sections(
        sections, np.ones(len(sections)), block, np.full(25, 200.0**2), np.zeros(25), edges=edges
    )
    truth = np.array([0.7, 0.2, 0.1]) * number / (side**2 * thickness)
    np.testing.assert_allclose(result.spheres, truth, rtol=0.03)
    assert (result.low <= truth * 1.02).all()
    assert (result.high >= truth * 0.98).all()
    volume = (truth * np.pi / 6 * np.array([3.0, 6.0, 12.0]) ** 3).sum()
    share = result.spheres * np.pi / 6 * result.edges[1:] ** 3
    assert share.sum() == pytest.approx(volume, rel=0.03)


def test_sections_alone_would_mislead() -> None:
    """Spheres of one size: the sections spread over all classes, the unfolding puts them back."""
    rng = np.random.default_rng(1)
    sections, _, thickness = _cut_spheres(rng, np.full(100_000, 10.0), 1000.0)
    edges = 10.0 ** np.linspace(0.4, 1.0, 7)
    counts = np.histogram(sections, edges)[0]
    spheres = unfold(edges, counts / 1000.0**2)
    assert counts[-1] / counts.sum() < 0.7
    assert spheres[-1] / spheres.sum() > 0.97
    assert spheres[-1] == pytest.approx(100_000 / (1000.0**2 * thickness), rel=0.02)


def test_no_negative_spheres() -> None:
    spheres = unfold([1, 2, 4], [0.0, 1.0])
    assert (spheres >= 0).all()
    assert spheres[1] > 0


def test_doubled_lengths_divide_numbers_per_volume_by_eight() -> None:
    edges, sections = np.array([1.0, 2, 3, 4]), np.array([3.0, 2, 2])
    np.testing.assert_allclose(unfold(2 * edges, sections / 4), unfold(edges, sections) / 8)


def test_classes_reach_the_largest() -> None:
    assert lay_classes(2, 20)[[0, -1]] == pytest.approx([2, 20])
    assert lay_classes(2, 21)[-1] >= 21
    assert len(lay_classes(2, 2)) == 2


def test_no_sections() -> None:
    nothing = unfold_sections([], [], [], np.ones(4), np.zeros(4), edges=[1, 2, 4])
    assert nothing.spheres.tolist() == [0, 0]
