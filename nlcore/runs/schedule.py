"""In which order the jobs of a grid are computed: after what they require, the longest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Hashable, Mapping
from graphlib import TopologicalSorter
from itertools import count

from nlcore.errors import RunFailedError
from nlcore.runs.job import Job

MAX_DEATHS = 3  # how often a worker may die on the same job before the grid gives up on it
Ended = tuple[Job, BaseException | None]  # a job that is over, and why it failed


def died_too_often() -> RunFailedError:
    """The error of a job that was begun `MAX_DEATHS` times in vain."""
    return RunFailedError(f"its worker died {MAX_DEATHS} times (out of memory?)")


class Schedule:
    """Which jobs can begin, by the group that an engine puts them in (its GPUs, its cores), and which failed.

    required: the jobs, each with those that must be over before. cost: what each will take.
    """

    def __init__(
        self, required: Mapping[Job, Collection[Job]], cost: Mapping[Job, float], group_of: Callable[[Job], Hashable]
    ) -> None:
        self.failures: dict[Job, BaseException] = {}
        self.ready: dict[Hashable, list[tuple[float, int, Job]]] = {}  # heaps: the longest first, ties in order
        self._group_of, self._cost, self._number = group_of, cost, count()
        self._dependents: dict[Job, list[Job]] = {job: [] for job in required}
        self._sorter: TopologicalSorter[Job] = TopologicalSorter(required)
        for job, others in required.items():
            for other in others:
                self._dependents[other].append(job)
        self._unfinished = len(required)
        self._sorter.prepare()
        self._collect()

    @property
    def done(self) -> bool:
        """Whether no job is left, finished or failed."""
        return self._unfinished == 0

    def _collect(self) -> None:
        for job in self._sorter.get_ready():
            heap = self.ready.setdefault(self._group_of(job), [])
            heapq.heappush(heap, (-self._cost[job], next(self._number), job))

    def take(self, has_room: Callable[[Job], bool]) -> Job | None:
        """The next job that there is room for, or None."""
        for heap in self.ready.values():
            if heap and has_room(heap[0][2]):
                return heapq.heappop(heap)[2]
        return None

    def finish(self, job: Job, error: BaseException | None) -> list[Job]:
        """Note that a job has ended; returns all that are over with it: itself, and after a failure what needs it."""
        if error is None:
            self._unfinished -= 1
            self._sorter.done(job)
            self._collect()
            return [job]
        over, waiting = [], [(job, error)]
        while waiting:
            failed, reason = waiting.pop()
            if failed not in self.failures:
                self.failures[failed] = reason
                over.append(failed)
                because = RunFailedError(f"required {failed.name}, which failed")
                waiting += [(dependent, because) for dependent in self._dependents[failed]]
        self._unfinished -= len(over)
        return over
