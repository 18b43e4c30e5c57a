"""Words follow from intervals: for every word, data that lead to it, and data next to it that do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import (
    SAME,
    TOO_FEW,
    Region,
    Verdict,
    decide,
    decide_below,
    decide_within,
    not_run,
    not_testable,
    said_on,
    weakest,
)

STEADY = np.array([0.9, 1.0, 1.1, 1.0, 1.0])  # mean 1, interval 0.912 to 1.088
WIDE = np.array([-1, 1, -1, 1, 0.1])  # mean 0.02, interval about -1.22 to 1.26
EVENTS = {
    # word: (what leads to it), (what is next to it, and its word)
    Verdict.HOLDS: (
        decide("a", STEADY),
        decide("a", STEADY, published=1.0),
        decide("a", STEADY, published=0.92),
        decide("a", STEADY, at_most=1.1),
        decide_within("a", STEADY, 1.1),
        decide_within("a", -STEADY, 1.1),
        decide_within("a", [0.0, 0.0, 0.0], 1.0),
        decide_below("a", -9 * STEADY, 1.0),
        decide("a", STEADY, at_least=0.9),
    ),
    Verdict.LARGER: (
        decide("a", STEADY, published=0.9),  # the interval begins at 0.912
        decide("a", STEADY, published=-3.0),
    ),
    Verdict.DIRECTION: (
        decide("a", STEADY, published=1.1),  # it ends at 1.088
        decide("a", STEADY, published=28.0),
    ),
    Verdict.CONTRADICTED: (
        decide("a", -STEADY),
        decide("a", -STEADY, published=1.0),
        decide("a", STEADY - 1.1),  # -0.188 to -0.012
        decide("a", STEADY, at_most=0.9),
        decide("a", STEADY, at_least=1.1),
        decide_below("a", STEADY, 0.9),
        decide_within("a", STEADY, 0.9),
        decide_within("a", -STEADY, 0.9),
    ),
    Verdict.INCONCLUSIVE: (
        decide("a", WIDE),
        decide("a", WIDE, published=0.5),
        decide("a", STEADY - 1.05),  # -0.138 to 0.038
        decide("a", STEADY - 0.95),  # -0.038 to 0.138
        decide("a", STEADY, at_most=1.0),
        decide("a", STEADY, at_least=1.0),
        decide_below("a", STEADY, 1.0),
        decide_within("a", STEADY, 1.0),
        decide_within("a", WIDE, 1.0),
    ),
    Verdict.NOT_TESTABLE: (
        decide("a", [0.0, 0.0, 0.0]),
        not_testable("a", "by censoring"),
    ),
    Verdict.NOT_RUN: (decide("a", [1.0]), decide("a", []), decide_within("a", [0.1], 1.0), not_run("a", "no data")),
}


@pytest.mark.parametrize("word", EVENTS)
def test_a_word_has_data_that_lead_to_it(word):
    assert [part.verdict for part in EVENTS[word]] == [word] * len(EVENTS[word])


def test_every_word_but_the_stand_ins_is_reached():
    assert set(EVENTS) == set(Verdict) - {Verdict.NOT_SEEN}


@pytest.mark.parametrize(("offset", "word"), [(0.087, Verdict.INCONCLUSIVE), (0.089, Verdict.HOLDS)])
def test_the_bound_is_where_the_interval_leaves_zero(offset, word):
    reach = (decide("a", STEADY).estimate.high - decide("a", STEADY).estimate.low) / 2
    assert 0.087 < reach < 0.089
    assert decide("a", STEADY - 1 + offset).verdict == word


def test_reasons_say_where_the_published_number_lies():
    assert "published number itself contradicts" in decide("a", STEADY, published=-3.0).reason
    assert "published number contradicts the claim too" in decide("a", WIDE, published=-0.5).reason
    small = decide("a", [-0.1, 0.1, -0.1, 0.1, 0.02], published=2.0)
    assert (small.verdict, "below the published size" in small.reason) == (Verdict.INCONCLUSIVE, True)
    assert "confirmed with a chance of 100%" in small.reason  # two would have been seen
    assert "confirmed with a chance of 8%" in decide("a", WIDE, published=0.3).reason


def test_equal_pairs_and_too_few_say_so():
    assert decide("a", [0.0, 0.0]).reason == SAME
    assert decide("a", [2.0]).reason == TOO_FEW


def test_equal_means_of_unequal_pairs_are_tested():
    """Two strata whose means cancel, without any spread: not the same runs."""
    found = decide("a", [1.0, 1.0, -1.0, -1.0], strata=["x", "x", "y", "y"])
    assert (found.estimate.mean, found.estimate.error) == (0, 0)
    assert found.verdict == Verdict.CONTRADICTED


def test_a_margin_is_no_published_number():
    assert decide_within("a", STEADY, 2.0).published is None
    assert decide_within("a", STEADY, 2.0, published=0.38).published == 0.38
    assert decide_within("a", STEADY, 2.0, published=0.38).verdict == Verdict.HOLDS


def test_power_is_that_of_the_claim_that_was_made():
    found = decide("a", WIDE, published=0.5)
    assert found.power == found.estimate.power(0.5)
    assert decide("a", WIDE).power is None
    assert decide("a", WIDE, published=-1.0).power is None, "no true claim has this size"
    within = decide_within("a", WIDE, 2.0)
    assert within.power == within.estimate.power(0, -2, 2)
    assert decide_within("a", WIDE, 2.0, published=1.5).power < within.power, "true at its published size, not at zero"
    assert decide("a", WIDE, published=0.5, at_most=1.0).power < decide("a", WIDE, published=0.5).power
    assert not_run("a", "no data", published=1.0).power is None


def test_clusters_and_strata_reach_the_interval():
    values = [1.0, 1.2, 3.0, 3.2, 10.0, 10.4]
    plain = decide("a", values)
    shared = decide("a", values, clusters=["a", "a", "b", "b", "c", "c"])
    assert (plain.estimate.pairs, shared.estimate.pairs) == (6, 3)
    assert (plain.verdict, shared.verdict) == (Verdict.HOLDS, Verdict.INCONCLUSIVE)
    apart = decide("a", values, strata=["x", "x", "x", "x", "y", "y"])
    np.testing.assert_allclose(apart.estimate.mean, (2.1 + 10.2) / 2)


def test_a_region_is_told_in_words():
    assert [str(Region()), str(Region(0, 1)), str(Region(-0.5, 0.5))] == ["above zero", "between 0 and 1", "within 0.5"]
    assert [str(Region(1)), str(Region(-np.inf, 1))] == ["above 1", "below 1"]


def test_the_chance_of_lying_outside_is_that_of_the_nearer_bound():
    region, below, above = Region(-1.0, 1.0), decide("a", -3 * STEADY).estimate, decide("a", 3 * STEADY).estimate
    assert region.chance(below) == pytest.approx(below.chance_beyond(-1.0))
    assert region.chance(above) == pytest.approx(region.chance(below))
    assert 0 < region.chance(above) < 1e-3


def test_a_claim_is_as_good_as_its_weakest_part():
    order = [EVENTS[word][0] for word in Verdict if word in EVENTS]
    for place in range(len(order)):
        assert weakest(order[: place + 1]) == order[place].verdict


def test_only_what_lies_where_the_claim_says_confirms_it():
    assert {word for word in Verdict if word.confirms} == {Verdict.HOLDS, Verdict.LARGER, Verdict.DIRECTION}


@pytest.mark.parametrize("evidence", Evidence)
@pytest.mark.parametrize("word", EVENTS)
def test_only_a_contradiction_depends_on_the_evidence(word, evidence):
    cannot = evidence in (Evidence.STAND_IN, Evidence.FROZEN)
    expected = Verdict.NOT_SEEN if word is Verdict.CONTRADICTED and cannot else word
    assert said_on(evidence, word) == expected


NUMBERS = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=8)


@given(differences=NUMBERS, shift=st.floats(0, 50), published=st.none() | st.floats(-50, 50))
def test_more_of_what_is_claimed_is_never_less_confirmed(differences, shift, published):
    """Moving all pairs to the claimed side cannot turn a confirmation into none."""
    before = decide("a", differences)
    after = decide("a", [value + shift for value in differences])
    if before.verdict.confirms:
        assert after.verdict.confirms
    sized = decide("a", differences, published=published)
    assert sized.verdict.confirms == before.verdict.confirms, "a published size never changes on which side it lies"
