"""What is handed to a process at a time: one run, or several that share a pass."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nlcore.runs.spec import Spec


@dataclass(frozen=True)
class Job:
    """One run, or several of a class that are computed together (`Spec.compute_together`).

    processes: how many compute it, each on a GPU (or a core) of its own; see `nlcore.runs.together`.
    """

    specs: tuple[Spec, ...]
    processes: int = 1

    @property
    def kind(self) -> type[Spec]:
        """The class of its runs."""
        return type(self.specs[0])

    @property
    def name(self) -> str:
        """One line for people: its first run's name, and how many others there are."""
        others = len(self.specs) - 1
        return self.specs[0].name + (f" and {others} more" if others else "")

    def device_name(self) -> str:
        """What computes it, as its runs say; runs that share a pass name the same device."""
        return self.specs[0].device_name()


def make_jobs(missing: Iterable[Spec], *, gpus_per_run: int = 1) -> dict[Job, list[Job]]:
    """Runs as jobs, in the order of their first runs, each with the jobs among them that must be over before.

    Runs that may share a pass are divided into as few jobs as `most_together` allows, of nearly one size. A run
    whose work is divisible gets `gpus_per_run` processes, any other job one.
    """
    groups: dict[Hashable, list[Spec]] = {}
    for spec in missing:
        shared = spec.shared_pass()
        groups.setdefault(spec if shared is None else (type(spec), shared), []).append(spec)
    jobs = [_job(part, gpus_per_run) for group in groups.values() for part in _divided(group)]
    job_of = {spec: job for job in jobs for spec in job.specs}
    required = {job: [other for spec in job.specs for other in spec.requires()] for job in jobs}
    return {job: list(dict.fromkeys(job_of[spec] for spec in specs if spec in job_of))
            for job, specs in required.items()}  # fmt: skip


def _job(specs: Sequence[Spec], gpus_per_run: int) -> Job:
    divisible = gpus_per_run > 1 and len(specs) == 1 and specs[0].work().divisible
    return Job(tuple(specs), gpus_per_run if divisible else 1)


def _divided(group: Sequence[Spec]) -> Iterator[Sequence[Spec]]:
    """As few parts as may be, none larger than `most_together` and none larger than another by more than one."""
    parts = -(-len(group) // group[0].most_together())
    bounds = [len(group) * part // parts for part in range(parts + 1)]
    return (group[start:end] for start, end in pairwise(bounds))
