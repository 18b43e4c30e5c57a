"""Comparing cells, and what the committed checks say."""

import importlib.util
import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from nlcore.data.simulated_check import TOLERANCE, class_agreement, compare_cells, holding_kinds, read_checks
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.places import home
from tests.runs.trivial import Square

SPEC = importlib.util.spec_from_file_location("check_simulated", home() / "scripts" / "check_simulated.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)
class_precision = SCRIPT.class_precision


def test_cells_are_within_the_tolerance_or_missed():
    cells = {"a": 10.0, "b": 20.0}, {"a": 13.0, "b": 16.9}
    rows = compare_cells(*cells)
    assert [row["within"] for row in rows] == [True, False]
    assert [row["difference"] for row in rows] == [3.0, -3.1]
    assert [row["within"] for row in compare_cells(*cells, tolerance={"a": 2.9, "b": 3.2})] == [False, True]


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
    text = (home() / "docs" / "simulated.md").read_text(encoding="utf-8")
    for correlation in (found["class_rank_correlation"], found["of_two_halves_of_the_real_images"]):
        assert f" {correlation:.2f}" in text
    far = found["distance_to_real"]
    assert far["kinship 24 (chosen)"] < min(far["Gaussian residuals"], far["any donor"])


def by_seed(paper, name, series, at, level, value):
    """Means over the first three seeds, in percent, of a figure of the embedded profile."""
    table = pd.read_csv(home() / "figures" / paper / "embedded" / f"{name}.csv")
    found = table[(table.series == series) & (table[at] == level) & table.seed.isin(read_checks()["seeds"])][value]
    assert len(found) == len(read_checks()["seeds"])
    return found.mean()


def test_real_cells_are_those_of_the_embedded_profile():
    """So a change of its runs is seen, and the checks are computed anew (scripts/check_simulated.py)."""
    real = {row["cell"]: row["real"] for row in read_checks()["cells"]}
    for cell in [name for name in real if name.startswith("paper 4") and name.endswith("%")]:
        _, series, noise = cell.split(", ")
        expected = by_seed("galc_slr", "fig_5a", series, "noise", int(noise[:-1]), "value")
        assert real[cell] == pytest.approx(expected, abs=0.02), cell
    names = {"entropy with Safe": "multi_al_safe", "asl on the pool": "asl"}
    for name, noise in itertools.product(names, (20, 40, 60)):
        expected = by_seed("multi_al", "fig_10", names[name], "noise %", noise, "mAP")
        assert real[f"paper 1, {name}, {noise}%"] == pytest.approx(expected, abs=0.02)
    for name, share in itertools.product(("proposed", "finetune_whole", "finetune_last"), (5, 30)):
        expected = 100 * by_seed("teacher_student", "fig_5a", name, "fraction", share / 100, "mAP")
        assert real[f"paper 5, {name}, {share}% clean"] == pytest.approx(expected, abs=0.02)


def test_runs_are_computed_once_and_kept(tmp_path, capsys):
    runs, spec = SCRIPT.Runs(tmp_path, (0,), data="embedded"), Square(number=3)
    assert runs.get(spec).values["square"] == 9
    assert runs.store.read(spec) is not None and runs.get(spec).values["square"] == 9


def test_classes_that_are_hard_to_find_in_real_features_are_hard_in_simulated_ones():
    """The committed rank correlation, measured again; were classes alike in the simulation, it would be near zero."""
    recorded = read_checks()
    sources = {"data": "embedded"}, {"data": "simulated", "label_sets": "embedded", "scale": recorded["scale"]}
    real, drawn = (class_precision(SimpleNamespace(source=source)) for source in sources)
    found = class_agreement(real, drawn)
    assert found == pytest.approx(recorded["class_rank_correlation"], abs=0.02) and found > 0.6
    halves = [class_precision(SimpleNamespace(source=sources[0]), half) for half in SCRIPT.HALVES]
    assert class_agreement(*halves) == pytest.approx(recorded["of_two_halves_of_the_real_images"], abs=0.02)
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
