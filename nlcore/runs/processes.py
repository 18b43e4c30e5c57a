"""Pools of worker processes that leave nothing behind: not after Ctrl-C, not after their driver was killed."""

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
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.process import BaseProcess
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


class WorkerPool(ProcessPoolExecutor):
    """Fresh processes, begun when they are first needed."""

    def __init__(self, processes: int) -> None:
        leave_if_unguarded()
        super().__init__(
            processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
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


def _start_worker() -> None:
    ignore_known_warnings()
    _leave_with_parent()


def _leave_with_parent() -> None:
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
