"""Intervals are the textbook's, and cover what they say they cover."""

import numpy as np
import pytest
from scipy import stats

from nlcore.report.intervals import by_unit, estimate, estimate_strata, prediction

T_975_2 = 4.302652729696142  # Student's t, 2 degrees of freedom


def test_an_interval_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t(0.975, 2) = 4.3027."""
    found = estimate([1, 2, 3])
    reach = T_975_2 / np.sqrt(3)
    assert (found.mean, found.pairs, found.freedom) == (2, 3, 2)
    np.testing.assert_allclose([found.low, found.high], [2 - reach, 2 + reach])
    np.testing.assert_allclose(found.detectable, (T_975_2 + 1.0606601717798212) / np.sqrt(3))


def test_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 9))
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = estimate(ours - theirs)
    np.testing.assert_allclose([found.low, found.high], expected)


def test_two_strata_are_welchs_interval():
    """The mean of two strata is half their sum: its interval is half of Welch's, one side's sign turned."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=6), 3 * rng.normal(size=4)
    expected = stats.ttest_ind(one, -other, equal_var=False)
    interval = expected.confidence_interval(0.95)
    found = estimate_strata((tuple(one), tuple(other)))
    np.testing.assert_allclose([2 * found.low, 2 * found.high], interval)
    np.testing.assert_allclose(found.freedom, expected.df)


def test_pairs_of_one_unit_count_once():
    units = by_unit([1, 3, 5, 7], clusters=["a", "a", "b", "b"])
    assert units == ((2.0, 6.0),)
    assert estimate_strata(units).pairs == 2


def test_strata_weigh_alike_whatever_their_numbers():
    units = by_unit([0, 0, 0, 0, 10, 10], strata=["x", "x", "x", "x", "y", "y"])
    assert units == ((0.0,) * 4, (10.0, 10.0))
    assert estimate_strata(units).mean == 5


def test_missing_pairs_are_left_out_and_a_single_unit_bounds_nothing():
    assert by_unit([1.0, np.nan, 2.0]) == ((1.0, 2.0),)
    alone = estimate([1.0])
    assert not alone.bounded
    assert (alone.low, alone.high, alone.power(5), alone.power(0, -5, 5)) == (-np.inf, np.inf, 0, 0)
    assert not estimate_strata(((1.0, 2.0), (3.0,))).bounded, "a stratum whose spread no one knows"


def drawn(rng, units, clustered, strata=2):
    """Differences of mean 1 with what they share in a unit, and their units and strata."""
    panels = 2 if clustered else 1
    shared = rng.normal(size=(strata, units, 1)) * np.arange(1, strata + 1)[:, None, None]
    values = 1 + shared + 0.5 * rng.normal(size=(strata, units, panels))
    place = np.broadcast_to(np.arange(strata)[:, None, None], values.shape).ravel()
    unit = np.broadcast_to(np.arange(units)[None, :, None], values.shape).ravel()
    return values.ravel(), list(zip(place, unit, strict=True)), place


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("units", [5, 10, 20])
def test_intervals_cover_the_truth_as_often_as_they_say(units, clustered):
    """95 % within a point: 20,000 draws have a standard error of 0.15 points; two strata of unequal spread."""
    rng, draws = np.random.default_rng(units), 20_000
    _, clusters, strata = drawn(rng, units, clustered)
    pooled = np.stack([drawn(rng, units, clustered)[0] for _ in range(draws)])
    means = pooled.reshape(draws, 2, units, -1).mean(axis=3)
    found = estimate_strata(by_unit(pooled[0], clusters, strata))
    np.testing.assert_allclose(found.mean, means[0].mean())  # what is vectorised below is what the function does
    spread = means.var(axis=2, ddof=1) / units
    error = np.sqrt(spread.sum(axis=1)) / 2
    freedom = spread.sum(axis=1) ** 2 / (spread**2 / (units - 1)).sum(axis=1)
    np.testing.assert_allclose([found.error, found.freedom], [error[0], freedom[0]])
    covered = np.abs(means.mean(axis=(1, 2)) - 1) <= stats.t.ppf(0.975, freedom) * error
    assert abs(covered.mean() - 0.95) < 0.01
    one = means[:, 0]  # one stratum: the paired t interval
    covered = np.abs(one.mean(axis=1) - 1) <= stats.t.ppf(0.975, units - 1) * one.std(axis=1, ddof=1) / units**0.5
    assert abs(covered.mean() - 0.95) < 0.01


