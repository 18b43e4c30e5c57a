"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nlcore.data.source import Images, Source
from nlcore.errors import InputError
from nlcore.papers.aside import Aside
from nlcore.papers.multi_al.protocol import BINS, MIN_LABELS, PAPER, SURFACE_NOISE, TABLE_NOISES, Protocol
from nlcore.papers.multi_al.runs import (
    ActiveLearningRun,
    InitialRun,
    LikelihoodRun,
    MultiALRun,
    WholeSetRun,
    divide,
    noisy_labels,
)
from nlcore.papers.multi_al.strategies import STRATEGIES
from nlcore.papers.multi_al.words import SERIES
from nlcore.papers.own import own_labels
from nlcore.papers.profiles import Resources, make_source
from nlcore.papers.surface import Judged, SurfaceRun, joined, surface_frame, surface_points, surface_row, surface_runs
from nlcore.report.draws import DRAW, MOVED, in_draws
from nlcore.runs import Result, Spec, Store


def of_headline(spec: Spec) -> bool:
    """Whether a run stands behind the claims of the ladder: strategies under the default readings, and plain ASL."""
    if isinstance(spec, WholeSetRun):
        return spec.noise > 0 and is_default(spec)
    compared = isinstance(spec, ActiveLearningRun) and spec.strategy in ("multi_al_safe", "multi_al", "random", "cbim")
    return compared and is_default(spec)


def is_default(spec: MultiALRun, *, but_baseline: bool = False) -> bool:
    """Whether a run is of the default readings, a baseline the paper's own unless it may be another."""
    changed = {"start": "imagenet", "safe_kept": False}
    changed |= {} if but_baseline else {"beside": "nothing", "mixup": False}
    return not spec.protocol.reading and all(getattr(spec, name, usual) == usual for name, usual in changed.items())


def of_start(spec: MultiALRun) -> bool:
    """Whether a run stands behind what the first weights are worth."""
    if isinstance(spec, LikelihoodRun):
        return True
    plain = isinstance(spec, ActiveLearningRun | WholeSetRun) and not spec.protocol.reading
    return plain and is_default(spec.model_copy(update={"start": "imagenet"}))


def of_baselines(spec: MultiALRun) -> bool:
    """Whether a run stands behind the comparison of Multi-AL with baselines that see what it sees."""
    if isinstance(spec, WholeSetRun):
        return spec.start == "imagenet" and not spec.protocol.reading
    return isinstance(spec, ActiveLearningRun) and spec.strategy == "multi_al_safe" and is_default(spec)


def of_surface(spec: Spec) -> bool:
    """Whether a run stands behind mAP by epochs and learning rate."""
    if isinstance(spec, SurfaceRun):
        return True
    compared = isinstance(spec, ActiveLearningRun | WholeSetRun) and spec.noise in (None, SURFACE_NOISE)
    return compared and is_default(spec, but_baseline=True) and _surface_name(spec) in SURFACE


def training_images(spec: Spec) -> int:
    """How many images a run may train on: the share of the source that pools are taken from (5.1)."""
    return round(spec.protocol.pool_share * spec.source.sizes()[0])


# Artefact -> the runs behind it: kinds of runs, or a test of a run. Those not named rest on all.
READS = {
    **dict.fromkeys(
        ("table_1", "table_2", "table_3", "fig_1", "fig_4", "fig_5"),
        lambda spec: isinstance(spec, LikelihoodRun) and is_default(spec),
    ),
    "fig_2": lambda spec: isinstance(spec, WholeSetRun) and is_default(spec),
    **dict.fromkeys(("fig_3", "exact_counts"), ()),
    "fig_6": InitialRun,
    **{f"fig_{n}": lambda spec, noise=noise: at_noise(spec, noise) for n, noise in ((7, 0.2), (8, 0.4), (9, 0.6))},
    **dict.fromkeys(
        ("fig_10", "gains"), lambda spec: isinstance(spec, ActiveLearningRun | WholeSetRun) and is_default(spec)
    ),
    "selection": lambda spec: isinstance(spec, ActiveLearningRun) and is_default(spec),
    **dict.fromkeys(("why_start", "why_start_bins"), of_start),
    **dict.fromkeys(("fair_baselines", "fair_gains"), of_baselines),
    **dict.fromkeys(("epochs_by_rate", "epochs_by_rate_gains", "rates"), of_surface),
    "where_it_holds": of_headline,
}


