"""Intervals against textbook cases, and simulated: how often they hold the truth."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from mudrock_cli.measure.uncertainty import (
    FIELDS_DIFFER,
    LEAST_BEYOND,
    field_fraction,
    interval_percentiles,
    interval_shares,
    is_uneven,
    rock_difference,
    rock_fraction,
    unseen_fraction,
)

Floats = npt.NDArray[np.float64]


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def draw_rock(
    rng: np.random.Generator, fields: int, *, mean: float = 0.15, differ: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Draw part, whole and chance of fields of 400 µm² with discs of about 4 µm at random places.

    `differ` is the coefficient of variation of the expected fraction between fields.
    """
    expected = np.full(fields, mean)
    if differ:
        expected = rng.gamma(1 / differ**2, differ**2 * mean, fields)
    parts, chances = np.zeros(fields), np.zeros(fields)
    for field, share in enumerate(expected):
        area = np.pi / 4 * rng.lognormal(math.log(4), 0.3, rng.poisson(share * 400 / 15.05)) ** 2
        parts[field], chances[field] = area.sum(), np.sum(area**2)
    return parts, np.full(fields, 400.0), chances


def test_worked_example_of_three_fields() -> None:
    part, whole = np.array([6.0, 10.0, 14.0]), np.full(3, 100.0)
    found = rock_fraction(part, whole, np.zeros(3))
    assert found.value == pytest.approx(0.1)
    # The mean of 0.06, 0.10 and 0.14: standard deviation 0.04, standard error 0.04 / sqrt(3).
    reach = stats.t.ppf(0.975, 2) * 0.04 / math.sqrt(3) / (0.1 * 0.9)
    assert logit(found.low) == pytest.approx(logit(0.1) - reach)
    assert logit(found.high) == pytest.approx(logit(0.1) + reach)


def test_two_fields_are_averaged_with_what_is_expected() -> None:
    whole, chance = np.full(2, 100.0), np.array([9.0, 11.0])
    found = rock_fraction([8, 12], whole, chance)
    seen = 0.02**2 * 2 / 2 / 0.09**2
    expected = FIELDS_DIFFER**2 / 2 + 20 / 200**2 / 0.09**2
    reach = stats.t.ppf(0.975, 2) * math.sqrt((seen + expected) / 2)
    assert logit(found.high) == pytest.approx(logit(0.1) + reach)


def test_one_field_does_not_speak_for_the_rock() -> None:
    found = rock_fraction([10], [100], [1])
    assert found.value == 0.1
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("part", [0, 100])
def test_none_and_all_have_no_logit(part: int) -> None:
    for found in (rock_fraction([part] * 3, [100] * 3, [1] * 3),
                  field_fraction([part] * 9, [100] * 9, 1)):  # fmt: skip
        assert found.value == part / 100
        assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("differ", [0.0, 0.4])
@pytest.mark.parametrize("fields", [2, 3, 5, 10])
def test_intervals_for_the_rock_hold_the_truth(fields: int, differ: float) -> None:
    rng = np.random.default_rng(fields)
    hits = []
    for _ in range(800):
        found = rock_fraction(*draw_rock(rng, fields, differ=differ))
        hits.append(found.low <= 0.15 <= found.high)
    assert np.mean(hits) > 0.92


@pytest.mark.parametrize(("first", "second"), [(2, 2), (2, 6), (5, 5)])
def test_groups_of_one_rock_seldom_differ(first: int, second: int) -> None:
    rng = np.random.default_rng(first + second)
    false = []
    for _ in range(800):
        groups = [draw_rock(rng, fields, differ=0.3) for fields in (first, second)]
        found = rock_difference(*groups)
        false.append(found.low > 0 or found.high < 0)
    assert np.mean(false) < 0.07


