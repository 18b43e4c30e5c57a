"""How far the work is and how long it will take: bars in a terminal, a line now and then in a log.

Work has parts (papers) of so many steps (runs, and one for a notebook), each with an estimate of its cost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LOG_INTERVAL = 20.0  # seconds between two lines in a log
FEW = 5  # steps before which no time left is told


@dataclass(frozen=True)
class Part:
    """So many steps, and their estimated cost in seconds of one core."""

    steps: int
    seconds: float


class Reporter(Protocol):
    """What is told of the work while it goes on."""

    def __enter__(self) -> Reporter: ...
    def __exit__(self, *_: object) -> None: ...
    def advance(self, label: str, seconds: float) -> None:
        """A step of a part is over; `seconds` is what its cost was estimated to be."""

    def note(self, label: str, state: str) -> None:
        """What is going on in a part besides its steps."""

    def say(self, line: str) -> None:
        """A line to be read at once."""


class Clock:
    """The time left: what is left of the cost, at the pace of what is done.

    Of the estimates only the proportions are believed: they are of one core or one GPU, and runs share a machine.
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.parts = parts
        self.done = dict.fromkeys(parts, 0)
        self.steps, self.total = (sum(part.steps for part in parts.values()), sum(p.seconds for p in parts.values()))
        self.steps_done, self.finished, self.start = 0, 0.0, time.monotonic()

    def advance(self, label: str, seconds: float) -> None:
        """A step of a part is over, which was estimated to cost so many seconds."""
        self.done[label] += 1
        self.steps_done += 1
        self.finished += seconds

    def count(self, label: str) -> str:
        """Of a part's steps, how many are over: "3/12"."""
        return f"{self.done[label]}/{self.parts[label].steps}"

    @property
    def left(self) -> str:
        """Of the time, as people say it; nothing while next to nothing is known: the first runs wait for libraries."""
        if not self.finished or self.steps_done < FEW:
            return ""
        elapsed = time.monotonic() - self.start
        return f"about {duration(elapsed * max(self.total - self.finished, 0) / self.finished)} left"


class Bars(Reporter):
    """In a terminal: a bar for everything with the time left, and below it one for every part."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.clock = Clock(parts)
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(), TextColumn("{task.fields[state]}"), console=Console(stderr=True),
        )  # fmt: skip
        add = self.progress.add_task
        self.everything = add("all", total=self.clock.total, count=f"0/{self.clock.steps}", state="")
        self.tasks = {
            label: add(f"  {label}", total=part.seconds or 1, completed=0 if part.steps else 1, count=f"0/{part.steps}",
                       state="" if part.steps else "finished before")
            for label, part in parts.items()
        }  # fmt: skip

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self, label: str, seconds: float) -> None:
        clock = self.clock
        clock.advance(label, seconds)
        self.progress.update(self.tasks[label], advance=seconds, count=clock.count(label))
        count = f"{clock.steps_done}/{clock.steps}"
        self.progress.update(self.everything, advance=seconds, count=count, state=clock.left)

    def note(self, label: str, state: str) -> None:
        self.progress.update(self.tasks[label], state=state)

    def say(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False)


class Log(Reporter):
    """In a file: a line every twenty seconds, and one at the end."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.clock = Clock(parts)
        self.last = self.clock.start

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, label: str, seconds: float) -> None:
        clock, now = self.clock, time.monotonic()
        clock.advance(label, seconds)
        if now - self.last >= LOG_INTERVAL or clock.steps_done == clock.steps:
            self.last = now
            counts = ", ".join(f"{label} {clock.count(label)}" for label, part in clock.parts.items() if part.steps)
            self.say(", ".join(filter(None, [f"{clock.steps_done}/{clock.steps} done ({counts})", clock.left])))

    def note(self, label: str, state: str) -> None:
        self.say(f"{label}: {state}")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def reporter(parts: Mapping[str, Part]) -> Reporter:
    """The reporter that fits where the output goes."""
    return Bars(parts) if sys.stderr.isatty() else Log(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
