"""What a run will take: its work in units, the rate of each unit, and what the store has measured on this machine.

A run states its `Work`; `rates.yaml` says what a unit takes. Every computed run adds a line to the store's ledger, and
the rates of the units found there are corrected by the ratio of what was measured to what was expected: the median one,
since a run that was suspended, or that shared its core with other work, took longer than it needs.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from nlcore.runs.machine import gpu, processor
from nlcore.runs.spec import Spec, Work
from nlcore.runs.store import Store
from nlcore.yaml_text import read_yaml

REMEMBERED = 200  # lines of the ledger for each unit: what was measured long ago was other code
USUAL_SIZES = (224, 299)  # sides of images for which rates are listed
_ELSEWHERE: ContextVar[bool] = ContextVar("planned for a machine with a GPU", default=False)


@dataclass(frozen=True)
class Estimate:
    """What a run will take, on which kind of device, and whether its rate was measured on this machine."""

    seconds: float
    device: str
    measured: bool


@dataclass(frozen=True)
class Measurement:
    """A line of the ledger: so much work, on `cpu` or `cuda`, took so many seconds on this processor or GPU."""

    unit: str
    device: str
    amount: float
    seconds: float
    processor: str


class CostModel:
    """Estimates, corrected by what the store's ledger holds of this machine's processor and GPU."""

    def __init__(self, store: Store) -> None:
        self._ratios = ratios(_ledger(store))

    def estimate(self, spec: Spec) -> Estimate:
        """What `spec` will take on this machine."""
        work, device = spec.work(), planned_device(spec)
        here = not _ELSEWHERE.get()  # nothing was measured on another machine
        ratio = self._ratios.get((work.unit, device, _processor(device))) if here else None
        return Estimate(seconds(work, device) * (1.0 if ratio is None else ratio), device, ratio is not None)


def is_listed(unit: str) -> bool:
    """Whether there is a rate for a unit, or for it at another size."""
    return _listed(unit) is not None


def seconds(work: Work, device: str) -> float:
    """About how long the work takes on one core (`cpu`) or one GPU (`cuda`), by the listed rates alone."""
    return work.amount * _rate(work.unit, device)


def _rate(unit: str, device: str) -> float:
    found = _listed(unit)
    if found is None:
        return 1.0
    area = 1.0 if found == unit else (int(unit.rpartition(" ")[2]) / int(found.rpartition(" ")[2])) ** 2
    return area * _rates()[found][device]


def _listed(unit: str) -> str | None:
    """The unit itself, or as it is listed at a usual size."""
    kind, _, size = unit.rpartition(" ")
    names = [unit, *(f"{kind} {usual}" for usual in USUAL_SIZES if size.isdigit())]
    return next((name for name in names if name in _rates()), None)


@cache
def _rates() -> Mapping[str, Mapping[str, float]]:
    return read_yaml((files("nlcore.runs") / "rates.yaml").read_text(encoding="utf-8"))


@contextmanager
def as_if_with_a_gpu() -> Iterator[None]:
    """While entered, runs are planned for another machine, which has a GPU of the listed rates."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def planned_device(spec: Spec) -> str:
    """`cuda` where the run asks for a GPU, or for whatever there is, and there is one; else `cpu`."""
    return device_of_plan(spec.device_name())


def device_of_plan(name: str) -> str:
    """`cuda` where that is asked for, or whatever there is ("auto"), and there is a GPU; else `cpu`."""
    if name == "cpu":
        return "cpu"
    if _ELSEWHERE.get():
        return "cuda"
    import torch  # late: runs that only ever use the CPU are planned without it

    return "cuda" if torch.cuda.is_available() else "cpu"


@cache
def _processor(device: str) -> str:
    if device == "cpu":
        return processor()
    import torch

    return torch.cuda.get_device_name(0)


def note_cost(store: Store, spec: Spec, seconds: float) -> None:
    """Add what a run took to the store's ledger, in one short line: several processes write at once."""
    name = gpu() if spec.device_name() != "cpu" else None
    work, device = spec.work(), "cuda" if name else "cpu"
    line = asdict(Measurement(work.unit, device, work.amount, round(seconds, 6), name or processor()))
    with suppress(OSError), _ledger_path(store).open("a", encoding="utf-8") as file:  # a full disk: told by the record
        file.write(json.dumps(line) + "\n")


def ratios(measurements: Iterable[Measurement]) -> dict[tuple[str, str, str], float]:
    """(unit, device, processor) -> seconds measured over seconds that the listed rates expect.

    It is the median over the lines, each of which weighs as much as was expected of it: a long run says more than a
    short one, and one that was suspended for an hour says no more than any other.
    """
    latest: dict[tuple[str, str, str], deque[Measurement]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
    for measured in measurements:
        latest[measured.unit, measured.device, measured.processor].append(measured)
    found = {}
    for key, lines in latest.items():
        expected = np.array([seconds(Work(line.unit, line.amount), line.device) for line in lines])
        there = expected > 0
        if there.any():
            measured = np.array([line.seconds for line in lines])
            found[key] = float(
                np.quantile(measured[there] / expected[there], 0.5, weights=expected[there], method="inverted_cdf")
            )
    return found


def _ledger_path(store: Store) -> Path:
    return store.root / "costs.jsonl"


def _ledger(store: Store) -> Iterator[Measurement]:
    """The lines that can be read; one that a killed process left in half is passed over."""
    try:
        lines = _ledger_path(store).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError, TypeError):
            found = Measurement(**json.loads(line))
            if found.device in ("cpu", "cuda") and found.amount + found.seconds >= 0:
                yield found