def test_difference_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(1)
    poor, rich = (draw_rock(rng, 8, mean=mean, differ=0.2) for mean in (0.08, 0.25))
    found = rock_difference(poor, rich)
    assert found.value == pytest.approx(rich[0].sum() / 3200 - poor[0].sum() / 3200)
    assert 0 < found.low < 0.17 < found.high
    back = rock_difference(rich, poor)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert math.isnan(rock_difference([each[:1] for each in poor], rich).low)


def test_interval_within_a_field_holds_what_chance_makes_of_it() -> None:
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(600):
        part, _, chance = draw_rock(rng, 25)
        found = field_fraction(part, np.full(25, 400.0), chance.sum())
        hits.append(found.low <= 0.15 <= found.high)
    assert 0.93 < np.mean(hits) < 0.99


@pytest.mark.parametrize("clay", [1e-3, 1e-6, 1e-12])
def test_one_object_that_is_nearly_all_tells_nothing(clay: float) -> None:
    part = np.full(25, 400.0 * (1 - clay))
    found = field_fraction(part, np.full(25, 400.0), float(part.sum() ** 2))
    assert (found.low, found.high) == pytest.approx((0, 1), abs=1e-6)
    for limits in (rock_fraction([1 - clay] * 2, [1, 1], [1 - clay] * 2),
                   rock_difference(([1 - clay] * 2, [1, 1], [1 - clay] * 2),
                                   ([0.5, 0.6], [1, 1], [0.01, 0.01]))):  # fmt: skip
        assert math.isfinite(limits.low)
        assert math.isfinite(limits.high)


def test_clusters_widen_the_interval_within_a_field() -> None:
    part, whole = np.repeat([2.0, 20.0], [20, 5]), np.full(25, 100.0)
    few, many = (field_fraction(part, whole, chance) for chance in (1.0, 2000.0))
    between = 25 / 24 * np.sum((part - part.mean()) ** 2)
    reach = stats.t.ppf(0.975, 24) * math.sqrt(between) / 2500 / (0.056 * 0.944)
    assert logit(few.high) == pytest.approx(logit(0.056) + reach)
    assert many.high > few.high


