from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.measure.sizes import (
    SIZE_CLASSES,
    classify_size,
    grade,
    name_sorting,
    to_phi,
    weighted_percentiles,
)

SIZES = st.lists(st.floats(0.1, 100), min_size=1, max_size=30)


@given(SIZES, st.floats(0.1, 10))
def test_equal_weights_are_numpys_hazen_percentiles(sizes: list[float], weight: float) -> None:
    percents = (5, 10, 50, 90, 95)
    ours = weighted_percentiles(sizes, np.full(len(sizes), weight), percents)
    np.testing.assert_allclose(ours, np.percentile(sizes, percents, method="hazen"))


@given(SIZES, st.randoms())
def test_zero_weight_is_absence_and_order_is_nothing(sizes: list[float], random: Random) -> None:
    weights = np.array([random.choice((0, 0.5, 1, 3)) for _ in sizes])
    found = weighted_percentiles(sizes, weights, (20, 50))
    kept = weights > 0
    alone = weighted_percentiles(np.array(sizes)[kept], weights[kept], (20, 50))
    np.testing.assert_allclose(found, alone)
    assert np.isnan(found).all() == (not kept.any())
    order = random.sample(range(len(sizes)), len(sizes))
    turned = weighted_percentiles(np.array(sizes)[order], weights[order], (20, 50))
    np.testing.assert_allclose(found, turned)


def test_phi() -> None:
    np.testing.assert_allclose(to_phi([1000, 500, 62.5, 3.90625]), [0, 1, 4, 8])


def test_a_normal_distribution_in_phi_gives_its_mean_and_deviation() -> None:
    """Folk and Ward's measures of a normal distribution: mean, sigma, 0 and 1."""
    from scipy.stats import norm

    phi = norm.ppf((np.arange(20_000) + 0.5) / 20_000, loc=6.0, scale=0.8)
    stats = grade(1e3 * 2.0**-phi, np.ones(len(phi)))
    assert stats.mean == pytest.approx(6.0, abs=1e-3)
    assert stats.sorting == pytest.approx(0.8, rel=5e-3)
    assert stats.skewness == pytest.approx(0, abs=1e-3)
    assert stats.kurtosis == pytest.approx(1, abs=5e-3)


def test_folk_and_ward_by_hand() -> None:
    """phi percentiles 5 ... 95 laid out by hand, and the formulas worked on paper."""
    cumulative = np.array([5, 16, 25, 50, 75, 84, 95])
    phi = np.array([1.0, 2.0, 2.4, 3.0, 3.8, 4.4, 6.0])
    ends = np.r_[0, cumulative, 100]
    fine = np.interp(np.linspace(0, 100, 200_001), ends, np.r_[0.5, phi, 7.0])
    stats = grade(1e3 * 2.0**-fine, np.ones(len(fine)))
    assert stats.mean == pytest.approx((2 + 3 + 4.4) / 3, abs=1e-3)
    assert stats.sorting == pytest.approx(2.4 / 4 + 5 / 6.6, abs=1e-3)
    assert stats.skewness == pytest.approx(0.4 / 4.8 + 1 / 10, abs=1e-3)
    assert stats.kurtosis == pytest.approx(5 / (2.44 * 1.4), abs=2e-3)


def test_doubling_the_scale_moves_the_mean_by_one_phi_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    size, weight = rng.lognormal(1, 0.6, 300), rng.uniform(1, 5, 300)
    one, two = grade(size, weight), grade(2 * size, weight)
    assert two.mean == pytest.approx(one.mean - 1)
    assert (two.sorting, two.skewness, two.kurtosis) == pytest.approx(
        (one.sorting, one.skewness, one.kurtosis)
    )


def test_one_size_has_no_skewness() -> None:
    stats = grade([5.0, 5.0], [1, 1])
    assert stats.sorting == 0
    assert np.isnan(stats.skewness)
    assert np.isnan(grade([], []).mean)


def test_classes_and_both_clay_limits() -> None:
    names = [name for name, _ in SIZE_CLASSES]
    sizes = [1.9, 2.0, 3.8, 3.91, 8, 16, 32, 63]
    wentworth = [names[index] for index in classify_size(sizes)]
    assert wentworth == [
        *["clay"] * 3,
        "very fine silt",
        "fine silt",
        "medium silt",
        "coarse silt",
        "sand",
    ]
    iso = [names[index] for index in classify_size(sizes, "iso")]
    assert iso[:4] == ["clay", *["very fine silt"] * 3]


def test_words_for_sorting() -> None:
    words = [name_sorting(value) for value in (0.1, 0.4, 0.8, 1.5, 3, 5, float("nan"))]
    assert words[0] == "very well sorted"
    assert words[3] == "poorly sorted"
    assert words[-1] == "not defined"
    assert len(set(words)) == 7
