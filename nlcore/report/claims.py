"""A claim, decided: all its parts, their share that holds, and the word of the weakest.

A claim that says "everywhere" is confirmed only if every part is: that needs no correction for their number (an
intersection-union test keeps its level; Berger 1982). It is contradicted if any part is, and among many parts some
interval misses by chance: so contradictions are corrected among the parts of a claim (Holm 1979), and an interval that
excludes a part alone but not among all of them is *inconclusive*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from nlcore.report.contract import Claim
from nlcore.report.evidence import Evidence
from nlcore.report.intervals import CONFIDENCE
from nlcore.report.verdicts import Part, Verdict, said_on, weakest

LEVEL = (1 - CONFIDENCE) / 2  # of one side


@dataclass(frozen=True)
class ClaimVerdict:
    """A decided claim: the verdict of its weakest part, and all its parts, in the words that its evidence allows.

    The deciders of a paper see results alone, and speak as if they were exact; a session states the profile's evidence.
    """

    claim: Claim
    parts: tuple[Part, ...]
    evidence: Evidence = Evidence.EXACT

    def __post_init__(self) -> None:
        """Whoever makes one: contradictions are corrected for their number, and a stand-in makes none."""
        parts = among_all(self.parts)
        said = tuple(replace(part, verdict=said_on(self.evidence, part.verdict)) for part in parts)
        object.__setattr__(self, "parts", said)

    @property
    def verdict(self) -> Verdict:
        """That of its weakest part."""
        return weakest(self.parts)

    @property
    def speaking(self) -> Part:
        """The part that decides: the first of the weakest."""
        return next(part for part in self.parts if part.verdict == self.verdict)

    @property
    def confirmed(self) -> int:
        """How many of its parts hold, at least in direction."""
        return sum(part.verdict.confirms for part in self.parts)

    @property
    def share(self) -> str:
        """ "7 of 8": the parts that hold, at least in direction."""
        return f"{self.confirmed} of {len(self.parts)}"

    @property
    def power(self) -> float | None:
        """At most so likely were all parts confirmed, if the claim is true: the least power of any.

        None where no part has one, and where a part was not run or cannot be tested.
        """
        known = [part.power for part in self.parts if part.power is not None]
        idle = any(part.verdict in (Verdict.NOT_RUN, Verdict.NOT_TESTABLE) for part in self.parts)
        return min(known) if known and not idle else None


def among_all(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts, with contradictions that are none after Holm's correction turned into *inconclusive*."""
    tested = sum(part.estimate is not None and part.estimate.bounded for part in parts)
    against = sorted(
        (part.region.chance(part.estimate), place)
        for place, part in enumerate(parts)
        if part.verdict is Verdict.CONTRADICTED
    )
    stands = [chance <= LEVEL / (tested - rank) for rank, (chance, _) in enumerate(against)]
    kept = stands.index(False) if False in stands else len(against)  # from the first that fails on, none stands
    softened = {place for _, place in against[kept:]}
    more = f"; among {tested} parts that may be chance (Holm)"
    return tuple(
        replace(part, verdict=Verdict.INCONCLUSIVE, reason=part.reason + more) if place in softened else part
        for place, part in enumerate(parts)
    )


def claims_table(verdicts: Iterable[ClaimVerdict]) -> pd.DataFrame:
    """One row per claim: its verdict, on what it stands, how many parts hold, and the part that decides."""
    return pd.DataFrame(
        {
            "claim": decided.claim.id,
            "says": decided.claim.claim,
            "verdict": decided.verdict.value,
            "evidence": decided.evidence.value,
            "parts that hold": decided.share,
            "weakest part": decided.speaking.name,
        }
        for decided in verdicts
    )


def verdict_table(verdicts: Iterable[ClaimVerdict]) -> pd.DataFrame:
    """One row per part of each claim: published size, our mean with its interval, what we could have shown; and which
    share of the squared error comes from the choice of the test images, where that is known.
    """
    return pd.DataFrame(_row(decided, part) for decided in verdicts for part in decided.parts)


def _row(decided: ClaimVerdict, part: Part) -> dict[str, Any]:
    found = part.estimate
    return {
        "claim": decided.claim.id,
        "part": part.name,
        "says": str(part.region),
        "published": part.published,
        "ours [95 % interval]": str(found) if found else "",
        "share by test images": None if part.of_images is None or not found else found.share_of_images,
        "smallest detectable": found.detectable if found else None,
        "power": part.power,
        "pairs": found.pairs if found else 0,
        "verdict": part.verdict.value,
        "evidence": decided.evidence.value,
        "reason": part.reason,
    }
