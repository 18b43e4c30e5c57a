"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from nlcore.data.source import COCO_FOLDERS, Images, Source, coco_parts
from nlcore.errors import InputError
from nlcore.metrics import increase_per_label, value_at_cost
from nlcore.papers.aside import Aside
from nlcore.papers.missing_label_al.measures import BLIND, MEASURES, Choice, canonical, stands_for
from nlcore.papers.missing_label_al.protocol import (
    CLASSES,
    DEFAULT_SHARE,
    MIN_LABELS,
    PAPER,
    SPLIT_NOISE,
    UNKNOWN_AS,
    Protocol,
)
from nlcore.papers.missing_label_al.runs import MeasureRun, WholeSetRun, divide, partial_labels
from nlcore.papers.missing_label_al.words import HEURISTICS, SERIES
from nlcore.papers.own import own_labels
from nlcore.papers.profiles import Resources, make_source
from nlcore.papers.surface import Judged, SurfaceRun, joined, surface_frame, surface_points, surface_row, surface_runs
from nlcore.report.draws import MOVED, by_seed
from nlcore.runs import Result, Spec, Store
from nlcore.scorers.missing_ratio import relabelling_cost

# Baselines beside plain ASL, by name: those that see the clean images as the method does, and those with another loss.
BASELINES: dict[str, dict[str, Any]] = {
    **{f"asl {name} + initial": {"unknown_as": name, "beside": "initial"} for name in UNKNOWN_AS},
    **{loss: {"unknown_as": "negative", "loss": loss} for loss in ("ll-r", "ll-ct")},
}
# Compared at other rates and lengths, at SPLIT_NOISE.
SURFACE = ("hard_entropy", *(f"asl {name}" for name in UNKNOWN_AS), "asl masked + initial")
RATIOS = ("medium", "hard", "hard_medium")  # that Fig. 7 splits


def of_default(spec: Spec, *noises: float) -> bool:
    """Whether a run is one of the eight measures under the default readings, and shown at one of these noise levels."""
    return isinstance(spec, MeasureRun) and spec.choice.is_default and spec.noise in (None, *noises)


def of_split(spec: Spec) -> bool:
    """Whether a run stands behind the splits of Hard+Medium."""
    return isinstance(spec, MeasureRun) and spec.noise == SPLIT_NOISE and spec.measure in RATIOS


def is_plain(spec: Spec) -> bool:
    """Whether a run is plain ASL on the partly labelled pool and nothing else: the paper's baseline."""
    return isinstance(spec, WholeSetRun) and (spec.beside, spec.loss) == ("nothing", "asl")


def of_surface(spec: Spec) -> bool:
    """Whether a run stands behind mAP by epochs and learning rate."""
    if isinstance(spec, SurfaceRun):
        return True
    if isinstance(spec, WholeSetRun):
        return spec.noise == SPLIT_NOISE and _whole_name(spec) in SURFACE
    return of_default(spec, SPLIT_NOISE) and spec.measure in SURFACE


def of_gain(spec: Spec) -> bool:
    """Whether a run is plain ASL, or the paper's own measure, Hard+entropy, under the default readings."""
    return is_plain(spec) or (of_default(spec, spec.noise) and spec.measure == "hard_entropy")


def of_headline(spec: Spec) -> bool:
    """Whether a run stands behind the claims of the ladder: Hard+entropy, Random and plain ASL."""
    return of_gain(spec) or (of_default(spec, spec.noise) and spec.measure == "random")


class MoreSeeds(Aside):
    """A measure that looks at no image, with more seeds than the grid has: five cannot tell anything from chance."""


# Artefact -> the runs behind it: kinds of runs, or a test of a run. Those not named rest on all.
READS = {
    **dict.fromkeys(("fig_1", "exact_counts"), ()),
    "fig_2": is_plain,
    **{f"fig_{n}": lambda spec, noise=noise: of_default(spec, noise) for n, noise in ((3, 0.2), (4, 0.4), (5, 0.6))},
    "fig_6": lambda spec: of_gain(spec) or of_default(spec, SPLIT_NOISE),
    "fig_7": of_split,
    "why_asl": of_gain,
    **dict.fromkeys(
        ("fair_baselines", "fair_gains"),
        lambda spec: (isinstance(spec, WholeSetRun) and spec.noise > 0) or of_gain(spec),
    ),
    "why_sign_flips": lambda spec: isinstance(spec, MoreSeeds)
    or (of_default(spec, spec.noise) and spec.measure in BLIND),
    **dict.fromkeys(("heuristics", "costs", "chosen"), lambda spec: of_default(spec, spec.noise)),
    "combination": MeasureRun,
    **dict.fromkeys(("epochs_by_rate", "epochs_by_rate_gains", "rates"), of_surface),
    "where_it_holds": of_headline,
}


