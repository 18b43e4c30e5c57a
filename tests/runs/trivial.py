"""Specs that cost nothing, for tests of what carries runs."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from nlcore.errors import InputError
from nlcore.runs import Result, Spec, Work, scratch_folder


class Square(Spec):
    """The square of a number, and an array of that many draws."""

    number: int
    pause: float = 0.0

    def compute(self, inputs: Sequence[Result]) -> Result:
        time.sleep(self.pause)
        draws = np.random.default_rng(self.number).normal(size=self.number)
        return Result({"square": self.number**2}, {"draws": draws})


class Total(Spec):
    """The sum of the squares up to a number, from the runs that squared."""

    number: int
    pause: float = 0.0

    def requires(self) -> Sequence[Spec]:
        return [Square(number=number, pause=self.pause) for number in range(1, self.number + 1)]

    def compute(self, inputs: Sequence[Result]) -> Result:
        return Result({"total": sum(result.values["square"] for result in inputs)})


class Share(Spec):
    """Of a total, what its largest square makes up: the third level of a chain."""

    number: int

    def requires(self) -> Sequence[Spec]:
        return [Total(number=self.number), Square(number=self.number)]

    def compute(self, inputs: Sequence[Result]) -> Result:
        total, square = (result.values for result in inputs)
        return Result({"share": square["square"] / total["total"]})


class Accompanied(Spec):
    """A square from the run that squared, and how many runs shared the pass that copied it."""

    MEMBERS: ClassVar[int] = 3

    number: int
    place: str
    pause: float = 0.0

    def requires(self) -> Sequence[Spec]:
        return [Square(number=self.number)]

    def work(self) -> Work:
        return Work(type(self).__name__, self.number)

    def shared_pass(self) -> str:
        return self.place

    def compute(self, inputs: Sequence[Result]) -> Result:
        return self.compute_together([self], [inputs])[0]

    @classmethod
    def compute_together(cls, specs: Sequence[Spec], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        time.sleep(specs[0].pause)
        if any(spec.place == f"not for {spec.number}" for spec in specs):
            raise ZeroDivisionError("division by zero")
        return [Result({**own[0].values, "company": len(specs)}) for own in inputs]


class Failing(Spec):
    """Fails with the kind of error it is told."""

    kind: str

    def compute(self, inputs: Sequence[Result]) -> Result:
        raise InputError("rate 3: expected 0 to 1") if self.kind == "input" else ZeroDivisionError("by design")


class NeedsFailing(Spec):
    """Requires a run that fails."""

    def requires(self) -> Sequence[Spec]:
        return [Failing(kind="other")]


class Deadly(Spec):
    """Kills its own worker, SIGKILL, as often as told, by counting marks in a folder."""

    folder: str
    times: int

    def compute(self, inputs: Sequence[Result]) -> Result:
        marks = len(list(Path(self.folder).iterdir()))
        if marks < self.times:
            (Path(self.folder) / str(marks)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Result({"survived": marks})


class Checkpointed(Spec):
    """Counts to three; its worker is killed after each number, and what it has counted lies in its scratch folder."""

    marks: str

    def requires(self) -> Sequence[Spec]:
        return [Square(number=2)]

    def compute(self, inputs: Sequence[Result]) -> Result:
        folder = scratch_folder()
        count = len(list(folder.iterdir())) if folder.exists() else 0
        if count < 3:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(count)).touch()
            (Path(self.marks) / f"{count} in {folder.name}").touch()
            if count < 2:
                os.kill(os.getpid(), signal.SIGKILL)
        return Result({"count": count})


class Warning(Spec):
    """Warns, as other packages do."""

    message: str

    def compute(self, inputs: Sequence[Result]) -> Result:
        warnings.warn(self.message, stacklevel=1)
        return Result()


class Placed(Spec):
    """Which process computed it, and which GPUs that process could see."""

    number: int
    device: str
    pause: float = 0.0

    def work(self) -> Work:
        return Work(type(self).__name__, 100.0 - self.number)

    def compute(self, inputs: Sequence[Result]) -> Result:
        time.sleep(self.pause)
        return Result({"process": os.getpid(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")})


class PlacedElsewhere(Placed):
    """Another kind of run."""
