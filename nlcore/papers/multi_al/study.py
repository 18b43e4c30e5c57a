"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from nlcore.errors import InputError
from nlcore.papers.image_task import Task, TaskData, load_task, make_task
from nlcore.papers.multi_al.experiments import (
    PAPER,
    STRATEGIES,
    ActiveLearningRun,
    InitialRun,
    LikelihoodRun,
    Protocol,
    WholeSetRun,
)
from nlcore.papers.profiles import Resources, load_profile
from nlcore.runs import Result, Spec, Store

MIN_LABELS = 2  # images with a single label are removed
TABLE_NOISES = (0.4, 0.6)  # of Tables 1 to 3


@dataclass(frozen=True)
class Study:
    """Results of one profile; mAP in percent, always of the last model of a training.

    `active`: strategy, noise, start, safe_kept, seed, iteration, labelled, map, map_without_person, and from
    iteration 1 chosen_wrong and safe_clean. `whole`: noise, start, seed, epoch, map, map_without_person. `initial`:
    seed, epoch, train, validation. `bins`: noise, measure, seed, bin, clean, wrong. `examples`: noise -> arrays of one
    image.
    """

    active: pd.DataFrame
    whole: pd.DataFrame
    initial: pd.DataFrame
    bins: pd.DataFrame
    examples: dict[float, dict[str, np.ndarray]] = field(default_factory=dict)
    specs: tuple[Spec, ...] = ()
    left_out: tuple[Spec, ...] = ()

    @property
    def task(self) -> Task:
        """What was trained on."""
        return self.specs[0].task

    @property
    def protocol(self) -> Protocol:
        return self.specs[0].protocol

    def data(self) -> TaskData:
        """The images and labels."""
        return load_task(self.task)

    @property
    def noises(self) -> list[float]:
        return sorted(self.active.noise.unique())

    def defaults(self) -> pd.DataFrame:
        """The active-learning runs under the default readings."""
        return self.active[(self.active.start == "imagenet") & ~self.active.safe_kept.astype(bool)]

    def final(self, *, metric: str = "map", start: str = "imagenet", safe_kept: bool = False) -> pd.DataFrame:
        """The last model of every active-learning run: rows (noise, seed), a column per strategy, and `asl`."""
        last = self.active[(self.active.iteration == self.active.iteration.max()) & (self.active.start == start)]
        last = last[last.safe_kept == safe_kept]
        table = last.pivot_table(index=["noise", "seed"], columns="strategy", values=metric)
        return table.join(self.asl(metric=metric, start=start).rename("asl"), how="left")

    def asl(self, *, metric: str = "map", start: str = "imagenet") -> pd.Series:
        """Plain ASL's last epoch by (noise, seed)."""
        rows = self.whole[(self.whole.epoch == self.whole.epoch.max()) & (self.whole.start == start)]
        return rows.set_index(["noise", "seed"])[metric]

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every noise level, and how many runs were not finished."""
        counts = self.active.groupby("noise").seed.nunique().rename("seeds").reset_index()
        unfinished = [sum(getattr(spec, "noise", None) == noise for spec in self.left_out) for noise in counts.noise]
        return counts.assign(unfinished=unfinished)


def grid(profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None) -> list[Spec]:
    """The runs of `profile`; `seeds` replaces its own. `resources` name the images, weights and device."""
    settings = load_profile(PAPER, profile)
    task = make_task(settings["task"], resources, min_labels=MIN_LABELS)
    shared = {"task": task, "protocol": Protocol(**settings["protocol"])}
    seeds, stack = list(settings["seeds"] if seeds is None else seeds), settings["stack"]
    specs: list[Spec] = []
    for first in range(0, len(seeds), stack):
        shared["seeds"] = tuple(seeds[first : first + stack])
        specs.append(InitialRun(**shared))
        specs += [LikelihoodRun(**shared, noise=noise) for noise in TABLE_NOISES]
        specs += [WholeSetRun(**shared, noise=noise) for noise in (0.0, *settings["noises"])]
        for noise in settings["noises"]:
            specs += _active_runs(shared, noise, settings)
    return specs


def _active_runs(shared: dict, noise: float, settings: dict) -> list[Spec]:
    specs = [ActiveLearningRun(**shared, noise=noise, strategy=strategy) for strategy in STRATEGIES]
    if settings["safe_kept"]:
        specs.append(ActiveLearningRun(**shared, noise=noise, strategy="multi_al_safe", safe_kept=True))
    why = [ActiveLearningRun(**shared, noise=noise, strategy=name, start="clean_coco") for name in settings["why"]]
    return specs + why + ([WholeSetRun(**shared, noise=noise, start="clean_coco")] if why else [])


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    rows = {kind: [row for spec, result in finished.items() if isinstance(spec, kind) for row in read(spec, result)]
            for kind, read in READERS.items()}  # fmt: skip
    if not rows[ActiveLearningRun]:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one strategy")
    examples = {
        spec.noise: {name: array for name, array in result.arrays.items() if name.startswith("example_")}
        for spec, result in reversed(finished.items())
        if isinstance(spec, LikelihoodRun)
    }
    return Study(*(pd.DataFrame(rows[kind]) for kind in READERS), examples, tuple(finished), left_out)


def _active_rows(spec: ActiveLearningRun, result: Result) -> list[dict]:
    cell = {name: getattr(spec, name) for name in ("strategy", "noise", "start", "safe_kept")}
    arrays, rows = result.arrays, []
    for member, seed in enumerate(spec.seeds):
        for iteration in range(arrays["map"].shape[1]):
            row = {**cell, "seed": seed, "iteration": iteration,
                   "labelled": spec.protocol.initial + iteration * spec.protocol.batch}  # fmt: skip
            row |= {name: arrays[name][member, iteration, -1] for name in ("map", "map_without_person")}
            for name in ("chosen_wrong", "safe_clean"):
                known = iteration > 0 and arrays[name].shape[1] > 0
                row[name] = arrays[name][member, iteration - 1] if known else np.nan
            rows.append(row)
    return rows


def _epoch_rows(spec: WholeSetRun | InitialRun, result: Result) -> list[dict]:
    cell = {name: getattr(spec, name) for name in ("noise", "start") if hasattr(spec, name)}
    return [
        {
            **cell,
            "seed": seed,
            "epoch": epoch + 1,
            **{name: values[member, epoch] for name, values in result.arrays.items()},
        }
        for member, seed in enumerate(spec.seeds)
        for epoch in range(next(iter(result.arrays.values())).shape[1])
    ]


def _bin_rows(spec: LikelihoodRun, result: Result) -> list[dict]:
    return [
        {"noise": spec.noise, "measure": measure, "seed": seed, "bin": place,
         **{kind: int(result.arrays[f"{measure}_{kind}"][member, place]) for kind in ("clean", "wrong")}}
        for measure in ("d1", "d2")
        for member, seed in enumerate(spec.seeds)
        for place in range(result.arrays["d1_clean"].shape[1])
    ]  # fmt: skip


READERS = {ActiveLearningRun: _active_rows, WholeSetRun: _epoch_rows, InitialRun: _epoch_rows, LikelihoodRun: _bin_rows}
