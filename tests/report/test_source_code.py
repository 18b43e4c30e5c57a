"""The code beside an equation."""

import itertools
from pathlib import Path

import nbformat
import pytest

from nlcore.report.source_code import code_of, show_code, shown
from nlcore.scorers.label_quality import self_confidence

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("0[1-5]_*.ipynb"))
MARKDOWN = "text/markdown"


def documented(labels):
    """What is not shown.

    >>> documented(3)
    6
    """
    return 2 * labels  # what is


def bare(x): return x + 1  # fmt: skip


def beside(): "Said beside what it does."; return 1  # fmt: skip # noqa: E702


def only_said():
    """Nothing else."""


@pytest.fixture
def displayed(monkeypatch):
    """What was displayed since, as Markdown."""
    told = []
    monkeypatch.setattr("IPython.display.display", lambda *objects: told.extend(one.data for one in objects))
    return told


def test_code_is_shown_without_its_docstring_and_still_does_what_it_did():
    assert code_of(documented) == "def documented(labels):\n    return 2 * labels  # what is"
    assert code_of(bare).startswith("def bare(x): return x + 1")
    for function in (beside, only_said):
        exec(code_of(function), whole := {})
        assert whole[function.__name__]() == function()
    space = {}
    exec(code_of(documented), space)
    assert space["documented"](3) == documented(3) == 6


def test_a_helper_is_shown_in_place_of_what_hands_it_the_work(displayed):
    show_code(self_confidence, code_of, helper="_self_confidence")
    assert displayed[0].startswith("`nlcore.scorers.label_quality`:\n\n```python\ndef _self_confidence(")
    assert displayed[1:] == [shown(code_of)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_the_code_as_it_is_beside_their_equations(path, displayed):
    cells = nbformat.read(path, 4).cells
    asked = [cell for cell in cells if cell.cell_type == "code" and "\nshow_code(" in cell.source]
    beside = [cell for before, cell in itertools.pairwise(cells) if cell in asked and "$$" in before.source]
    assert len(asked) >= 2 and len(beside) >= len(asked) - 1
    space = {}
    for cell in cells:
        if cell.cell_type == "code":
            exec("\n".join(line for line in cell.source.splitlines() if line.startswith("from nlcore")), space)
    for cell in asked:
        displayed.clear()
        exec(cell.source[cell.source.index("\nshow_code(") :], space)
        assert displayed == [output.data[MARKDOWN] for output in cell.outputs if MARKDOWN in output.get("data", {})]
        assert displayed != []
