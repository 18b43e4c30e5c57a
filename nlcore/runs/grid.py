"""Running grids of specs: what is in the store is not computed again, the rest goes to an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from nlcore.errors import InputError
from nlcore.runs.engines import Engine, make_engine
from nlcore.runs.execute import is_finished
from nlcore.runs.progress import Part, Reporter, reporter
from nlcore.runs.schedule import RunFailedError, Schedule
from nlcore.runs.spec import Spec
from nlcore.runs.store import Store


@dataclass(frozen=True)
class Plan:
    """The runs of a grid, those they require included, each once and after what it requires."""

    specs: tuple[Spec, ...]
    missing: frozenset[Spec]

    @property
    def seconds(self) -> float:
        """Estimated cost of what is missing, in seconds of one core."""
        return sum(spec.seconds() for spec in self.missing)

    def part(self) -> Part:
        """What there is to do, for a display of progress."""
        return Part(len(self.missing), self.seconds)


def plan_grid(specs: Iterable[Spec], store: Store) -> Plan:
    """Which runs a grid consists of and which of them the store lacks. Damaged records are set aside and missing.

    A run that is only there to be required by others is not computed when all of those are finished.

    Raises:
        InputError: the grid is empty.
    """
    wanted = list(dict.fromkeys(specs))
    if not wanted:
        raise InputError("grid: no runs; expected at least one spec (is a list of seeds or methods empty?)")
    order: dict[Spec, bool] = {}  # every run, in an order in which it can be computed, and whether it is missing

    def visit(spec: Spec) -> None:
        if spec in order:
            return
        missing = not is_finished(spec, store)
        if missing:
            for required in spec.requires():
                visit(required)
        order[spec] = missing

    for spec in wanted:
        visit(spec)
    return Plan(tuple(order), frozenset(spec for spec, missing in order.items() if missing))


def run_grid(
    specs: Iterable[Spec], store: Store, *, workers: int | None = None, fresh: bool = False, label: str = "runs"
) -> Plan:
    """Compute every run of one grid that the store lacks, on this machine; returns the plan as it was found.

    `workers` processes (default: one per core) compute runs side by side, each single-threaded, so that the bytes
    do not depend on their number; 0 computes in this process. `fresh` forgets the grid's own records first.

    Raises: as `run_grids`.
    """
    specs = list(specs)
    if fresh:
        forget(specs, store)
    plan = plan_grid(specs, store)
    run_grids({label: plan}, store, make_engine(workers=workers))
    return plan


def run_grids(plans: Mapping[str, Plan], store: Store, engine: Engine, *, report: Reporter | None = None) -> None:
    """Compute what several grids lack, as one: the longest runs first, whichever grid they belong to.

    plans: by the name under which their progress is shown. report: one that has been begun already.

    Raises:
        InputError: a run was given unusable input, or the store cannot be written, or the engine cannot be had.
        RunFailedError: runs failed; everything that finished is in the store.
    """
    owner: dict[Spec, str] = {}
    for label, plan in plans.items():
        for spec in plan.specs:
            if spec in plan.missing:
                owner.setdefault(spec, label)
    if not owner:
        return
    shown = nullcontext(report) if report else reporter({label: plan.part() for label, plan in plans.items()})
    with shown as report, engine:
        schedule = Schedule(owner, engine.group_of)
        while not schedule.done:
            while (spec := schedule.take(engine.has_room)) is not None:
                engine.submit(spec, store.root)
            for spec, error in engine.ended():
                if isinstance(error, InputError):
                    raise error
                for over in schedule.finish(spec, error):
                    report.advance(owner[over], over.seconds())
    if schedule.failures:
        raise RunFailedError("\n".join(f"{spec.name}: {error}" for spec, error in schedule.failures.items()))


def with_requirements(specs: Iterable[Spec]) -> list[Spec]:
    """The runs and all that they require, directly or not, each once."""
    found: dict[Spec, None] = {}
    waiting = list(specs)
    while waiting:
        spec = waiting.pop()
        if spec not in found:
            found[spec] = None
            waiting.extend(spec.requires())
    return list(found)


def forget(specs: Iterable[Spec], store: Store) -> None:
    """Remove the records of a grid's runs and of all that they require."""
    for spec in with_requirements(specs):
        store.forget(spec)
