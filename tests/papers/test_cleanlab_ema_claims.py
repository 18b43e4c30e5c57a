"""Each claim of cleanlab_ema is fed results that bear it out and results that do not."""

import itertools
from dataclasses import replace

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


PANEL = (("small", "random_forest"),)


def study(value, panels=PANEL):
    """Ten datasets of each panel whose scores are `value(pooling, metric)`, and a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        {"group": group, "classifier": classifier, "seed": seed, "pooling": pooling, "metric": metric,
         "value": value(pooling, metric) + rng.normal(scale=1e-4)}
        for (group, classifier), seed, pooling, metric in itertools.product(panels, range(10), ALL, METRICS)
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
    assert verdict(holding, id).confirms
    assert verdict(breaking, id) == Verdict.CONTRADICTED


def test_a_difference_smaller_than_published_holds_in_direction_only():
    assert verdict(lambda p, m: 0.5 if p == "log" else 0.501, "ce4") == Verdict.DIRECTION


def test_a_reversal_in_one_panel_is_part_of_the_verdict():
    """EMA ahead of log with logistic regression, by far, and behind it with the forest."""
    linear = ("small", "logistic_regression")
    ahead, behind = (study(lambda p, m, by=by: 0.5 - by * (p == "log"), panels) for by, panels in
                     ((0.3, (linear,)), (-0.01, PANEL)))  # fmt: skip
    both = replace(ahead, scores=pd.concat([ahead.scores, behind.scores]))
    found = next(decided for decided in decide_claims(both) if decided.claim.id == "ce4")
    by_name = {part.name: part for part in found.parts}
    assert by_name["AP@T: ema(alpha=0.8) minus log (all panels)"].verdict.confirms
    assert by_name["AP@T: ema(alpha=0.8) minus log (small, logistic regression)"].verdict.confirms
    assert by_name["AP@T: ema(alpha=0.8) minus log (small, random forest)"].verdict == Verdict.CONTRADICTED
    assert found.verdict == Verdict.CONTRADICTED


def test_both_classifiers_of_a_dataset_count_as_one():
    found = decide_claims(study(CASES["ce4"][0], (("small", "logistic_regression"), *PANEL)))
    pairs = {part.name.rpartition("(")[2]: part.estimate.pairs for part in found[3].parts}
    assert pairs == {"small, logistic regression)": 10, "small, random forest)": 10, "all panels)": 10}


def test_a_panel_of_one_dataset_is_left_out():
    """A group whose second panel has one dataset: no interval can be had of it."""
    forest = study(CASES["ce4"][0], (("large", "random_forest"),))
    one = replace(forest, scores=forest.scores[forest.scores.seed == 0])
    rest = study(CASES["ce4"][0], (("large", "logistic_regression"), *PANEL))
    found = decide_claims(replace(rest, scores=pd.concat([rest.scores, one.scores])))[3]
    places = {part.name.rpartition("(")[2] for part in found.parts}
    assert places == {"large, logistic regression)", "small, random forest)", "all panels)"}
    alone = decide_claims(one)[3]
    assert {part.verdict for part in alone.parts} == {Verdict.NOT_RUN}
    assert len(alone.parts) == len(METRICS)


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
