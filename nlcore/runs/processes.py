"""Pools of worker processes that leave nothing behind: not after Ctrl-C, not after their driver was killed.

On Linux they are forked from a server that has loaded what they need: torch and the rest take seconds to load, and
their memory is shared. Elsewhere, where forks of loaded libraries are not safe, each is fresh.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from nlcore.errors import InputError

# What other packages warn of in every worker and nobody can do anything about; anything else is shown.
KNOWN_WARNINGS = (
    "The least populated class",  # scikit-learn: a rare label in five folds, as the benchmark has them
    "May not flag all label issues in class",  # cleanlab, of the same
    "Duplicated some data across multiple folds",  # cleanlab
    "Importing from timm",  # timm: names of its own that it means to change
    "Overwriting .* in registry",  # timm, imported by two names
    "Mapping deprecated model name",  # timm
    "CUDA initialization:",  # torch with CUDA, in a worker that is to see no GPU
    "Can't initialize NVML",  # the same
    "'pin_memory' argument is set as true but",  # the same
    "TensorFloat32 tensor cores",  # torch: precision is the recipe's business
)
# Every run is single-threaded, so that its bytes depend neither on the machine's cores nor on the number of workers.
SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# glibc gives large arrays back to the system as soon as they are freed, and each step of a stack of heads would find
# its pages filled with zeros anew: a tenth to a fifth of its time. Other systems ignore these.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
PROCESS = SINGLE_THREAD | KEPT_MEMORY
SLOW = ("torch", "scipy.stats", "pandas", "sklearn")  # to load
WAY = ("_forkserver_address", "_forkserver_authkey")  # the second since Python 3.14
PACKAGE = Path(__file__).parents[1]
UNGUARDED = 78  # exit code of a worker that found itself running the script that began it


class UnguardedScriptError(InputError):
    """The script that begins workers does so whenever it is imported, and a worker imports it."""

    def __init__(self) -> None:
        script = getattr(sys.modules["__main__"], "__file__", "this script")
        super().__init__(
            f"{script}: begins workers, and every worker runs it again from the top; "
            'expected the code that does so below a line: if __name__ == "__main__":'
        )


def ignore_known_warnings() -> None:
    """Keep KNOWN_WARNINGS out of the display of progress, in this process from now on."""
    for message in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message)


def leave_if_unguarded() -> None:
    """End this process, silently, if it is a worker that is still importing the script of its driver.

    It would begin workers of its own; the driver learns of it from the exit code.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)


def begin_server(*modules: str) -> BaseContext:
    """Have a server of processes begin to load these modules, if there is none yet: it does so beside this process.

    By default it loads what this process has loaded of runs and of what is slow to load. What is returned begins
    processes by it, or fresh ones where there cannot be a server, and where its code is no longer that of the files: in
    a session at work, in which nlcore has been edited.
    """
    if not sys.platform.startswith("linux") or _sources() != _sources_once():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    own = (name for name in list(sys.modules) if name.startswith(f"{PACKAGE.name}."))
    context.set_forkserver_preload(list(modules) or [name for name in (*SLOW, *own) if name in sys.modules])
    from multiprocessing import forkserver  # late: other systems have none

    # It looks for modules where this process does, and not first in the folder that this was begun in.
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    with environment(PROCESS | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}):
        forkserver.ensure_running()
    return context


def _way_to_server() -> dict[str, Any]:
    """Where the server is that this process's workers come from, and what it wants to be told; nothing without one."""
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return {name: value for name, value in vars(server or object).items() if name in WAY and value is not None}


def _share_server(way: Mapping[str, Any]) -> None:
    """Have a worker's own workers, and its notebook's kernel, come from the server that it came from itself.

    multiprocessing hands on all that this takes but the address, and would load everything anew in a server for each.
    """
    module = sys.modules.get("multiprocessing.forkserver")
    server = getattr(module, "_forkserver", None)
    if way and getattr(server, "_forkserver_alive_fd", None) is not None:
        module.ensure_running = lambda: None
        vars(server).update(way, ensure_running=module.ensure_running)


def _sources() -> frozenset[tuple[Path, int]]:
    """The files of this package's code, each with the time of its last change."""
    return frozenset((path, path.stat().st_mtime_ns) for path in PACKAGE.rglob("*.py"))


_sources_once = cache(_sources)  # as they were when a server was first asked for


class WorkerPool(ProcessPoolExecutor):
    """Processes that are begun when they are first needed, with the environment that there is now."""

    def __init__(self, processes: int) -> None:
        leave_if_unguarded()
        context, told = begin_server(), (dict(os.environ), _way_to_server())
        super().__init__(processes, mp_context=context, initializer=_start_worker, initargs=told)
        self._begun: list[BaseProcess] = []

    def submit(self, *arguments: Any, **options: Any) -> Future:
        """As `Executor.submit`; this is what begins processes."""
        future = super().submit(*arguments, **options)
        self._begun = list((self._processes or {}).values())
        return future

    def terminate(self) -> None:
        """End its processes, whatever they are doing."""
        for process in self._begun:
            process.terminate()

    @property
    def is_unguarded(self) -> bool:
        """Once it is broken and shut down: whether its processes left since the driver's script has no guard."""
        return any(process.exitcode == UNGUARDED for process in self._begun)


def end_pools(pools: Sequence[WorkerPool], *, at_once: bool) -> None:
    """Drop what has not begun, and wait for what is running, or end it `at_once`."""
    for pool in pools if at_once else ():
        pool.terminate()
    for pool in pools:  # waiting for its thread, too: at the end of a program it would meet a closed pipe
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def process_pool(processes: int) -> Iterator[WorkerPool]:
    """A pool for a `with` block; an error or Ctrl-C in the block ends its processes at once."""
    pool = WorkerPool(processes)
    try:
        yield pool
    except BaseException:
        end_pools([pool], at_once=True)
        raise
    end_pools([pool], at_once=False)


def _start_worker(variables: Mapping[str, str], way: Mapping[str, Any]) -> None:
    os.environ.clear()  # a server has that of the moment in which it began
    os.environ.update(variables)
    _share_server(way)
    ignore_known_warnings()
    leave_with_parent()


def leave_with_parent() -> None:
    """A worker leaves Ctrl-C to its driver, and must not outlive it: a killed driver cannot tell it to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait_and_leave() -> None:
        wait_for_sentinel([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_and_leave, daemon=True).start()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that processes begun meanwhile inherit: their libraries read them when they are loaded."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
