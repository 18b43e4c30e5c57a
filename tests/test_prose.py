"""Numbers that sentences state are numbers that the runs gave.

A number of three digits or more in a notebook's text has to stand, rounded as it is there, in the notebook's outputs
or code, in the paper's tables and figures, or in its contract. One that nothing prints any more was typed and has gone
stale. Shorter ones stand everywhere by chance, and nobody learns anything from finding them. What README and the last
section of a notebook say was found is rendered from figures/ (docs/sentences); of what is typed there, numbers of three
digits or more are the paper's own, or its protocol's.
"""

import json
import re
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path

import pytest

from nlcore.data.source import Source

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = ROOT / "docs" / "sentences"
NOTEBOOKS = sorted(ROOT.glob("notebooks/0[1-5]_*.ipynb"))
WRITTEN = re.compile(r"(?<![\w.,^{/-])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?!\w|\.\d|,\d{3})")
PRINTED = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|https?://\S+", re.DOTALL)
# What follows from numbers that are there, and where from.
DERIVED = {
    ("cleanlab_ema", "108"): "27 poolings x 2 groups x 2 classifiers",
    ("cleanlab_ema", "648"): "108 rows x 6 metrics",
    ("cleanlab_ema", "399"): "of the 486 published means at the paper's size: counted from published_scores.csv",
    ("galc_slr", "17.8"): "published: 69.94 - 52.18",
    ("missing_label_al", "21,300"): "about; from the cells that an image lacks on average",
    ("teacher_student", "19.9"): "published: 65.16 - 45.30",
    ("teacher_student", "130"): "about; the simulated verified images of a class at 5 %, 131.6 in the mean",
    ("teacher_student", "1,022"): "updates by passes in why_equal_budgets.csv at the paper's size: 19,418 / 19",
}


def written(text):
    """Numbers of a text with three digits or more, but for years and what is code or a formula."""
    for found in WRITTEN.finditer(NOT_PROSE.sub(" ", text)):
        digits = re.sub(r"\D", "", found[0]).lstrip("0")
        if len(digits) >= 3 and not re.fullmatch(r"(19|20)\d\d", found[0]):
            yield found[0]


def printed(texts):
    """All numbers of some texts, in order; a comma between thousands is no end of one."""
    joined = (re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) for text in texts)
    return sorted({float(number) for text in joined for number in PRINTED.findall(text)})


def stands(number, among):
    """Whether a number is there, to as many places as it is written with, as it is or in per cent."""
    places = len(number.partition(".")[2])
    value, reach = float(number.replace(",", "")), 0.500001 * 10**-places
    for scale in (1, 100):
        place = bisect_left(among, (value - reach) / scale)
        if place < len(among) and among[place] <= (value + reach) / scale:
            return True
    return False


def shown(notebook):
    """What the code cells of a notebook say and print."""
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        yield "".join(cell["source"])
        for output in cell["outputs"]:
            yield "".join(output.get("text", []))
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield re.sub(r"<[^>]*>", " ", "".join(content))


def texts_of(notebook):
    """What its Markdown cells say."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def named(number):
    """The tables of another paper, to whose notebook a sentence leads."""
    (path,) = [path for path in NOTEBOOKS if path.stem.startswith(number)]
    return cells_of(ROOT / "figures" / path.stem[3:] / "embedded")


def cells_of(folder):
    """The numbers in the tables and figures of a folder, cell by cell."""
    for path in folder.glob("*.csv"):
        yield path.read_text(encoding="utf-8").replace(",", " ; ")


def contract_of(paper):
    """What was fixed before its runs: published numbers, claims, protocols."""
    return [one.read_text(encoding="utf-8") for one in (ROOT / "nlcore" / "papers" / paper).rglob("*.yaml")]


def sizes():
    """Images of the embedded set, with a label and with two."""
    return [str(sum(Source(data="embedded", model="linear", min_labels=least).sizes())) for least in (1, 2)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_in_sentences_are_printed_somewhere(path):
    notebook, paper = json.loads(path.read_text(encoding="utf-8")), path.stem[3:]
    here = [*shown(notebook), *contract_of(paper), *sizes(), *cells_of(ROOT / "figures" / paper / "embedded")]
    elsewhere = [text for other in ("paper", "simulated") for text in cells_of(ROOT / "figures" / paper / other)]
    others = [text for other in re.findall(r"notebook (0[1-5])", " ".join(texts_of(notebook))) for text in named(other)]
    here += others
    among = {False: printed(here), True: printed([*here, *elsewhere])}
    stale = []
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            beyond = any(f"{paper}/{other}" in text for other in ("paper", "simulated"))
            stale += [
                f"cell {place}: {number}"
                for number in written(text)
                if (paper, number) not in DERIVED and not stands(number, among[beyond])
            ]
    assert not stale, f"{path.name}: nothing prints {'; '.join(stale)}"


def typed(*pages):
    """The sentences of pages without what is filled in."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return re.sub(r"\{[{%#].*?[#%}]\}", " ", text, flags=re.DOTALL)


def findings():
    """Paper -> what is typed of what README and docs/findings.md say was found: an item each of a list."""
    found = defaultdict(str)
    for name in ("readme", "findings"):
        text = typed(SENTENCES / f"{name}.md.j2")
        for paper, said in re.findall(r"^\* \*\*(\w+)\*\*: (.*?)(?=^\* |\Z)", text, re.MULTILINE | re.DOTALL):
            found[paper] += said
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_typed_in_sentences_about_results_are_the_papers(path):
    paper = path.stem[3:]
    contract = printed([*contract_of(paper), *sizes()])
    numbers = [one for text in (findings()[paper], typed(*(SENTENCES / path.stem).iterdir())) for one in written(text)]
    found = [one for one in numbers if (paper, one) not in DERIVED and not stands(one, contract)]
    assert found == []


def test_a_number_that_nothing_prints_is_found():
    assert list(written("1,871 of 3,082 in 2018, `1234`, $x = 456$, 12.5 and 41 %")) == ["1,871", "3,082", "12.5"]
    among = printed(["mAP 41.26, 0.4465; 1,871"])
    found = [stands(number, among) for number in ("41.3", "44.6", "1,871", "1,870", "41.2")]
    assert found == [True, True, True, False, False]


def test_every_exception_is_needed():
    texts = {path.stem[3:]: json.loads(path.read_text(encoding="utf-8"))["cells"] for path in NOTEBOOKS}
    for paper, number in DERIVED:
        prose = ["".join(cell["source"]) for cell in texts[paper] if cell["cell_type"] == "markdown"]
        assert any(number in written(text) for text in [*prose, findings()[paper]]), f"{paper}: {number}"
