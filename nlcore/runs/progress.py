"""How far a grid is and how long it will take: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG_INTERVAL = 20.0  # seconds between two lines in a log


class Reporter(Protocol):
    """What a grid tells while it runs; `seconds` are the estimates of the finished runs' cost."""

    def __enter__(self) -> Reporter: ...
    def __exit__(self, *_: object) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def say(self, line: str) -> None: ...


class Silent:
    """Tells nothing but what `say` is given."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, seconds: float) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bar:
    """A bar in the terminal, weighted by the runs' estimated cost so that the time left is believable."""

    def __init__(self, runs: int, seconds: float, label: str):
        self.done, self.runs = 0, runs
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.progress.add_task(label, total=seconds, count=f"0/{runs} runs")

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self, seconds: float) -> None:
        self.done += 1
        self.progress.update(self.task, advance=seconds, count=f"{self.done}/{self.runs} runs")

    def say(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False)


class Log(Silent):
    """A line every twenty seconds, for output that goes to a file."""

    def __init__(self, runs: int, seconds: float, label: str):
        self.done, self.runs, self.label = 0, runs, label
        self.finished, self.total = 0.0, seconds
        self.start = self.last = time.monotonic()

    def advance(self, seconds: float) -> None:
        self.done += 1
        self.finished += seconds
        now = time.monotonic()
        if now - self.last >= LOG_INTERVAL or self.done == self.runs:
            self.last = now
            left = (now - self.start) * (self.total - self.finished) / max(self.finished, 1e-9)
            self.say(f"{self.label}: {self.done}/{self.runs} runs, about {left:.0f} s left")


def reporter(runs: int, seconds: float, label: str) -> Reporter:
    """The reporter that fits where the output goes."""
    return Bar(runs, seconds, label) if sys.stderr.isatty() else Log(runs, seconds, label)
