"""Pools of worker processes that leave nothing behind: not after Ctrl-C, not after their driver was killed.

On Linux they are forked from a server that has loaded what they need: torch and the rest take seconds to load, and
their memory is shared. Elsewhere, where forks of loaded libraries are not safe, each is fresh.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.spawn import get_preparation_data
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
# its pages filled with zeros anew: a tenth to a fifth of its time. Other systems ignore these. Between passes it is too
# much to keep: a worker would have at every moment what its largest pass has taken.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
PROCESS = SINGLE_THREAD | KEPT_MEMORY
SLOW = ("torch", "scipy.stats", "pandas", "sklearn")  # to load
PRELOADED = "NLCORE_PRELOADED"  # names of modules, for `nlcore.runs.preloaded`
AUTHKEY = "_forkserver_authkey"  # since Python 3.14
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


def give_memory_back() -> None:
    """Return to the system what malloc has kept (KEPT_MEMORY), once a pass is over; other systems need not be told."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:  # glibc
        trim(0)


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

    By default it loads what this process has loaded of this package and of what is slow to load. What is returned
    begins processes by it, or fresh ones where there cannot be a server, and where its code is no longer that of the
    files: in a session at work, in which nlcore has been edited. What libraries read of the environment when they are
    loaded, they have as it was when the server began. Whoever calls this vouches for the script that it is called in:
    workers run it again, before they have their own environment.
    """
    global _vouched
    _vouched = True
    if not sys.platform.startswith("linux") or _sources() != _sources_once():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # late: other systems have none

    context = multiprocessing.get_context("forkserver")
    own = (name for name in list(sys.modules) if name.startswith(f"{PACKAGE.name}."))
    loaded = modules or [name for name in (*SLOW, *own) if name in sys.modules]
    # It looks for modules where this process does, and not first in the folder that this was begun in.
    path = os.pathsep.join(folder or os.curdir for folder in sys.path if isinstance(folder, str))
    variables = PROCESS | {PRELOADED: " ".join(loaded), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    context.set_forkserver_preload(["nlcore.runs.preloaded"])
    try:
        with _beginning, environment(variables):
            forkserver.ensure_running()
    except OSError:  # no place for its socket; or a driver that is a fork itself, and has its parent's server in mind
        return multiprocessing.get_context("spawn")
    return context


def worker_context() -> BaseContext:
    """As `begin_server`, but for processes that would run a script of somebody's again: these are fresh.

    A script may look for GPUs at its top, and a fork has the environment for that only afterwards.
    """
    if not _vouched and "init_main_from_path" in get_preparation_data(""):
        return multiprocessing.get_context("spawn")
    return begin_server()


def as_in_driver() -> tuple[dict[str, str], bytes | None]:
    """What a process is told when it begins, for `settle_in`: the environment of now, and what the server asks for."""
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    with _beginning:
        return dict(os.environ), getattr(server, AUTHKEY, None)


def settle_in(variables: Mapping[str, str], authkey: bytes | None) -> None:
    """Make a process that has just begun one of its driver's, though it may be a fork of a server that began before.

    Its own workers, and its notebook's kernel, are to come from the server that it came from itself: multiprocessing
    hands on the way there, and yet would begin another one, since it does not know the server's process.
    """
    global _vouched
    _vouched = True
    os.environ.clear()
    os.environ.update(variables)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # forks would share the draws of its global generator
    module = sys.modules.get("multiprocessing.forkserver")
    server = getattr(module, "_forkserver", None)
    if getattr(server, "_forkserver_alive_fd", None) is not None:
        module.ensure_running = lambda: None
        vars(server)["ensure_running"] = module.ensure_running
        if authkey is not None:
            vars(server)[AUTHKEY] = authkey


def _sources() -> frozenset[tuple[Path, int]]:
    """The files of this package's code, each with the time of its last change."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        with suppress(FileNotFoundError):  # gone meanwhile
            found.add((path, path.lstat().st_mtime_ns))
    return frozenset(found)


_sources_once = cache(_sources)  # as they were when a server was first asked for
_beginning = threading.Lock()
_vouched = False


class WorkerPool(ProcessPoolExecutor):
    """Processes that are begun when they are first needed, with the environment that there is now."""

    def __init__(self, processes: int) -> None:
        leave_if_unguarded()
        super().__init__(
            processes, mp_context=worker_context(), initializer=_start_worker, initargs=as_in_driver()
        )  # fmt: skip
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


def _start_worker(variables: Mapping[str, str], authkey: bytes | None) -> None:
    settle_in(variables, authkey)
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
