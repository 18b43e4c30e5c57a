"""`run_all.py verify` on artefacts of the smallest profile: nothing drifts, and one edited digit is named."""

import json
import shutil

import pytest

from nlcore.app.cli import main
from nlcore.app.verification import compare
from nlcore.papers import papers

CSV = "noise,strategy,mAP,shown\n0.2,random,54.31,54.3 ± 0.2\n0.4,cbim,48.20,48.2 ± 1.1\n"


def folder(text, results="a"):
    return {"fig_7.csv": text, "provenance.json": json.dumps({"results": results})}


def test_equal_folders_do_not_drift():
    found = compare(folder(CSV), folder(CSV), {})
    assert (found.exact, found.drifts, found.cells) == (True, (), 8)


def test_one_digit_is_named_by_file_row_and_column():
    found = compare(folder(CSV.replace("48.20", "48.21")), folder(CSV), {})
    assert found.drifts == (
        "fig_7.csv: row 3 (noise 0.4, strategy cbim, shown 48.2 ± 1.1), column 'mAP': was 48.21, is 48.20",
    )


def test_results_read_from_the_store_must_agree_exactly_whatever_the_tolerance():
    assert compare(folder(CSV), folder(CSV.replace("48.20", "48.21")), {"mAP": 1.0}).drifts


@pytest.mark.parametrize(("value", "drifts"), [("48.4", 0), ("47.9", 0), ("48.6", 1), ("x", 1), ("", 1)])
def test_recomputed_results_may_differ_within_their_columns_tolerance(value, drifts):
    anew = folder(CSV.replace("48.20", value), results="b")
    found = compare(folder(CSV), anew, {"mAP": 0.301})
    assert (found.exact, len(found.drifts)) == (False, drifts)


def test_numbers_inside_a_text_are_compared_one_by_one():
    allowed = {"shown": 0.11}
    assert not compare(folder(CSV), folder(CSV.replace("48.2 ± 1.1", "48.1 ± 1.2"), "b"), allowed).drifts
    assert compare(folder(CSV), folder(CSV.replace("48.2 ± 1.1", "48.1 ± 1.4"), "b"), allowed).drifts
    assert compare(folder(CSV), folder(CSV.replace("48.2 ± 1.1", "48.2 [1.1]"), "b"), allowed).drifts


def test_columns_that_are_not_compared_are_left_out_only_when_recomputed():
    allowed, other = {"strategy": float("inf")}, CSV.replace("cbim", "random")
    assert not compare(folder(CSV), folder(other, "b"), allowed).drifts
    assert compare(folder(CSV), folder(other), allowed).drifts


def test_files_rows_and_columns_that_come_or_go_are_named():
    more = folder(CSV) | {"fig_8.csv": CSV}
    assert compare(more, folder(CSV), {}).drifts == ("fig_8.csv: is not made any more",)
    assert compare(folder(CSV), more, {}).drifts == ("fig_8.csv: was not there before",)
    assert compare(folder(CSV), folder(CSV + "0.6,x,1,1\n"), {}).drifts == ("fig_7.csv: had 2 rows, has 3",)
    assert "columns were" in compare(folder(CSV), folder(CSV.replace("mAP", "AP")), {}).drifts[0]


def test_tolerances_name_columns_and_positive_numbers():
    for one in papers().values():
        assert all(isinstance(column, str) and value > 0 for column, value in one.tolerances().items())


def test_a_verdict_at_its_boundary_is_told_and_is_no_drift():
    table = "part,ours,verdict\nts8,{},{}\n"
    before, after = folder(table.format("0.0101", "not run")), folder(table.format("0.0099", "contradicted"), "b")
    found = compare(before, after, {"ours": 0.001})
    assert found.drifts == ()
    (edge,) = found.edges
    assert edge.endswith("(part ts8, ours 0.0101), column 'verdict': was not run, is contradicted")
    same_number = folder(table.format("0.0101", "contradicted"), "b")
    assert compare(before, same_number, {"ours": 0.001}).drifts  # nothing moved: the word is wrong
    assert compare(before, folder(table.format("0.02", "contradicted"), "b"), {"ours": 0.001}).drifts


def test_a_word_at_its_boundary_may_be_that_of_a_stand_in():
    table = "part,ours,verdict,evidence\nts8,{},{},stand-in\n"
    before, after = folder(table.format("0.0101", "not run")), folder(table.format("0.0099", "not seen here"), "b")
    found = compare(before, after, {"ours": 0.001})
    assert (found.drifts, len(found.edges)) == ((), 1)


@pytest.mark.parametrize("stated", ["", ",evidence"])
def test_other_evidence_is_a_drift_even_where_numbers_moved(stated):
    """With the column that names it (verdicts.csv), and without one (reading_atlas.csv)."""
    table = f"part,ours,verdict{stated}\n" + "ts8,{},{}" + "{}\n"
    row = lambda number, word, evidence: table.format(number, word, f",{evidence}" if stated else "")
    before = folder(row("0.0101", "contradicted", "exact"))
    found = compare(before, folder(row("0.0099", "not seen here", "stand-in"), "b"), {"ours": 0.001})
    assert found.edges == ()
    assert any("column 'verdict': was contradicted, is not seen here" in line for line in found.drifts)


def options(folder):
    return ["--papers", "cleanlab_ema", "--profile", "smoke", "--output", str(folder / "figures")]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_verify_names_an_edited_digit_and_nothing_else(undisturbed, tmp_path, capsys):
    made, _ = undisturbed
    shutil.copytree(made / "figures", tmp_path / "figures")
    table = tmp_path / "figures" / "cleanlab_ema" / "smoke" / "table_s2.csv"
    lines = table.read_text().splitlines(keepends=True)
    cells = lines[2].split(",")
    digit = cells[5][-1]
    cells[5] = cells[5][:-1] + ("1" if digit != "1" else "2")
    table.write_text("".join([*lines[:2], ",".join(cells), *lines[3:]]))
    column = lines[0].split(",")[5]
    assert main([*options(tmp_path), "--store", str(made / "store"), "verify"]) == 1
    printed = capsys.readouterr().out
    assert "nothing to compute" in printed
    assert "exactly: the runs are those that made them" in printed
    assert "cleanlab_ema/smoke/table_s2.csv: row 3 (" in printed
    assert f"column '{column}': was {cells[5]}, is " in printed
    assert "1 drift found" in printed


def test_nothing_to_compare_with_is_one_clear_line(tmp_path, capsys):
    assert main([*options(tmp_path), "--store", str(tmp_path / "store"), "verify"]) == 2
    assert "no CSV to compare with; expected the artefacts of cleanlab_ema, smoke" in capsys.readouterr().err
    assert main([*options(tmp_path), "--store", str(tmp_path / "store"), "verify", "--revision", "HEAD"]) == 2
    assert "expected an output folder that Git keeps" in capsys.readouterr().err
