"""The atlas: a reading is held against the default over the same parts of a claim."""

from nlcore.papers import paper
from nlcore.report.atlas import reading_atlas
from nlcore.report.verdicts import ClaimVerdict, decide, not_tested

CONTRACT = paper("multi_al").contract
UP, DOWN = [1.0, 1.1, 0.9], [-1.0, -1.1, -0.9]


def atlas(default, reading):
    decided = [ClaimVerdict(CONTRACT.claims()["ma1"], tuple(default))]
    return reading_atlas(CONTRACT, decided, {"other": {"ma1": reading}}).to_dict("records")


def test_a_verdict_that_changes_is_marked_and_says_by_which_part():
    (row,) = atlas([decide("a", UP)], [decide("a", DOWN)])
    assert (row["verdict by default"], row["verdict"], row["changes"]) == ("holds", "does not hold", "yes")
    assert row["decided by"] == "a"


def test_parts_that_a_reading_did_not_run_do_not_count_on_either_side():
    (row,) = atlas([decide("a", UP), decide("b", DOWN)], [decide("a", [2.0, 2.1, 1.9]), not_tested("b", "not run")])
    assert (row["verdict by default"], row["verdict"], row["changes"]) == ("holds", "holds", "")


def test_a_reading_that_picks_some_of_the_parts_is_held_against_the_whole_claim():
    (row,) = atlas([decide("raw", UP), decide("masked", DOWN)], [decide("raw", UP)])
    assert (row["verdict by default"], row["verdict"], row["changes"]) == ("does not hold", "holds", "yes")


def test_a_claim_of_which_nothing_was_run_is_left_out():
    assert atlas([decide("a", UP)], [not_tested("a", "not run")]) == []
