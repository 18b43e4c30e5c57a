"""What ends a batch before it is over: Ctrl-C, and SIGTERM, which batch systems send when a job's time is up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # exit code after Ctrl-C
TERMINATED = 143  # exit code after SIGTERM
REASONS = {INTERRUPTED: "interrupted", TERMINATED: "terminated (SIGTERM: a time limit, or kill)"}


@contextmanager
def as_interrupt() -> Iterator[list[int]]:
    """While entered, SIGTERM ends what runs as Ctrl-C does; yields a list that holds TERMINATED once it has come.

    A second one, while workers and kernels are being ended, changes nothing. Only the main thread can heed signals.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def end(number: int, frame: object) -> None:
        if not came:
            came.append(TERMINATED)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
