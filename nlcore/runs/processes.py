"""Pools of worker processes that leave nothing behind: not after Ctrl-C, not after their driver was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_sentinel


def make_pool(processes: int) -> ProcessPoolExecutor:
    """Fresh processes, begun when they are first needed."""
    return ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_with_parent
    )


def end_pools(pools: Sequence[ProcessPoolExecutor], *, at_once: bool) -> None:
    """Drop what has not begun, and wait for what is running, or end it `at_once`."""
    for pool in pools:
        if at_once:
            for process in list((pool._processes or {}).values()):
                process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
    for pool in pools:
        pool.shutdown(wait=True)


@contextmanager
def process_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool for a `with` block; an error or Ctrl-C in the block ends its processes at once."""
    pool = make_pool(processes)
    try:
        yield pool
    except BaseException:
        end_pools([pool], at_once=True)
        raise
    end_pools([pool], at_once=False)


def _leave_with_parent() -> None:
    """A worker leaves Ctrl-C to its driver, and must not outlive it: a killed driver cannot tell it to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait_and_leave() -> None:
        wait_for_sentinel([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_and_leave, daemon=True).start()
