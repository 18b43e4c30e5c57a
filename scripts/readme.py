"""Write what README.md takes from the results anew: what was found, and the table of verdicts, each between its marks.

    python scripts/readme.py

The sentences are in docs/findings.md.j2; their numbers are read from the files in figures/. What words such as "ahead"
say of a number, and the ids of claims beside a verdict, are checked: a result that turns round is an error here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nlcore.errors import InputError, require
from nlcore.files import write_atomically
from nlcore.papers import papers
from nlcore.places import home
from nlcore.report.verdict_file import NAME, Decided, DecidedPart, read_verdicts
from nlcore.report.verdicts import Verdict

FINDINGS = "<!-- findings: python scripts/readme.py -->", "<!-- end of findings -->"
VERDICTS = "<!-- verdicts: python scripts/readme.py -->", "<!-- end of verdicts -->"
PROFILES = ("embedded", "simulated", "paper")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Results:
    """Numbers of the tables and verdicts in a folder of figures; places are "paper/profile" in it.

    Raises (all functions):
        InputError: nothing is there, or several things are.
    """

    def __init__(self, figures: Path) -> None:
        self.figures = figures

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

    def _read(self, table: str, **options) -> pd.DataFrame:
        path = self.figures / table
        require(path.is_file(), table, "no such file", "it as the profile makes it")
        return pd.read_csv(path, **options)

    @staticmethod
    def _only(found: list, what: str):
        if len(found) != 1:
            raise InputError(f"{what}: found {len(found)}; expected one")
        return found[0]


def findings(figures: Path) -> str:
    """What was found, as Markdown.

    Raises:
        InputError: a number that the sentences name is not in the results.
    """
    pages = Environment(loader=FileSystemLoader(home() / "docs"), undefined=StrictUndefined, trim_blocks=True)
    pages.filters |= {"to": to, "ahead": ahead, "only": only}
    results = Results(figures)
    known = {name: getattr(results, name) for name in ("part", "interval", "cell", "cells", "judged", "claims")}
    return pages.get_template("findings.md.j2").render(known).strip()


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
    """On what the claims stand, and the ids by word."""
    own = [claim for claim in claims if " " not in claim.id]
    evidence = ", ".join(dict.fromkeys(claim.evidence for claim in own))
    return [evidence, *(", ".join(claim.id for claim in own if claim.verdict == word) or "–" for word in Verdict)]


def rendered(text: str, figures: Path) -> str:
    """A README with what it takes from the results made anew.

    Raises:
        InputError: the marks are not in it, or as `findings`.
    """
    for (begin, end), make in ((FINDINGS, findings), (VERDICTS, table)):
        if text.count(begin) != 1 or text.count(end) != 1:
            raise InputError(f"README.md: marks; expected {begin!r} and {end!r}, each once")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{make(figures)}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("scripts/readme.py: takes no argument, and writes README.md")
    readme = home() / "README.md"
    write_atomically(readme, rendered(readme.read_text(encoding="utf-8"), home() / "figures"))
