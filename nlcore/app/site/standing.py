"""How far a paper's results stand: shares of what there is to have, their weighted mean, and the finding in short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from nlcore.app.site.collect import Folder
from nlcore.report.evidence import Evidence
from nlcore.report.verdict_file import Decided
from nlcore.report.verdicts import Verdict

OUT_OF_REACH = (Verdict.NOT_TESTABLE, Verdict.NOT_RUN)
CELLS, SCORES = "published_cells.csv", "published_scores.csv"


class Share(NamedTuple):
    """So many of so many."""

    count: int
    of: int


@dataclass(frozen=True)
class Standing:
    """Of one paper at one profile.

    artefacts: tables and figures of the contract that were made. cells: published numbers that look like one of ours
    (in the prediction interval of our runs; of a benchmark, within the bounds that were set beforehand). claims:
    those that hold, if not in their size, of those that could be decided.
    """

    artefacts: Share
    cells: Share
    claims: Share

    @property
    def score(self) -> float:
        """From 0 to 1: the mean of the shares that there are, claims counting as much as the other two together."""
        weighted = [(share, weight) for share, weight in zip(self._shares, (1, 1, 2), strict=True) if share.of]
        total = sum(weight for _, weight in weighted)
        return sum(weight * share.count / share.of for share, weight in weighted) / total if total else 0.0

    @property
    def _shares(self) -> tuple[Share, Share, Share]:
        return self.artefacts, self.cells, self.claims


def standing(folder: Folder) -> Standing:
    """What a folder's files say; variants of an algorithm and additions of ours do not count."""
    made = [artefact.state != "not made" for artefact in folder.artefacts if artefact.contract]
    return Standing(Share(sum(made), len(made)), _cells(folder), _claims(folder))


def _claims(folder: Folder) -> Share:
    words = [claim.verdict for claim in folder.verdicts if " " not in claim.id and claim.verdict not in OUT_OF_REACH]
    return Share(sum(word.confirms for word in words), len(words))


def _cells(folder: Folder) -> Share:
    """Published cells that look like ours, of those that our runs speak of."""
    if (folder.path / CELLS).is_file():
        inside = pd.read_csv(folder.path / CELLS).inside.dropna()
        return Share(int((inside == "yes").sum()), len(inside))
    if (folder.path / SCORES).is_file():
        scores = pd.read_csv(folder.path / SCORES)
        judged = scores[scores.datasets == scores.datasets.max()].judgement
        return Share(int((judged != "off").sum()), len(judged))
    return Share(0, 0)


@dataclass(frozen=True)
class Finding:
    """What was found of a paper where the evidence is strongest.

    claims: those that hold there. key: its first claim, as decided there.
    """

    profile: str
    claims: Share
    key: Decided


def finding(profiles: Mapping[str, Folder]) -> Finding | None:
    """The one of a paper; of equal evidence the later profile speaks. None where its first claim was not decided."""
    order, found = list(Evidence), []
    for profile, folder in profiles.items():
        key = folder.claim(folder.paper.key[1])
        if key is not None and folder.whole and profile != "smoke" and key.verdict not in OUT_OF_REACH:
            found.append((-order.index(Evidence(key.evidence)), len(found), Finding(profile, _claims(folder), key)))
    return max(found)[-1] if found else None