NOISES = (0.2, 0.4, 0.6)


def _of_measures(*names: str, noises: Sequence[float] = NOISES) -> Callable[[Spec], bool]:
    """A test of runs: some measures under the default readings, at some noise levels."""
    return lambda spec: of_default(spec, *noises) and spec.measure in names


def _of_splits(spec: Spec) -> bool:
    """Whether a run is a split of Hard+Medium, or Random's, whose cost the heuristics are taken at."""
    return of_split(spec) or _of_measures(*RATIOS, "random", noises=(SPLIT_NOISE,))(spec)


PAPERS_OWN = tuple(name for name in MEASURES if name != "entropy")  # entropy alone is a reading
# Claim -> the runs that decide it, all of them; and the claims that the ladder is about.
CLAIM_READS = {
    "ml1": lambda spec: of_gain(spec) and spec.noise != 0,
    "ml2": _of_measures("hard_entropy", "random", noises=(0.6,)),
    "ml3": _of_measures(*PAPERS_OWN, noises=(0.2, 0.4)),
    "ml4": _of_measures(*MEASURES, noises=(0.6,)),
    "ml5": _of_measures(*PAPERS_OWN, noises=(0.2,)),
    "ml6": _of_measures(*MEASURES),
    "ml7": _of_splits,
    "ml8": lambda spec: is_plain(spec) and spec.noise > 0,
    "ml9": _of_measures("random", "medium", "hard", "hard_medium"),
    "ml10": _of_splits,
    "ml11": _of_measures(*PAPERS_OWN, noises=(0.2, 0.6)),
    "ml12": _of_measures("hard_entropy", "random"),
}
HEADLINE = ("ml1", "ml2")


