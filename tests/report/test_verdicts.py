"""Verdicts follow from intervals, and intervals from the textbook."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nlcore.report.contract import Claim
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import (
    ClaimVerdict,
    Verdict,
    decide,
    decide_within,
    estimate,
    not_tested,
    said_on,
    verdict_table,
    verdicts_by_profile,
    weakest,
)

STEADY = [0.9, 1.0, 1.1, 1.0, 1.0]  # mean 1, interval about 0.91 to 1.09


def test_an_interval_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t(0.975, 2) = 4.3027."""
    found = estimate([1, 2, 3])
    reach = 4.302652729696142 / np.sqrt(3)
    assert (found.mean, found.seeds) == (2, 3)
    np.testing.assert_allclose([found.low, found.high], [2 - reach, 2 + reach])
    np.testing.assert_allclose(found.detectable, (4.302652729696142 + 1.0606601717798212) / np.sqrt(3))


def test_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 9))
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = estimate(ours - theirs)
    np.testing.assert_allclose([found.low, found.high], expected)


@pytest.mark.parametrize(
    ("differences", "published", "verdict"),
    [
        (STEADY, None, Verdict.HOLDS),
        (STEADY, 1.0, Verdict.HOLDS),  # the published size lies inside the interval
        (STEADY, 0.5, Verdict.HOLDS),  # ... or below it
        (STEADY, 28.0, Verdict.DIRECTION),  # ... or far above
        ([-d for d in STEADY], None, Verdict.FAILS),
        ([-d for d in STEADY], 1.0, Verdict.FAILS),
        ([-1, 1, -1, 1, 0.1], None, Verdict.FAILS),  # nothing to see, and no size to have looked for
        ([-1, 1, -1, 1, 0.1], 0.5, Verdict.NOT_TESTED),  # too noisy to have seen 0.5
        ([-0.1, 0.1, -0.1, 0.1, 0], 0.5, Verdict.FAILS),  # 0.5 would have been seen
        ([-1, 1, -1, 1, 0.1], -0.5, Verdict.FAILS),  # the published numbers contradict the claim as well
        ([1.0], 1.0, Verdict.NOT_TESTED),
    ],
)
def test_a_part_is_decided_by_its_interval(differences, published, verdict):
    assert decide("part", differences, published=published).verdict == verdict


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.1, -0.1, 0.05, 0.0], Verdict.HOLDS),
        ([-0.1, 0.1, -0.05, 0.0], Verdict.HOLDS),
        ([2.0, 2.1, 1.9, 2.0], Verdict.FAILS),
        ([-2.0, -2.1, -1.9, -2.0], Verdict.FAILS),
        ([5.0, -5.0, 4.0, -4.0], Verdict.NOT_TESTED),
    ],
)
def test_two_things_are_alike_where_the_whole_interval_lies_within_the_margin(differences, verdict):
    assert decide_within("part", differences, 1.0).verdict == verdict


def test_a_claim_is_as_good_as_its_weakest_part():
    holds, direction = decide("a", STEADY), decide("b", STEADY, published=28)
    open_, fails = not_tested("c", "no data"), decide("d", [-d for d in STEADY])
    assert weakest([holds, holds]) == Verdict.HOLDS
    assert weakest([holds, direction]) == Verdict.DIRECTION
    assert weakest([direction, open_]) == Verdict.NOT_TESTED
    assert weakest([open_, fails, holds]) == Verdict.FAILS


def test_a_verdict_tells_every_part_with_what_could_have_been_shown():
    claim = Claim("x1", "it helps", "mAP", "difference", 28)
    decided = ClaimVerdict(claim, (decide("at 20 %", STEADY, published=28), not_tested("at 60 %", "no data")))
    table = verdict_table([decided])
    assert list(table.verdict) == ["holds in direction", "not tested"]
    assert table["smallest detectable"][0] > 0
    told = decided.as_json()
    assert told["verdict"] == "not tested"
    assert told["speaking"]["name"] == "at 60 %"
    assert told["parts"][0]["mean"] == 1.0
    assert told["evidence"] == "exact"
    assert list(table.evidence) == ["exact", "exact"]


