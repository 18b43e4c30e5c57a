"""In which order the runs of a grid are computed: after what they require, the longest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Mapping
from graphlib import TopologicalSorter
from itertools import count

from nlcore.runs.spec import Spec

MAX_DEATHS = 3  # how often a worker may die on the same run before the grid gives up on it
Ended = tuple[Spec, BaseException | None]  # a run that is over, and why it failed


class RunFailedError(RuntimeError):
    """One or more runs of a grid did not finish; the others are in the store."""


def died_too_often() -> RunFailedError:
    """The error of a run that was begun `MAX_DEATHS` times in vain."""
    return RunFailedError(f"its worker died {MAX_DEATHS} times (out of memory?)")


class Schedule:
    """Which runs can begin, by the group that an engine puts them in (its GPUs, its cores), and which failed.

    missing: the runs, and what each will take.
    """

    def __init__(self, missing: Mapping[Spec, float], group_of: Callable[[Spec], Hashable]) -> None:
        self.failures: dict[Spec, BaseException] = {}
        self.ready: dict[Hashable, list[tuple[float, int, Spec]]] = {}  # heaps: the longest first, ties in order
        self._group_of, self._cost, self._number = group_of, missing, count()
        self._dependents: dict[Spec, list[Spec]] = {spec: [] for spec in missing}
        self._sorter: TopologicalSorter[Spec] = TopologicalSorter()
        for spec in missing:
            required = [other for other in spec.requires() if other in missing]
            self._sorter.add(spec, *required)
            for other in required:
                self._dependents[other].append(spec)
        self._unfinished = len(missing)
        self._sorter.prepare()
        self._collect()

    @property
    def done(self) -> bool:
        """Whether no run is left, finished or failed."""
        return self._unfinished == 0

    def _collect(self) -> None:
        for spec in self._sorter.get_ready():
            heap = self.ready.setdefault(self._group_of(spec), [])
            heapq.heappush(heap, (-self._cost[spec], next(self._number), spec))

    def take(self, has_room: Callable[[Spec], bool]) -> Spec | None:
        """The next run that there is room for, or None."""
        for heap in self.ready.values():
            if heap and has_room(heap[0][2]):
                return heapq.heappop(heap)[2]
        return None

    def finish(self, spec: Spec, error: BaseException | None) -> list[Spec]:
        """Note that a run has ended; returns all that are over with it: itself, and after a failure what needs it."""
        if error is None:
            self._unfinished -= 1
            self._sorter.done(spec)
            self._collect()
            return [spec]
        over, waiting = [], [(spec, error)]
        while waiting:
            failed, reason = waiting.pop()
            if failed not in self.failures:
                self.failures[failed] = reason
                over.append(failed)
                because = RunFailedError(f"required {failed.name}, which failed")
                waiting += [(dependent, because) for dependent in self._dependents[failed]]
        self._unfinished -= len(over)
        return over
