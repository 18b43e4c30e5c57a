"""The contract in the package is the contract that was fixed, but for corrections that are dated and say why."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nlcore.errors import InputError
from nlcore.papers import paper, papers
from nlcore.papers.cleanlab_ema.published import published_scores
from nlcore.report.contract import _rejoined

SHARED = Path(__file__).resolve().parents[3] / "shared"
CONTRACTS = {name: one.contract for name, one in papers().items()}


def contract_file(one, file):
    return Path(one.module("protocol").__file__).parent / "contract" / f"{file}.yaml"


@pytest.mark.skipif(not SHARED.exists(), reason="the contract's source is not beside this checkout")
@pytest.mark.parametrize("file", ["artefacts", "claims", "published"])
def test_the_papers_carry_the_contract_but_for_what_says_that_it_was_corrected(file):
    fixed = yaml.load((SHARED / "spec" / f"{file}.yaml").read_text(), yaml.BaseLoader)
    for name, one in papers().items():
        found = yaml.load(contract_file(one, file).read_text(), yaml.BaseLoader)
        if file == "claims":
            found, then = [[_rejoined(row) for row in rows] for rows in (found, fixed[name])]
            found = [_as_it_was(row) for row in found if _was_there(row)]
            assert _without_spaces(found) == _without_spaces(then), name
        else:
            assert found == fixed[name], (file, name)


def _without_spaces(rows):
    """The fixed contract holds "21,000" without quotes, which comes back as "21, 000"."""
    return str(rows).replace(" ", "")


def _was_there(row):
    return all(one["was"] != "null" for one in row.get("corrected", ()))


def _as_it_was(row):
    """A claim before its corrections, the latest taken back first."""
    kept = {name: value for name, value in row.items() if name != "corrected"}
    for one in reversed(row.get("corrected", ())):
        kept |= one["was"]
    return kept


def test_every_correction_is_dated_and_argued_and_changes_something():
    for contract in CONTRACTS.values():
        for claim in contract.claims().values():
            for one in claim.corrected:
                assert re.fullmatch(r"20\d\d-\d\d-\d\d", one["date"]), claim.id
                assert len(one["why"]) > 30, claim.id
                assert one["was"] is None or all(getattr(claim, name) != was for name, was in one["was"].items())


@pytest.mark.skipif(not SHARED.exists(), reason="the contract's source is not beside this checkout")
def test_the_published_scores_are_the_authors():
    theirs = pd.read_csv(SHARED / "papers" / "3_cleanlab_ema_published_scores.csv")
    pd.testing.assert_frame_equal(published_scores(), theirs)


def test_all_thirteen_tables_and_forty_one_figures_are_in_it():
    ids = [id for contract in CONTRACTS.values() for id in contract.artefacts()]
    assert sum(id.startswith("table") for id in ids) == 13
    assert sum(id.startswith("fig") for id in ids) == 41
    assert len(ids) == 55  # and the lift of cleanlab_ema


def test_every_claim_is_readable_whole():
    claims = {id: claim for contract in CONTRACTS.values() for id, claim in contract.claims().items()}
    assert len(claims) == 10 + 12 + 6 + 8 + 8
    assert claims["ce2"].metric == "AP@T for 1+, 2+, 3+ errors"  # commas that YAML takes for new keys are put back
    assert claims["ml1"].published == [10, 20, 30]
    assert claims["ma1"].published == 28
    assert claims["ma2"].published is None


def test_the_published_scores_are_all_there():
    scores = published_scores()
    assert len(scores) == 108
    assert scores.filter(like="_Mean").shape[1] == 6
    assert scores.notna().all(axis=None)


def test_an_unknown_paper_is_named_with_what_there_is():
    with pytest.raises(InputError, match="paper 'resnet': unknown; expected one of multi_al"):
        paper("resnet")


def test_keys_that_yaml_reads_as_booleans_are_texts():
    assert CONTRACTS["galc_slr"].published()["fig_6b"]["10"] == {"estimated": 69.94, "true": 70.30}
    for contract in CONTRACTS.values():
        assert all(isinstance(key, str) for key in _keys(contract.published()))


def _keys(values):
    for key, value in values.items() if isinstance(values, dict) else ():
        yield key
        yield from _keys(value)
