"""verdicts.json: one schema, kept and checked; every verdict follows from the differences in it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from nlcore.errors import InputError
from nlcore.papers import papers
from nlcore.places import home
from nlcore.report.claims import ClaimVerdict
from nlcore.report.contract import Claim
from nlcore.report.evidence import Evidence
from nlcore.report.verdict_file import (
    EDITION,
    NAME,
    kept_schema,
    read_verdicts,
    schema,
    verdicts_by_profile,
    write_verdicts,
)
from nlcore.report.verdicts import (
    Part,
    Region,
    Verdict,
    decide,
    decide_units,
    decide_within,
    not_run,
    not_testable,
)

CLAIM = Claim("x1", "it helps", "mAP", "difference", None)
STEADY = [0.9, 1.0, 1.1, 1.0, 1.0]
DECIDED = ClaimVerdict(
    CLAIM,
    (
        decide("a", STEADY, published=28, clusters=[0, 1, 2, 3, 4], strata=[0, 0, 0, 1, 1]),
        decide("b", STEADY, at_most=3),
        decide_within("c", STEADY, 0.5),
        not_run("d", "no data", published=2),
        not_testable("e", "by censoring"),
        decide("f", [1.0]),
    ),
    Evidence.SIMULATED,
)
COMMITTED = sorted((home() / "figures").glob(f"*/*/{NAME}"))


def test_the_schema_that_is_kept_is_that_of_the_classes():
    assert kept_schema() == schema()
    Draft202012Validator.check_schema(kept_schema())


def test_what_is_written_obeys_the_schema_and_reads_back(tmp_path):
    text = write_verdicts([DECIDED])
    Draft202012Validator(kept_schema()).validate(json.loads(text))
    (tmp_path / NAME).write_text(text)
    (one,) = read_verdicts(tmp_path / NAME)
    assert (one.id, one.verdict, one.evidence, one.confirmed) == ("x1", "contradicted", "simulated", 2)
    assert [part.verdict for part in one.parts] == [part.verdict for part in DECIDED.parts]
    first = one.parts[0]
    assert (first.pairs, len(first.differences), first.published, first.shown) == (
        5, 2, 28, str(DECIDED.parts[0].estimate)
    )  # fmt: skip
    assert (one.parts[1].from_, one.parts[1].to) == (0, 3)
    assert one.parts[0].to is None
    assert one.parts[5].low is None, "an interval of one pair is unbounded"


@pytest.mark.parametrize("name", [path.parent.relative_to(home() / "figures").as_posix() for path in COMMITTED])
def test_committed_verdicts_obey_the_schema_and_follow_from_their_differences(name):
    path = home() / "figures" / name / NAME
    Draft202012Validator(kept_schema()).validate(json.loads(path.read_text()))
    for one in read_verdicts(path):
        anew = ClaimVerdict(replace(CLAIM, id=one.id), tuple(map(_again, one.parts)), one.evidence)
        assert [part.verdict for part in anew.parts] == [part.verdict for part in one.parts], one.id
        assert (anew.verdict, anew.confirmed) == (one.verdict, one.confirmed)


def _again(kept):
    """A part decided from what the file says of it; one without differences is what it was."""
    if not kept.differences:
        return Part(kept.name, kept.verdict, kept.reason, kept.published)
    units = tuple(map(tuple, kept.differences))
    region = Region(-np.inf if kept.from_ is None else kept.from_, np.inf if kept.to is None else kept.to)
    return decide_units(kept.name, units, region, published=kept.published, of_images=kept.of_images)


def test_every_claim_of_every_paper_is_in_its_committed_files():
    for one in papers().values():
        for path in (home() / "figures" / one.id).glob(f"*/{NAME}"):
            ids = {claim.id.split()[0] for claim in read_verdicts(path)}
            assert ids <= set(one.contract.claims()), path


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[]", "the whole: Input should be an object"),
        ('{"edition": 1, "claims": []}', "edition: Input should be 2"),
        ('{"edition": 2}', "claims: Field required"),
        ("{", "the whole: Invalid JSON"),
    ],
)
def test_another_file_is_an_error_of_one_line(tmp_path, text, where):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InputError) as found:
        read_verdicts(tmp_path / NAME)
    assert where in str(found.value)
    assert f"expected verdicts of edition {EDITION}" in str(found.value)
    assert "\n" not in str(found.value)


def test_a_folder_of_another_edition_does_not_stop_the_others(tmp_path):
    for name, text in (("simulated", write_verdicts([DECIDED])), ("finetune", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / NAME).write_text(text)
    table = verdicts_by_profile([DECIDED], "embedded", tmp_path)
    assert list(table.columns) == ["claim", "says", "embedded", "simulated"]


def test_no_file_is_an_error_that_says_so(tmp_path):
    with pytest.raises(InputError, match=r"verdicts\.json: cannot be read \(No such file"):
        read_verdicts(tmp_path / NAME)


def test_a_claim_stands_beside_its_verdicts_at_the_profiles_that_were_run(tmp_path):
    for name in ("simulated", "embedded.seeds-0"):
        (tmp_path / name).mkdir()
        held = ClaimVerdict(CLAIM, (decide("a", STEADY),), Evidence.SIMULATED)
        (tmp_path / name / NAME).write_text(write_verdicts([held]))
    other = ClaimVerdict(replace(CLAIM, id="x2"), (decide("a", STEADY),))
    own = ClaimVerdict(CLAIM, (not_run("a", "no data"),))
    table = verdicts_by_profile([own, other], "embedded", Path(tmp_path)).set_index("claim")
    assert list(table.columns) == ["says", "embedded", "simulated"], "a variant's folder is none of them"
    said = ["not run (exact), 0 of 1 parts", "holds (simulated), 1 of 1 parts: 1 [0.912, 1.09]"]
    assert list(table.loc["x1"]) == ["it helps", *said]
    assert table.loc["x2", "simulated"] == ""


def test_a_part_keeps_its_region_in_the_file():
    assert Region(0.0, 3.0) == DECIDED.parts[1].region
    assert DECIDED.parts[2].verdict == Verdict.CONTRADICTED
