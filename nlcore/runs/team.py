"""One run in several processes of this machine, each on a GPU (or a core) of its own.

The process that an engine has chosen begins the others. All of them compute the same run from the same inputs, and
divide its trainings and predictions among them (`nlcore.training.distributed`). The first alone writes: what the others
would keep for after a kill stays in copies of the scratch folder, and their results are dropped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from nlcore.errors import InputError
from nlcore.runs.processes import WorkerPool, end_pools, environment
from nlcore.runs.scratch import scratch
from nlcore.runs.spec import Spec
from nlcore.runs.store import Store

HOST = "localhost"  # all of them are on one machine
PATIENCE = 5.0  # seconds in which a process must say why it has left the others
COPIES = "copies"  # of a run's scratch folder, inside it


@contextmanager
def team(spec: Spec, store: Store, processes: int) -> Iterator[None]:
    """Compute `spec` in the `with` block as the first of so many processes; with one there is nothing to do.

    Where one of the others dies, this one dies with it: an engine then begins the run again, from its last checkpoint.

    Raises:
        Exception: what another process failed of.
    """
    if processes == 1:
        yield
        return
    from torch.distributed import TCPStore  # late: a run of one process does without it

    from nlcore.training.distributed import member

    meeting = TCPStore(HOST, 0, processes, is_master=True, wait_for_workers=False)
    with Others() as others:
        for rank, folder in enumerate(_copies(store.scratch(spec), processes), start=1):
            others.begin(rank, processes, meeting.port, spec, store.root, folder)
        with member(0, processes, store=meeting, device=spec.device_name()):
            try:
                yield
            except Exception as error:
                raise others.cause(error) from None
            others.wait()


class Others:
    """The other processes of a run: for a `with` block, after which none is left."""

    def __enter__(self) -> Others:
        self.pools: list[WorkerPool] = []
        self.futures: list[Future] = []
        self.left = False
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.left = True
        end_pools(self.pools, at_once=kind is not None)

    def begin(self, rank: int, *arguments: object) -> None:
        """Begin process `rank`, on the GPU of that place among this process's, without checkpoints of its own."""
        from nlcore.training.state_file import SECONDS

        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        own = str(rank) if visible is None else visible.split(",")[rank] if visible else ""
        with environment({"CUDA_VISIBLE_DEVICES": own, SECONDS: "inf"}):
            pool = WorkerPool(1)
            self.pools.append(pool)
            future = pool.submit(_assist, rank, *arguments)
        self.futures.append(future)
        future.add_done_callback(lambda future: self._ended(future, pool))

    def _ended(self, future: Future, pool: WorkerPool) -> None:
        """This process would wait for one that is over before its time, on a GPU without end.

        With one that was killed it dies at once. One that failed ends its connections, so that this one misses it.
        """
        if self.left or future.cancelled() or future.exception() is None:
            return
        if isinstance(future.exception(), BrokenProcessPool):
            os._exit(1)
        pool.terminate()

    def cause(self, error: Exception) -> Exception:
        """What a run failed of: the error here, unless it only says that another process has failed before."""
        if isinstance(error, InputError):
            return error
        done, _ = wait(self.futures, timeout=PATIENCE, return_when=FIRST_EXCEPTION)
        return next((found for future in done if (found := future.exception())), error)

    def wait(self) -> None:
        """Wait until they are done as well."""
        for future in self.futures:
            future.result()


def _copies(folder: Path, processes: int) -> list[Path]:
    """A scratch folder for every other process, with what a killed run has left in that of the first."""
    copies = [folder / COPIES / str(rank) for rank in range(1, processes)]
    shutil.rmtree(folder / COPIES, ignore_errors=True)
    if folder.exists():
        for copy in copies:
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(COPIES))
    return copies


def _assist(rank: int, processes: int, port: int, spec: Spec, store_root: Path, folder: Path) -> None:
    """In process `rank`: compute the run along with the first."""
    from torch.distributed import TCPStore

    from nlcore.training.distributed import member

    store, meeting = Store(store_root), TCPStore(HOST, port, processes, is_master=False)
    inputs = [store.result(required) for required in spec.requires()]
    with scratch(folder), member(rank, processes, store=meeting, device=spec.device_name()):
        type(spec).compute_together([spec], [inputs])
