import numpy as np
import pytest
from scipy import stats

from mudrock_cli.measure.uncertainty import (
    RESAMPLES,
    SEED,
    Interval,
    bootstrap_difference,
    bootstrap_fraction,
    bootstrap_percentiles,
    bootstrap_shares,
    resample_blocks,
)


def half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def test_one_image_is_scipys_bootstrap_of_the_blocks() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(500, 1000, 25)
    part = rng.binomial(whole, rng.uniform(0.05, 0.2, 25))
    ours = bootstrap_fraction(part, whole, np.zeros(25))
    scipys = stats.bootstrap(
        (part, whole),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    assert ours.value == pytest.approx(part.sum() / whole.sum())
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high))


def test_the_same_call_gives_the_same_interval() -> None:
    part, whole, image = np.arange(20), np.full(20, 100), np.repeat([0, 1], 10)
    assert bootstrap_fraction(part, whole, image) == bootstrap_fraction(part, whole, image)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        part = rng.gamma(4, 0.025, 25)  # mean 0.1
        interval = bootstrap_fraction(part, np.ones(25), np.zeros(25))
        hits += interval.low <= 0.1 <= interval.high
    assert 0.86 <= hits / 200 <= 0.98


def test_images_that_differ_widen_the_interval() -> None:
    """Twenty blocks alike within each image, images unlike: blocks alone would promise too much."""
    rng = np.random.default_rng(2)
    image = np.repeat(np.arange(6), 20)
    part = np.repeat(rng.uniform(0.02, 0.3, 6), 20) + rng.normal(0, 0.002, 120)
    pooled = bootstrap_fraction(part, np.ones(120), image)
    as_one = bootstrap_fraction(part, np.ones(120), np.zeros(120))
    assert half_width(pooled) > 2 * half_width(as_one)
    standard_error = part.reshape(6, 20).mean(axis=1).std() / np.sqrt(6)
    assert half_width(pooled) == pytest.approx(1.96 * standard_error, rel=0.2)


def test_blocks_without_specimen_change_nothing() -> None:
    part, whole = np.arange(10.0), np.full(10, 50.0)
    with_void = bootstrap_fraction(np.r_[part, 0], np.r_[whole, 0], np.zeros(11))
    assert with_void == bootstrap_fraction(part, whole, np.zeros(10))


def test_a_single_block_has_no_interval() -> None:
    interval = bootstrap_fraction([1], [4], [0])
    assert interval.value == 0.25
    assert np.isnan([interval.low, interval.high]).all()


def test_percentiles_of_many_objects_equal_those_without_grouping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    size, block = rng.lognormal(0, 0.7, 6000), rng.integers(0, 25, 6000)
    grouped = bootstrap_percentiles(size, size**2, block, np.zeros(25))
    monkeypatch.setattr("mudrock_cli.measure.uncertainty._GROUPS", 10_000)
    exact = bootstrap_percentiles(size, size**2, block, np.zeros(25))
    for one, two in zip(grouped, exact, strict=True):
        assert one.value == two.value
        assert (one.low, one.high) == pytest.approx((two.low, two.high), rel=4e-3)
        assert one.low < one.value < one.high


def test_doubled_lengths_double_the_interval() -> None:
    rng = np.random.default_rng(4)
    size, block = rng.lognormal(0, 0.5, 300), rng.integers(0, 20, 300)
    once = bootstrap_percentiles(size, np.ones(300), block, np.zeros(20))
    twice = bootstrap_percentiles(2 * size, np.ones(300), block, np.zeros(20))
    for one, two in zip(once, twice, strict=True):
        assert (two.value, two.low, two.high) == pytest.approx(
            (2 * one.value, 2 * one.low, 2 * one.high)
        )


def test_no_objects() -> None:
    for interval in bootstrap_percentiles([], [], [], np.zeros(9)):
        assert np.isnan([interval.value, interval.low, interval.high]).all()


def test_cumulative_curve_runs_through_its_percentiles() -> None:
    rng = np.random.default_rng(6)
    size, block = rng.lognormal(0, 0.5, 3000), rng.integers(0, 25, 3000)
    median = bootstrap_percentiles(size, size**2, block, np.zeros(25), (50,))[0]
    limits = [0.01, median.low, median.value, median.high, 100]
    share, low, high = bootstrap_shares(size, size**2, block, np.zeros(25), limits)
    assert share[[0, -1]].tolist() == [0, 1]
    assert share[2] == pytest.approx(0.5, abs=2e-3)
    # Where the lower limit of the median lies, the band's upper limit has just reached one half.
    assert high[1] == pytest.approx(0.5, abs=0.01)
    assert low[3] == pytest.approx(0.5, abs=0.01)
    assert np.isnan(bootstrap_shares([], [], [], np.zeros(4), [1.0])[0]).all()


def test_difference_of_independent_groups() -> None:
    rng = np.random.default_rng(5)
    low, high = rng.normal(0.1, 0.02, 25), rng.normal(0.2, 0.02, 25)
    ones, zeros = np.ones(25), np.zeros(25)
    difference = bootstrap_difference((low, ones, zeros), (high, ones, zeros))
    assert difference.value == pytest.approx(high.mean() - low.mean())
    expected = 1.96 * np.sqrt(low.var() / 25 + high.var() / 25)
    assert half_width(difference) == pytest.approx(expected, rel=0.1)


def test_draws_of_one_image_keep_the_number_of_blocks() -> None:
    seen = []
    resample_blocks(np.repeat([0, 1, 2], 4), lambda times: seen.append(times) or times.T[:1])
    assert all((times.sum(axis=1) == 12).all() for times in seen)
