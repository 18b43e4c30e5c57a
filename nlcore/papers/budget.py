"""Which runs decide which claims, and which of them to take where there are hours for some.

A claim is decided over paired seeds, and an interval needs two of them: so a claim's runs come in units, one for each
of its seeds, and it is decided once two seeds are whole. Of a claim that does not fit, the runs at 0, 40 and 60 % noise
are taken for the tables, if these fit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nlcore.errors import InputError
from nlcore.runs import Plan, Spec, once, seeds_of

PAIRS = 2  # seeds that an interval needs
FIRST_NOISES = (0.0, 0.4, 0.6)
Run = Hashable
Hours = Mapping[Run, tuple[str, float]]  # run -> its kind of device and what it takes; a run that is done is not in it


@dataclass(frozen=True)
class Unit:
    """What decides a claim for one seed, or for several that are one run; `first`: of it, what is at FIRST_NOISES."""

    seeds: tuple[int, ...]
    runs: frozenset[Run]
    first: frozenset[Run]


@dataclass(frozen=True)
class Stake:
    """A claim, and the units of runs that decide it; none: no run of the profile does."""

    paper: str
    claim: str
    headline: bool
    units: tuple[Unit, ...]

    @property
    def runs(self) -> frozenset[Run]:
        """All of its runs."""
        return frozenset().union(*(unit.runs for unit in self.units))

    @property
    def seeds(self) -> int:
        """How many there are."""
        return sum(len(unit.seeds) for unit in self.units)

    @property
    def least(self) -> tuple[Unit, ...]:
        """As few of its units as decide it; none where all of them do not."""
        for number in range(1, len(self.units) + 1):
            if sum(len(unit.seeds) for unit in self.units[:number]) >= PAIRS:
                return self.units[:number]
        return ()

    def whole(self, lacking: Collection[Run]) -> list[Unit]:
        """The units without a run that is lacking."""
        return [unit for unit in self.units if not any(run in lacking for run in unit.runs)]

    def state(self, lacking: Collection[Run]) -> str:
        """In words, what is decided while these runs are not there."""
        if not self.least:
            return "no run decides it here"
        seeds = sum(len(unit.seeds) for unit in self.whole(lacking))
        if seeds >= PAIRS:
            return f"decided, {seeds} of {self.seeds} seeds"
        first = frozenset().union(*(unit.first for unit in self.least))
        return "open" if any(run in lacking for run in first) or not first else "open, but for 0, 40 and 60 %"


def make_stakes(
    paper: str, claims: Mapping[str, Callable[[Spec], bool]], headline: Collection[str], specs: Sequence[Spec]
) -> list[Stake]:
    """The claims of a paper with their runs among `specs`, by seed; a run without a seed belongs to all of them.

    claims: claim -> whether a run is one of those that decide it.
    """
    return [Stake(paper, id, id in headline, tuple(_units(filter(reads, specs)))) for id, reads in claims.items()]


def _units(specs: Iterable[Spec]) -> Iterator[Unit]:
    by_seeds: dict[tuple[int, ...], list[Spec]] = {}
    for spec in specs:
        by_seeds.setdefault(seeds_of(spec), []).append(spec)
    shared = by_seeds.pop((), [])
    for seeds, own in by_seeds.items():
        first = frozenset(spec for spec in own if getattr(spec, "noise", None) in (None, *FIRST_NOISES))
        yield Unit(seeds, frozenset(own + shared), first)


def hours_of(plans: Iterable[Plan]) -> Hours:
    """What each run that the plans lack takes, on its kind of device."""
    estimates = (pair for plan in plans for pair in plan.estimates.items())
    return {spec: (estimate.device, estimate.seconds / 3600) for spec, estimate in estimates}


def with_lacking(runs: Iterable[Run], hours: Hours) -> frozenset[Run]:
    """Those of the runs that are lacking, with what they require and what of that is lacking too."""
    found: set[Run] = set()
    waiting = [run for run in runs if run in hours]
    while waiting:
        run = waiting.pop()
        if run not in found:
            found.add(run)
            waiting += [required for required in once(type(run).requires, run) if required in hours]
    return frozenset(found)


def total(runs: Iterable[Run], hours: Hours) -> Counter[str]:
    """Kind of device -> the hours that the runs take on it, whatever their order: every process chooses the same."""
    taken: dict[str, list[float]] = {}
    for device, took in filter(None, map(hours.get, runs)):
        taken.setdefault(device, []).append(took)
    return Counter({device: math.fsum(own) for device, own in sorted(taken.items())})


def choose(
    stakes: Sequence[Stake],
    hours: Hours,
    budget: float,
    close: Callable[[Iterable[Run], Hours], frozenset[Run]] = with_lacking,
) -> frozenset[Run]:
    """The lacking runs to take so that most claims are decided within `budget` hours of each kind of device.

    Claims that a paper's headline makes come first, then the others, both on as few seeds as decide them; then parts of
    what does not fit; then more seeds. Among equals that which takes least beyond what is taken already.
    """
    taken: set[Run] = set()
    spent: Counter[str] = Counter()
    for steps in _by_rank(stakes):
        waiting = [close(step, hours) for step in steps]
        while waiting:
            waiting = [step - taken for step in waiting]  # what is left of them, and fits
            costs = [(total(step, hours), step) for step in waiting if step]
            fitting = [(cost, step) for cost, step in costs if _fits(spent + cost, budget)]
            if not fitting:
                break
            cost, cheapest = min(fitting, key=lambda pair: pair[0].total())
            taken |= cheapest
            spent += cost
            waiting = [step for _, step in fitting]
    return frozenset(taken)


def _fits(spent: Mapping[str, float], budget: float) -> bool:
    return all(hours <= budget for hours in spent.values())


def _by_rank(stakes: Sequence[Stake]) -> Iterator[list[frozenset[Run]]]:
    """What can be taken at a time, in the order of its worth."""
    parties = [[stake for stake in stakes if stake.headline == headline] for headline in (True, False)]
    for name in ("runs", "first"):
        for party in parties:
            yield [frozenset().union(*(getattr(unit, name) for unit in stake.least)) for stake in party if stake.least]
    for number in range(max((len(stake.units) for stake in stakes), default=0)):
        for party in parties:
            yield [stake.units[number].runs for stake in party if len(stake.least) <= number < len(stake.units)]


def check_budget(budget: float | None, *, partial: bool) -> None:
    """Raises InputError where a budget is none, or stands beside what computes nothing."""
    if budget is None:
        return
    if not (math.isfinite(budget) and budget > 0):
        raise InputError(f"budget: found {budget:g} hours; expected a number above zero")
    if partial:
        raise InputError(f"budget: found {budget:g} hours beside --partial; expected one of them")
