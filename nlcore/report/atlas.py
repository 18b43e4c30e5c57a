"""The atlas of readings: which choice that a paper leaves open changes which verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from nlcore.report.claims import ClaimVerdict, among_all
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import Part, Verdict, said_on, weakest

COLUMNS = ["reading", "claim", "verdict by default", "verdict", "changes", "decided by", "ours"]
VERDICTS = ["verdict by default", "verdict"]
Parts = Mapping[str, Iterable[Part]]  # claim id -> its parts


def reading_atlas(default: Iterable[ClaimVerdict], readings: Mapping[str, Parts]) -> pd.DataFrame:
    """Reading x claim: the verdict under a reading, and under the default one over the same parts of the claim.

    readings: name -> the claims decided anew under it, those that it can touch. Parts for which a reading was not run
    are left out, and a claim of which none was run.

    Returns:
        One row per reading and claim; `changes` is "yes" or "", `decided by` names the weakest part under the reading.
    """
    usual = {decided.claim.id: decided for decided in default}
    rows = []
    for reading, decided in readings.items():
        for id, found in decided.items():
            parts = tuple(part for part in found if part.estimate is not None)
            if not parts:
                continue
            anew, before = _in_its_family(usual[id], parts), _same_parts(usual[id], parts)
            verdict, changes = weakest(anew), "yes" if weakest(anew) != before else ""
            speaking = next(part for part in anew if part.verdict == verdict)
            rows.append([reading, id, before.value, verdict.value, changes, speaking.name, str(speaking.estimate)])
    return pd.DataFrame(rows, columns=COLUMNS)


def on_evidence(atlas: pd.DataFrame, of: Callable[[str], Evidence]) -> pd.DataFrame:
    """The atlas in the words that the evidence allows: both verdicts of a row stand on that of its claim.

    of: claim id -> its evidence. On one evidence different verdicts stay different, so `changes` is as it was.
    """

    def said(words: pd.Series) -> list[str]:
        return [said_on(of(id), Verdict(word)).value for id, word in zip(atlas.claim, words, strict=True)]

    return atlas.assign(**{name: said(atlas[name]) for name in VERDICTS})


def _in_its_family(decided: ClaimVerdict, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts under a reading, corrected among as many as by default where they stand for parts of the same names."""
    names, known = {part.name for part in parts}, {part.name for part in decided.parts}
    others = tuple(part for part in decided.parts if part.name not in names) if names <= known else ()
    return among_all((*parts, *others))[: len(parts)]


def _same_parts(decided: ClaimVerdict, parts: Iterable[Part]) -> Verdict:
    """The default verdict over the parts of these names.

    It is the claim's own where one of the names is another, and where the reading only picks some of its parts.
    """
    names, own = {part.name for part in parts}, {part.name: part.differences for part in decided.parts}
    same = [part for part in decided.parts if part.name in names]
    picked = all(own.get(part.name) == part.differences for part in parts)
    return weakest(same) if len(same) == len(names) and not picked else decided.verdict
