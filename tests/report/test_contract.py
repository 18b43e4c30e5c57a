"""The contract in the package is the contract that was fixed, but for corrections that are dated and say why."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from nlcore.errors import InputError
from nlcore.papers import paper, papers
from nlcore.papers.cleanlab_ema.published import published_scores

SHARED = Path(__file__).resolve().parents[3] / "shared"
CONTRACTS = {name: one.contract for name, one in papers().items()}


@pytest.mark.skipif(not SHARED.exists(), reason="the contract's source is not beside this checkout")
@pytest.mark.parametrize("file", ["artefacts", "claims", "published"])
def test_the_papers_carry_the_contract_unchanged(file):
    fixed = yaml.load((SHARED / "spec" / f"{file}.yaml").read_text(), yaml.BaseLoader)
    for name, one in papers().items():
        text = (Path(one.module("protocol").__file__).parent / "contract" / f"{file}.yaml").read_text()
        assert yaml.load(text, yaml.BaseLoader) == fixed[name], (file, name)


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
    assert len(claims) == 7 + 7 + 6 + 8 + 8
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
