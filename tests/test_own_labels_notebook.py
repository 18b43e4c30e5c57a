"""The tutorial on one's own labels: its exercises' answers are run, and its outputs are small and settled."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib
import nbformat
import pytest

PATH = Path(__file__).resolve().parents[1] / "notebooks" / "06_your_own_labels.ipynb"
ANSWER = re.compile(r"<details>.*?```python\n(?P<code>.*?)```\n\n```text\n(?P<output>.*?)```.*?</details>", re.DOTALL)


def cells(kind):
    return [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == kind]


def answers():
    return [found for cell in cells("markdown") for found in ANSWER.finditer(cell.source)]


@pytest.fixture(scope="module")
def names():
    """What is defined when the notebook has run."""
    matplotlib.use("Agg")
    defined = {}
    with redirect_stdout(io.StringIO()):
        for cell in cells("code"):
            exec(cell.source.replace("%matplotlib inline", ""), defined)
    matplotlib.pyplot.close("all")
    return defined


def test_every_exercise_has_an_answer_that_is_folded():
    exercises = [cell for cell in cells("markdown") if re.search(r"^\*\*\d\. ", cell.source, re.MULTILINE)]
    assert len(exercises) == len(answers()) == 3
    assert sum("<details>" in cell.source for cell in cells("markdown")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_an_answer_prints_what_it_says(names, number):
    answer, printed = answers()[number], io.StringIO()
    with redirect_stdout(printed):
        exec(answer["code"], dict(names))
    assert printed.getvalue() == answer["output"]


@pytest.mark.slow
def test_what_the_text_says_is_what_is_measured(names):
    """The comparisons in words, not their digits: those are another machine's last bits away."""
    measured, flags, wrong, extra = (names[name] for name in ("measured", "report", "wrong", "extra"))
    precision = lambda kind: (flags.flags & wrong & kind).sum() / (flags.flags & kind).sum()
    assert precision(extra) < 0.5 < precision(~extra)
    assert measured["any"].idxmax() == "min" and measured.loc["min", "any"] > 2.5 * measured.loc["chance", "any"]
    assert set(measured["several"].nlargest(2).index) == {"ema", "cumulative"}
    assert (measured.drop("chance") > measured.loc["chance"]).all(axis=None)
    assert names["names_of"](names["doubts"]) == names["names_of"](flags.doubts)
    assert all(wrong[row].any() for row in names["rows"])


def test_the_notebook_is_committed_with_its_outputs_and_small():
    assert PATH.stat().st_size < 1_000_000
    code = cells("code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
