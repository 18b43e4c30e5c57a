"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from nlcore.errors import InputError
from nlcore.metrics import increase_per_label, value_at_cost
from nlcore.papers.image_task import TaskData, load_task, make_task
from nlcore.papers.missing_label_al.experiments import MEASURES, PAPER, MeasureRun, Protocol, WholeSetRun
from nlcore.papers.profiles import Resources, load_profile
from nlcore.runs import Result, Spec, Store

MIN_LABELS = 1
READINGS = ("raw", "negative", "masked")
SPLIT_NOISE = 0.4
DEFAULT_SHARE = 0.1
HEURISTICS = ("final mAP", "mAP at equal cost", "increase per label")


@dataclass(frozen=True)
class Study:
    """Results of one profile; mAP in percent.

    `active`: measure, noise, hard_share, combination, seed, iteration, cost, map (mean over the training's epochs, as
    the paper reports it), map_last (last epoch), map_without_person (mean). `whole`: noise, reading, seed, map (last
    epoch).
    """

    active: pd.DataFrame
    whole: pd.DataFrame
    specs: tuple[Spec, ...] = ()
    left_out: tuple[Spec, ...] = ()

    @property
    def noises(self) -> list[float]:
        return sorted(self.active.noise.unique())

    def data(self) -> TaskData:
        """The images and labels."""
        return load_task(self.specs[0].task)

    def defaults(self) -> pd.DataFrame:
        """The eight measures under the default readings."""
        return self.active[(self.active.hard_share == DEFAULT_SHARE) & (self.active.combination == "ties")]

    def fixed_cost(self, noise: float) -> dict[int, float]:
        """Seed -> the cost at which measures are compared: Random's in the end, or the lowest where some stay below."""
        part = self.defaults()
        part = part[(part.noise == noise) & (part.iteration == part.iteration.max())]
        table = part.pivot_table(index="seed", columns="measure", values="cost")
        return (table.min(axis=1) if noise > 0.5 else table["random"]).to_dict()

    def heuristics(self, runs: pd.DataFrame, noise: float) -> pd.DataFrame:
        """The three heuristics of every run in `runs` (a part of `active`): the key columns, and HEURISTICS."""
        fixed, rows = self.fixed_cost(noise), []
        for (measure, share, rule, seed), own in runs[runs.noise == noise].groupby(
            ["measure", "hard_share", "combination", "seed"]
        ):
            own = own.sort_values("iteration")
            values, costs = own["map"].to_numpy(), own.cost.to_numpy()
            found = (values[-1], value_at_cost(costs, values, fixed[seed]),
                     float(increase_per_label(values[0], values[-1], costs[-1])))  # fmt: skip
            cell = {"measure": measure, "hard_share": share, "combination": rule, "seed": seed}
            rows.append(cell | dict(zip(HEURISTICS, found, strict=True)))
        return pd.DataFrame(rows)

    def splits(self) -> pd.DataFrame:
        """Fig. 7: the heuristics of Hard+Medium by split, Medium being 0/100 and Hard 100/0."""
        ratio = self.active[
            (self.active.combination == "ties") & self.active.measure.isin(["medium", "hard", "hard_medium"])
        ]
        found = self.heuristics(ratio, SPLIT_NOISE)
        share = found.hard_share.where(found.measure == "hard_medium", (found.measure == "hard").astype(float))
        return found.assign(series=[f"{100 * s:.0f}/{100 * (1 - s):.0f}" for s in share])

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every noise level, and how many runs were not finished."""
        counts = self.active.groupby("noise").seed.nunique().rename("seeds").reset_index()
        return counts.assign(unfinished=[sum(s.noise == noise for s in self.left_out) for noise in counts.noise])


def grid(profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None) -> list[Spec]:
    """The runs of `profile`; `seeds` replaces its own. `resources` name the images, weights and device."""
    settings = load_profile(PAPER, profile)
    task = make_task(settings["task"], resources, min_labels=MIN_LABELS)
    shared = {"task": task, "protocol": Protocol(**settings["protocol"])}
    seeds, stack = list(settings["seeds"] if seeds is None else seeds), settings["stack"]
    specs: list[Spec] = []
    for first in range(0, len(seeds), stack):
        shared["seeds"] = tuple(seeds[first : first + stack])
        specs.append(WholeSetRun(**shared, noise=0.0, reading="masked"))
        for noise in settings["noises"]:
            specs += [MeasureRun(**shared, noise=noise, measure=measure) for measure in MEASURES]
            specs += [WholeSetRun(**shared, noise=noise, reading=reading) for reading in READINGS]
        specs += [
            MeasureRun(**shared, noise=SPLIT_NOISE, measure="hard_medium", hard_share=s) for s in settings["splits"]
        ]
        specs += [
            MeasureRun(**shared, noise=noise, measure="hard_entropy", combination="product")
            for noise in settings["products"]
        ]
    return specs


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    active = [row for spec, result in finished.items() if isinstance(spec, MeasureRun) for row in _rows(spec, result)]
    if not active:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one measure")
    whole = [
        {"noise": spec.noise, "reading": reading, "seed": seed, "map": float(result.arrays["map"][member, -1])}
        for spec, result in finished.items()
        if isinstance(spec, WholeSetRun)
        for member, seed in enumerate(spec.seeds)
        for reading in (READINGS if spec.noise == 0 else (spec.reading,))  # without noise they are one
    ]
    return Study(pd.DataFrame(active), pd.DataFrame(whole), tuple(finished), left_out)


def _rows(spec: MeasureRun, result: Result) -> list[dict]:
    cell = {name: getattr(spec, name) for name in ("measure", "noise", "hard_share", "combination")}
    arrays = result.arrays
    return [
        {**cell, "seed": seed, "iteration": i, "cost": int(arrays["cost"][member, i]),
         "map": float(arrays["map"][member, i].mean()), "map_last": float(arrays["map"][member, i, -1]),
         "map_without_person": float(arrays["map_without_person"][member, i].mean())}
        for member, seed in enumerate(spec.seeds)
        for i in range(arrays["cost"].shape[1])
    ]  # fmt: skip
