"""The atlas: a reading is held against the default over the same parts of a claim."""

import pandas as pd

from nlcore.papers import paper
from nlcore.report.atlas import VERDICTS, on_evidence, reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import decide, not_run

CONTRACT = paper("multi_al").contract
UP, DOWN = [1.0, 1.1, 0.9], [-1.0, -1.1, -0.9]


def atlas(default, reading):
    decided = [ClaimVerdict(CONTRACT.claims()["ma1"], tuple(default))]
    return reading_atlas(decided, {"other": {"ma1": reading}}).to_dict("records")


def test_a_verdict_that_changes_is_marked_and_says_by_which_part():
    (row,) = atlas([decide("a", UP)], [decide("a", DOWN)])
    assert (row["verdict by default"], row["verdict"], row["changes"]) == ("holds", "contradicted", "yes")
    assert row["decided by"] == "a"


def test_parts_that_a_reading_did_not_run_do_not_count_on_either_side():
    (row,) = atlas([decide("a", UP), decide("b", DOWN)], [decide("a", [2.0, 2.1, 1.9]), not_run("b", "not run")])
    assert (row["verdict by default"], row["verdict"], row["changes"]) == ("holds", "holds", "")


def test_a_reading_that_picks_some_of_the_parts_is_held_against_the_whole_claim():
    (row,) = atlas([decide("raw", UP), decide("masked", DOWN)], [decide("raw", UP)])
    assert (row["verdict by default"], row["verdict"], row["changes"]) == ("contradicted", "holds", "yes")


def test_a_claim_of_which_nothing_was_run_is_left_out():
    assert atlas([decide("a", UP)], [not_run("a", "not run")]) == []


def test_both_verdicts_of_a_row_stand_on_the_evidence_of_its_claim():
    decided = [ClaimVerdict(CONTRACT.claims()[id], (decide("a", DOWN),)) for id in ("ma1", "ma2")]
    found = reading_atlas(decided, {"other": {id: [decide("a", DOWN)] for id in ("ma1", "ma2")}})
    of = {"ma1": Evidence.STAND_IN, "ma2": Evidence.EXACT}.get
    said = on_evidence(found, of)
    assert list(said["verdict by default"]) == list(said["verdict"]) == ["not seen here", "contradicted"]
    assert list(said.changes) == ["", ""]


def test_evidence_changes_no_mark_of_a_change():
    rows = [atlas([decide("a", default)], [decide("a", reading)]) for default in (UP, DOWN) for reading in (UP, DOWN)]
    found = pd.DataFrame([row for (row,) in rows])
    said = on_evidence(found, lambda id: Evidence.STAND_IN)
    assert list(said.changes) == ["", "yes", "yes", ""] == ["yes" * (a != b) for a, b in said[VERDICTS].to_numpy()]
