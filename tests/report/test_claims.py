"""A claim has the word of its weakest part, after correction for their number, and says how many hold."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nlcore.report.claims import LEVEL, ClaimVerdict, among_all, claims_table, verdict_table
from nlcore.report.contract import Claim
from nlcore.report.evidence import Evidence
from nlcore.report.verdict_file import write_verdicts
from nlcore.report.verdicts import Verdict, decide, decide_within, not_run, not_testable, said_on

CLAIM = Claim("x1", "it helps", "mAP", "difference", None)
STEADY = np.array([0.9, 1.0, 1.1, 1.0, 1.0])
WIDE = np.array([-1, 1, -1, 1, 0.1])


def with_chance(p, pairs=6):
    """Differences below zero with this one-sided p value."""
    spread = np.array([-1, 1] * (pairs // 2)) / np.sqrt(pairs / (pairs - 1))
    return spread + stats.t.ppf(p, pairs - 1) / np.sqrt(pairs)


def words(parts):
    return [part.verdict for part in among_all(parts)]


def test_the_chances_are_what_the_test_thinks():
    part = decide("a", with_chance(0.01))
    assert part.region.chance(part.estimate) == pytest.approx(0.01)


def test_one_part_alone_contradicts_where_its_interval_excludes_zero():
    assert words([decide("a", with_chance(0.02))]) == [Verdict.CONTRADICTED]
    assert words([decide("a", with_chance(0.03))]) == [Verdict.INCONCLUSIVE]


def test_among_many_parts_a_weak_contradiction_is_none():
    """Holm: the smallest of m chances is held against 2.5 % / m, the next against 2.5 % / (m - 1), until one fails."""
    weak, strong, holds = decide("w", with_chance(0.02)), decide("s", with_chance(0.001)), decide("h", STEADY)
    assert words([weak, holds]) == [Verdict.INCONCLUSIVE, Verdict.HOLDS]  # 0.02 > 0.0125
    assert words([weak, strong]) == [Verdict.CONTRADICTED, Verdict.CONTRADICTED]  # 0.001 < 0.0125, then 0.02 < 0.025
    assert words([weak, strong, holds]) == [Verdict.INCONCLUSIVE, Verdict.CONTRADICTED, Verdict.HOLDS]
    softened = among_all([weak, holds])[0]
    assert softened.reason == f"{weak.reason}; among 2 parts that may be chance (Holm)"
    assert softened.differences == weak.differences, "the numbers are what they were"


def test_parts_that_no_one_ran_are_not_counted():
    weak = decide("w", with_chance(0.02))
    assert words([weak, not_run("n", "no data"), not_testable("t", "by construction")])[0] == Verdict.CONTRADICTED


def test_confirmations_are_not_corrected_since_all_of_them_are_needed():
    barely = decide("a", -with_chance(0.02))
    assert words([barely] * 20) == [Verdict.HOLDS] * 20


def test_true_claims_of_many_parts_are_contradicted_no_more_often_than_one_is():
    """Twenty parts whose true mean is zero, the edge of the claim: 2.5 % of the claims, not 40 %."""
    rng = np.random.default_rng(0)
    claims = [tuple(decide("a", row) for row in rng.normal(size=(20, 6))) for _ in range(300)]
    alone = np.mean([any(part.verdict == Verdict.CONTRADICTED for part in parts) for parts in claims])
    together = np.mean([ClaimVerdict(CLAIM, parts).verdict == Verdict.CONTRADICTED for parts in claims])
    assert alone > 0.25
    assert together < LEVEL + 3 * np.sqrt(LEVEL / 300)


def test_a_claim_tells_its_share_its_power_and_its_weakest_part():
    parts = (
        decide("at 20 %", STEADY, published=28),
        decide("at 40 %", WIDE, published=0.3),
        not_run("at 60 %", "no data"),
    )
    decided = ClaimVerdict(replace(CLAIM, published=28), parts)
    assert (decided.verdict, decided.speaking.name) == (Verdict.INCONCLUSIVE, "at 40 %")
    assert (decided.confirmed, decided.share) == (1, "1 of 3")
    assert decided.power is None, "what was not run is not confirmed"
    assert ClaimVerdict(CLAIM, tuple(parts[:2])).power == parts[1].power
    assert ClaimVerdict(CLAIM, (decide("a", STEADY),)).power is None
    (row,) = claims_table([decided]).to_dict("records")
    assert row == {"claim": "x1", "says": "it helps", "verdict": "inconclusive", "evidence": "exact",
                   "parts that hold": "1 of 3", "weakest part": "at 40 %"}  # fmt: skip
    table = verdict_table([decided])
    assert list(table.verdict) == ["holds in direction", "inconclusive", "not run"]
    assert table["smallest detectable"][0] > 0
    assert list(table.says) == ["above zero"] * 3
    assert list(table.pairs) == [5, 5, 0]


def test_what_was_not_seen_is_weaker_than_what_was_not_run():
    parts = decide("a", STEADY), not_run("b", "no data"), decide("c", -STEADY)
    decided = ClaimVerdict(CLAIM, parts, Evidence.STAND_IN)
    assert (decided.verdict, decided.speaking.name) == (Verdict.NOT_SEEN, "c")


NUMBERS = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=1, max_size=8)


@given(found=st.lists(st.tuples(NUMBERS, st.none() | st.floats(-50, 50), st.floats(0.01, 50)), min_size=1, max_size=4))
def test_a_stand_in_contradicts_nothing_whatever_the_intervals(found):
    parts = [decide("above zero", differences, published=published) for differences, published, _ in found]
    parts += [decide_within("within", differences, margin) for differences, _, margin in found]
    exact, stand_in = (ClaimVerdict(CLAIM, tuple(parts), evidence) for evidence in (Evidence.EXACT, Evidence.STAND_IN))
    assert Verdict.CONTRADICTED not in {stand_in.verdict, *(part.verdict for part in stand_in.parts)}
    said = json.loads(write_verdicts([stand_in]))["claims"][0]
    assert "contradicted" not in {said["verdict"], said["speaking"]["verdict"], *(p["verdict"] for p in said["parts"])}
    assert "contradicted" not in set(verdict_table([stand_in]).verdict)
    assert stand_in.verdict == said_on(Evidence.STAND_IN, exact.verdict)
    assert stand_in.speaking.name == exact.speaking.name