def at_noise(spec: Spec, *noises: float) -> bool:
    """Whether a run is one of the strategies under the default readings, and shown at one of these noise levels."""
    return isinstance(spec, ActiveLearningRun) and spec.noise in (None, *noises) and is_default(spec)


def _of_strategies(*names: str, noises: Sequence[float] = (0.2, 0.4, 0.6)) -> Callable[[Spec], bool]:
    """A test of runs: some strategies, at some noise levels."""
    return lambda spec: at_noise(spec, *noises) and spec.strategy in names


def _is_plain(spec: Spec) -> bool:
    """Whether a run is plain ASL on noisy labels."""
    return isinstance(spec, WholeSetRun) and spec.noise > 0 and is_default(spec)


# Claim -> the runs that decide it, all of them; and the claims that the ladder is about.
CLAIM_READS = {
    "ma1": lambda spec: _is_plain(spec) or _of_strategies("multi_al_safe")(spec),
    "ma2": _of_strategies("multi_al_safe", "multi_al", "random_safe", "random"),
    "ma3": _of_strategies("multi_al_safe", "multi_al", "random_safe", "random", noises=(0.2, 0.4)),
    "ma4": _of_strategies("random", "cbim"),
    **dict.fromkeys(("ma5", "ma6"), READS["table_1"]),
    "ma7": InitialRun,
    "ma8": _of_strategies("multi_al", "cbim"),
    "ma9": _of_strategies("multi_al_safe", "random"),
    "ma10": _of_strategies("multi_al_safe", "multi_al", noises=(0.6,)),
}
HEADLINE = ("ma1", "ma3", "ma4")


SAID = {"safe_below": "Safe images have D1 <"}  # a changed field of the protocol, in a reading's name
# Compared at other rates and lengths.
SURFACE = ("multi_al_safe", "multi_al", "random", "asl", "asl + relabelled")
PLACE = ["noise", "seed", DRAW]  # of what is known in draws of the test images
# Baselines beside plain ASL, by name, and what they change.
BASELINES: dict[str, dict[str, Any]] = {
    "asl + initial": {"beside": "initial"},
    "asl + relabelled": {"beside": "relabelled"},
    "asl with mixup": {"mixup": True},
}


