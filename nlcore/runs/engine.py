"""Engines compute jobs. Here: in this process; `local.py`: in processes of this machine; `ray_engine.py`: on a cluster.

An engine takes a job when it has room, and tells which jobs have ended. A job whose process dies is begun again,
`MAX_DEATHS` times in all. Results go into the store and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from threadpoolctl import threadpool_limits

from nlcore.errors import InputError
from nlcore.runs.execute import execute
from nlcore.runs.job import Job
from nlcore.runs.local import LocalEngine, Say
from nlcore.runs.processes import ignore_known_warnings
from nlcore.runs.schedule import Ended


class Engine(Protocol):
    """What computes the runs of a grid."""

    def __enter__(self) -> Engine: ...
    def __exit__(self, *_: object) -> None: ...

    def most_processes(self, job: Job) -> int:
        """How many processes may compute a job together here: all are on one machine, on its GPUs or on its cores."""

    def group_of(self, job: Job) -> str:
        """The resource that a job competes for; a job never waits for those of another group."""

    def has_room(self, job: Job) -> bool:
        """Whether the job can begin now, or so soon that handing it over is no waste."""

    def submit(self, job: Job, store_root: Path) -> None:
        """Begin it."""

    def ended(self) -> Sequence[Ended]:
        """Wait until a job ends; those that have, each with its error or None."""


class HereEngine:
    """One job after the other in this process."""

    def __enter__(self) -> HereEngine:
        self._ended: list[Ended] = []
        self._until_exit = ExitStack()  # this process is the caller's own: it gets it back as it was
        self._until_exit.enter_context(threadpool_limits(1))
        self._until_exit.enter_context(warnings.catch_warnings())
        ignore_known_warnings()
        return self

    def __exit__(self, *_: object) -> None:
        self._until_exit.close()

    def most_processes(self, job: Job) -> int:
        """One: this process."""
        return 1

    def group_of(self, job: Job) -> str:
        """There is one: this process."""
        return "here"

    def has_room(self, job: Job) -> bool:
        """Whether the job before has been told to be over."""
        return not self._ended

    def submit(self, job: Job, store_root: Path) -> None:
        """Compute it, now."""
        try:
            execute(job.specs, store_root)
            self._ended = [(job, None)]
        except Exception as error:
            self._ended = [(job, error)]

    def ended(self) -> Sequence[Ended]:
        """The job that was computed last, with its error or None."""
        ended, self._ended = self._ended, []
        return ended


def check_engine(name: str, address: str | None = None) -> None:
    """What can be told of the choice of an engine before any work.

    Raises:
        InputError: there is none of that name, or an address is given to one that has none.
    """
    if name not in ("local", "ray"):
        raise InputError(f"engine: found {name!r}; expected local or ray")
    if address is not None and name != "ray":
        raise InputError(f"address {address}: only the Ray engine has one; expected --engine ray with it")


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
        InputError: as `check_engine`, or Ray is asked for and not installed.
    """
    check_engine(name, address)
    if name == "ray":
        from nlcore.runs.ray_engine import RayEngine  # an extra, and slow to load

        return RayEngine(address, workers=workers, runs_per_gpu=runs_per_gpu)
    return HereEngine() if workers == 0 else LocalEngine(workers, runs_per_gpu=runs_per_gpu, say=say)
