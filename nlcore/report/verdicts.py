"""From paired results to a word: does what the paper claims hold here?

A claim is a set of parts ("at 20 %", "against random"). Each says that a difference lies in a region: above zero, above
zero and at most so much ("slightly"), below a bound ("no large increase"), or within a margin of zero ("alike"). The
95 % interval of its mean (`nlcore.report.intervals`) decides:

* *holds*: the interval lies in the region, and the published size, where the region has no margin below zero, in it;
* *larger than published*, *holds in direction*: it lies in the region, and above or below the published size;
* *contradicted*: it lies outside of the region: the interval excludes what is claimed;
* *inconclusive*: it reaches from the region to the outside: it excludes neither;
* *not testable*: by construction or by censoring, whatever the number of runs; the reason says which;
* *not run*: data or runs are absent.

A stand-in cannot contradict a paper: what it excludes was *not seen here* (`nlcore.report.evidence`). Where the
published numbers themselves lie outside of the region, the reason says so.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from nlcore.errors import InputError
from nlcore.report.draws import error_of_draws, has_draws
from nlcore.report.evidence import Evidence
from nlcore.report.intervals import Estimate, Strata, by_unit, estimate_strata

SAME = "by construction: in every pair the two are the same"
TOO_FEW = "needs two pairs or more"


class Verdict(StrEnum):
    """From best to worst; the order decides which part speaks for a claim."""

    HOLDS = "holds"
    LARGER = "larger than published"
    DIRECTION = "holds in direction"
    NOT_TESTABLE = "not testable"
    NOT_RUN = "not run"
    INCONCLUSIVE = "inconclusive"
    NOT_SEEN = "not seen here"
    CONTRADICTED = "contradicted"

    @property
    def confirms(self) -> bool:
        """Whether the whole interval lies where the claim says."""
        return self in (Verdict.HOLDS, Verdict.LARGER, Verdict.DIRECTION)


@dataclass(frozen=True)
class Region:
    """Where a part says that its difference lies: between two bounds, both excluded."""

    low: float = 0.0
    high: float = np.inf

    def holds(self, found: Estimate) -> bool:
        """Whether the whole interval lies in it."""
        return self.low < found.low and found.high < self.high

    def excluded(self, found: Estimate) -> bool:
        """Whether the whole interval lies outside of it."""
        return found.high <= self.low or found.low >= self.high

    def chance(self, found: Estimate) -> float:
        """One-sided p value of an interval this far outside, were the mean at the nearer bound."""
        if found.high <= self.low:
            return found.chance_beyond(self.low)
        return replace(found, mean=-found.mean).chance_beyond(-self.high)

    def __str__(self) -> str:
        if np.isinf(self.high):
            return "above zero" if self.low == 0 else f"above {self.low:g}"
        if np.isinf(self.low):
            return f"below {self.high:g}"
        return f"within {self.high:g}" if self.low == -self.high else f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Part:
    """One decided piece of a claim.

    published: the size that the paper names, signed as the difference is. estimate: mean and interval; None where there
    were no pairs. differences: what it is of, one number per independent unit, in strata. of_images: standard error of
    their mean over draws of the test images, where it is known.
    """

    name: str
    verdict: Verdict
    reason: str
    published: float | None = None
    region: Region = Region()
    estimate: Estimate | None = None
    differences: Strata = ()
    of_images: float | None = None

    @property
    def power(self) -> float | None:
        """Chance to confirm it, true at the published size, or at zero for a margin; None where there is neither."""
        size = 0.0 if self.published is None and self.region.low < 0 else self.published
        if self.estimate is None or size is None or not self.region.low < size < self.region.high:
            return None
        return self.estimate.power(size, self.region.low, self.region.high)


def decide(
    name: str,
    differences: Sequence[float],
    *,
    published: float | None = None,
    at_least: float = 0.0,
    at_most: float = np.inf,
    clusters: Iterable[Hashable] | None = None,
    strata: Iterable[Hashable] | None = None,
) -> Part:
    """Decide "the difference is above zero", and of the published size where there is one.

    Args:
        name: of the part.
        differences: one per pair; in a series, in draws of the test images too (`nlcore.report.draws`).
        published: the paper's own size of it.
        at_least: what "substantially" asks for; the claim then says that the difference is above it.
        at_most: what "slightly" allows; the claim then says that the difference is below it too.
        clusters: the independent unit of each pair, such as its data set; each pair its own without.
        strata: the stratum of each pair: panels or groups that weigh alike; one for all without.
    """
    units, of_images = by_unit(differences, clusters, strata), _of_images(differences, clusters, strata)
    return decide_units(name, units, Region(at_least, at_most), published=published, of_images=of_images)


def decide_units(
    name: str, units: Strata, region: Region, *, published: float | None = None, of_images: float | None = None
) -> Part:
    """Decide that a mean lies in a region, from what a verdict keeps: numbers as of `by_unit`, and the error by images.

    Args:
        name: of the part.
        units: one tuple per stratum, one number per independent unit.
        region: where the claim says that their mean lies.
        published: the paper's own size of it.
        of_images: standard error of the mean over draws of the test images, where it is known.
    """
    found = estimate_strata(units, of_images) if units else None
    part = Part(name, Verdict.NOT_RUN, TOO_FEW, published, region, found, units, of_images)
    if found is None or not found.bounded:
        return part
    if region.low >= 0 and not any(map(any, units)):
        return replace(part, verdict=Verdict.NOT_TESTABLE, reason=SAME)
    return _worded(part)


def decide_estimate(name: str, found: Estimate, *, published: float | None = None) -> Part:
    """Decide "it is above zero" of an interval that is not one of pairs of runs, such as a review's."""
    return _worded(Part(name, Verdict.NOT_RUN, TOO_FEW, published, Region(), found))