@dataclass(frozen=True)
class Study:
    """Results of one profile; mAP in percent.

    `active`: measure, noise, hard_share, combination, seed, iteration, cost (cells relabelled so far), map (mean over
    the training's epochs, as the paper reports it), map_last (last epoch), map_without_person (mean). `whole`: noise,
    unknown_as, seed, map (last epoch) of plain ASL. `others`: baseline, noise, seed, map of those that see more or have
    another loss. All have map_moved, by how much draws of the test images move mAP after a training's last epoch.
    `chosen`: (measure, noise, seed) -> the images that a default measure has completed. `surface`: methods at other
    rates and lengths (`nlcore.papers.surface.joined`), at SPLIT_NOISE. `blind`: the last iteration of the default
    measures that look at no image, as `active`, with more seeds.
    """

    active: pd.DataFrame
    whole: pd.DataFrame
    others: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["baseline", "noise", "seed", "map"]))
    chosen: Mapping[tuple[str, float, int], np.ndarray] = field(default_factory=dict)
    surface: pd.DataFrame = field(default_factory=lambda: joined((), ()))
    blind: pd.DataFrame = field(default_factory=pd.DataFrame)
    specs: tuple[Spec, ...] = ()
    left_out: tuple[Spec, ...] = ()
    entropy_alone: bool = False  # a reading: whether entropy without a ratio is one of the measures compared

    @property
    def source(self) -> Source:
        """What was trained on."""
        return self.specs[0].source

    @property
    def images(self) -> Images:
        """The images and labels."""
        return self.source.load()

    @property
    def series(self) -> dict[str, str]:
        """Measure -> what tables and figures call it: the paper's, then those of one's own."""
        return SERIES | own_labels(self.specs)

    @property
    def noises(self) -> list[float]:
        """Noise levels, fractions."""
        levels = {*self.active.get("noise", ()), *self.whole.get("noise", ())}
        return sorted(levels - {0.0})

    @property
    def pool_size(self) -> int:
        """About how many images a pool holds."""
        return self.specs[0].pool_size()

    def of_the_paper(self) -> Study:
        """The same without measures of one's own."""
        if self.active.empty:
            return self
        return replace(self, active=self.active[self.active.measure.isin(list(MEASURES))])

    def defaults(self) -> pd.DataFrame:
        """The eight measures, and those of one's own, under the default readings."""
        return self.active[(self.active.hard_share == DEFAULT_SHARE) & (self.active.combination == "ties")]

    def final(self) -> pd.DataFrame:
        """The last iteration of `defaults`."""
        runs = self.defaults()
        return runs[runs.iteration == runs.iteration.max()]

    def fixed_cost(self, noise: float) -> dict[int, float]:
        """Seed -> the cost at which measures are compared: Random's in the end, or the lowest where some stay below.

        The paper's measures alone decide it.
        """
        last = self.final()
        compared = last[(last.noise == noise) & last.measure.isin(list(MEASURES))]
        table = compared.pivot_table(index="seed", columns="measure", values="cost")
        return (table.min(axis=1) if noise > 0.5 else table["random"]).to_dict()

    def heuristics(self, runs: pd.DataFrame, noise: float) -> pd.DataFrame:
        """The three heuristics of every run in `runs` (a part of `active`), and by how much draws of the test images
        move each: the key columns, and HEURISTICS."""
        fixed, rows, keys = self.fixed_cost(noise), [], ["measure", "hard_share", "combination", "seed"]
        for key, own in runs[runs.noise == noise].groupby(keys):
            own = own.sort_values("iteration")
            costs, cell = own.cost.to_numpy(), dict(zip(keys, key, strict=True))
            found = _heuristics(own["map"].to_numpy(), costs, fixed[cell["seed"]])
            if "map" + MOVED in own:
                moved = _heuristics(np.stack(own["map" + MOVED].to_list()), costs, fixed[cell["seed"]])
                found |= {name + MOVED: values for name, values in moved.items()}
            rows.append(cell | found)
        return pd.DataFrame(rows)

    def splits(self) -> pd.DataFrame:
        """Fig. 7: the heuristics of Hard+Medium by split, Medium being 0/100 and Hard 100/0."""
        ratio = self.active[(self.active.combination == "ties") & self.active.measure.isin(RATIOS)]
        found = self.heuristics(ratio, SPLIT_NOISE)
        share = found.hard_share.where(found.measure == "hard_medium", (found.measure == "hard").astype(float))
        return found.assign(series=[f"{100 * s:.0f}/{100 * (1 - s):.0f}" for s in share])

    def gain_over_asl(self, noise: float, unknown_as: str) -> pd.Series:
        """Points by which Hard+entropy ends above plain ASL that makes this of -1, by seed and draw of the test images
        (`nlcore.report.draws`)."""
        return self._hard_entropy(noise) - self._asl(noise, unknown_as)

    def percent_over_asl(self, noise: float, unknown_as: str) -> pd.Series:
        """`gain_over_asl` in percent of what plain ASL reaches."""
        return 100 * (self._hard_entropy(noise) / self._asl(noise, unknown_as) - 1)

    def gain_over(self, baseline: str, noise: float) -> pd.Series:
        """Points by which Hard+entropy ends above one of `others`, by seed and draw."""
        others = self.others[(self.others.noise == noise) & (self.others.baseline == baseline)]
        return self._hard_entropy(noise) - by_seed(others, "map")

    def _hard_entropy(self, noise: float) -> pd.Series:
        last = self.final()
        return by_seed(last[(last.noise == noise) & (last.measure == "hard_entropy")], "map")

    def _asl(self, noise: float, unknown_as: str) -> pd.Series:
        asl = self.whole[(self.whole.noise == noise) & (self.whole.unknown_as == unknown_as)]
        return by_seed(asl, "map")

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every noise level, and how many runs were not finished."""
        counts = self.active.groupby("noise").seed.nunique().rename("seeds").reset_index()
        own = [spec for spec in self.left_out if not isinstance(spec, Aside)]
        unfinished = [sum(spec.noise in (None, noise) for spec in own) for noise in counts.noise]
        return counts.assign(unfinished=unfinished)


def _heuristics(values: np.ndarray, costs: np.ndarray, fixed: float) -> dict[str, np.ndarray]:
    """Each of HEURISTICS, of mAP (I,) at the costs (I,) of its iterations, or of what moves it, (I, draws).

    All three are linear in it.
    """
    bought = np.array([value_at_cost(costs, one, fixed) for one in np.eye(len(costs))])
    found = (values[-1], bought @ values, increase_per_label(values[0], values[-1], costs[-1]))
    return dict(zip(HEURISTICS, found, strict=True))


def grid(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs of a profile's settings; `seeds` replaces its own. `resources` name images, weights and device."""
    source = make_source(settings["source"], resources, min_labels=MIN_LABELS)
    shared = {"source": source, "protocol": protocol_for(source, settings["protocol"])}
    seeds, stack = list(settings["seeds"] if seeds is None else seeds), settings["stack"]
    specs: list[Spec] = []
    for first in range(0, len(seeds), stack):
        shared["seeds"] = tuple(seeds[first : first + stack])
        specs.append(WholeSetRun(**shared, noise=0.0, unknown_as="masked"))
        for noise in settings["noises"]:
            specs += [measure_run(shared, Choice(measure, noise)) for measure in MEASURES]
            specs += [WholeSetRun(**shared, noise=noise, unknown_as=unknown_as) for unknown_as in UNKNOWN_AS]
            specs += [WholeSetRun(**shared, noise=noise, **BASELINES[name]) for name in settings["baselines"]]
        others = [Choice("hard_medium", SPLIT_NOISE, hard_share=share) for share in settings["splits"]]
        others += [Choice("hard_entropy", noise, combination="product") for noise in settings["products"]]
        specs += [measure_run(shared, choice) for choice in others]
        specs += _surface(shared, settings.get("surface", {}))
    return specs + (list(_more_seeds(shared, settings)) if seeds == settings["seeds"] else [])


