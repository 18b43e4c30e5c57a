"""Running grids of specs: what is in the store is not computed again, the rest goes to an engine."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from nlcore.errors import InputError, RunFailedError, require
from nlcore.runs.cost import CostModel, Estimate
from nlcore.runs.engine import Engine, make_engine
from nlcore.runs.job import make_jobs
from nlcore.runs.once import asking_once, once, remember
from nlcore.runs.processes import UnguardedScriptError, leave_if_unguarded
from nlcore.runs.progress import Part, Reporter, reporter
from nlcore.runs.schedule import Schedule
from nlcore.runs.spec import Spec
from nlcore.runs.store import Store


@dataclass(frozen=True)
class Kind:
    """The runs of one class in a plan: how many there are, how many are missing, and what these will take."""

    name: str
    runs: int
    missing: int
    seconds: float
    devices: tuple[str, ...]
    rates: str  # "measured here", "assumed", or "" where nothing is missing


@dataclass(frozen=True)
class Plan:
    """The runs of a grid, those they require included, each once and after what it requires.

    estimates: of what is missing, in the order of `specs`.
    """

    specs: tuple[Spec, ...]
    estimates: Mapping[Spec, Estimate]

    @property
    def missing(self) -> frozenset[Spec]:
        """What the store lacks."""
        return frozenset(self.estimates)

    @property
    def seconds(self) -> float:
        """Estimated cost of what is missing, in seconds of one core or one GPU."""
        return sum(estimate.seconds for estimate in self.estimates.values())

    def wall_seconds(self, workers: int, gpus: int = 1) -> float:
        """At least the longest run, at best the work shared out evenly among cores and among GPUs."""
        shares = {"cpu": 0.0, "cuda": 0.0}
        for estimate in self.estimates.values():
            shares[estimate.device] += estimate.seconds
        longest = max((estimate.seconds for estimate in self.estimates.values()), default=0.0)
        return max(longest, shares["cpu"] / workers, shares["cuda"] / max(gpus, 1))

    def kinds(self) -> list[Kind]:
        """What there is to do, by the runs' class."""
        by_name: dict[str, list[Spec]] = {}
        for spec in self.specs:
            by_name.setdefault(type(spec).__name__, []).append(spec)
        return [self._kind(name, specs) for name, specs in by_name.items()]

    def _kind(self, name: str, specs: Sequence[Spec]) -> Kind:
        found = [self.estimates[spec] for spec in specs if spec in self.estimates]
        measured = all(estimate.measured for estimate in found)
        return Kind(
            name,
            runs=len(specs),
            missing=len(found),
            seconds=sum(estimate.seconds for estimate in found),
            devices=tuple(sorted({estimate.device for estimate in found})),
            rates=("measured here" if measured else "assumed") if found else "",
        )

    def only(self, taken: Container[Spec]) -> Plan:
        """The plan without what is missing and not taken; what a taken run requires must be taken too."""
        left = {spec: estimate for spec, estimate in self.estimates.items() if spec in taken}
        return Plan(tuple(spec for spec in self.specs if spec not in self.estimates or spec in left), left)

    def part(self) -> Part:
        """What there is to do, for a display of progress."""
        return Part(len(self.estimates), self.seconds)


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
    cost, needed, missing = CostModel(store), set(wanted), set()
    with asking_once():
        order = requirements(wanted)
        for spec, required in reversed(order.items()):  # from what is wanted down to what it requires
            if store.read(spec) is None and (spec in needed or store.damaged(spec)):
                missing.add(spec)
                needed.update([spec, *required])
        estimates = {spec: cost.estimate(spec) for spec in order if spec in missing}
    return Plan(tuple(spec for spec in order if spec in needed), estimates)


def run_grid(
    specs: Iterable[Spec], store: Store, *, workers: int | None = None, fresh: bool = False, label: str = "runs"
) -> Plan:
    """Compute every run of one grid that the store lacks, on this machine; returns the plan as it was found.

    `workers` processes (default: one per core) compute runs side by side, each single-threaded, so that the bytes
    do not depend on their number; 0 computes in this process. `fresh` forgets the grid's own records first.

    Raises: as `run_grids`.
    """
    if workers != 0:
        leave_if_unguarded()
    specs = list(specs)
    if fresh:
        forget(specs, store)
    plan = plan_grid(specs, store)
    try:
        run_grids({label: plan}, store, make_engine(workers=workers))
    except UnguardedScriptError as error:
        raise error.with_traceback(None) from None  # it is about the caller's script, not about what happened in here
    return plan


def run_grids(
    plans: Mapping[str, Plan],
    store: Store,
    engine: Engine,
    *,
    gpus_per_run: int = 1,
    report: Reporter | None = None,
) -> None:
    """Compute what several grids lack, as one: the longest runs first, whichever grid they belong to.

    plans: by the name under which their progress is shown. gpus_per_run: how many processes, each with a GPU of its own
    (where runs compute on a CPU: a core), train one network on images together. report: one that has been begun
    already.

    Raises:
        InputError: a run was given unusable input, or the store cannot be written, or the engine cannot be had, or has
            fewer GPUs than one run is to have.
        RunFailedError: runs failed; everything that finished is in the store.
    """
    owner = {spec: label for label, plan in reversed(plans.items()) for spec in plan.estimates}
    cost = {spec: estimate.seconds for plan in plans.values() for spec, estimate in plan.estimates.items()}
    if not owner:
        return
    shown = nullcontext(report) if report else reporter({label: plan.part() for label, plan in plans.items()})
    with shown as report, engine:
        jobs = make_jobs(cost, gpus_per_run=gpus_per_run)
        for job in (job for job in jobs if job.processes > 1):
            most = engine.most_processes(job)
            require(job.processes <= most, "gpus-per-run", job.processes, f"at most {most}, which one machine has")
        schedule = Schedule(jobs, {job: sum(cost[spec] for spec in job.specs) for job in jobs}, engine.group_of)
        while not schedule.done:
            while (job := schedule.take(engine.has_room)) is not None:
                engine.submit(job, store.root)
            for job, error in engine.ended():
                if isinstance(error, InputError):
                    raise error
                for spec in (spec for over in schedule.finish(job, error) for spec in over.specs):
                    report.advance(owner[spec], cost[spec])
    if schedule.failures:
        raise RunFailedError("\n".join(f"{job.name}: {error}" for job, error in schedule.failures.items()))


def with_requirements(specs: Iterable[Spec]) -> list[Spec]:
    """The runs and all that they require, directly or not, each once and after what it requires."""
    return list(requirements(specs))


def requirements(specs: Iterable[Spec]) -> dict[Spec, tuple[Spec, ...]]:
    """As `with_requirements`, each run with those that it requires itself; equal runs are one object."""
    order: dict[Spec, tuple[Spec, ...]] = {}
    found: dict[Spec, Spec] = {}  # a hundred thousand runs name the same ones as required

    def visit(spec: Spec) -> Spec:
        if spec in found:
            return found[spec]
        order[spec] = tuple(map(visit, once(type(spec).requires, spec)))
        remember(type(spec).requires, spec, order[spec])  # the same objects: their keys are looked up by identity
        found[spec] = spec
        return spec

    for spec in specs:
        visit(spec)
    return order


def forget(specs: Iterable[Spec], store: Store) -> None:
    """Remove the records of a grid's runs and of all that they require."""
    for spec in with_requirements(specs):
        store.forget(spec)
