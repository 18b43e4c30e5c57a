"""Engines compute runs. Here: in this process, and in processes of this machine; `ray_engine.py`: on a cluster.

An engine takes a run when it has room, and tells which runs have ended. A run whose process dies is begun again,
`MAX_DEATHS` times in all. Results go into the store and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from threadpoolctl import threadpool_limits

from nlcore.runs.execute import SINGLE_THREAD, Cost, environment, execute
from nlcore.runs.processes import end_pools, make_pool
from nlcore.runs.schedule import RunFailedError
from nlcore.runs.spec import Spec

MAX_DEATHS = 3  # how often a worker may die on the same run before the grid gives up on it
GPU_CONTEXT = 600 * 2**20  # bytes that a process takes on a GPU besides torch's own count; generous for recent drivers
GPU_SHARE = 0.9  # of a GPU's memory that runs may fill together
Say = Callable[[str], None]
Ended = tuple[Spec, BaseException | None]


class Engine(Protocol):
    """What computes the runs of a grid."""

    def __enter__(self) -> Engine: ...
    def __exit__(self, *_: object) -> None: ...

    def group_of(self, spec: Spec) -> str:
        """The resource that a run competes for; a run never waits for those of another group."""

    def has_room(self, spec: Spec) -> bool:
        """Whether the run can begin now, or so soon that handing it over is no waste."""

    def submit(self, spec: Spec, store_root: Path) -> None:
        """Begin it."""

    def ended(self) -> Sequence[Ended]:
        """Wait until a run ends; those that have, each with its error or None."""


class HereEngine:
    """One run after the other in this process."""

    def __enter__(self) -> HereEngine:
        self._limits = threadpool_limits(1)
        self._ended: list[Ended] = []
        return self

    def __exit__(self, *_: object) -> None:
        self._limits.restore_original_limits()

    def group_of(self, spec: Spec) -> str:
        return "here"

    def has_room(self, spec: Spec) -> bool:
        return not self._ended

    def submit(self, spec: Spec, store_root: Path) -> None:
        try:
            execute(spec, store_root)
            self._ended = [(spec, None)]
        except Exception as error:
            self._ended = [(spec, error)]

    def ended(self) -> Sequence[Ended]:
        ended, self._ended = self._ended, []
        return ended


@dataclass
class Place:
    """The cores of this machine, or one of its GPUs: processes that wait there, and runs with the memory they need."""

    variables: dict[str, str]
    slots: int
    memory: int | None = None  # bytes of a GPU
    idle: list[ProcessPoolExecutor] = field(default_factory=list)
    running: dict[Future, tuple[Spec, ProcessPoolExecutor]] = field(default_factory=dict)

    def has_room(self, spec: Spec, measured: dict[type, int]) -> bool:
        """On a GPU, a kind of run that has not been measured yet runs alone; then as many as their peaks allow."""
        if len(self.running) >= self.slots:
            return False
        if self.memory is None or not self.running:
            return True
        kinds = [type(spec), *(type(other) for other, _ in self.running.values())]
        if not all(kind in measured for kind in kinds):
            return False
        return sum(measured[kind] + GPU_CONTEXT for kind in kinds) <= GPU_SHARE * self.memory


class LocalEngine:
    """Processes of this machine, one run at a time in each: a pool per process, so that a death hits one run only.

    workers: how many use the cores. gpus: bytes of memory of each GPU, by default those that torch sees; a run whose
    device is a GPU goes to the one with the fewest runs, and finds it as the only one. runs_per_gpu: how many share
    one; by default one until its kind's peak of memory has been measured, then as many as fit.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        gpus: Sequence[int] | None = None,
        runs_per_gpu: int | None = None,
        say: Say = print,
    ):
        self.workers, self.gpus, self.say = workers or os.cpu_count() or 1, gpus, say
        self.runs_per_gpu = runs_per_gpu
        self.measured: dict[type, int] = {}
        self.deaths: dict[Spec, int] = {}
        self.store_root = Path()

    def __enter__(self) -> LocalEngine:
        self.cores = Place({"CUDA_VISIBLE_DEVICES": ""}, self.workers)
        self.named: dict[str, Place] = {}  # GPUs that runs ask for by number: cuda:1
        return self

    @cached_property
    def gpu_places(self) -> list[Place]:
        """Looked for when the first run comes that could use one: torch is slow to load."""
        found = gpu_memory() if self.gpus is None else self.gpus
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # a batch system may have given this driver some of them
        names = visible.split(",") if visible else [str(number) for number in range(len(found))]
        slots = self.runs_per_gpu or self.workers
        memory = [None if self.runs_per_gpu else bytes for bytes in found]
        return [Place({"CUDA_VISIBLE_DEVICES": name}, slots, bytes) for name, bytes in zip(names, memory, strict=False)]

    def __exit__(self, kind: type | None, *_: object) -> None:
        pools = [
            pool for place in self._all_places() for pool in (*place.idle, *(p for _, p in place.running.values()))
        ]
        end_pools(pools, at_once=kind is not None)

    def _all_places(self) -> Sequence[Place]:
        return [self.cores, *self.named.values(), *self.__dict__.get("gpu_places", ())]

    def group_of(self, spec: Spec) -> str:
        device = spec.device_name()
        if ":" in device:
            return device
        return "gpus" if device != "cpu" and self.gpu_places else "cores"

    def _candidates(self, group: str) -> Sequence[Place]:
        if group == "cores":
            return [self.cores]
        return self.gpu_places if group == "gpus" else [self.named.setdefault(group, Place({}, self.runs_per_gpu or 1))]

    def _place_for(self, spec: Spec) -> Place | None:
        candidates = self._candidates(self.group_of(spec))
        places = [place for place in candidates if place.has_room(spec, self.measured)]
        return min(places, key=lambda place: len(place.running), default=None)

    def has_room(self, spec: Spec) -> bool:
        return self._place_for(spec) is not None

    def submit(self, spec: Spec, store_root: Path) -> None:
        place, self.store_root = self._place_for(spec), store_root
        self._begin(spec, place, place.idle.pop() if place.idle else make_pool(1))

    def _begin(self, spec: Spec, place: Place, pool: ProcessPoolExecutor) -> None:
        with environment(SINGLE_THREAD | place.variables):  # submitting is what starts a pool's process
            place.running[pool.submit(execute, spec, self.store_root)] = (spec, pool)

    def ended(self) -> Sequence[Ended]:
        by_future = {future: place for place in self._all_places() for future in place.running}
        finished, _ = wait(by_future, return_when=FIRST_COMPLETED)
        return [ended for future in finished for ended in self._end(future, by_future[future])]

    def _end(self, future: Future, place: Place) -> Iterator[Ended]:
        spec, pool = place.running.pop(future)
        error = future.exception()
        if not isinstance(error, BrokenProcessPool):
            place.idle.append(pool)
            if error is None:
                self._measure(spec, future.result())
            yield spec, error
            return
        pool.shutdown(wait=True)
        self.deaths[spec] = self.deaths.get(spec, 0) + 1
        if self.deaths[spec] >= MAX_DEATHS:
            yield spec, died_too_often()
        else:
            self.say("a worker died; its run is begun again")
            self._begin(spec, place, make_pool(1))

    def _measure(self, spec: Spec, cost: Cost) -> None:
        if cost.gpu_bytes:
            self.measured[type(spec)] = max(cost.gpu_bytes, self.measured.get(type(spec), 0))


def died_too_often() -> RunFailedError:
    """The error of a run that was begun `MAX_DEATHS` times in vain."""
    return RunFailedError(f"its worker died {MAX_DEATHS} times (out of memory?)")


def gpu_memory() -> list[int]:
    """Bytes of memory of every GPU that torch sees."""
    import torch  # late: a plan or a grid without runs does without it

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(number).total_memory for number in range(count)]


def make_engine(
    name: str = "local",
    *,
    workers: int | None = None,
    address: str | None = None,
    runs_per_gpu: int | None = None,
    say: Say = print,
) -> Engine:
    """The engine of that name: `local` (with `workers` 0, this process) or `ray`.

    Raises:
        InputError: Ray is asked for and not installed.
    """
    if name == "ray":
        from nlcore.runs.ray_engine import RayEngine  # an extra, and slow to load

        return RayEngine(address, workers=workers, runs_per_gpu=runs_per_gpu)
    return HereEngine() if workers == 0 else LocalEngine(workers, runs_per_gpu=runs_per_gpu, say=say)
