"""Series in draws of the test images: pandas carries the draws, intervals read the error off them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nlcore.errors import InputError
from nlcore.report.draws import by_seed, error_of_draws, in_draws, mean_but, measured
from nlcore.report.intervals import estimate, estimate_strata
from nlcore.report.verdicts import Verdict, decide, decide_within


def runs(values, moved, **columns):
    return pd.DataFrame({"seed": range(len(values)), "map": values, "map_moved": list(moved), **columns})


def test_differences_go_draw_by_draw():
    """What moves both alike cancels: the test images are the same."""
    common, own = np.random.default_rng(0).normal(size=(2, 200))
    ours = by_seed(runs([50.0, 51.0], [common + 0.1 * own] * 2), "map")
    theirs = by_seed(runs([48.0, 49.5], [common] * 2), "map")
    gain = ours - theirs
    np.testing.assert_allclose(error_of_draws(gain), 0.1 * own.std(ddof=1), rtol=1e-5)
    assert error_of_draws(ours) > 5 * error_of_draws(gain)
    assert measured(gain).tolist() == [2.0, 1.5]


def test_what_moves_one_seed_alone_is_in_the_spread_of_the_seeds_already():
    rng = np.random.default_rng(1)
    common, own = rng.normal(size=200), rng.normal(size=(5, 200))
    found = error_of_draws(by_seed(runs(np.zeros(5), common + own), "map"))
    assert 0.85 < found < 1.15
    alone = error_of_draws(by_seed(runs(np.zeros(5), own), "map"))
    assert alone < 0.3


def test_means_over_levels_keep_the_draws():
    frame = pd.concat([runs([50.0, 52.0], np.full((2, 3), shift), noise=shift) for shift in (0.2, 0.4)])
    drawn = in_draws(frame, "map", "map_moved").set_index(["noise", "seed", "draw"])["map"]
    found = mean_but(drawn, "noise")
    assert found.xs(0, level="draw").tolist() == [50.0, 52.0]
    np.testing.assert_allclose(found.xs(3, level="draw"), [50.3, 52.3])


def test_without_draws_the_seeds_decide_alone():
    plain = [1.0, 1.2, 0.8]
    some = by_seed(runs(plain, [np.ones(3), None, np.ones(3)]), "map")
    none = by_seed(runs(plain, [None] * 3), "map")
    for series in (none, none.iloc[:0]):
        assert error_of_draws(series) is None
    assert estimate(none) == estimate(plain)
    known = by_seed(runs([0.0] * 3, np.random.default_rng(0).normal(size=(3, 5))), "map")
    assert estimate(none - known) == estimate(plain), "one of two is not known in draws: neither is the difference"
    assert len(some) == 3 + 2 * 3, "the run without draws is there as measured"
    assert measured(some).tolist() == plain


def covered(seeds, images, together):
    """How often both intervals hold the truth, the one over the seeds alone second; 20,000 trials.

    images, together: what the test images do to all seeds alike, and to each in its own way, in spreads of a seed.
    """
    rng, trials = np.random.default_rng(seeds), 20_000
    own = np.sqrt(1 + together**2) * rng.normal(size=(trials, seeds))
    values = 1 + own + images * rng.normal(size=(trials, 1))
    units, common = values.var(axis=1, ddof=1) / seeds, images**2
    freedom = (units + common) ** 2 / (units**2 / (seeds - 1) + common**2 / 199)
    alone = stats.t.ppf(0.975, seeds - 1) * np.sqrt(units)
    reach = np.maximum(stats.t.ppf(0.975, freedom) * np.sqrt(units + common), alone)
    found = estimate_strata((tuple(values[0]),), images)  # what is vectorised here is what the function does
    np.testing.assert_allclose([found.low, found.high], values[0].mean() + reach[0] * np.array([-1, 1]))
    np.testing.assert_allclose(found.share_of_images, common / (units[0] + common))
    off = np.abs(values.mean(axis=1) - 1)
    return np.mean(off <= reach), np.mean(off <= alone)


@pytest.mark.parametrize("seeds", [5, 10, 20])
@pytest.mark.parametrize(("images", "together"), [(0, 0), (0.2, 0), (0.5, 0), (1, 0), (0.5, 1), (0, 2)])
def test_intervals_cover_other_seeds_and_other_test_images(seeds, images, together):
    """95 % within a point."""
    both, alone = covered(seeds, images, together)
    assert abs(both - 0.95) < 0.01
    if images >= 1:
        assert alone < 0.9, "seeds alone promise too much"


@pytest.mark.parametrize("images", [0.3, 0.7, 2.0])
@pytest.mark.parametrize("seeds", [2, 3])
def test_with_two_seeds_or_three_it_is_not_too_narrow(seeds, images):
    assert 0.935 < covered(seeds, images / np.sqrt(seeds), 0.0)[0] < 0.99


def test_draws_beside_clusters_are_refused():
    series = by_seed(runs([1.0, 2.0], np.ones((2, 5))), "map")
    with pytest.raises(InputError, match="differences: found in draws beside clusters or strata; expected only one"):
        decide("a", series, clusters=["x", "y"])


def test_too_few_test_images_leave_open_what_the_seeds_agree_on():
    rng = np.random.default_rng(1)
    values = [1.0, 1.1, 0.9, 1.0, 1.05]
    sure = by_seed(runs(values, [0.1 * rng.normal(size=200)] * 5), "map")
    unsure = by_seed(runs(values, [2.0 * rng.normal(size=200)] * 5), "map")
    assert decide("a", sure).verdict == decide("a", values).verdict == Verdict.HOLDS
    assert decide("a", unsure).verdict == Verdict.INCONCLUSIVE
    assert decide_within("a", sure, 1.5).verdict == Verdict.HOLDS
    assert decide_within("a", unsure, 1.5).verdict == Verdict.INCONCLUSIVE
    part = decide("a", unsure)
    assert part.differences == decide("a", values).differences
    assert part.of_images == error_of_draws(unsure)
