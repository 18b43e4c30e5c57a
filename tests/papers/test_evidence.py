"""From a profile's entry to the words of a session: on what the verdicts of the five papers stand."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from nlcore import papers
from nlcore.data.simulated_check import holding_kinds, read_checks
from nlcore.errors import InputError
from nlcore.papers import BUILT_IN, paper
from nlcore.papers.ladder import Grid
from nlcore.papers.paper import Asked, Session
from nlcore.papers.profiles import PROFILES as IN_ORDER
from nlcore.papers.profiles import Resources
from nlcore.report.atlas import reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.evidence import Evidence, StatedEvidence
from nlcore.report.verdicts import decide
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store

FIGURES = Path(__file__).resolve().parents[2] / "figures"
PROFILES = [(name, profile) for name in BUILT_IN for profile in paper(name).profiles()]
CONTRACT = paper("multi_al").contract
UP, DOWN = [1.0, 1.1, 0.9], [-1.0, -1.1, -0.9]


def test_every_profile_has_its_place_in_the_order():
    assert {profile for _, profile in PROFILES} == set(IN_ORDER)


@pytest.mark.parametrize(("name", "profile"), PROFILES)
def test_only_the_papers_own_data_are_exact(name, profile):
    stated, claims = paper(name).evidence(Asked(profile)), paper(name).contract.claims()
    exact = {id for id in claims if stated.of(id) is Evidence.EXACT}
    if name == "cleanlab_ema":  # its benchmark is its own data wherever it runs whole; ce6 is about CelebA
        whole = {"embedded": {"ce2", "ce3", "ce4", "ce5"}, "paper": {"ce1", "ce2", "ce3", "ce4", "ce5"}}
        assert exact == whole.get(profile, set())
    else:
        assert exact == (set(claims) if profile == "paper" else set())


def test_simulation_decides_only_claims_of_a_kind_whose_check_holds():
    kinds = yaml.safe_load((Path(papers.__file__).parent / "kinds.yaml").read_text())
    assert set(kinds) - {"no check"} == set(read_checks()["kinds"])
    decided = {id for kind in holding_kinds() for id in kinds[kind]}
    for name in ("multi_al", "missing_label_al", "galc_slr", "teacher_student"):
        stated = paper(name).evidence(Asked("simulated"))
        for id in paper(name).contract.claims():
            assert stated.of(id) is (Evidence.SIMULATED if id in decided else Evidence.STAND_IN), id


@pytest.mark.parametrize("changed", [{"resources": Resources(weights="random")}, {"variant": "mine"}])
def test_with_weights_or_changes_of_ones_own_nothing_is_exact(changed):
    stated = paper("multi_al").evidence(Asked("paper", **changed))
    assert {stated.of(id) for id in CONTRACT.claims()} == {Evidence.STAND_IN}


def test_a_profile_that_does_not_say_is_refused_before_anything_runs(monkeypatch):
    one = paper("multi_al")
    settings = {"smoke": one.profiles()["smoke"] | {"evidence": "proof"}}
    monkeypatch.setattr(sys.modules["nlcore.papers.profiles"], "profiles_of", lambda package: settings)
    with pytest.raises(InputError, match=r"^multi_al, profile 'smoke', evidence of default: found 'proof'; expected"):
        one.specs("smoke")


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_run_reads_the_evidence(name):
    settings, grid = paper(name).profiles()["smoke"], paper(name).module("study").grid
    without = {key: value for key, value in settings.items() if key != "evidence"}
    keys = lambda settings: {spec.key for spec in grid(settings, None, Resources())}
    assert keys(settings | {"evidence": "exact"}) == keys(settings) == keys(without)


def session(folder, evidence, differences):
    """A session whose paper claims that differences are positive, with a reading under which they are."""
    decided = lambda study: [ClaimVerdict(CONTRACT.claims()["ma1"], (decide("a", study),))]
    atlas = lambda study: reading_atlas(decided(study), {"other": {"ma1": [decide("a", UP)]}})
    claims = SimpleNamespace(decide_claims=decided, readings_atlas=atlas)
    found = SimpleNamespace(module={"claims": claims}.get, behind=lambda artefact, grid: [])
    out = ArtefactWriter("multi_al", "smoke", folder, {})
    return Session(found, Store(folder / "store"), Grid(()), differences, False, out, StatedEvidence(evidence))


@pytest.mark.parametrize(
    ("evidence", "said"),
    [(Evidence.EXACT, "contradicted"), (Evidence.SIMULATED, "contradicted"), (Evidence.STAND_IN, "not seen here")],
)
def test_every_file_and_table_of_a_session_says_the_same_word_and_its_evidence(evidence, said, tmp_path):
    made = session(tmp_path, evidence, DOWN)
    (shown,) = made.verdicts().to_dict("records")
    (compared,) = made.atlas().to_dict("records")
    made.finish()
    (told,) = json.loads((tmp_path / "verdicts.json").read_text())["claims"]
    (row,) = pd.read_csv(tmp_path / "verdicts.csv").to_dict("records")
    for one in (shown, told, row):
        assert (one["verdict"], one["evidence"]) == (said, evidence.value)
    assert told["speaking"]["verdict"] == told["parts"][0]["verdict"] == said
    assert (compared["verdict by default"], compared["verdict"], compared["changes"]) == (said, "holds", "yes")
    written = "".join(path.read_text() for path in tmp_path.iterdir() if path.suffix in (".csv", ".md", ".json"))
    assert ("contradicted" in written, "not seen here" in written) == (evidence.refutes, not evidence.refutes)


def test_a_frozen_networks_word_counts_for_the_data_set_and_not_for_a_folder_divided_here(tmp_path):
    for root in ("official", "whole"):
        (tmp_path / root / "annotations").mkdir(parents=True)
    (tmp_path / "whole" / "annotations" / "instances.json").write_text("{}")
    said = {
        root: paper("galc_slr").evidence(Asked("frozen", resources=Resources(data_root=str(tmp_path / root)))).of("gs1")
        for root in ("official", "whole")
    }
    assert said == {"official": Evidence.FROZEN, "whole": Evidence.STAND_IN}
    assert not Evidence.FROZEN.refutes
