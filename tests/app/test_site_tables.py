"""Tables and matrices of the report's pages, and the one sentence of what was found."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nlcore.app.site.collect import collect
from nlcore.app.site.condensed import _columns_joined, _triples, condensed
from nlcore.app.site.matrix import matrix, place
from nlcore.app.site.standing import finding, standing
from nlcore.papers import papers
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import Verdict

FIGURES = Path(__file__).resolve().parents[2] / "figures"
FOLDERS = [folder for profiles in collect(FIGURES).values() for folder in profiles.values()]
TAGS = re.compile(r"<[^>]+>")


def text(cell):
    return TAGS.sub("", str(cell)).replace("\u00a0", " ")


def test_ours_its_spread_and_the_published_number_are_one_cell_in_the_published_digits():
    table = pd.DataFrame({"series": ["a", "b"], "mAP 5%, published": ["0.453", "0.5471"], "mAP 5%": ["0.43904", ""],
                          "mAP 5% ±": ["0.00349", ""], "seeds": ["5", "5"]})  # fmt: skip
    found = condensed(table)
    assert list(found.columns) == ["series", "mAP 5%", "seeds"]
    assert [text(cell) for cell in found["mAP 5%"]] == ["0.4390 ± 0.0035 0.4530", "0.5471"]
    assert found.loc[0, "mAP 5%"].endswith(' <span class="published">0.4530</span>')


def test_whole_numbers_stay_as_they_are_and_text_is_escaped():
    table = pd.DataFrame({"images published": ["2694", "<i>"], "images ours": ["52.96", "a & b"]})
    assert list(condensed(table).images) == ['52.96 <span class="published">2694</span>',
                                             'a &amp; b <span class="published">&lt;i&gt;</span>']  # fmt: skip


def test_rows_of_ours_and_of_the_paper_are_one_row_with_the_bounds_in_brackets():
    rows = ["published", "ours", "ours, low", "ours, high", "images per seed"]
    table = pd.DataFrame({"noise": ["0.4"] * 5, "row": rows, "[0, 0.1)": ["8.02", "5.576", "3.591", "9.481", "103"],
                          "[0.9, 1]": ["0.02", "", "", "", "0"]})  # fmt: skip
    found = condensed(table)
    assert [[text(cell) for cell in row] for row in found.to_numpy()] == [
        ["0.4", "ours", "5.58 [3.59, 9.48] 8.02", "0.02"],
        ["0.4", "images per seed", "103", "0"],
    ]
    other = table.assign(row=["published", "mine", "theirs", "nobody's", "images"])
    pd.testing.assert_frame_equal(condensed(other), other)


def test_bounds_of_a_joined_column_leave_its_mark_a_mark():
    table = pd.DataFrame({"mAP published": ["0.5"], "mAP ours": ["0.44"], "low": ["0.4"], "high": ["<b>"]})
    (cell,) = condensed(table).mAP
    assert cell == '0.4 <span class="published">0.5</span> [0.4, &lt;b&gt;]'


def test_bounds_in_columns_go_behind_the_number_before_them():
    table = pd.DataFrame({"cell": ["a", "b"], "ours": ["1.5", "2"], "low": ["1.2", ""], "high": ["1.8", ""]})
    assert list(condensed(table).ours) == ["1.5 [1.2, 1.8]", "2"]


PARTS = re.compile(
    r"^(?P<ours>[^[±<]*?)(?: ?±\u00a0(?P<spread>\S+))?(?: ?<span[^>]*>(?P<published>.*)</span>)?$"
)


def like(shown, cell):
    """Whether a cell of a CSV is shown so: as it is, or rounded."""
    try:
        digits = len(shown.partition(".")[2])
        return shown == cell or (bool(shown) and abs(float(shown) - float(cell)) <= 0.501 * 10.0**-digits)
    except ValueError:
        return False


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.paper.id}-{folder.profile}")
def test_every_number_of_a_joined_cell_is_in_its_place(folder):
    """Ours, its spread and the published one, each from its own column and row of the CSV."""
    for artefact in folder.artefacts:
        table = artefact.table
        if table is None or "row" in table:
            continue
        for names in _triples(list(table.columns)):
            joined = [PARTS.match(str(cell)).groupdict("") for cell in _columns_joined(table)[names.name]]
            for row, parts in enumerate(joined):
                assert like(parts["ours"].strip(), table[names.ours][row]), f"{artefact.id}, {names.name}, {row}"
                assert like(parts["published"], table[names.published][row])
                assert like(parts["spread"], table[names.spread][row] if names.spread in table else "")


def words(cell):
    """The words and numbers of a cell, without what stands between them."""
    return set(re.split(r"[ ,\[\]]+", cell)) - {""}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.paper.id}-{folder.profile}")
def test_no_number_of_a_table_gets_lost_on_its_page(folder):
    """Every cell of the CSV is somewhere in the condensed table, in as many digits as are shown there."""
    for artefact in folder.artefacts:
        if artefact.table is None:
            continue
        shown = condensed(artefact.table)
        there = set(itertools.chain.from_iterable(words(text(cell)) for cell in shown.to_numpy().flat))
        digits = {len(word.partition(".")[2]) for word in there}
        for column in set(artefact.table) - {"row"}:
            for cell in artefact.table[column]:
                try:
                    number = float(cell)
                except ValueError:
                    lost = words(cell) - there
                else:
                    lost = not there & {cell, *(f"{number:.{places}f}" for places in digits)}
                assert not lost, f"{artefact.id}, {column}: {cell}"


def test_the_bins_of_multi_al_have_ours_and_the_published_in_one_row():
    (folder,) = [one for one in FOLDERS if (one.paper.id, one.profile) == ("multi_al", "embedded")]
    (table,) = [one.table for one in folder.artefacts if one.id == "table_1"]
    found = condensed(table)
    ours = found[found.row == "ours"]
    assert len(ours) == table.noise.nunique() and not set(found.row) & {"published", "ours, low", "ours, high"}
    assert set(found.row) | {"published", "ours, low", "ours, high"} == set(table.row)
    assert text(ours["[0.0, 0.1)"].iloc[0]).endswith("] 8.02")


def test_table_2_of_teacher_student_has_two_rows_of_numbers_less_than_half_as_wide():
    (folder,) = [one for one in FOLDERS if (one.paper.id, one.profile) == ("teacher_student", "embedded")]
    (table,) = [one.table for one in folder.artefacts if one.id == "table_2"]
    assert condensed(table).shape == (len(table), 8) and table.shape[1] == 20


def test_a_part_is_placed_by_its_panel():
    assert place("mAP on average over the levels: galc_slr minus asl")[1] == "on average over the levels"
    assert place("mAP at 5 % gold: true matrix minus galc_slr") == ("mAP: true matrix minus galc_slr", "5 % gold")
    assert place("with Safe, mean of 20 and 40 %: entropy minus random")[1] == "mean of 20 and 40 %"
    assert place("20 %, cells: the cheapest other minus random")[1] == "20 %"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.paper.id}-{folder.profile}")
def test_a_claims_matrix_has_each_of_its_parts_once_under_the_words_of_its_name(folder):
    matrices = 0
    for claim in folder.verdicts:
        found = matrix(claim)
        if found is None:
            continue
        matrices += 1
        shown = [part for row in found.cells for part in row if part is not None]
        assert sorted(part.name for part in [*shown, *found.others]) == sorted(part.name for part in claim.parts)
        assert len(found.rows) >= len(found.columns) >= 1 and len(shown) >= 3
        for row, cells in zip(found.rows, found.cells, strict=True):
            for column, part in zip(found.columns, cells, strict=True):
                words = set(re.findall(r"[\w%]+", f"{row} {column}"))
                assert part is None or words <= set(re.findall(r"[\w%]+", part.name))
    assert matrices >= 4


def test_what_a_matrix_has_no_place_for_is_told_below_it():
    """The part that decides ma2 at the paper's size is one of these."""
    (folder,) = [one for one in FOLDERS if (one.paper.id, one.profile) == ("multi_al", "simulated")]
    claim = folder.claim("ma2")
    assert claim.speaking in matrix(claim).others
    page = (FIGURES / "multi_al" / "simulated" / "index.html").read_text()
    for part in matrix(claim).others:
        assert f"<li>{part.name}: <span" in page and part.shown in page


def test_a_smoke_run_and_a_claim_that_nobody_can_decide_are_no_finding():
    (folder,) = [one for one in FOLDERS if (one.paper.id, one.profile) == ("cleanlab_ema", "embedded")]
    assert finding({"smoke": folder}) is None and finding({"embedded": folder}).profile == "embedded"
    undecided = [claim.model_copy(update={"verdict": Verdict.NOT_TESTABLE}) for claim in folder.verdicts]
    assert finding({"embedded": replace(folder, verdicts=undecided)}) is None


def test_the_finding_stands_on_the_strongest_evidence_and_counts_what_the_score_counts():
    for name, profiles in collect(FIGURES).items():
        found = finding(profiles)
        best = min(list(Evidence).index(Evidence(folder.claim(papers()[name].key[1]).evidence))
                   for folder in profiles.values())  # fmt: skip
        assert list(Evidence).index(Evidence(found.key.evidence)) == best
        assert found.claims == standing(profiles[found.profile]).claims
    assert finding({}) is None
