"""The contract in the package is the contract that was fixed, whole."""

from pathlib import Path

import pytest

from nlcore.errors import InputError
from nlcore.report import contract

SHARED = Path(__file__).resolve().parents[3] / "shared"
OURS = Path(contract.__file__).parent / "contract"


@pytest.mark.skipif(not SHARED.exists(), reason="the contract's source is not beside this checkout")
@pytest.mark.parametrize(
    ("ours", "source"),
    [
        *((f"{name}.yaml", f"spec/{name}.yaml") for name in ("artefacts", "claims", "published")),
        ("cleanlab_ema_published_scores.csv", "papers/3_cleanlab_ema_published_scores.csv"),
    ],
)
def test_the_package_carries_the_contract_unchanged(ours, source):
    assert (OURS / ours).read_bytes() == (SHARED / source).read_bytes()


def test_all_thirteen_tables_and_forty_one_figures_are_in_it():
    ids = [id for paper in contract.PAPERS for id in contract.artefacts(paper)]
    assert sum(id.startswith("table") for id in ids) == 13
    assert sum(id.startswith("fig") for id in ids) == 41
    assert len(ids) == 55  # and the lift of cleanlab_ema


def test_every_claim_is_readable_whole():
    claims = {id: claim for paper in contract.PAPERS for id, claim in contract.claims(paper).items()}
    assert len(claims) == 7 + 7 + 6 + 8 + 8
    assert claims["ce2"].metric == "AP@T for 1+, 2+, 3+ errors"  # commas that YAML takes for new keys are put back
    assert claims["ml1"].published == [10, 20, 30]
    assert claims["ma1"].published == 28
    assert claims["ma2"].published is None


def test_the_published_scores_are_all_there():
    scores = contract.published_scores()
    assert len(scores) == 108
    assert scores.filter(like="_Mean").shape[1] == 6
    assert scores.notna().all(axis=None)


def test_an_unknown_paper_is_named_with_what_there_is():
    with pytest.raises(InputError, match="paper 'resnet': unknown; expected one of multi_al"):
        contract.claims("resnet")


def test_keys_that_yaml_reads_as_booleans_are_texts():
    assert contract.published("galc_slr")["fig_6b"]["10"] == {"estimated": 69.94, "true": 70.30}
    assert all(isinstance(key, str) for key in _keys({paper: contract.published(paper) for paper in contract.PAPERS}))


def _keys(values):
    for key, value in values.items() if isinstance(values, dict) else ():
        yield key
        yield from _keys(value)
