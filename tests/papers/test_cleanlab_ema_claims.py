"""Each claim of cleanlab_ema is fed results that bear it out and results that do not."""

import itertools

import numpy as np
import pandas as pd
import pytest

from nlcore.papers.cleanlab_ema.claims import EMA, decide_claims
from nlcore.papers.cleanlab_ema.published import published_table
from nlcore.papers.cleanlab_ema.scoring import ALPHAS, HEADLINE, POOLINGS, pooling_name
from nlcore.papers.cleanlab_ema.study import Study
from nlcore.papers.cleanlab_ema.words import METRICS
from nlcore.report.verdicts import Verdict

ALL = [pooling_name(pooling, options) for pooling, options in POOLINGS]

_forest = published_table().query("group == 'small' and classifier == 'random_forest'")
_forest = _forest.pivot_table(index="metric", columns="pooling", values="mean")
PUBLISHED_GAP = (_forest[EMA] - _forest["weighted_cumulative"]).to_dict()  # a size that bears the claim out


def study(value):
    """A study of ten datasets whose scores are `value(pooling, metric)`, and a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        {"group": "small", "classifier": "random_forest", "seed": seed, "pooling": pooling, "metric": metric,
         "value": value(pooling, metric) + rng.normal(scale=1e-4)}
        for seed, pooling, metric in itertools.product(range(10), ALL, METRICS)
    ]  # fmt: skip
    return Study(pd.DataFrame(rows), pd.DataFrame(), pd.DataFrame())


def verdict(value, id):
    return next(decided.verdict for decided in decide_claims(study(value)) if decided.claim.id == id)


def alpha_of(pooling):
    return ALPHAS[[pooling_name("ema", {"alpha": alpha}) for alpha in ALPHAS].index(pooling)]


def min_like(pooling, metric):
    if pooling not in ("min", "softmin(temperature=0.1)"):
        return 0.5
    return 0.9 if metric == "ap_at_t" else 0.1


def by_alpha(sign):
    def value(pooling, metric):
        if not pooling.startswith("ema"):
            return 0.5
        return 0.5 + sign * 0.4 * alpha_of(pooling) * (1 if metric == "ap_at_t" else -1)

    return value


CASES = {
    "ce1": (lambda p, m: 0.9 if p == EMA else 0.5 - 0.01 * ALL.index(p), lambda p, m: 0.1 if p == EMA else 0.5),
    "ce2": (min_like, lambda p, m: 1 - min_like(p, m)),
    "ce3": (
        lambda p, m: 0.6 if p == EMA else 0.5995 - max(0.0, PUBLISHED_GAP[m]),
        lambda p, m: 0.6 if p == EMA else 0.3,  # better, but not close
    ),
    "ce4": (lambda p, m: 0.3 if p == "log" else 0.8, lambda p, m: 0.8 if p == "log" else 0.3),
    "ce5": (by_alpha(1), by_alpha(-1)),
}


@pytest.mark.parametrize("id", CASES)
def test_a_claim_holds_and_fails_with_its_results(id):
    holding, breaking = CASES[id]
    assert verdict(holding, id) == Verdict.HOLDS
    assert verdict(breaking, id) == Verdict.FAILS


def test_a_difference_smaller_than_published_holds_in_direction_only():
    assert verdict(lambda p, m: 0.5 if p == "log" else 0.501, "ce4") == Verdict.DIRECTION


def test_the_published_numbers_themselves_put_softmin_before_ema_for_any_error():
    table = published_table().query("metric == 'ap_at_t'").pivot_table(
        index=["group", "classifier"], columns="pooling", values="mean"
    )  # fmt: skip
    assert (table["softmin(temperature=0.1)"] > table[EMA]).all()
    assert (table["min"] > table[EMA]).sum() == 3
    two = published_table().query("metric == 'ap_at_t_2'").pivot_table(
        index=["group", "classifier"], columns="pooling", values="mean"
    )  # fmt: skip
    assert (two["cumulative(k=2)"] > two[EMA]).all()


def test_every_published_row_has_a_name_of_ours():
    table = published_table()
    assert len(table) == 108 * 6
    assert set(table.pooling) == set(ALL)
    assert set(HEADLINE) <= set(ALL)
