"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nlcore.data.source import Images, Source
from nlcore.errors import InputError
from nlcore.papers.multi_al.protocol import MIN_LABELS, PAPER, TABLE_NOISES, Protocol
from nlcore.papers.multi_al.runs import (
    ActiveLearningRun,
    InitialRun,
    LikelihoodRun,
    WholeSetRun,
    divide,
    noisy_labels,
)
from nlcore.papers.multi_al.strategies import STRATEGIES
from nlcore.papers.profiles import Resources, make_source
from nlcore.runs import Result, Spec, Store


def of_headline(spec: Spec) -> bool:
    """Whether a run stands behind the claims of the ladder: strategies under the default readings, and plain ASL."""
    if isinstance(spec, WholeSetRun):
        return spec.noise > 0 and spec.start == "imagenet"
    compared = isinstance(spec, ActiveLearningRun) and spec.strategy in ("multi_al_safe", "multi_al", "random", "cbim")
    return compared and spec.start == "imagenet" and not spec.safe_kept


def training_images(spec: Spec) -> int:
    """How many images a run may train on: the share of the source that pools are taken from (5.1)."""
    return round(spec.protocol.pool_share * spec.source.sizes()[0])


# Artefact -> the runs behind it: kinds of runs, or a test of a run. Those not named rest on all.
READS = {
    **dict.fromkeys(("table_1", "table_2", "table_3", "fig_1", "fig_4", "fig_5"), LikelihoodRun),
    "fig_2": WholeSetRun,
    **dict.fromkeys(("fig_3", "exact_counts"), ()),
    "fig_6": InitialRun,
    **{f"fig_{n}": lambda spec, noise=noise: at_noise(spec, noise) for n, noise in ((7, 0.2), (8, 0.4), (9, 0.6))},
    **dict.fromkeys(("fig_10", "gains", "why_start"), (ActiveLearningRun, WholeSetRun)),
    "selection": ActiveLearningRun,
    "where_it_holds": of_headline,
}


def at_noise(spec: Spec, noise: float) -> bool:
    """Whether a run stands behind the figure of one noise level."""
    return isinstance(spec, ActiveLearningRun) and spec.noise in (None, noise)


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
    def source(self) -> Source:
        """What was trained on."""
        return self.specs[0].source

    @property
    def protocol(self) -> Protocol:
        """The settings of all runs."""
        return self.specs[0].protocol

    @property
    def images(self) -> Images:
        """The images and labels."""
        return self.source.load()

    @property
    def noises(self) -> list[float]:
        """Noise levels, fractions."""
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


