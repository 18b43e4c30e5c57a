"""Series in draws of the test images: pandas carries the draws, intervals read the error off them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

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
    for series in (some, none, none.iloc[:0]):
        assert error_of_draws(series) is None
    assert estimate(some) == estimate(none) == estimate(plain)
    only_as_measured = some - by_seed(runs([0.0] * 3, np.ones((3, 5))), "map")
    assert estimate(only_as_measured) == estimate(plain), "one of two is not known in draws: neither is the difference"


@pytest.mark.parametrize("seeds", [5, 10, 20])
@pytest.mark.parametrize("images", [0.3, 1.0, 3.0])
def test_intervals_cover_other_seeds_and_other_test_images(seeds, images):
    """95 % within a point. `images`: the error by the test images, in those of the mean over the seeds."""
    rng, trials = np.random.default_rng(seeds), 20_000
    of_images = images / np.sqrt(seeds)
    values = 1 + rng.normal(size=(trials, seeds)) + of_images * rng.normal(size=(trials, 1))
    found = estimate_strata((tuple(values[0]),), of_images)
    spread = values.var(axis=1, ddof=1) / seeds  # what is vectorised below is what the function does
    error = np.sqrt(spread + of_images**2)
    freedom = (spread + of_images**2) ** 2 / (spread**2 / (seeds - 1))
    np.testing.assert_allclose([found.error, found.freedom], [error[0], freedom[0]])
    np.testing.assert_allclose(found.images, of_images**2 / error[0] ** 2)
    reach = stats.t.ppf(0.975, freedom) * error
    assert abs(np.mean(np.abs(values.mean(axis=1) - 1) <= reach) - 0.95) < 0.01
    alone = stats.t.ppf(0.975, seeds - 1) * np.sqrt(spread)
    assert (alone <= reach * 1.5).all()
    if images >= 1:
        assert np.mean(np.abs(values.mean(axis=1) - 1) <= alone) < 0.9, "seeds alone promise too much"


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
