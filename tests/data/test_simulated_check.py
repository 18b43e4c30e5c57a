"""Comparing cells, and what the committed checks say."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from nlcore.data.simulated_check import TOLERANCE, class_agreement, compare_cells, holding_kinds, read_checks
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.places import home

SPEC = importlib.util.spec_from_file_location("check_simulated", home() / "scripts" / "check_simulated.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)
class_precision = SCRIPT.class_precision


def test_cells_are_within_the_tolerance_or_missed():
    rows = compare_cells({"a": 10.0, "b": 20.0}, {"a": 13.0, "b": 16.9})
    assert [row["within"] for row in rows] == [True, False]
    assert [row["difference"] for row in rows] == [3.0, -3.1]


def test_cells_of_one_side_only_are_refused():
    with pytest.raises(InputError, match=r"^cells of only one side: found \['b'\]; expected the same cells"):
        compare_cells({"a": 1.0}, {"a": 1.0, "b": 2.0})


def test_agreement_is_of_ranks_and_leaves_out_what_is_not_known():
    real = np.array([0.1, 0.2, 0.3, np.nan])
    assert class_agreement(real, np.array([1.0, 4.0, 9.0, 0.0])) == pytest.approx(1)
    assert class_agreement(real, np.array([9.0, 4.0, 1.0, 0.0])) == pytest.approx(-1)


def test_the_committed_checks_are_what_they_say():
    found = read_checks()
    assert len({row["cell"] for row in found["cells"]}) >= 12
    assert {row["cell"][:7] for row in found["cells"]} == {"paper 1", "paper 2", "paper 4", "paper 5"}
    for row in found["cells"]:
        assert row["difference"] == pytest.approx(row["simulated"] - row["real"], abs=0.011)
        assert row["within"] == (abs(row["difference"]) <= TOLERANCE)
    scores = found["held_out_score"]
    assert max(scores, key=scores.get) == "and visibility up to 1 (chosen)"
    far = found["distance_to_real"]
    assert far["kinship 24 (chosen)"] < min(far["Gaussian residuals"], far["any donor"])


def test_classes_that_are_hard_to_find_in_real_features_are_hard_in_simulated_ones():
    """The committed rank correlation, measured again; were classes alike in the simulation, it would be near zero."""
    recorded = read_checks()
    sources = {"data": "embedded"}, {"data": "simulated", "label_sets": "embedded", "scale": recorded["scale"]}
    real, drawn = (class_precision(SimpleNamespace(source=source)) for source in sources)
    found = class_agreement(real, drawn)
    assert found == pytest.approx(recorded["class_rank_correlation"], abs=0.02) and found > 0.6
    shuffled = class_agreement(real, generator("classes").permutation(drawn))
    assert abs(shuffled) < 0.4


def test_a_kind_holds_where_none_of_its_rows_is_missed(tmp_path):
    kinds = {"one": {"holds": True}, "two": {"holds": False}}
    (tmp_path / "checks.yaml").write_text(yaml.safe_dump({"kinds": kinds}))
    assert holding_kinds(tmp_path / "checks.yaml") == ("one",)
    for kind in read_checks()["kinds"].values():
        assert kind["holds"] == all(row["within"] for row in kind["rows"])
    with pytest.raises(InputError, match=r"^checks of the simulation: found .*; expected what scripts"):
        holding_kinds(tmp_path / "none.yaml")