@dataclass(frozen=True)
class Study:
    """Results of one profile; mAP in percent, always of the last model of a training.

    `active`: strategy, noise, start, safe_kept, reading, seed, iteration, labelled, map, map_without_person, and from
    iteration 1 what `of_choice` says. `whole`: baseline, noise, start, reading, seed, epoch, map,
    map_without_person, held_out (NaN where the clean images are trained on). Both have, of the last model, by how much
    draws of the test images move the two metrics: map_moved, map_without_person_moved. `initial`: seed, epoch, train,
    validation. `bins`: noise, measure, seed, bin, clean, wrong; `leaked_bins`: the same of a classifier that has seen
    clean labels of the training images before. `examples`: noise -> arrays of one image. `surface`: methods at other
    rates and lengths (`nlcore.papers.surface.joined`), at SURFACE_NOISE.
    """

    active: pd.DataFrame
    whole: pd.DataFrame
    initial: pd.DataFrame
    bins: pd.DataFrame
    examples: dict[float, dict[str, np.ndarray]] = field(default_factory=dict)
    leaked_bins: pd.DataFrame = field(default_factory=pd.DataFrame)
    surface: pd.DataFrame = field(default_factory=lambda: joined((), ()))
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
    def series(self) -> dict[str, str]:
        """Strategy -> what tables and figures call it: the paper's, then those of one's own."""
        return SERIES | own_labels(self.specs)

    @property
    def noises(self) -> list[float]:
        """Noise levels, fractions."""
        return sorted(self.active.noise.unique())

    def defaults(self) -> pd.DataFrame:
        """The active-learning runs under the default readings."""
        usual = (self.active.start == "imagenet") & ~self.active.safe_kept.astype(bool) & (self.active.reading == "")
        return self.active[usual]

    @property
    def readings(self) -> list[str]:
        """What was run with another protocol, in words."""
        return [reading for reading in self.active.reading.unique() if reading]

    def final(self, *, metric: str = "map", start: str = "imagenet") -> pd.DataFrame:
        """The last model of every active-learning run: rows (noise, seed), a column per strategy, and `asl`."""
        return self.in_draws(metric=metric, start=start).xs(0, level=DRAW)

    def in_draws(
        self, *, metric: str = "map", start: str = "imagenet", safe_kept: bool = False, reading: str = ""
    ) -> pd.DataFrame:
        """`final`, and what draws of the test images make of it: rows (noise, seed, draw) (`nlcore.report.draws`)."""
        last = self.active[(self.active.iteration == self.active.iteration.max()) & (self.active.start == start)]
        last = in_draws(last[(last.safe_kept == safe_kept) & (last.reading == reading)], metric, metric + MOVED)
        table = last.pivot_table(index=PLACE, columns="strategy", values=metric)
        return table.join(self.asl(metric=metric, start=start, reading=reading).rename("asl"), how="left")

    def under(self, reading: str) -> pd.DataFrame:
        """`in_draws` under another reading; what that does not touch, and so was not run anew, is as by default."""
        anew = self.in_draws(reading=reading).dropna(axis="columns", how="all")
        return self.in_draws().assign(**{name: anew[name] for name in anew})

    def asl(
        self, *, metric: str = "map", start: str = "imagenet", reading: str = "", baseline: str = "asl"
    ) -> pd.Series:
        """The last epoch of plain ASL, or of another baseline, by (noise, seed, draw); nothing where none ran."""
        if self.whole.empty:
            return pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[]] * len(PLACE), names=PLACE))
        rows = self.of_baseline(baseline, start=start, reading=reading)
        last = in_draws(rows[rows.epoch == rows.epoch.max()], metric, metric + MOVED)
        return last.set_index(PLACE)[metric]

    def asl_stopped(self, *, metric: str = "map") -> pd.Series:
        """Plain ASL at the epoch of its highest mAP on the clean initial images, as measured: by (noise, seed, 0)."""
        rows = self.of_baseline("asl")
        best = rows.loc[rows.groupby(["noise", "seed"]).held_out.idxmax()] if len(rows) else rows
        return best.assign(**{DRAW: 0}).set_index(PLACE)[metric]

    def of_baseline(self, baseline: str, *, start: str = "imagenet", reading: str = "") -> pd.DataFrame:
        """The epochs of plain ASL ("asl"), or of another baseline."""
        whole = self.whole
        return whole[(whole.start == start) & (whole.reading == reading) & (whole.baseline == baseline)]

    def baselines(self) -> pd.DataFrame:
        """What Multi-AL can be compared with: rows (noise, seed), a column per baseline that was run; noise only."""
        return self.baselines_in_draws().xs(0, level=DRAW)

    def baselines_in_draws(self) -> pd.DataFrame:
        """`baselines`, and what draws of the test images make of it: rows (noise, seed, draw)."""
        found = {baseline: self.asl(baseline=baseline) for baseline in self.whole.baseline.unique()}
        columns = {"asl": found.pop("asl"), "asl, stopped": self.asl_stopped(), **found}
        return pd.DataFrame(columns).loc[lambda table: table.index.get_level_values("noise") > 0]

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every noise level, and how many runs were not finished."""
        counts = self.active.groupby("noise").seed.nunique().rename("seeds").reset_index()
        own = [spec for spec in self.left_out if not isinstance(spec, Aside)]
        unfinished = [sum(getattr(spec, "noise", None) == noise for spec in own) for noise in counts.noise]
        return counts.assign(unfinished=unfinished)


def grid(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs of a profile's settings; `seeds` replaces its own. `resources` name images, weights and device.

    Raises:
        InputError: seeds are to be trained side by side whose Safe images differ in number.
    """
    source = make_source(settings["source"], resources, min_labels=MIN_LABELS)
    shared = {"source": source, "protocol": Protocol(**settings["protocol"])}
    seeds, stack = list(settings["seeds"] if seeds is None else seeds), settings["stack"]
    if shared["protocol"].safe_below is not None and stack > 1:
        raise InputError(f"stack {stack}: Safe has a bound, its images differ in number from seed to seed; expected 1")
    specs: list[Spec] = []
    for first in range(0, len(seeds), stack):
        shared["seeds"] = tuple(seeds[first : first + stack])
        specs.append(InitialRun(**shared))
        specs += [LikelihoodRun(**shared, noise=noise) for noise in TABLE_NOISES]
        specs += [WholeSetRun(**shared, noise=noise) for noise in (0.0, *settings["noises"])]
        for noise in settings["noises"]:
            specs += _active_runs(shared, noise, settings)
            specs += [WholeSetRun(**shared, noise=noise, **BASELINES[name]) for name in settings["baselines"]]
        specs += _other_readings(shared, settings)
        specs += _surface(shared, settings.get("surface", {}))
        if settings["why"]:
            specs += [LikelihoodRun(**shared, noise=noise, start="clean_coco") for noise in TABLE_NOISES]
    return list(dict.fromkeys(specs))