CLAIM = Claim("x1", "it helps", "mAP", "difference", None)
DIRECTIONS = {
    "above": (decide("a", STEADY), "holds"),
    "above, smaller than published": (decide("a", STEADY, published=28), "holds in direction"),
    "too wide": (decide("a", [-1, 1, -1, 1, 0.1], published=0.5), "not tested"),
    "around zero": (decide("a", [-0.1, 0.1, -0.1, 0.1, 0], published=0.5), "does not hold"),
    "below": (decide("a", [-d for d in STEADY]), "does not hold"),
    "within the margin": (decide_within("a", [0.1, -0.1, 0.05, 0.0], 1), "holds"),
    "beyond the margin": (decide_within("a", STEADY, 0.5), "does not hold"),
}


@pytest.mark.parametrize("evidence", Evidence)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_word_for_every_direction_of_the_interval_on_every_evidence(direction, evidence):
    part, word = DIRECTIONS[direction]
    if evidence is Evidence.STAND_IN and word == "does not hold":
        word = "not seen here"
    decided = ClaimVerdict(CLAIM, (part,), evidence)
    told, (row,) = decided.as_json(), verdict_table([decided]).to_dict("records")
    assert (decided.verdict, decided.speaking.verdict, row["verdict"]) == (word, word, word)
    assert (told["verdict"], told["speaking"]["verdict"], told["parts"][0]["verdict"]) == (word, word, word)
    assert told["evidence"] == row["evidence"] == evidence.value
    assert decided.parts[0].estimate == part.estimate  # the numbers are what they were


def test_what_was_not_seen_is_weaker_than_what_was_not_tested():
    parts = decide("a", STEADY), not_tested("b", "no data"), decide("c", [-d for d in STEADY])
    decided = ClaimVerdict(CLAIM, parts, Evidence.STAND_IN)
    assert (decided.verdict, decided.speaking.name) == (Verdict.NOT_SEEN, "c")


NUMBERS = st.lists(st.floats(-100, 100), min_size=1, max_size=8)


@given(found=st.lists(st.tuples(NUMBERS, st.none() | st.floats(-50, 50), st.floats(0.01, 50)), min_size=1, max_size=4))
def test_a_stand_in_refutes_nothing_whatever_the_intervals(found):
    parts = [decide("above zero", differences, published=published) for differences, published, _ in found]
    parts += [decide_within("within", differences, margin) for differences, _, margin in found]
    exact, stand_in = (ClaimVerdict(CLAIM, tuple(parts), evidence) for evidence in (Evidence.EXACT, Evidence.STAND_IN))
    assert Verdict.FAILS not in {stand_in.verdict, *(part.verdict for part in stand_in.parts)}
    assert "does not hold" not in json.dumps(stand_in.as_json()) + verdict_table([stand_in]).to_csv()
    assert stand_in.verdict == said_on(Evidence.STAND_IN, exact.verdict)
    assert stand_in.speaking.name == exact.speaking.name


def test_a_claim_stands_beside_its_verdicts_at_the_profiles_that_were_run(tmp_path):
    for name, found in (("simulated", decide("a", STEADY)), ("embedded.seeds-0", decide("a", STEADY))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "verdicts.json").write_text(json.dumps([ClaimVerdict(CLAIM, (found,)).as_json()]))
    (tmp_path / "paper").mkdir()
    early = {"id": "x1", "claim": "it helps", "verdict": "holds", "speaking": {}}
    (tmp_path / "paper" / "verdicts.json").write_text(json.dumps([early]))
    other = ClaimVerdict(replace(CLAIM, id="x2"), (decide("a", STEADY),))
    own = ClaimVerdict(CLAIM, (not_tested("a", "no data"),))
    table = verdicts_by_profile([own, other], "embedded", tmp_path).set_index("claim")
    assert list(table.columns) == ["says", "embedded", "paper", "simulated"], "a variant's folder is none of them"
    said = ["not tested (exact)", "holds (unstated)", "holds (exact): 1 [0.912, 1.09]"]
    assert list(table.loc["x1"]) == ["it helps", *said]
    assert table.loc["x2", "simulated"] == ""
