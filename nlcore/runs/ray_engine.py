"""Jobs as tasks of a Ray cluster, on any number of machines that share the folder of the store."""

from __future__ import annotations

import math
import os
import platform
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from nlcore.errors import InputError
from nlcore.runs.execute import Cost, execute
from nlcore.runs.job import Job
from nlcore.runs.machine import gpu_memory
from nlcore.runs.packing import Packing
from nlcore.runs.processes import PROCESS, environment, ignore_known_warnings
from nlcore.runs.schedule import MAX_DEATHS, Ended, died_too_often
from nlcore.runs.spec import Spec
from nlcore.runs.store import Store

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
# Ray's preparation for a release to come: leave CUDA_VISIBLE_DEVICES alone for tasks without a GPU, and say nothing.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
try:
    import ray
    from ray.exceptions import NodeDiedError, RayTaskError, WorkerCrashedError
except ImportError as error:
    raise InputError("engine ray: Ray is not installed; expected it from: pip install --editable '.[ray]'") from error

SHARED_FOLDER_PATIENCE = 15.0  # seconds until a record that another machine has written must be seen by this one
AHEAD = 2  # tasks per core or GPU that are handed over: Ray places them, and a long queue would only fill its memory


class RayEngine:
    """One task per job, with one core, or one core and a share of a GPU, or with as many cores and GPUs of one machine
    as it has processes; Ray begins it again when its worker or its whole machine dies.

    address: of a running cluster (`auto`: the one on this machine); without, a cluster of this machine's `workers`
    cores is started for the occasion. runs_per_gpu: see `Packing`.
    """

    def __init__(
        self, address: str | None = None, *, workers: int | None = None, runs_per_gpu: int | None = None
    ) -> None:
        self.address, self.workers = address or os.environ.get("RAY_ADDRESS"), workers
        self.packing = Packing(runs_per_gpu)

    def __enter__(self) -> RayEngine:
        quiet = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self.address:
                _knock(self.address)
                ray.init(self.address, runtime_env={"env_vars": PROCESS}, **quiet)
            else:
                with environment(PROCESS):  # inherited by the workers, which begin sooner than with a runtime_env
                    ray.init("local", num_cpus=self.workers, include_dashboard=False, **quiet)
        except (OSError, ValueError) as error:
            raise InputError(
                f"address {self.address!r}: no Ray cluster answers there, or it wants a token (RAY_AUTH_MODE=token); "
                f"expected a running cluster: {_first_line(error)}"
            ) from error
        self._task = ray.remote(max_retries=MAX_DEATHS - 1)(_execute)
        self._in_flight: dict[ray.ObjectRef, tuple[Job, str]] = {}
        self._gpu_memory: int | None = None  # of the smallest GPU that a job was measured on
        self._resources: dict[str, float] = {}
        self._read_at = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()  # a cluster of our own ends; of another one, this driver's tasks do

    def _resource(self, name: str) -> float:
        """How much of a resource the cluster has now: machines come and go."""
        if time.monotonic() - self._read_at > 1.0:
            self._resources, self._read_at = ray.cluster_resources(), time.monotonic()
        return self._resources.get(name, 0.0)

    def most_processes(self, job: Job) -> int:
        """The GPUs, or the cores, of the machine that has most of them now."""
        name = "GPU" if self.group_of(job) == "gpus" else "CPU"
        return max(int(node["Resources"].get(name, 0)) for node in ray.nodes() if node["Alive"])

    def group_of(self, job: Job) -> str:
        """The cluster's cores or its GPUs."""
        return "gpus" if self._resource("GPU") and job.device_name() != "cpu" else "cores"

    def has_room(self, job: Job) -> bool:
        """Whether the cluster has been handed less than twice what it can compute at once."""
        group = self.group_of(job)
        tasks = self._resource("GPU") / self._gpus(job) if group == "gpus" else self._resource("CPU") / job.processes
        handed_over = sum(other == group for _, other in self._in_flight.values())
        return handed_over < AHEAD * max(tasks, 1)

    def _gpus(self, job: Job) -> float:
        """How many it takes: whole ones where several compute it together.

        A share of one is in the ten-thousandths that Ray counts in, rounded so that it never overfills one.
        """
        if job.processes > 1:
            return job.processes
        share = self.packing.share(job.kind, self._gpu_memory)
        return int(share * 10_000) / 10_000 if self.packing.runs_per_gpu else math.ceil(share * 10_000) / 10_000

    def submit(self, job: Job, store_root: Path) -> None:
        """Hand it to Ray, which finds a machine for it."""
        group = self.group_of(job)
        gpus = self._gpus(job) if group == "gpus" else 0
        task = self._task.options(num_cpus=job.processes, num_gpus=gpus, name=job.name[:100])
        self.store_root = Path(store_root).resolve()
        self._in_flight[task.remote(job.specs, self.store_root, job.processes)] = job, group

    def ended(self) -> Sequence[Ended]:
        """Wait until a job ends.

        Raises:
            InputError: one of its records is not where this machine would see it.
        """
        finished, _ = ray.wait(list(self._in_flight), num_returns=1)
        return [self._end(reference) for reference in finished]

    def _end(self, reference: ray.ObjectRef) -> Ended:
        job, _ = self._in_flight.pop(reference)
        try:
            cost, machine, memory = ray.get(reference)
        except (WorkerCrashedError, NodeDiedError):
            return job, died_too_often()
        except RayTaskError as error:
            return job, error.cause
        for spec in job.specs:
            self._wait_for_record(spec, machine)
        self.packing.note(job.kind, cost.gpu_bytes)
        if memory:
            self._gpu_memory = min(memory, self._gpu_memory or memory)
        return job, None

    def _wait_for_record(self, spec: Spec, machine: str) -> None:
        """Network file systems show a new file to other machines with a delay."""
        store, deadline = Store(self.store_root), time.monotonic() + SHARED_FOLDER_PATIENCE
        while not store.look_anew(spec):
            if time.monotonic() > deadline:
                raise InputError(
                    f"store {self.store_root}: a run finished on {machine} and is not there; "
                    "expected a folder that all machines of the cluster share (--store)"
                )
            time.sleep(0.1)


def _execute(specs: Sequence[Spec], store_root: Path, processes: int) -> tuple[Cost, str, int]:
    """In Ray's worker: the cost, the machine's name, and the bytes of memory of its GPU (0 without one)."""
    ignore_known_warnings()
    cost = execute(specs, store_root, processes)
    return cost, platform.node(), gpu_memory()[0] if cost.gpu_bytes else 0


def _knock(address: str) -> None:
    """Whether anything listens at HOST:PORT: Ray itself asks for five minutes. Raises OSError."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