def _baseline(spec: WholeSetRun) -> str:
    """The name of a baseline."""
    own = {"beside": spec.beside, "mixup": spec.mixup}
    return next((name for name, change in BASELINES.items() if change.items() <= own.items()), "asl")


def _other_readings(shared: dict, settings: Mapping[str, Any]) -> Iterator[Spec]:
    """The runs that another protocol touches: Safe mode's where only that changes, else all, and plain ASL."""
    for change in settings["changes"]:
        words = ", ".join(f"{SAID.get(name, name.replace('_', ' '))} {value}" for name, value in change.items())
        fields = shared | {"protocol": shared["protocol"].model_copy(update=change | {"reading": words})}
        # With a bound every seed has its own number of Safe images, and its own pass.
        alone = [(seed,) for seed in shared["seeds"]] if "safe_below" in change else [shared["seeds"]]
        for noise in settings["noises"]:
            of_safe = change.keys() <= {"safe_step", "safe_below"}
            ways = [name for name, way in STRATEGIES.items() if way.safe or not of_safe]
            yield from (_run(fields | {"seeds": seeds}, noise, name) for seeds in alone for name in ways)
            if not of_safe:
                yield WholeSetRun(**fields, noise=noise)


def _surface(shared: dict, surface: Mapping[str, Any]) -> Iterator[Spec]:
    """What ma1 to ma3 compare at one level of noise, at other rates and lengths, for so many of the seeds."""
    seeds = tuple(seed for seed in shared["seeds"] if seed in surface.get("seeds", ()))

    def at_point(protocol: Protocol, judged: Judged) -> Iterator[Spec]:
        fields = shared | {"seeds": seeds, "protocol": protocol}
        for name in SURFACE:
            baseline = name not in STRATEGIES
            yield (WholeSetRun(**fields, noise=SURFACE_NOISE, **BASELINES.get(name, {})) if baseline
                   else _run(fields, SURFACE_NOISE, name))  # fmt: skip

    points = surface_points(shared["protocol"], surface["protocols"]) if seeds else []
    return surface_runs(points, at_point)


def _surface_name(spec: ActiveLearningRun | WholeSetRun) -> str:
    return spec.strategy if isinstance(spec, ActiveLearningRun) else _baseline(spec)


