"""`run_all.py decide`: as many seeds for each headline claim as it takes to tell, and its verdict on these.

In two stages (Stein 1945): the profile's own seeds tell how much they differ, and so how many would confirm each open
part of a claim with a chance of 80 % (`--power`), were it true at its published size (a margin: were there no
difference). So many are run, of the runs alone that decide the claim, and they decide it, once. Whether an interval
happens to exclude something after a few seeds ends nothing: looked at again and again, one of them would exclude the
truth too often.

How large a difference is does not enter, so a part without a published size asks for as many as are allowed. A part
whose interval hangs on the choice of the test images asks for none: no number of seeds narrows that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nlcore.app.batch import Batch, run_plans
from nlcore.errors import InputError, require
from nlcore.files import write_atomically
from nlcore.papers.paper import Paper, load_rounded
from nlcore.papers.prepare import have_features, have_weights
from nlcore.papers.profiles import load_profile
from nlcore.report.claims import ClaimVerdict
from nlcore.report.intervals import POWER
from nlcore.report.verdict_file import NAME, write_verdicts
from nlcore.report.verdicts import Part, Verdict
from nlcore.runs import Spec, Store, plan_grid
from nlcore.runs.progress import reporter

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
        InputError: seeds, --partial or a budget beside it, or fewer seeds than the profile has.
        RunFailedError: runs failed; what finished is in the store.
    """
    require(0 < power < 1, "power", power, "a fraction above 0 and below 1")
    _check(batch)
    found = []
    for one in batch.papers:
        if not any(stake.headline for stake in one.stakes(batch.made[one.id].main)):
            console.print(f"{one.id}: no headline claim that more seeds could decide")
            continue
        decisions = _decide_paper(batch, one, most, power)
        target = folder_of(batch, one) / NAME
        write_atomically(target, write_verdicts([decision.after for decision in decisions]))
        console.print(_table(one, decisions))
        console.print(f"verdicts: {target}", soft_wrap=True)
        found += decisions
    return found


def _check(batch: Batch) -> None:
    asked = batch.asked
    beside = {"--seeds": asked.seeds is not None, "--partial": asked.partial, "--budget": batch.budget is not None}
    if named := [name for name, given in beside.items() if given]:
        raise InputError(f"decide: found beside {named[0]}; expected none of it, since decide says what is run")


def _decide_paper(batch: Batch, one: Paper, most: int, power: float) -> list[Decision]:
    own = load_profile(one.package, batch.asked.profile)["seeds"]
    if most < len(own):
        raise InputError(f"most: found {most} seeds; expected {len(own)} or more, as profile {batch.asked.profile} has")
    claims = [stake.claim for stake in one.stakes(batch.made[one.id].main) if stake.headline]
    before = {claim: _verdict(batch, one, claim, own) for claim in claims}
    seeds = {claim: seeds_for(found, own=len(own), most=most, power=power) for claim, found in before.items()}
    after = {claim: _verdict(batch, one, claim, more(own, number)) for claim, number in seeds.items()}
    return [Decision(before[claim], after[claim], seeds[claim]) for claim in claims]


def seeds_for(decided: ClaimVerdict, *, own: int, most: int, power: float = POWER) -> int:
    """How many seeds a claim is decided on, a multiple of the profile's `own`: see the module's text."""
    steps, still_open = range(own, most + 1, own), (p for p in decided.parts if p.verdict is Verdict.INCONCLUSIVE)
    return max((_seeds_for(part, steps, power) for part in still_open), default=own)


def _seeds_for(part: Part, steps: Sequence[int], wanted: float) -> int:
    if part.estimate is None or part.estimate.images > 0.5:  # most of what is uncertain no seed changes
        return steps[0]
    powers = [replace(part, estimate=part.estimate.at(number)).power for number in steps]
    return next((n for n, power in zip(steps, powers, strict=True) if power is not None and power >= wanted), steps[-1])


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
    have_weights(plan.missing)
    have_features(plan.missing)
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
            images = f"{after.estimate.images:.0%}" if after.estimate and after.of_images else ""
            table.add_row(decision.after.claim.id, after.name, size, said[0], str(decision.seeds), said[1], images)
    return table


def folder_of(batch: Batch, one: Paper) -> Path:
    """Where the verdicts of a paper go."""
    return one.folder(replace(batch.asked, variant=VARIANT))
