"""What a profile states of its evidence, and every refusal."""

import pytest

from nlcore.errors import InputError
from nlcore.report.evidence import MEANINGS, Evidence, StatedEvidence, read_evidence

CLAIMS = ("ma1", "ma2")
WORDS = "one of exact, simulated, frozen backbone, stand-in"
WHOLE = f"{WORDS}, or claim ids and a default, each so"


def test_one_word_is_for_all_claims_and_a_mapping_for_those_it_names():
    assert read_evidence("simulated", CLAIMS, where="here").of("ma2") is Evidence.SIMULATED
    stated = read_evidence({"default": "exact", "ma2": "stand-in"}, CLAIMS, where="here")
    assert [stated.of(id) for id in CLAIMS] == [Evidence.EXACT, Evidence.STAND_IN]


def test_a_claim_decided_for_a_variant_stands_on_what_the_claim_does():
    stated = StatedEvidence(Evidence.EXACT, {"gs1": Evidence.STAND_IN})
    assert stated.of("gs1 as written") is Evidence.STAND_IN
    assert stated.of("gs2 as written") is Evidence.EXACT


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (None, f"here, evidence: found none; expected {WHOLE}"),
        ("proof", f"here, evidence of default: found 'proof'; expected {WORDS}"),
        (3, f"here, evidence: found 3; expected {WHOLE}"),
        ({"ma1": "exact"}, f"here, evidence: found {{'ma1': 'exact'}}; expected {WHOLE}"),
        ({"default": "exact", "ma2": "strong"}, f"here, evidence of ma2: found 'strong'; expected {WORDS}"),
        ({"default": "exact", "ma2": ["exact"]}, f"here, evidence of ma2: found ['exact']; expected {WORDS}"),
        ({"default": "exact", "ma9": "exact"}, "here, evidence: no claim 'ma9'; expected default or one of ma1, ma2"),
    ],
)
def test_what_is_no_evidence_is_one_clear_line(entry, told):
    with pytest.raises(InputError) as raised:
        read_evidence(entry, CLAIMS, where="here")
    assert str(raised.value) == told


def test_beside_the_profile_nothing_is_exact():
    stated = StatedEvidence(Evidence.EXACT, {"ma1": Evidence.SIMULATED, "ma2": Evidence.EXACT}).beside_the_profile()
    assert [stated.of(id) for id in ("ma0", "ma1", "ma2")] == ["stand-in", "simulated", "stand-in"]


def test_a_stand_in_and_a_frozen_backbone_refute_nothing_and_every_word_has_its_meaning():
    assert [evidence for evidence in Evidence if not evidence.refutes] == [Evidence.FROZEN, Evidence.STAND_IN]
    assert set(MEANINGS) == set(Evidence)