def _surface_rows(spec: ActiveLearningRun | WholeSetRun, result: Result) -> Iterator[dict]:
    by_epoch = 100 * result.arrays["map"]
    for member, seed in enumerate(spec.seeds):
        curve = by_epoch[member, -1] if isinstance(spec, ActiveLearningRun) else by_epoch[member]
        more = {"map": curve[-1], "map" + MOVED: 100 * result.arrays["map" + MOVED][member]}
        if isinstance(spec, WholeSetRun):
            more["trained"] = f"{spec.protocol.whole_epochs} of {spec.protocol.whole_schedule_epochs}"
        yield surface_row(spec, _surface_name(spec), seed, curve, **more)


def _active_runs(shared: dict, noise: float, settings: Mapping[str, Any]) -> Iterator[Spec]:
    """The runs at one level, with the profile's own protocol."""
    yield from (_run(shared, noise, strategy) for strategy in STRATEGIES)
    if settings["safe_kept"]:
        yield _run(shared, noise, "multi_al_safe", safe_kept=True)
    yield from (_run(shared, noise, strategy, start="clean_coco") for strategy in settings["why"])
    if settings["why"]:
        yield WholeSetRun(**shared, noise=noise, start="clean_coco")


def _run(shared: Mapping[str, Any], noise: float, strategy: str, **options: Any) -> ActiveLearningRun:
    """A strategy at one level; one that never sees the noise has the same run at every level."""
    level = noise if STRATEGIES[strategy].sees_given_labels else None
    return ActiveLearningRun(**shared, noise=level, strategy=strategy, **options)


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    if not finished:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one")
    bins = {spec: result for spec, result in finished.items() if isinstance(spec, LikelihoodRun)}
    leaked = {spec: bins.pop(spec) for spec in list(bins) if not is_default(spec)}
    frames = [pd.DataFrame(_epoch_rows(finished, kind)) for kind in (WholeSetRun, InitialRun)]
    frames.append(pd.DataFrame(_bin_rows(bins)))
    examples = {
        spec.noise: {name: array for name, array in result.arrays.items() if name.startswith("example_")}
        for spec, result in reversed(bins.items())
    }
    found = {"examples": examples, "leaked_bins": pd.DataFrame(_bin_rows(leaked))}
    found["surface"] = surface_frame(finished, of_surface, _surface_rows)
    return Study(_active_frame(finished, specs), *frames, **found, specs=tuple(finished), left_out=left_out)


def _active_frame(finished: Mapping[Spec, Result], specs: Iterable[Spec]) -> pd.DataFrame:
    """`Study.active`: a run that is the same at every noise level stands at each of them."""
    levels = sorted({spec.noise for spec in specs if isinstance(spec, ActiveLearningRun | WholeSetRun) and spec.noise})
    return pd.DataFrame(
        row
        for noise in levels
        for spec in sorted(_at(noise, finished), key=_place)
        for row in _active_rows(spec, finished[spec], noise)
    )


def _at(noise: float, finished: Mapping[Spec, Result]) -> Iterator[ActiveLearningRun]:
    return (spec for spec in finished if isinstance(spec, ActiveLearningRun) and spec.noise in (None, noise))


def _place(spec: ActiveLearningRun) -> tuple[bool, bool, str, int]:
    """Of a run in tables: the defaults first, strategies in their order."""
    rank = [*STRATEGIES, spec.strategy].index(spec.strategy)
    return spec.start != "imagenet", spec.safe_kept, spec.protocol.reading, rank


def _active_rows(spec: ActiveLearningRun, result: Result, noise: float) -> Iterator[dict]:
    cell = {"strategy": spec.strategy, "noise": noise, "start": spec.start, "safe_kept": spec.safe_kept}
    cell["reading"] = spec.protocol.reading
    shares = of_choice(spec, result, noise)
    for member, seed in enumerate(spec.seeds):
        for iteration in range(result.arrays["map"].shape[1]):
            last = {m: 100 * result.arrays[m][member, iteration, -1] for m in ("map", "map_without_person")}
            labelled = spec.protocol.initial + iteration * spec.protocol.batch
            row = {name: values[member, iteration - 1] if iteration else np.nan for name, values in shares.items()}
            moved = _moved(result, member, last=iteration == result.arrays["map"].shape[1] - 1)
            yield {**cell, "seed": seed, "iteration": iteration, "labelled": labelled, **last, **moved, **row}


