"""Write what is said of the results anew: README.md, between its marks, pages of docs/, and cells of the notebooks.

    python scripts/sentences.py

The sentences are in docs/sentences/, those of a notebook in a folder of its name, in a file for each of its cells with
the tag "sentences", named after the cell's id. Their numbers are read from the files in figures/, or from what code
cells of the notebook have printed. What words such as "ahead" say of a number, and the ids of claims beside a verdict,
are checked: a result that turns round is an error here.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbformat import NotebookNode

from nlcore.errors import InputError, require
from nlcore.files import write_atomically
from nlcore.papers import papers
from nlcore.papers.profiles import PROFILES
from nlcore.places import home
from nlcore.report.verdict_file import NAME, Decided, DecidedPart, read_verdicts
from nlcore.report.verdicts import Verdict

FINDINGS = "<!-- findings: python scripts/sentences.py -->", "<!-- end of findings -->"
VERDICTS = "<!-- verdicts: python scripts/sentences.py -->", "<!-- end of verdicts -->"
SENTENCES = home() / "docs" / "sentences"
TAG = "sentences"  # of the cell of a notebook that has them
PAGES = ("findings", "simulated")  # of docs/
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Results:
    """Numbers of the tables and verdicts in a folder of figures; places are "paper/profile" in it.

    notebook: where the sentences stand, if in one.

    Raises (all functions):
        InputError: nothing is there, or several things are.
    """

    def __init__(self, figures: Path, notebook: NotebookNode | None = None) -> None:
        self.figures, self.notebook = figures, notebook

    def part(self, place: str, claim: str, name: str) -> float:
        """The mean difference of a part of a claim."""
        return self._part(place, claim, name).mean

    def interval(self, place: str, claim: str, name: str) -> str:
        """The same with its interval, as tables have it."""
        return self._part(place, claim, name).shown

    def _part(self, place: str, claim: str, name: str) -> DecidedPart:
        decided = read_verdicts(self.figures / place / NAME)
        found = [part for one in decided if one.id == claim for part in one.parts if part.name == name]
        return self._only(found, f"{place}: parts {name!r} of {claim}")

    def cell(self, table: str, column: str, row: dict[str, object]) -> float:
        """The first number in a column of the row whose other columns say so."""
        frame = self._read(table, dtype=str, keep_default_na=False)
        require({column, *row} <= {*frame}, f"{table}: columns", ", ".join(frame), f"{column} and {', '.join(row)}")
        for name, value in row.items():
            frame = frame[frame[name] == str(value)]
        text = self._only(list(frame[column]), f"{table}: rows with {row}")
        found = NUMBER.match(text)  # at its beginning: the published number stands behind ours
        require(found is not None, f"{table}, {column}, {row}", text, "a number")
        return float(found[0])

    def rows(self, table: str, **row: object) -> pd.DataFrame:
        """The rows of a table whose columns say so, as pandas reads them: numbers where a column has only these."""
        frame = self._read(table)
        for name, value in row.items():
            frame = frame[frame[name].astype(str) == str(value)]
        require(len(frame) > 0, f"{table}: rows with {row}", "none", "some")
        return frame

    def cells(self, table: str, starts: str) -> pd.DataFrame:
        """The rows of a table of published cells whose names start so, in numbers."""
        frame = self._read(table)
        found = frame[frame.cell.str.startswith(starts)]
        require(len(found) > 0, f"{table}: cells that start with {starts!r}", "none", "some")
        return found

    def judged(self, table: str) -> pd.Series:
        """How often each judgement stands in a table of published scores, where all ten datasets ran."""
        frame = self._read(table)
        return frame[frame.datasets == 10].judgement.value_counts()

    def claims(self, place: str, verdict: str) -> list[str]:
        """The ids of the claims that have this verdict, variants of an algorithm left out."""
        found = read_verdicts(self.figures / place / NAME)
        return [claim.id for claim in found if claim.verdict == verdict and " " not in claim.id]

    def confirmed(self, place: str, claim: str) -> str:
        """Of how many parts of a claim so many hold: 8 of 12."""
        found = self._only([one for one in read_verdicts(self.figures / place / NAME) if one.id == claim], claim)
        return found.share

    def printed(self, cell: str, pattern: str) -> float:
        """The number in the parentheses of a pattern, in what the code cell of that id has printed."""
        found = self._only([one for one in self.notebook.cells if one.id == cell], f"cells with the id {cell}")
        numbers = re.findall(pattern, "\n".join(map(_text, found.outputs)))
        return float(self._only(numbers, f"{pattern!r} in what cell {cell} printed").replace(",", ""))

    def _read(self, table: str, **options) -> pd.DataFrame:
        path = self.figures / table
        require(path.is_file(), table, "no such file", "it as the profile makes it")
        return pd.read_csv(path, **options)

    @staticmethod
    def _only(found: list, what: str):
        if len(found) != 1:
            raise InputError(f"{what}: found {len(found)}; expected one")
        return found[0]


def _text(output: NotebookNode) -> str:
    """What an output says: as it was printed, or the plain text of what was displayed."""
    return output.get("text") or output.get("data", {}).get("text/plain", "")


def said(page: str, figures: Path, notebook: NotebookNode | None = None) -> str:
    """The sentences of a page of docs/sentences, as Markdown.

    Raises:
        InputError: a number that the sentences name is not in the results.
    """
    pages = Environment(loader=FileSystemLoader(SENTENCES), undefined=StrictUndefined, trim_blocks=True)
    pages.filters |= {"to": to, "ahead": ahead, "clearly": clearly, "open": undecided, "only": only}
    results = Results(figures, notebook)
    names = ("part", "interval", "cell", "cells", "rows", "judged", "claims", "confirmed", "printed")
    known = {name: getattr(results, name) for name in names}
    return pages.get_template(f"{page}.md.j2").render(known).strip()


def to(value: float, places: int = 1) -> str:
    """A number with so many decimals."""
    return f"{round(value, places) + 0.0:.{places}f}"  # of no number a negative zero


def ahead(value: float, places: int = 1) -> str:
    """A number of which the sentence says on which side of zero it is: above, once the sign is turned for "behind".

    Raises:
        InputError: it is not.
    """
    require(round(value, places) > 0, "a number said to be ahead, or behind", to(value, places), "its side")
    return to(value, places)


def clearly(text: str, sign: int = 1, places: int = 1) -> str:
    """The mean of "mean [low, high]", of which the sentence says that it is above zero, or below it with a sign of -1.

    Raises:
        InputError: the interval is not all on that side.
    """
    mean, low, high = (sign * float(number) for number in NUMBER.findall(text))
    require(min(low, high) > 0, "an interval of a difference said to be clear", text, "its side of zero")
    return to(mean, places)


def undecided(text: str) -> str:
    """A mean with its interval, of which the sentence says that its sign cannot be told.

    Raises:
        InputError: zero is not in the interval.
    """
    _, low, high = map(float, NUMBER.findall(text))
    require(low < 0 < high, "an interval said to hold zero", text, "zero in it")
    return text


def only(ids: Sequence[str], *expected: str) -> str:
    """The ids of claims, if these are the ones that the sentence is about.

    Raises:
        InputError: they are others.
    """
    require(list(ids) == list(expected), "claims of a sentence", ", ".join(ids) or "none", ", ".join(expected))
    return ", ".join(ids)


def table(figures: Path) -> str:
    """One row per paper and profile, one column per word, as Markdown; variants of an algorithm are left out."""
    rows = [["", "evidence", *Verdict], ["---"] * (2 + len(Verdict))]
    for one in papers().values():
        for profile in PROFILES:
            path = figures / one.id / profile / NAME
            if path.is_file():
                rows.append([f"`{one.id}`, {profile}", *_row(read_verdicts(path))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(claims: list[Decided]) -> list[str]:
    """On what most claims stand, and which on something else; and the ids by word."""
    own = [claim for claim in claims if " " not in claim.id]
    (most, _), *others = Counter(claim.evidence for claim in own).most_common()
    elsewhere = [f"{one}: {', '.join(claim.id for claim in own if claim.evidence == one)}" for one, _ in others]
    evidence = "; ".join([most, *elsewhere])
    return [evidence, *(", ".join(claim.id for claim in own if claim.verdict == word) or "–" for word in Verdict)]


def rendered(text: str, figures: Path) -> str:
    """A README with what it takes from the results made anew.

    Raises:
        InputError: the marks are not in it, or as `findings`.
    """
    for (begin, end), made in ((FINDINGS, said("readme", figures)), (VERDICTS, table(figures))):
        if text.count(begin) != 1 or text.count(end) != 1:
            raise InputError(f"README.md: marks; expected {begin!r} and {end!r}, each once")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{made}\n{end}{rest.split(end)[1]}"
    return text


def with_sentences(notebook: NotebookNode, name: str, figures: Path) -> NotebookNode:
    """A notebook whose cells for them have their sentences.

    Raises:
        InputError: a cell without a page, or a page without a cell; or as `said`.
    """
    cells = {cell.id: cell for cell in notebook.cells if TAG in cell.metadata.get("tags", [])}
    pages = {path.name.partition(".")[0] for path in (SENTENCES / name).glob("*.md.j2")}
    alone = ", ".join(sorted(pages ^ cells.keys())) or "none"
    require(pages == cells.keys(), f"{name}: pages without a cell or cells without a page", alone, "none")
    for id, cell in cells.items():
        cell.source = said(f"{name}/{id}", figures, notebook)
    return notebook


def main() -> None:
    """Write README.md, pages of docs/ and the notebooks."""
    figures, readme = home() / "figures", home() / "README.md"
    write_atomically(readme, rendered(readme.read_text(encoding="utf-8"), figures))
    for page in PAGES:
        write_atomically(home() / "docs" / f"{page}.md", said(page, figures) + "\n")
    for path in sorted((home() / "notebooks").glob("*.ipynb")):
        written = nbformat.writes(with_sentences(nbformat.read(path, 4), path.stem, figures))
        write_atomically(path, written + "\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("scripts/sentences.py: takes no argument; writes README.md, docs/findings.md and notebooks/")
    main()
