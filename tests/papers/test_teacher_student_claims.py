"""Each claim of teacher_student is fed results that bear it out and results that do not."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nlcore.papers.teacher_student.claims import decide_claims
from nlcore.papers.teacher_student.protocol import CONTRACT, METHODS
from nlcore.papers.teacher_student.study import VARIANTS, WITHOUT_FRACTION, Study
from nlcore.report.verdicts import Verdict

SAID = CONTRACT.published()
FRACTIONS = (0.05, 0.1, 0.3, 0.5, 1.0)


def study(value):
    """Five seeds whose scores are `value(series, fraction, metric)`, and a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        {"series": s, "fraction": 0.0 if s in WITHOUT_FRACTION else f, "seed": seed, "equal_budget": False,
         "metric": metric, "value": value(s, f, metric) + rng.normal(scale=1e-5)}
        for s, f, seed, metric in itertools.product((*METHODS, *VARIANTS), FRACTIONS, range(5), ("mAP", "AP_all"))
        if s not in WITHOUT_FRACTION or f == FRACTIONS[0]
    ]  # fmt: skip
    return Study(pd.DataFrame(rows))


def decided(value, id):
    made = replace(study(value), open_images=study(value))
    return next(v for v in decide_claims(made) if v.claim.id == id)


def verdict(value, id):
    return decided(value, id).verdict


def as_published(series, fraction, metric):
    """The published values, stretched a little so that every published difference lies below ours."""
    later = metric == "AP_all"
    tables = {"table_4": ("linear",), "table_5": ("none", "teacher_only", "student_only"), "table_6": ("soft",)}
    for table, names in tables.items():
        if series in names and fraction in (0.05, 0.1):
            return 1.05 * SAID[table][series][2 * later + (fraction == 0.1)]
    if series == "proposed" and fraction == 0.1:
        return 1.05 * SAID["table_4"]["proposed"][2 * later + 1]
    if series in SAID["table_2"] and fraction in (0.05, 0.3, 0.5):
        return 1.05 * SAID["table_2"][series][3 * later + (0.05, 0.3, 0.5).index(fraction)]
    if series in SAID["table_3"] and fraction == 1.0:
        return 1.05 * SAID["table_3"][series][later]
    return 1.05 * SAID["table_4"]["proposed"][2 * later + (fraction == 0.1)]


@pytest.mark.parametrize("id", [f"ts{n}" for n in range(1, 9)])
def test_the_published_numbers_bear_their_claims_out(id):
    if id == "ts7":  # `noisy` has one value for all shares here; on Open Images it is another
        value = lambda s, f, m: SAID["table_3"].get(s, [0, 0])[m == "AP_all"] - 0.1 * (s != "proposed")
        assert verdict(value, id).confirms
    else:
        assert verdict(as_published, id).confirms


@pytest.mark.parametrize("id", [f"ts{n}" for n in range(1, 9)])
def test_reversed_numbers_do_not(id):
    best = {"tanh": 0.1, "relu": 0.9}
    assert verdict(lambda s, f, m: best.get(s, 1 - as_published(s, f, m)), id) == Verdict.CONTRADICTED


def test_without_open_images_its_claim_is_not_run_and_says_what_is_missing():
    found = next(v for v in decide_claims(study(as_published)) if v.claim.id == "ts7")
    assert found.verdict == Verdict.NOT_RUN
    assert "Open Images V1" in found.speaking.reason


def test_the_sign_of_the_overtaking_is_checked_at_each_share():
    always_ahead = lambda s, f, m: 0.9 if s == "finetune_whole" else 0.5
    assert verdict(always_ahead, "ts2") == Verdict.CONTRADICTED
