"""From paired results to a verdict: does what the paper claims hold here?

A claim is a set of parts ("at 20 %", "against random"), each a difference over paired seeds that the paper says
is above zero. A part is decided by the 95 % interval of its mean (Student's t over the seeds):

* *holds*: the interval lies above zero, and the published size, if there is one, lies inside it or below it;
* *holds in direction*: the interval lies above zero, and the published size above the interval;
* *does not hold*: anything else that the runs could have shown, on the paper's data and protocol or simulated ones;
* *not seen here*: the same on a stand-in, which never refutes a paper (`nlcore.report.evidence`);
* *not tested*: data absent, fewer than two seeds, or a published size smaller than the runs could have detected.

Where the published numbers themselves lie on the other side of zero, the reason says so.

A claim is as good as its weakest part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nlcore.report.contract import Claim
from nlcore.report.evidence import Evidence

CONFIDENCE = 0.95
POWER = 0.80  # chance with which the smallest detectable difference would have been found


class Verdict(StrEnum):
    """From best to worst; the order decides which part speaks for a claim."""

    HOLDS = "holds"
    DIRECTION = "holds in direction"
    NOT_TESTED = "not tested"
    NOT_SEEN = "not seen here"
    FAILS = "does not hold"


@dataclass(frozen=True)
class Estimate:
    """The mean of paired differences with its 95 % interval; `detectable` is the smallest one we could have shown."""

    mean: float
    low: float
    high: float
    detectable: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Part:
    """One decided piece of a claim. The difference is signed so that the claim says it is positive."""

    name: str
    estimate: Estimate | None
    verdict: Verdict
    reason: str
    published: float | None = None


def estimate(differences: Sequence[float]) -> Estimate:
    """Mean and interval of paired differences, one per seed; a single seed gives an unbounded interval."""
    values = np.asarray(differences, dtype=float)
    seeds, mean = len(values), float(np.mean(values))
    if seeds < 2:
        return Estimate(mean, -np.inf, np.inf, np.inf, seeds)
    error = float(np.std(values, ddof=1)) / np.sqrt(seeds)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)
    detectable = (reach + stats.t.ppf(POWER, seeds - 1)) * error
    return Estimate(mean, mean - reach * error, mean + reach * error, float(detectable), seeds)


def decide(name: str, differences: Sequence[float], *, published: float | None = None) -> Part:
    """Decide "the difference is above zero" (and of the published size, where there is one)."""
    result = estimate(differences)
    if result.seeds < 2:
        return not_tested(name, "needs two paired seeds or more", published=published)
    if result.low > 0:
        if published is None or published <= result.high:
            return Part(name, result, Verdict.HOLDS, "the interval lies on the claimed side", published)
        return Part(name, result, Verdict.DIRECTION, "the published size lies above the interval", published)
    if result.high >= 0 and published is not None and 0 < published < result.detectable:
        reason = f"the runs could show {result.detectable:.3g}, more than the published {published:.3g}"
        return Part(name, result, Verdict.NOT_TESTED, reason, published)
    where = "on the other side" if result.high < 0 else "around zero"
    too = "" if published is None or published > 0 else "; the published numbers contradict the claim too"
    return Part(name, result, Verdict.FAILS, f"the interval lies {where}{too}", published)


def decide_within(name: str, differences: Sequence[float], margin: float) -> Part:
    """Decide "the two differ by less than `margin`": the whole interval must lie within it."""
    result = estimate(differences)
    if result.seeds < 2:
        return not_tested(name, "needs two paired seeds or more")
    if -margin < result.low and result.high < margin:
        return Part(name, result, Verdict.HOLDS, f"the interval lies within {margin:g}", margin)
    if result.high >= -margin and result.low <= margin and result.high - result.low > 2 * margin:
        return Part(name, result, Verdict.NOT_TESTED, f"the interval is wider than the margin of {margin:g}", margin)
    return Part(name, result, Verdict.FAILS, f"the interval reaches beyond {margin:g}", margin)


def not_tested(name: str, reason: str, *, published: float | None = None) -> Part:
    """A part that these runs cannot decide, with the true reason."""
    return Part(name, None, Verdict.NOT_TESTED, reason, published)


def said_on(evidence: Evidence, verdict: Verdict) -> Verdict:
    """What a verdict may say on this evidence.

    >>> said_on(Evidence.STAND_IN, Verdict.FAILS).value, said_on(Evidence.SIMULATED, Verdict.FAILS).value
    ('not seen here', 'does not hold')
    """
    return Verdict.NOT_SEEN if verdict is Verdict.FAILS and not evidence.refutes else verdict


def weakest(parts: Iterable[Part]) -> Verdict:
    """The verdict on a claim: that of its weakest part. What was not tested only counts where nothing failed."""
    order = list(Verdict)
    return max((part.verdict for part in parts), key=order.index)


@dataclass(frozen=True)
class ClaimVerdict:
    """A decided claim: the verdict of its weakest part, and all its parts, in the words that its evidence allows.

    The deciders of a paper see results alone, and speak as if they were exact; a session states the profile's evidence.
    """

    claim: Claim
    parts: tuple[Part, ...]
    evidence: Evidence = Evidence.EXACT

    def __post_init__(self) -> None:
        """Whoever makes one, a stand-in refutes nothing."""
        said = tuple(replace(part, verdict=said_on(self.evidence, part.verdict)) for part in self.parts)
        object.__setattr__(self, "parts", said)

    @property
    def verdict(self) -> Verdict:
        """That of its weakest part."""
        return weakest(self.parts)

    @property
    def speaking(self) -> Part:
        """The part that decides: the first of the weakest."""
        return next(part for part in self.parts if part.verdict == self.verdict)

    def as_json(self) -> dict[str, Any]:
        """For the report: plain values, infinities as None."""
        parts = [
            {
                "name": part.name,
                "verdict": part.verdict.value,
                "reason": part.reason,
                "published": part.published,
                "shown": str(part.estimate or ""),
            }
            | {name: _finite(value) for name, value in (asdict(part.estimate) if part.estimate else {}).items()}
            for part in self.parts
        ]
        speaking = parts[self.parts.index(self.speaking)]
        return {
            "id": self.claim.id,
            "claim": self.claim.claim,
            "verdict": self.verdict.value,
            "evidence": self.evidence.value,
            "speaking": speaking,
            "parts": parts,
        }


def verdict_table(verdicts: Iterable[ClaimVerdict]) -> pd.DataFrame:
    """One row per part of each claim: published size, our mean with its interval, what we could have shown."""
    return pd.DataFrame(
        [
            {
                "claim": decided.claim.id,
                "part": part.name,
                "published": part.published,
                "ours [95 % interval]": str(part.estimate) if part.estimate else "",
                "smallest detectable": part.estimate.detectable if part.estimate else None,
                "pairs": part.estimate.seeds if part.estimate else 0,
                "verdict": part.verdict.value,
                "evidence": decided.evidence.value,
                "reason": part.reason,
            }
            for decided in verdicts
            for part in decided.parts
        ]
    )


def verdicts_by_profile(verdicts: Iterable[ClaimVerdict], profile: str, folder: Path) -> pd.DataFrame:
    """One row per claim: its verdict at this profile, and at the others whose artefacts lie in the paper's folder.

    A cell says the verdict, on what it stands, and the part that decides it. Folders of other seeds or variants, whose
    names have a dot, are left out.
    """
    found = {profile: [decided.as_json() for decided in verdicts]}
    for path in sorted(folder.glob("*/verdicts.json")):
        if "." not in path.parent.name:
            found.setdefault(path.parent.name, json.loads(path.read_text(encoding="utf-8")))
    said = {name: {decided["id"]: _in_short(decided) for decided in all_of} for name, all_of in found.items()}
    return pd.DataFrame(
        {"claim": own["id"], "says": own["claim"], **{name: said[name].get(own["id"], "") for name in said}}
        for own in found[profile]
    )


def _in_short(decided: Mapping[str, Any]) -> str:
    """ "holds (stand-in): 1.5 [1.2, 1.8]"; an early edition did not state its evidence."""
    shown = decided["speaking"].get("shown")
    return f"{decided['verdict']} ({decided.get('evidence', 'unstated')})" + (f": {shown}" if shown else "")


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