def decide_within(
    name: str,
    differences: Sequence[float],
    margin: float,
    *,
    published: float | None = None,
    clusters: Iterable[Hashable] | None = None,
    strata: Iterable[Hashable] | None = None,
) -> Part:
    """Decide "the two differ by less than `margin`": the whole interval must lie within it.

    The margin is the contract's reading of the paper's words and no published number; `published` is the paper's own
    difference, where it gives one. The other arguments are those of `decide`.
    """
    units, of_images = by_unit(differences, clusters, strata), _of_images(differences, clusters, strata)
    return decide_units(name, units, Region(-margin, margin), published=published, of_images=of_images)


def decide_below(name: str, differences: Sequence[float], bound: float, *, published: float | None = None) -> Part:
    """Decide "it is no more than `bound`", the contract's reading of the paper's words: the whole interval below it."""
    units, of_images = by_unit(differences), error_of_draws(differences)
    return decide_units(name, units, Region(-np.inf, bound), published=published, of_images=of_images)


def not_run(name: str, reason: str, *, published: float | None = None) -> Part:
    """A part for which data or runs are absent, with the true reason."""
    return Part(name, Verdict.NOT_RUN, reason, published)


def not_testable(name: str, reason: str, *, published: float | None = None) -> Part:
    """A part that no number of runs could decide here, by construction or by censoring: the reason says which."""
    return Part(name, Verdict.NOT_TESTABLE, reason, published)


def _of_images(differences: Sequence[float], *groups: Iterable[Hashable] | None) -> float | None:
    """The error by the test images; nobody has both these and clusters or strata, whose weights the draws do not know.

    Raises:
        InputError: somebody has.
    """
    if has_draws(differences) and any(group is not None for group in groups):
        raise InputError("differences: found in draws beside clusters or strata; expected only one of them")
    return error_of_draws(differences)


def _worded(part: Part) -> Part:
    """The part with the word that its interval leads to."""
    found = part.estimate
    if part.region.holds(found):
        return _confirmed(part, found)
    verdict = Verdict.CONTRADICTED if part.region.excluded(found) else Verdict.INCONCLUSIVE
    return replace(part, verdict=verdict, reason=_against(part, found))


def _confirmed(part: Part, found: Estimate) -> Part:
    """The interval lies in the region: is it of the published size?"""
    size = part.published
    if part.region.low < 0 or size is None or found.low <= size <= found.high:
        return replace(part, verdict=Verdict.HOLDS, reason=f"the interval lies {part.region}")
    if size > found.high:
        return replace(part, verdict=Verdict.DIRECTION, reason="the published size lies above the interval")
    too = "; the published number itself contradicts the claim" if size <= part.region.low else ""
    return replace(part, verdict=Verdict.LARGER, reason=f"the published size lies below the interval{too}")


def _against(part: Part, found: Estimate) -> str:
    """Why an interval does not confirm: where it lies, where the published size lies, what could have been shown."""
    lies = "outside of" if part.region.excluded(found) else "partly outside of"
    said = [f"the interval lies {lies} what is claimed ({part.region})"]
    size = part.published
    if size is not None and not part.region.low < size < part.region.high:
        said.append("the published number contradicts the claim too")
    elif size is not None and size > found.high:
        said.append("and below the published size")
    if not part.region.excluded(found) and part.power is not None:
        said.append(f"a true claim would have been confirmed with a chance of {part.power:.0%}")
    return "; ".join(said).replace("; and", ", and")


def said_on(evidence: Evidence, verdict: Verdict) -> Verdict:
    """What a verdict may say on this evidence.

    >>> said_on(Evidence.STAND_IN, Verdict.CONTRADICTED).value, said_on(Evidence.SIMULATED, Verdict.CONTRADICTED).value
    ('not seen here', 'contradicted')
    """
    return Verdict.NOT_SEEN if verdict is Verdict.CONTRADICTED and not evidence.refutes else verdict


def weakest(parts: Iterable[Part]) -> Verdict:
    """The verdict on a claim: its weakest part's. What was not tested only counts where nothing speaks against it."""
    order = list(Verdict)
    return max((part.verdict for part in parts), key=order.index)
