"""Jobs in processes of this machine, on its cores and on its GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nlcore.runs.execute import execute
from nlcore.runs.job import Job
from nlcore.runs.machine import gpu_memory
from nlcore.runs.packing import Packing
from nlcore.runs.processes import PROCESS, UnguardedScriptError, WorkerPool, end_pools, environment
from nlcore.runs.schedule import MAX_DEATHS, Ended, died_too_often

Say = Callable[[str], None]


@dataclass
class Place:
    """The cores of this machine, or one of its GPUs: processes that wait there, and the jobs of others."""

    variables: dict[str, str]
    slots: int
    is_gpu: bool = False
    memory: int | None = None  # bytes of a GPU, where known
    idle: list[WorkerPool] = field(default_factory=list)
    running: dict[Future, tuple[Job, WorkerPool]] = field(default_factory=dict)

    def has_room(self, job: Job, packing: Packing) -> bool:
        """Whether one more job may begin here: all of it, or on a GPU that one of its processes which has that GPU.

        Where GPUs compute a job together, each has nothing else to do: none of them should wait for another.
        """
        others = [other for other, _ in self.running.values()]
        if not self.is_gpu:
            return sum(other.processes for other in others) + job.processes <= self.slots
        if any(other.processes > 1 for other in (job, *others)):
            return not others
        return len(others) < self.slots and packing.fits(job.kind, [other.kind for other in others], self.memory)


class LocalEngine:
    """Processes of this machine, one job at a time in each: a pool per process, so that a death hits one job only.

    workers: how many use the cores. gpus: bytes of memory of each GPU, by default those that torch sees; a job whose
    device is a GPU goes to the one with the fewest jobs, and finds it as the only one. A job of several processes finds
    as many GPUs, or takes as many of the workers' cores. runs_per_gpu: see `Packing`.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        gpus: Sequence[int] | None = None,
        runs_per_gpu: int | None = None,
        say: Say = print,
    ) -> None:
        self.workers, self.gpus, self.say = workers or os.cpu_count() or 1, gpus, say
        self.packing = Packing(runs_per_gpu)
        self.deaths: dict[Job, int] = {}
        self.store_root = Path()

    def __enter__(self) -> LocalEngine:
        self.cores = Place({"CUDA_VISIBLE_DEVICES": ""}, self.workers)
        self.named: dict[str, Place] = {}  # GPUs that jobs ask for by number: cuda:1
        return self

    @cached_property
    def gpu_places(self) -> list[Place]:
        """Looked for when the first job comes that could use one: torch is slow to load."""
        found = gpu_memory() if self.gpus is None else self.gpus
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # a batch system may have given this driver some of them
        names = visible.split(",") if visible else [str(number) for number in range(len(found))]
        return [self._gpu({"CUDA_VISIBLE_DEVICES": name}, size) for name, size in zip(names, found, strict=False)]

    def _gpu(self, variables: dict[str, str], memory: int | None = None) -> Place:
        return Place(variables, self.packing.runs_per_gpu or self.workers, is_gpu=True, memory=memory)

    def __exit__(self, kind: type | None, *_: object) -> None:
        pools = [
            pool for place in self._all_places() for pool in (*place.idle, *(p for _, p in place.running.values()))
        ]
        end_pools(pools, at_once=kind is not None)

    def _all_places(self) -> Sequence[Place]:
        return [self.cores, *self.named.values(), *self.__dict__.get("gpu_places", ())]

    def most_processes(self, job: Job) -> int:
        """This machine's GPUs, or the workers."""
        group = self.group_of(job)
        return self.workers if group == "cores" else len(self._candidates(group))

    def group_of(self, job: Job) -> str:
        """The cores, the GPUs, or one GPU that the job asks for by its number."""
        device = job.device_name()
        if ":" in device:
            return device
        return "gpus" if device != "cpu" and self.gpu_places else "cores"

    def _candidates(self, group: str) -> Sequence[Place]:
        if group == "cores":
            return [self.cores]
        return self.gpu_places if group == "gpus" else [self.named.setdefault(group, self._gpu({}))]

    def _places_for(self, job: Job) -> list[Place]:
        """Where it would be computed: in one place, or on as many GPUs as it has processes; none while these lack."""
        candidates = self._candidates(self.group_of(job))
        places = [place for place in candidates if place.has_room(job, self.packing)]
        needed = job.processes if candidates[0].is_gpu else 1
        return sorted(places, key=lambda place: len(place.running))[:needed] if len(places) >= needed else []

    def has_room(self, job: Job) -> bool:
        """Whether cores, or GPUs with room for it, are free."""
        return bool(self._places_for(job))

    def submit(self, job: Job, store_root: Path) -> None:
        """Hand it to a process that waits there, or to a new one."""
        places, self.store_root = self._places_for(job), store_root
        waiting = places[0].idle if len(places) == 1 else []
        self._begin(job, places, waiting.pop() if waiting else None)

    def _begin(self, job: Job, places: Sequence[Place], pool: WorkerPool | None = None) -> None:
        variables = places[0].variables
        if len(places) > 1:
            variables = {name: ",".join(place.variables[name] for place in places) for name in variables}
        with environment(PROCESS | variables):  # a pool's process has that in which it was begun
            pool = pool or WorkerPool(1)
            future = pool.submit(execute, job.specs, self.store_root, job.processes)
        for place in places:
            place.running[future] = (job, pool)

    def ended(self) -> Sequence[Ended]:
        """Wait until a job ends; one whose process died is begun again, and told once it died too often.

        Raises:
            InputError: the script that runs this has no `__main__` guard.
        """
        running = {future for place in self._all_places() for future in place.running}
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        return [ended for future in finished for ended in self._end(future)]

    def _end(self, future: Future) -> Iterator[Ended]:
        places = [place for place in self._all_places() if future in place.running]
        for place in places:
            job, pool = place.running.pop(future)
        error = future.exception()
        if not isinstance(error, BrokenProcessPool):
            if len(places) == 1:
                places[0].idle.append(pool)
            else:
                end_pools([pool], at_once=False)
            if error is None:
                self.packing.note(job.kind, future.result().gpu_bytes)
            yield job, error
            return
        pool.shutdown(wait=True)
        if pool.is_unguarded:
            raise UnguardedScriptError
        self.deaths[job] = self.deaths.get(job, 0) + 1
        if self.deaths[job] >= MAX_DEATHS:
            yield job, died_too_often()
        else:
            self.say("a worker died; its run is begun again")
            self._begin(job, places)
