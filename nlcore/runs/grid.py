"""Running a grid of specs: what is in the store is not computed again, the rest is shared among local processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_sentinel
from pathlib import Path

from threadpoolctl import threadpool_limits

from nlcore.errors import InputError
from nlcore.runs.progress import Reporter, Silent, reporter
from nlcore.runs.spec import Spec
from nlcore.runs.store import DamagedRecordError, Store

MAX_DEATHS = 3  # how often a worker may die on the same run before the grid gives up on it
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class RunFailedError(RuntimeError):
    """One or more runs of a grid did not finish; the others are in the store."""


@dataclass(frozen=True)
class Plan:
    """The runs of a grid, those they require included, each once and after what it requires."""

    specs: tuple[Spec, ...]
    missing: frozenset[Spec]

    @property
    def seconds(self) -> float:
        """Estimated cost of what is missing, in seconds of one core."""
        return sum(spec.seconds() for spec in self.missing)


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


def is_finished(spec: Spec, store: Store) -> bool:
    """Whether the store holds an intact record; a damaged one is reported and set aside."""
    try:
        return store.read(spec) is not None
    except DamagedRecordError as error:
        store.set_aside(spec)
        Silent().say(f"{error}: computing it anew")
        return False


def run_grid(
    specs: Iterable[Spec], store: Store, *, workers: int | None = None, fresh: bool = False, label: str = "runs"
) -> Plan:
    """Compute every run of a grid that the store lacks; returns the plan as it was found.

    `workers` processes (default: one per core) compute runs side by side, each single-threaded, so that the bytes
    do not depend on their number; 0 computes in this process. `fresh` forgets the grid's own records first.

    Raises:
        InputError: the grid is empty, or a run was given unusable input, or the store cannot be written.
        RunFailedError: runs failed; everything that finished is in the store.
    """
    specs = list(specs)
    if fresh:
        for spec in _with_requirements(specs):
            store.forget(spec)
    plan = plan_grid(specs, store)
    missing = [spec for spec in plan.specs if spec in plan.missing]
    if missing:
        with reporter(len(missing), plan.seconds, label) as report:
            failures = (
                _run_here(missing, store, report) if workers == 0 else _run_in_pool(missing, store, report, workers)
            )
        if failures:
            raise RunFailedError("\n".join(f"{spec.name}: {error}" for spec, error in failures.items()))
    return plan


def _with_requirements(specs: Iterable[Spec]) -> set[Spec]:
    found: set[Spec] = set()
    waiting = list(specs)
    while waiting:
        spec = waiting.pop()
        if spec not in found:
            found.add(spec)
            waiting.extend(spec.requires())
    return found


def execute(spec: Spec, store_root: Path) -> float:
    """Compute one run and store it, unless another driver has done so meanwhile; returns its seconds."""
    store = Store(store_root)
    with store.lock(spec):
        if is_finished(spec, store):
            return 0.0
        inputs = [store.result(required) for required in spec.requires()]
        start = time.perf_counter()
        result = spec.compute(inputs)
        seconds = time.perf_counter() - start
        store.write(spec, result, seconds=seconds)
    return seconds


def _run_here(missing: list[Spec], store: Store, report: Reporter) -> dict[Spec, Exception]:
    failures: dict[Spec, Exception] = {}
    with threadpool_limits(1):
        for spec in missing:
            if any(required in failures for required in spec.requires()):
                failures[spec] = RunFailedError("a run that it requires failed")
                continue
            try:
                execute(spec, store.root)
            except InputError:
                raise
            except Exception as error:
                failures[spec] = error
            report.advance(spec.seconds())
    return failures


def _run_in_pool(missing: list[Spec], store: Store, report: Reporter, workers: int | None) -> dict[Spec, Exception]:
    """Keep a pool busy until all is done; a pool that lost a worker is replaced, its runs in flight begun again."""
    state = _Schedule(sorted(missing, key=lambda spec: -spec.seconds()))  # the longest first: nobody waits at the end
    workers = min(workers or os.cpu_count() or 1, len(missing))
    while not state.done:
        with _pool(workers) as pool:
            try:
                _drain(pool, state, store, report, workers)
            except BrokenProcessPool:
                state.return_in_flight()
                report.say("a worker died; its runs are begun again")
    return state.failures


def _drain(pool: ProcessPoolExecutor, state: _Schedule, store: Store, report: Reporter, workers: int) -> None:
    while not state.done:
        # A short queue ahead of the workers hides the hand-over without holding a large grid in memory.
        while len(state.in_flight) < 2 * workers and (spec := state.next_ready()) is not None:
            state.in_flight[pool.submit(execute, spec, store.root)] = spec
        finished, _ = wait(state.in_flight, return_when=FIRST_COMPLETED)
        for future in finished:
            error = future.exception()
            if isinstance(error, BrokenProcessPool | InputError):
                raise error
            spec = state.in_flight.pop(future)
            state.finish(spec, error)
            report.advance(spec.seconds())


class _Schedule:
    """Which runs wait, which are in flight, and which failed."""

    def __init__(self, missing: list[Spec]):
        self.waiting = dict.fromkeys(missing)
        self.unfinished = set(missing)
        self.in_flight: dict[Future, Spec] = {}
        self.failures: dict[Spec, Exception] = {}
        self.deaths: dict[Spec, int] = {}

    @property
    def done(self) -> bool:
        return not self.unfinished

    def next_ready(self) -> Spec | None:
        """The first waiting run whose requirements are finished."""
        for spec in self.waiting:
            if not any(required in self.unfinished for required in spec.requires()):
                del self.waiting[spec]
                return spec
        return None

    def finish(self, spec: Spec, error: BaseException | None) -> None:
        self.unfinished.discard(spec)
        if error is not None:
            self.failures[spec] = error
            self._fail_dependents(spec)

    def _fail_dependents(self, failed: Spec) -> None:
        for spec in [s for s in self.waiting if failed in s.requires()]:
            del self.waiting[spec]
            self.finish(spec, RunFailedError(f"required {failed.name}, which failed"))

    def return_in_flight(self) -> None:
        """After a worker's death: any run in flight may be the cause, so each is charged with it."""
        for spec in self.in_flight.values():
            self.deaths[spec] = self.deaths.get(spec, 0) + 1
            if self.deaths[spec] >= MAX_DEATHS:
                self.finish(spec, RunFailedError(f"its worker died {MAX_DEATHS} times (out of memory?)"))
            else:
                self.waiting = {spec: None, **self.waiting}
        self.in_flight = {}


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh single-threaded worker processes; on the way out what has not begun is dropped."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # read by the workers' libraries when they are loaded
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def _begin_worker() -> None:
    """A worker leaves Ctrl-C to its driver, and must not outlive it: a killed driver cannot tell it to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def leave_with_parent() -> None:
        wait_for_sentinel([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
