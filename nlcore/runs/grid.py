"""Running grids of specs: what is in the store is not computed again, the rest goes to an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from nlcore.errors import InputError
from nlcore.runs.engines import Engine, make_engine
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
    """Which runs a grid consists of and which of them the store lacks.

    A run that is only there to be required by others is not computed when all of those are finished, unless its
    record was found to be damaged: somebody may want to read it.

    Raises:
        InputError: the grid is empty.
    """
    wanted = dict.fromkeys(specs)
    if not wanted:
        raise InputError("grid: no runs; expected at least one spec (is a list of seeds or methods empty?)")
    order = with_requirements(wanted)
    needed, missing = set(wanted), set()
    for spec in reversed(order):  # from what is wanted down to what it requires
        if store.read(spec) is None and (spec in needed or store.damaged(spec)):
            missing.add(spec)
            needed.update([spec, *spec.requires()])
    return Plan(tuple(spec for spec in order if spec in needed), frozenset(missing))


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
    """The runs and all that they require, directly or not, each once and after what it requires."""
    order: dict[Spec, None] = {}

    def visit(spec: Spec) -> None:
        if spec not in order:
            for required in spec.requires():
                visit(required)
            order[spec] = None

    for spec in specs:
        visit(spec)
    return list(order)


def forget(specs: Iterable[Spec], store: Store) -> None:
    """Remove the records of a grid's runs and of all that they require."""
    for spec in with_requirements(specs):
        store.forget(spec)