def test_unevenness_is_told_from_chance() -> None:
    rng = np.random.default_rng(3)
    whole, strips = np.full(25, 400.0), (np.arange(25) // 5, np.arange(25) % 5)
    called = dict.fromkeys(("even", "bedded", "faintly bedded", "the same, blocks alone"), 0)
    for _ in range(300):
        part, _, chance = draw_rock(rng, 25)
        called["even"] += is_uneven(part, whole, chance.sum(), strips)
        for name, shares in (("bedded", (0.05, 0.3)), ("faintly bedded", (0.1, 0.22))):
            thin, thick = (draw_rock(rng, n, mean=m) for n, m in zip((10, 15), shares, strict=True))
            part, chance = (np.concatenate([thin[each], thick[each]]) for each in (0, 2))
            called[name] += is_uneven(part, whole, chance.sum(), strips)
        called["the same, blocks alone"] += is_uneven(part, whole, chance.sum())
    assert called["even"] < 0.05 * 300
    assert called["bedded"] > 0.9 * 300
    assert called["faintly bedded"] > 1.5 * called["the same, blocks alone"]
    assert not is_uneven([1], [10], 1)
    assert not is_uneven([0, 0], [10, 10], 0)


def test_nothing_seen_is_the_rule_of_three() -> None:
    rng = np.random.default_rng(4)
    most = unseen_fraction([400.0], 4.0)
    # A disc of 4 µm is seen in a field of 20 µm where its centre lies within 2 µm of it.
    number = rng.poisson(most * 60**2 / (np.pi * 4), 4000)
    unseen = 0
    for count in number:
        apart = np.abs(rng.uniform(-30, 30, (count, 2)))
        unseen += not (np.hypot(*np.maximum(apart - 10, 0).T) < 2).any()
    assert unseen / 4000 == pytest.approx(0.05, abs=0.01)
    assert unseen_fraction([400.0, 400.0], 4.0) == pytest.approx(most / 2)
    assert unseen_fraction([0.1], 4.0) == 1
    assert math.isnan(unseen_fraction([], 4.0))


def test_percentiles_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    truth = np.exp(0.5 * stats.norm.ppf([0.1, 0.5, 0.9]))
    hits = []
    for _ in range(300):
        size = rng.lognormal(0, 0.5, 300)
        found = interval_percentiles(size, np.ones(300), rng.integers(0, 6, 300), 6)
        hits.append([each.low <= t <= each.high for each, t in zip(found, truth, strict=True)])
    assert (np.mean(hits, axis=0) > 0.92).all()


def test_a_percentile_needs_objects_on_both_sides() -> None:
    size, unit = np.arange(1.0, 101), np.arange(100) % 5
    ten, fifty, ninety = interval_percentiles(size, np.ones(100), unit, 5)
    assert ten.low < ten.value < ten.high
    assert (fifty.value, ninety.value) == (50.5, 90.5)
    assert LEAST_BEYOND == 10
    fewer = interval_percentiles(size[:94], np.ones(94), unit[:94], 5)
    assert math.isnan(fewer[0].low)
    assert not math.isnan(fewer[1].low)
    # One object with half of the weight: few effective ones, however many there are.
    heavy = interval_percentiles(size, np.where(size == 80, 99, 1), unit, 5)
    assert math.isnan(heavy[2].low)
    for found in interval_percentiles([], [], [], 5):
        assert np.isnan([found.value, found.low, found.high]).all()


def test_doubled_lengths_double_the_interval() -> None:
    rng = np.random.default_rng(6)
    size, unit = rng.lognormal(0, 0.5, 300), rng.integers(0, 20, 300)
    once = interval_percentiles(size, np.ones(300), unit, 20)
    twice = interval_percentiles(2 * size, np.ones(300), unit, 20)
    for one, two in zip(once, twice, strict=True):
        assert (two.value, two.low, two.high) == pytest.approx(
            (2 * one.value, 2 * one.low, 2 * one.high)
        )


def test_order_of_objects_makes_no_difference() -> None:
    """Equal sizes with unlike weights come in another order from a turned mask."""
    rng = np.random.default_rng(7)
    size, weight = rng.integers(1, 13, 200).astype(float), rng.uniform(1, 2, 200)
    unit, order = rng.integers(0, 5, 200), rng.permutation(200)
    one = interval_percentiles(size, weight, unit, 5)
    other = interval_percentiles(size[order], weight[order], unit[order], 5)
    for each, same in zip(one, other, strict=True):
        assert (each.value, each.low, each.high) == pytest.approx(
            (same.value, same.low, same.high), rel=1e-12
        )
        assert each.low < each.high


def test_cumulative_curve_has_a_band() -> None:
    rng = np.random.default_rng(8)
    size, block = rng.lognormal(0, 0.5, 3000), rng.integers(0, 25, 3000)
    limits = [0.01, 0.5, 1, 2, 100]
    share, low, high = interval_shares(size, np.ones(3000), block, np.zeros(25), limits)
    assert share[[0, -1]].tolist() == [0, 1]
    np.testing.assert_allclose(share, [(size <= limit).mean() for limit in limits])
    binomial = stats.t.ppf(0.975, 24) * np.sqrt(share * (1 - share) / 3000)
    np.testing.assert_allclose((high - low)[1:4] / 2, binomial[1:4], rtol=0.4)
    fields = interval_shares(size, np.ones(3000), block, np.arange(25) % 2, limits)
    assert (fields[2] - fields[1])[2] > (high - low)[2]  # two fields tell less than 25 blocks
    assert np.isnan(interval_shares([], [], [], np.zeros(4), [1.0])[0]).all()
    assert np.isnan(interval_shares([1.0], [1.0], [0], [0], [2.0])[1]).all()