def _more_seeds(shared: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[MoreSeeds]:
    """For the sign-flip test, where a profile's own seeds are run."""
    if seeds := tuple(settings.get("more_seeds", ())):
        choices = [Choice(measure, noise) for noise in settings["noises"] for measure in BLIND]
        runs = dict.fromkeys(measure_run({**shared, "seeds": seeds}, choice) for choice in choices)
        yield from (MoreSeeds(run=run) for run in runs)


def _surface(shared: Mapping[str, Any], surface: Mapping[str, Any]) -> Iterator[Spec]:
    """What ml1 compares at one level, at other rates and lengths, for so many of the seeds."""
    seeds = tuple(seed for seed in shared["seeds"] if seed in surface.get("seeds", ()))

    def at_point(protocol: Protocol, judged: Judged) -> Iterator[Spec]:
        if judged == "held out":  # as many clean images as ever: a share of all, and the test images are gone
            clean = protocol.clean_share * sum(shared["source"].sizes()) / shared["source"].sizes()[0]
            protocol = protocol.model_copy(update={"clean_share": clean})
        fields = shared | {"seeds": seeds, "protocol": protocol}
        for name in SURFACE:
            if name in MEASURES:
                yield measure_run(fields, Choice(name, SPLIT_NOISE))
            else:
                changed = BASELINES.get(name) or {"unknown_as": name.removeprefix("asl ")}
                yield WholeSetRun(**fields, noise=SPLIT_NOISE, **changed)

    points = surface_points(shared["protocol"], surface["protocols"]) if seeds else []
    return surface_runs(points, at_point)


def _whole_name(spec: WholeSetRun) -> str:
    """What a training on the whole pool is called among the baselines."""
    own = {"unknown_as": spec.unknown_as, "beside": spec.beside, "loss": spec.loss}
    others = (name for name, change in BASELINES.items() if change.items() <= own.items())
    return f"asl {spec.unknown_as}" if is_plain(spec) else next(others)


def _surface_rows(spec: MeasureRun | WholeSetRun, result: Result) -> Iterator[dict]:
    """A measure's mAP is the mean over the last training's epochs, as elsewhere."""
    by_epoch, moved = 100 * result.arrays["map"], 100 * result.arrays["map" + MOVED]
    for member, seed in enumerate(spec.seeds):
        if isinstance(spec, MeasureRun):
            curve = by_epoch[member, -1]
            more = {"map": curve.mean(), "map" + MOVED: moved[member, -1]}
            yield surface_row(spec, spec.measure, seed, curve, **more)
        else:
            trained = f"{spec.protocol.whole_epochs} of {spec.protocol.whole_schedule_epochs}"
            more = {"map": by_epoch[member, -1], "map" + MOVED: moved[member], "trained": trained}
            yield surface_row(spec, _whole_name(spec), seed, by_epoch[member], **more)


def measure_run(shared: Mapping[str, Any], choice: Choice) -> MeasureRun:
    """The run that stands for a choice; `shared` are the fields that all runs have."""
    return MeasureRun(**shared, **asdict(canonical(choice, alike_up_to=shared["protocol"].alike_up_to)))


def protocol_for(source: Source, settings: Mapping[str, Any]) -> Protocol:
    """A profile's protocol; for a folder with fewer classes than COCO's, one that takes no measures for alike.

    The fewer classes, the more often an image lacks more than half of its labels.
    """
    protocol = Protocol(**settings)
    few = source.data in COCO_FOLDERS and len(coco_parts(source)[0].class_names) < CLASSES
    return protocol.model_copy(update={"alike_up_to": 0.0}) if few else protocol


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    if not finished:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one")
    levels = sorted({spec.noise for spec in specs if spec.noise})
    active = [row for spec, choice in _shown(finished, levels) for row in _active_rows(spec, finished[spec], choice)]
    whole = [row for spec, result in finished.items() if is_plain(spec) for row in _rows(spec, result)]
    others = [row for spec, result in finished.items() if isinstance(spec, WholeSetRun) and not is_plain(spec)
              for row in _baseline_rows(spec, result)]  # fmt: skip
    chosen = {
        (choice.measure, choice.noise, seed): finished[spec].arrays["chosen"][member].ravel()
        for spec, choice in _shown(finished, levels)
        if choice.is_default
        for member, seed in enumerate(spec.seeds)
    }
    blind = pd.DataFrame(_blind_rows(finished, levels))
    found = {"chosen": chosen, "surface": surface_frame(finished, of_surface, _surface_rows), "blind": blind}
    found |= {"others": pd.DataFrame(others)} if others else {}
    return Study(pd.DataFrame(active), pd.DataFrame(whole), **found, specs=tuple(finished), left_out=left_out)


def _blind_rows(finished: Mapping[Spec, Result], levels: Sequence[float]) -> Iterator[dict]:
    """`Study.blind`: of the grid's seeds, and of those that run for it alone."""
    all_seeds = {spec.run if isinstance(spec, MoreSeeds) else spec: result for spec, result in finished.items()}
    for spec, choice in _shown(all_seeds, levels):
        if choice.is_default and choice.measure in BLIND:
            last = spec.protocol.budget // spec.protocol.batch
            yield from (row for row in _active_rows(spec, all_seeds[spec], choice) if row["iteration"] == last)


def _shown(finished: Mapping[Spec, Result], levels: Sequence[float]) -> list[tuple[MeasureRun, Choice]]:
    """Every run at every choice that it stands for, in the grid's order: by seeds, the eight measures level by level,
    then the splits, then the other combination."""
    stacks = list(dict.fromkeys(spec.seeds for spec in finished))
    shown = [
        (spec, choice)
        for spec in finished
        if isinstance(spec, MeasureRun)
        for choice in stands_for(spec.choice, levels, alike_up_to=spec.protocol.alike_up_to)
    ]

    def place(item: tuple[MeasureRun, Choice]) -> tuple:
        spec, choice = item
        kind = (choice.combination != "ties", choice.hard_share != DEFAULT_SHARE)
        rank = [*MEASURES, choice.measure].index(choice.measure)
        return stacks.index(spec.seeds), *kind, choice.noise, rank, choice.hard_share

    return sorted(shown, key=place)


def _active_rows(spec: MeasureRun, result: Result, choice: Choice) -> Iterator[dict]:
    paid = costs(spec, result.arrays["chosen"], choice.noise)
    scores, others = (100 * result.arrays[name] for name in ("map", "map_without_person"))
    moved = {name: 100 * array for name, array in result.arrays.items() if name.endswith(MOVED)}
    for member, seed in enumerate(spec.seeds):
        for iteration in range(scores.shape[1]):
            own = scores[member, iteration]
            values = {"map": own.mean(), "map_last": own[-1], "map_without_person": others[member, iteration].mean()}
            values |= {name: array[member, iteration] for name, array in moved.items()}
            yield {**asdict(choice), "seed": seed, "iteration": iteration, "cost": paid[member, iteration], **values}


def costs(spec: MeasureRun, chosen: np.ndarray, noise: float) -> np.ndarray:
    """(M, trainings): how many cells the expert was paid for so far, having completed `chosen` (M, iterations, batch).

    It follows from the images and from what was hidden at `noise`; no run needs to keep it.
    """
    images = spec.source.load()
    given = partial_labels(images, divide(images, spec.protocol, spec.seeds).pool, noise, spec.seeds)
    each = relabelling_cost(given)[np.arange(len(chosen))[:, None, None], chosen]  # (M, iterations, batch)
    return np.pad(each.sum(axis=2).cumsum(axis=1), ((0, 0), (1, 0)))


def _baseline_rows(spec: WholeSetRun, result: Result) -> Iterator[dict]:
    for seed, last in zip(spec.seeds, _last(result), strict=True):
        yield {"baseline": _whole_name(spec), "noise": spec.noise, "seed": seed, **last}


def _rows(spec: WholeSetRun, result: Result) -> Iterator[dict]:
    for seed, last in zip(spec.seeds, _last(result), strict=True):
        for unknown_as in UNKNOWN_AS if spec.noise == 0 else (spec.unknown_as,):  # without noise they are one
            yield {"noise": spec.noise, "unknown_as": unknown_as, "seed": seed, **last}


def _last(result: Result) -> list[dict[str, Any]]:
    """mAP of every member's last model, and by how much draws of the test images move it."""
    pairs = zip(result.arrays["map"][:, -1], result.arrays["map" + MOVED], strict=True)
    return [{"map": 100 * value, "map" + MOVED: 100 * moved} for value, moved in pairs]