def test_without_clusters_what_is_shared_counts_twice_and_the_interval_is_too_narrow():
    """What clustering is for: two panels of one data set are not two data sets."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        values, _, _ = drawn(rng, 5, clustered=True, strata=1)
        found = estimate(values)
        hits += found.low <= 1 <= found.high
    assert hits / 400 < 0.9


def test_power_is_how_often_the_interval_lies_above_zero():
    """At a true mean of 1, spread 1, six seeds; the error that a run finds is itself drawn, so power is averaged."""
    draws = np.random.default_rng(0).normal(1, 1, size=(4000, 6))
    found = [estimate(row) for row in draws]
    known = stats.nct.sf(stats.t.ppf(0.975, 5), 5, 1 / (1 / np.sqrt(6)))
    assert abs(np.mean([one.low > 0 for one in found]) - known) < 0.02
    exact = estimate(np.array([-1, 1, -1, 1, -1, 1]) * np.sqrt(5 / 6) + 1)  # spread 1 to the digit
    np.testing.assert_allclose(exact.power(1.0), known)
    assert exact.power(0.0) == pytest.approx(0.025)
    assert exact.power(50.0) == pytest.approx(1.0)


def test_power_within_a_margin_is_how_often_the_interval_lies_in_it():
    draws = np.random.default_rng(0).normal(0, 1, size=(4000, 20))
    found = [estimate(row) for row in draws]
    inside = np.mean([one.low > -0.8 and one.high < 0.8 for one in found])
    assert abs(np.mean([one.power(0, -0.8, 0.8) for one in found]) - inside) < 0.05
    assert estimate([0.0, 0.0]).power(0, -0.1, 0.1) == 1
    assert estimate([-5.0, 5.0]).power(0, -0.1, 0.1) == 0


def test_power_minds_both_bounds_and_the_size():
    """0.4 in 0 to 0.5: as the interval must lie in it, half of what zero to 0.8 around the middle would have."""
    draws = np.random.default_rng(3).normal(0.4, 0.2, size=(4000, 12))
    found = [estimate(row) for row in draws]
    inside = np.mean([one.low > 0 and one.high < 0.5 for one in found])
    assert abs(np.mean([one.power(0.4, 0, 0.5) for one in found]) - inside) < 0.05
    assert inside < 0.4 < np.mean([one.power(0.25, 0, 0.5) for one in found])
    below = estimate([-1.0, -2.0, -3.0])
    assert below.power(-2, -np.inf, 0) == pytest.approx(estimate([1.0, 2.0, 3.0]).power(2))


def test_the_chance_beyond_a_bound_is_the_one_sided_t_test():
    values = np.random.default_rng(2).normal(-0.3, 1, size=8)
    expected = stats.ttest_1samp(values, 0.2, alternative="less").pvalue
    np.testing.assert_allclose(estimate(values).chance_beyond(0.2), expected)


def test_nineteen_of_twenty_next_runs_lie_in_the_prediction_interval():
    rng = np.random.default_rng(0)
    runs, following = rng.normal(size=(4000, 5)), rng.normal(size=4000)
    inside = [low <= new <= high for (low, high), new in zip(map(prediction, runs), following, strict=True)]
    assert abs(np.mean(inside) - 0.95) < 0.01
    assert prediction([1.0]) == (-np.inf, np.inf)