def grid(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs of a profile's settings; `seeds` replaces its own. `resources` name images, weights and device."""
    source = make_source(settings["source"], resources, min_labels=MIN_LABELS)
    shared = {"source": source, "protocol": Protocol(**settings["protocol"])}
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


def _active_runs(shared: dict, noise: float, settings: Mapping[str, Any]) -> Iterator[Spec]:
    """The runs at one level; a strategy that never sees the noise has the same run at every level."""

    def run(strategy: str, **options: Any) -> Spec:
        level = noise if STRATEGIES[strategy].sees_given_labels else None
        return ActiveLearningRun(**shared, noise=level, strategy=strategy, **options)

    yield from (run(strategy) for strategy in STRATEGIES)
    if settings["safe_kept"]:
        yield run("multi_al_safe", safe_kept=True)
    yield from (run(strategy, start="clean_coco") for strategy in settings["why"])
    if settings["why"]:
        yield WholeSetRun(**shared, noise=noise, start="clean_coco")


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    if not any(isinstance(spec, ActiveLearningRun) for spec in finished):
        raise InputError(f"{PAPER}: no finished run to show; expected at least one strategy")
    frames = [pd.DataFrame(_rows(finished, kind)) for kind in (WholeSetRun, InitialRun, LikelihoodRun)]
    examples = {
        spec.noise: {name: array for name, array in result.arrays.items() if name.startswith("example_")}
        for spec, result in reversed(finished.items())
        if isinstance(spec, LikelihoodRun)
    }
    return Study(_active_frame(finished), *frames, examples, tuple(finished), left_out)


def _rows(finished: Mapping[Spec, Result], kind: type) -> Iterator[dict]:
    for spec, result in finished.items():
        if isinstance(spec, kind):
            yield from _bin_rows(spec, result) if kind is LikelihoodRun else _epoch_rows(spec, result)


def _active_frame(finished: Mapping[Spec, Result]) -> pd.DataFrame:
    """`Study.active`: a run that is the same at every noise level stands at each of them."""
    levels = sorted({spec.noise for spec in finished if isinstance(spec, WholeSetRun) and spec.noise > 0})
    return pd.DataFrame(
        row
        for noise in levels
        for spec in sorted(_at(noise, finished), key=_place)
        for row in _active_rows(spec, finished[spec], noise)
    )


def _at(noise: float, finished: Mapping[Spec, Result]) -> Iterator[ActiveLearningRun]:
    return (spec for spec in finished if isinstance(spec, ActiveLearningRun) and spec.noise in (None, noise))


def _place(spec: ActiveLearningRun) -> tuple[bool, bool, int]:
    """Of a run in tables: the defaults first, strategies in their order."""
    return spec.start != "imagenet", spec.safe_kept, list(STRATEGIES).index(spec.strategy)


def _active_rows(spec: ActiveLearningRun, result: Result, noise: float) -> Iterator[dict]:
    cell = {"strategy": spec.strategy, "noise": noise, "start": spec.start, "safe_kept": spec.safe_kept}
    shares = label_shares(spec, result, noise)
    for member, seed in enumerate(spec.seeds):
        for iteration in range(result.arrays["map"].shape[1]):
            last = {m: 100 * result.arrays[m][member, iteration, -1] for m in ("map", "map_without_person")}
            labelled = spec.protocol.initial + iteration * spec.protocol.batch
            row = {name: values[member, iteration - 1] if iteration else np.nan for name, values in shares.items()}
            yield {**cell, "seed": seed, "iteration": iteration, "labelled": labelled, **last, **row}


def label_shares(spec: ActiveLearningRun, result: Result, noise: float) -> dict[str, np.ndarray]:
    """(M, iterations) each: `chosen_wrong`, of the relabelled images, the share that had a wrong label at this noise;
    `safe_clean`, of the Safe images, the share that had none (NaN without Safe mode)."""
    images, chosen = spec.source.load(), result.arrays["chosen"]
    given = noisy_labels(images, divide(images, spec.protocol, spec.seeds).pool, noise, spec.seeds)
    wrong = (given != images.targets).any(axis=2)  # (M, N)
    members = np.arange(len(wrong))[:, None]
    shares = {"chosen_wrong": np.stack([wrong[members, rows].mean(axis=1) for rows in chosen.swapaxes(0, 1)], axis=1)}
    if "safe" not in result.arrays:
        return shares | {"safe_clean": np.full(chosen.shape[:2], np.nan)}
    safe = np.split(result.arrays["safe"], np.cumsum(result.arrays["safe_sizes"])[:-1], axis=1)
    return shares | {"safe_clean": np.stack([(~wrong)[members, rows].mean(axis=1) for rows in safe], axis=1)}


def _epoch_rows(spec: WholeSetRun | InitialRun, result: Result) -> Iterator[dict]:
    cell = {name: getattr(spec, name) for name in ("noise", "start") if hasattr(spec, name)}
    epochs = next(iter(result.arrays.values())).shape[1]
    for member, seed in enumerate(spec.seeds):
        for epoch in range(epochs):
            values = {name: 100 * array[member, epoch] for name, array in result.arrays.items()}
            yield {**cell, "seed": seed, "epoch": epoch + 1, **values}


def _bin_rows(spec: LikelihoodRun, result: Result) -> Iterator[dict]:
    for measure in ("d1", "d2"):
        for member, seed in enumerate(spec.seeds):
            for place in range(result.arrays["d1_clean"].shape[1]):
                counts = {kind: int(result.arrays[f"{measure}_{kind}"][member, place]) for kind in ("clean", "wrong")}
                yield {"noise": spec.noise, "measure": measure, "seed": seed, "bin": place, **counts}
