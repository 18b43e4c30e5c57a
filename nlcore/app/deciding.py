"""`run_all.py decide`: as many seeds for each headline claim as it takes to tell, and its verdict on these.

In two stages (an internal pilot: Wittes and Brittain 1990, after Stein 1945). The profile's own seeds tell how much
they differ, and so how many would confirm each part of a claim with a chance of 80 % (`--power`), were it true at its
published size (a margin: were there no difference). So many are run, of the runs alone that decide the claim, and they
decide it, once. Neither how large a difference is after the first stage nor what verdict it gives has a part in that
number: looked at again and again until it excludes something, an interval would exclude the truth too often.

A part without a published size asks for nothing, and has the seeds that others ask for. So has a part that no number of
seeds would confirm so surely, for want of test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from nlcore.app.batch import Batch, run_plans
from nlcore.errors import InputError, require
from nlcore.files import write_atomically
from nlcore.papers.paper import Paper, load_rounded
from nlcore.papers.prepare import prepare
from nlcore.papers.profiles import load_profile
from nlcore.report.claims import ClaimVerdict
from nlcore.report.intervals import POWER
from nlcore.report.verdict_file import NAME, write_verdicts
from nlcore.report.verdicts import Part
from nlcore.runs import Spec, Store, plan_grid
from nlcore.runs.progress import reporter

MANY = 10**6  # seeds: as good as infinitely many
VARIANT = "more-seeds"  # of the folder beside the profile's


@dataclass(frozen=True)
class Decision:
    """A claim on the profile's own seeds, and on as many as it was given."""

    before: ClaimVerdict
    after: ClaimVerdict
    seeds: int


def decide(batch: Batch, console: Console, *, most: int = 30, power: float = POWER) -> list[Decision]:
    """Decide the headline claims of every paper on as many seeds as they need; `verdicts.json` beside the profile's.

    Args:
        most: seeds at most.
        power: the chance with which a true part is to be confirmed.

    Raises:
        InputError: seeds, --partial or a budget beside it, a power that is none, a profile of a single seed, or fewer
            seeds than a profile has; nothing has been computed.
        RunFailedError: runs failed; what finished is in the store.
    """
    _check(batch, most, power)
    found = []
    for one in batch.papers:
        if not _headlines(batch, one):
            console.print(f"{one.id}: no headline claim that more seeds could decide")
            continue
        decisions = _decide_paper(batch, one, most, power)
        target = one.folder(replace(batch.asked, variant=VARIANT)) / NAME
        write_atomically(target, write_verdicts([decision.after for decision in decisions]))
        console.print(_table(one, decisions))
        console.print(f"verdicts: {target}", soft_wrap=True)
        found += decisions
    return found


def _check(batch: Batch, most: int, power: float) -> None:
    """Everything that can be told before work begins; raises as `decide`."""
    require(0 < power < 1, "power", power, "a fraction above 0 and below 1")
    asked = batch.asked
    beside = {"--seeds": asked.seeds is not None, "--partial": asked.partial, "--budget": batch.budget is not None}
    if named := [name for name, given in beside.items() if given]:
        raise InputError(f"decide: found beside {named[0]}; expected none of it, since decide says what is run")
    for one in batch.papers:
        seeds = _own_seeds(batch, one)
        if _headlines(batch, one):
            what = f"of profile {asked.profile} of {one.id}"
            require(len(seeds) > 1, f"seeds {what}", len(seeds), "two or more, which tell how much they differ")
            require(most >= len(seeds), "most", most, f"{len(seeds)} or more, the seeds {what}")


def _own_seeds(batch: Batch, one: Paper) -> Sequence[int]:
    return load_profile(one.package, batch.asked.profile).get("seeds", ())


def _headlines(batch: Batch, one: Paper) -> list[str]:
    """The claims of a paper's headline that any run decides."""
    return [stake.claim for stake in one.stakes(batch.made[one.id].main) if stake.headline]


def _decide_paper(batch: Batch, one: Paper, most: int, power: float) -> list[Decision]:
    own, claims = _own_seeds(batch, one), _headlines(batch, one)
    before = {claim: _verdict(batch, one, claim, own) for claim in claims}
    seeds = {claim: seeds_for(found, own=len(own), most=most, power=power) for claim, found in before.items()}
    after = before | {
        claim: _verdict(batch, one, claim, more(own, number)) for claim, number in seeds.items() if number > len(own)
    }
    return [Decision(before[claim], after[claim], seeds[claim]) for claim in claims]


def seeds_for(decided: ClaimVerdict, *, own: int, most: int, power: float = POWER) -> int:
    """How many seeds a claim is decided on, a multiple of the profile's `own`: see the module's text."""
    return max((_seeds_for(part, range(own, most + 1, own), power) for part in decided.parts), default=own)


def _seeds_for(part: Part, steps: Sequence[int], wanted: float) -> int:
    if part.estimate is None or part.power is None or _power_with(part, MANY) < wanted:
        return steps[0]
    return next((number for number in steps if _power_with(part, number) >= wanted), steps[-1])


def _power_with(part: Part, seeds: int) -> float:
    """The chance to confirm a part that has a size on so many seeds."""
    return replace(part, estimate=part.estimate.at(seeds)).power


def more(own: Sequence[int], number: int) -> list[int]:
    """So many seeds: the profile's own, then the numbers that follow.

    >>> more([0, 1, 4], 5)
    [0, 1, 4, 5, 6]
    """
    return [*own, *range(max(own) + 1, max(own) + 1 + number - len(own))]


def _verdict(batch: Batch, one: Paper, claim: str, seeds: Sequence[int]) -> ClaimVerdict:
    """A claim on these seeds, its runs computed where they are lacking."""
    grid = one.grid(batch.asked.profile, seeds=seeds, resources=batch.asked.resources)
    (stake,) = [stake for stake in one.stakes(grid.main) if stake.claim == claim]
    specs = [spec for spec in grid.main if spec in stake.runs]
    store = Store(batch.asked.store)
    _compute(batch, one, specs, store)
    study = load_rounded(one, specs, store, partial=False)
    (found,) = one.module("claims").decide_claims(study, only=claim)
    return replace(found, evidence=one.evidence(batch.asked).of(claim))


def _compute(batch: Batch, one: Paper, specs: Sequence[Spec], store: Store) -> None:
    plan = plan_grid(specs, store)
    prepare(plan.missing)
    with reporter({one.id: plan.part()}) as report:
        run_plans(batch, {one.id: plan}, store, report)


def _table(one: Paper, decisions: Sequence[Decision]) -> Table:
    """Every part of every headline claim, before and after."""
    columns = ("claim", "part", "published", "on the profile's seeds", "seeds", "on these", "by test images")
    table = Table(*columns, title=f"{one.id}: headline claims on as many seeds as they need")
    for decision in decisions:
        for before, after in zip(decision.before.parts, decision.after.parts, strict=True):
            size = "" if after.published is None else f"{after.published:.3g}"
            said = [f"{part.estimate or ''} {part.verdict}".strip() for part in (before, after)]
            images = f"{after.estimate.share_of_images:.0%}" if after.estimate and after.of_images else ""
            table.add_row(decision.after.claim.id, after.name, size, said[0], str(decision.seeds), said[1], images)
    return table