def _moved(result: Result, member: int, *, last: bool) -> dict[str, np.ndarray | None]:
    """By how much draws of the test images move the metrics of the last model, in points; None of any other."""
    arrays = {name: array for name, array in result.arrays.items() if name.endswith(MOVED)}
    return {name: 100 * array[member] if last else None for name, array in arrays.items()}


def of_choice(spec: ActiveLearningRun, result: Result, noise: float) -> dict[str, np.ndarray]:
    """What was chosen, (M, iterations) each, of the relabelled images in every iteration.

    `chosen_wrong`: the share that had a wrong label at this noise. `chosen_labels`: how many labels one has, truly.
    `chosen_length`: how long its features are, from the mean of all training images, as a share of that of the pool
    (NaN where a network sees pixels). `safe_clean`: of the Safe images, the share without a wrong label (NaN: no Safe).
    """
    images, chosen = spec.source.load(), result.arrays["chosen"]
    pool = divide(images, spec.protocol, spec.seeds).pool
    wrong = (noisy_labels(images, pool, noise, spec.seeds) != images.targets).any(axis=2)  # (M, N)
    members = np.arange(len(wrong))[:, None]
    found = {"chosen_wrong": np.stack([wrong[members, rows].mean(axis=1) for rows in chosen.swapaxes(0, 1)], axis=1),
             "chosen_labels": images.targets.sum(axis=1)[chosen].mean(axis=2),
             "chosen_length": _lengths(spec, chosen, pool)}  # fmt: skip
    if "safe" not in result.arrays:
        return found | {"safe_clean": np.full(chosen.shape[:2], np.nan)}
    safe = np.split(result.arrays["safe"], np.cumsum(result.arrays["safe_sizes"])[:-1], axis=1)
    clean = [(~wrong)[members, rows].mean(axis=1) if rows.size else np.full(len(rows), np.nan) for rows in safe]
    return found | {"safe_clean": np.stack(clean, axis=1)}


def _lengths(spec: ActiveLearningRun, chosen: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """(M, iterations), as `of_choice` has them; chosen (M, iterations, n) and pool (M, P) are rows of the images."""
    if spec.source.on_images:
        return np.full(chosen.shape[:2], np.nan)
    images = spec.source.load()
    lengths = np.linalg.norm(images.inputs - images.inputs[images.train].mean(axis=0), axis=1)
    return lengths[chosen].mean(axis=2) / lengths[pool].mean(axis=1, keepdims=True)


def _epoch_rows(finished: Mapping[Spec, Result], kind: type) -> Iterator[dict]:
    for spec, result in finished.items():
        if not isinstance(spec, kind):
            continue
        cell: dict[str, Any] = {}
        if isinstance(spec, WholeSetRun):
            cell = {"baseline": _baseline(spec), "reading": spec.protocol.reading}
            cell |= {"noise": spec.noise, "start": spec.start}
        metrics = {name: 100 * array for name, array in result.arrays.items() if not name.endswith(MOVED)}
        epochs = next(iter(metrics.values())).shape[1]
        for member, seed in enumerate(spec.seeds):
            for epoch in range(epochs):
                percents = {name: values[member, epoch] for name, values in metrics.items()}
                moved = _moved(result, member, last=epoch == epochs - 1)
                yield {**cell, "seed": seed, "epoch": epoch + 1, **percents, **moved}


def _bin_rows(finished: Mapping[LikelihoodRun, Result]) -> Iterator[dict]:
    for (spec, result), measure in itertools.product(finished.items(), ("d1", "d2")):
        for member, seed in enumerate(spec.seeds):
            for place in range(BINS):
                counts = {kind: int(result.arrays[f"{measure}_{kind}"][member, place]) for kind in ("clean", "wrong")}
                yield {"noise": spec.noise, "measure": measure, "seed": seed, "bin": place, **counts}
