"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.papers.galc_slr.examples import load_examples
from nlcore.papers.galc_slr.methods import canonical
from nlcore.papers.galc_slr.own import BESIDE, OwnLossClassifier
from nlcore.papers.galc_slr.protocol import DEFAULTS, METHODS, PAPER, T_ESTIMATOR, VARIANTS, WITHOUT_GOLD, Protocol
from nlcore.papers.galc_slr.runs import (
    GoldClassifier,
    MatrixEstimates,
    SigmoidEffect,
    TransitionEstimates,
    sizes_of_several,
)
from nlcore.papers.own import own_labels
from nlcore.papers.profiles import Resources, make_source
from nlcore.papers.surface import Judged, SurfaceRun, joined, surface_frame, surface_row, surface_runs
from nlcore.report.draws import MOVED, by_seed
from nlcore.runs import Result, Spec, Store


def training_images(spec: Spec) -> int:
    """How many images a run may train on: those with two labels or more (4.1)."""
    return sizes_of_several(spec.source)[0]


def in_ablation(spec: Spec) -> bool:
    """Whether a classifier stands behind what is shown at one noise level."""
    return (_is_classifier(spec) or _is_own(spec)) and spec.noise in (None, spec.protocol.ablation_noise)


def _is_classifier(spec: Spec) -> bool:
    """Whether a run is a classifier with the profile's own protocol."""
    return isinstance(spec, GoldClassifier) and not spec.protocol.reading


def _is_own(spec: Spec) -> bool:
    """Whether a run is a classifier with a loss of one's own."""
    return isinstance(spec, OwnLossClassifier)


def in_main_grid(spec: Spec) -> bool:
    """Whether a classifier stands behind Table 1: one of its methods, with its gold images and default readings."""
    if _is_own(spec):
        return True
    table = _is_classifier(spec) and spec.method in METHODS and spec.gold == spec.protocol.gold
    return table and _reading(spec) == DEFAULTS


def beside_elsewhere(spec: Spec) -> bool:
    """Whether a classifier stands beside another group's numbers: of Table 1, and what sees no gold label."""
    return in_main_grid(spec) or (_is_classifier(spec) and spec.method in WITHOUT_GOLD)


def at_ablation_noise(spec: Spec) -> bool:
    """Whether matrices stand behind Figure 4 and the table of their distances."""
    return isinstance(spec, MatrixEstimates) and spec.noise == spec.protocol.ablation_noise


def of_surface(spec: Spec) -> bool:
    """Whether a classifier stands behind mAP by epochs and learning rate."""
    if isinstance(spec, SurfaceRun):
        return True
    if _is_own(spec) or not (in_ablation(spec) or (isinstance(spec, GoldClassifier) and spec.protocol.reading)):
        return False
    return spec.method in SURFACE and spec.gold == spec.protocol.gold and _reading(spec) == DEFAULTS


def of_headline(spec: Spec) -> bool:
    """Whether a classifier stands behind the claims of the ladder: GALC-SLR and what it is compared with."""
    compared = ("asl", "galc_slr", "true matrix", "asl + clean gold")
    return _is_classifier(spec) and in_main_grid(spec) and spec.method in compared


SURFACE = ("asl", "asl + clean gold", "galc_slr", "galc_slr, second sigmoid")  # compared by epochs and learning rate
# Our methods -> the paper's that each may stand for.
STANDS_FOR = {
    "asl": "asl",
    "asl + clean gold": "asl",
    **dict.fromkeys((*VARIANTS, "galc_slr as written, clipped"), "galc_slr"),
    **dict.fromkeys((f"{variant}, second sigmoid" for variant in VARIANTS), "galc_slr"),
}
# What scripts/check_simulated.py measured: no run of a profile stands behind it.
CHECKS = ("simulation_predictions", "simulation_kinds", "simulation_forms")
# Artefact -> the runs behind it: kinds of runs, or a test of a run. Those not named rest on all.
READS = {
    **dict.fromkeys(("fig_1", "fig_3", "exact_counts", *CHECKS), ()),
    **dict.fromkeys(("table_1", "fig_5", "slopes", "why_clean_gold"), in_main_grid),
    "elsewhere": beside_elsewhere,
    "transition_rates": TransitionEstimates,
    "fig_2": lambda spec: _is_classifier(spec) and spec.method == "asl",
    **dict.fromkeys(("fig_4", "matrix_distances", "asl_calibration"), at_ablation_noise),
    **dict.fromkeys(("epochs_by_rate", "epochs_by_rate_gains", "rates"), of_surface),
    **dict.fromkeys(("fig_6", "memorisation", "why_readings"), in_ablation),
    "why_sigmoid": SigmoidEffect,
    "where_it_holds": of_headline,
}


def _of_table(*methods: str, ablation: bool = False) -> Callable[[Spec], bool]:
    """A test of runs: some methods of Table 1, at every noise level or at the ablation's."""
    at = in_ablation if ablation else _is_classifier
    return lambda spec: in_main_grid(spec) and at(spec) and _is_by(spec, *methods)


def _is_by(spec: Spec, *methods: str) -> bool:
    """Whether a classifier is one of these methods of the paper's, and none of one's own."""
    return not _is_own(spec) and spec.method in methods


def _claim_reads(variant: str) -> dict[str, Callable[[Spec], bool]]:
    """Claim -> the runs that decide it for one variant of the algorithm, all of them."""
    asl = _of_table("asl", variant)
    baselines = _of_table(variant, "asl + clean gold", "gold only")
    uncapped = lambda spec: _reading(spec) == DEFAULTS
    as_usual = lambda spec: _reading(spec) == DEFAULTS | {"cap": spec.cap} and spec.gold == spec.protocol.gold
    return {
        "gs1": asl,
        "gs2": lambda spec: asl(spec) and spec.noise == 0,
        "gs3": asl,
        "gs4": lambda spec: in_ablation(spec) and _is_by(spec, "true matrix", variant) and uncapped(spec),
        "gs5": lambda spec: in_ablation(spec) and _is_by(spec, variant) and as_usual(spec),
        "gs6": lambda spec: at_ablation_noise(spec) and uncapped(spec) and spec.gold == spec.protocol.gold,
        "gs7": _of_table("asl", variant, ablation=True),
        "gs8": lambda spec: baselines(spec) and spec.noise != 0,
    }


# Claim -> the runs that decide it, for both variants; and the claims that the ladder is about.
CLAIM_READS = {
    id + variant.removeprefix("galc_slr"): reads for variant in VARIANTS for id, reads in _claim_reads(variant).items()
}
HEADLINE = ("gs1", "gs4", "gs8")


@dataclass(frozen=True)
class Study:
    """Results of one profile; noise and gold as fractions, metrics in percent.

    `scores` has one row per trained gold classifier and method and level that it stands for: method, noise, gold,
    seed, silver_loss, cap (0: none), estimate_on, and its metrics. `curves` has one row per evaluation: the same,
    epoch and mAP. `distances` has one row per corruption matrix. `matrices` holds the matrices themselves at the
    ablation's noise, name -> (K, K), of the first seed. `sigmoid` is the table of section "Why". `surface` has mAP at
    the ablation's noise at other rates and lengths (`nlcore.papers.surface.joined`). `reliability` is what silver
    classifiers say there and how often it is so: silver_loss, seed, cells, output, share. `transitions` has rows for
    every T-estimate: noise, seed, what it is `decided_by`, so many `classes`, and labels `added` and `lost` of them,
    in percent, estimated and `..._counted`.
    """

    scores: pd.DataFrame
    curves: pd.DataFrame
    distances: pd.DataFrame
    matrices: dict[str, np.ndarray]
    sigmoid: pd.DataFrame
    specs: tuple[Spec, ...]
    surface: pd.DataFrame = field(default_factory=lambda: joined((), ()))
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    transitions: pd.DataFrame = field(default_factory=pd.DataFrame)
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
    def gold(self) -> float:
        """The gold fraction of Table 1."""
        return self.protocol.gold

    @property
    def ablation_noise(self) -> float:
        """The noise level of everything that runs at one."""
        return self.protocol.ablation_noise

    @property
    def levels(self) -> list[float]:
        """Noise levels of the main grid."""
        return sorted(self.main.noise.unique())

    @property
    def own(self) -> dict[str, str]:
        """Method of one's own -> what tables and figures call it."""
        return own_labels(self.specs)

    @property
    def methods(self) -> dict[str, str]:
        """Method -> what tables and figures call it: the seven of Table 1, then those of one's own."""
        return BESIDE | self.own

    @property
    def main(self) -> pd.DataFrame:
        """The runs of Table 1: its methods and those of one's own, at the default gold fraction and readings."""
        return self.runs(self.scores)[lambda frame: frame.method.isin(list(self.methods))]

    def runs(self, frame: pd.DataFrame, **fields: Any) -> pd.DataFrame:
        """Rows of `scores`, `curves` or `distances` with these fields; those not named are at their default."""
        wanted = {"gold": self.gold, **DEFAULTS, "cap": 0} | fields
        mask = np.logical_and.reduce([frame[name] == value for name, value in wanted.items()])
        return frame[mask]

    def values(self, metric: str, **fields: Any) -> pd.Series:
        """One value per seed of a trained classifier, such as values("map", method="asl", noise=0.4)."""
        return self.runs(self.scores, **fields).set_index("seed")[metric].sort_index()

    def in_draws(self, metric: str, **fields: Any) -> pd.Series:
        """`values`, and what draws of the test images make of them, by seed and draw (`nlcore.report.draws`)."""
        return by_seed(self.runs(self.scores, **fields), metric)

    def dropped_by(self, cap: int) -> float:
        """The share of the single-label images that a cap of so many of a class drops."""
        pool = np.bincount(load_examples(self.source).single_classes)
        return float(1 - np.minimum(pool, cap).sum() / pool.sum()) if pool.sum() else 0.0

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every noise level and method, and how many runs were not finished."""
        counts = self.main.groupby(["noise", "method"], sort=False).seed.nunique().unstack("method")
        waiting = [spec.noise for spec in self.left_out if isinstance(spec, GoldClassifier)]
        missing = [sum(own in (None, noise) for own in waiting) for noise in counts.index]
        return counts[[method for method in self.methods if method in counts]].assign(unfinished=missing).reset_index()


def grid(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs of a profile's settings; `seeds` replaces its own. `resources` name images, weights and device."""
    source = make_source(settings["source"], resources)
    shared = {"source": source, "protocol": Protocol(**settings["protocol"])}
    specs: list[Spec] = []
    for seed in settings["seeds"] if seeds is None else seeds:
        fields = shared | {"seed": seed, "gold": shared["protocol"].gold}
        for noise in settings["noises"]:
            methods = (*METHODS, *settings["ablation"].get("at_every_level", ()))
            specs += [_classifier(fields, method, noise) for method in methods]
            specs.append(MatrixEstimates(**fields, noise=noise))
            if T_ESTIMATOR in methods:
                specs.append(TransitionEstimates(**fields, noise=noise))
        specs += _ablation(fields, settings["ablation"])
        if seed in settings.get("readings_at_every_level", ()):
            readings = [reading for reading in settings["ablation"]["readings"] if reading["method"] in STANDS_FOR]
            specs += _readings(fields, readings, settings["noises"])
        if seed in settings["surface"]["seeds"]:
            specs += _surface(fields, settings["surface"])
    return list(dict.fromkeys(specs))


def _surface(fields: Mapping[str, Any], surface: Mapping[str, Any]) -> Iterator[Spec]:
    """ASL and GALC-SLR at the ablation's noise, for other epochs and learning rates than the profile's own; where asked
    for, judged on images held out, too."""
    own, points = fields["protocol"], [fields["protocol"]]
    for change in surface["protocols"]:
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in change.items())
        points.append(own.model_copy(update={**change, "reading": words}))

    def at_point(protocol: Protocol, judged: Judged = "test") -> Iterator[Spec]:
        return (_classifier({**fields, "protocol": protocol}, method, own.ablation_noise) for method in SURFACE)

    for protocol in points[1:]:
        yield from at_point(protocol)
    if surface.get("held_out", False):
        yield from surface_runs(points, at_point, tested=False)


def _classifier(fields: Mapping[str, Any], method: str, noise: float, **reading: Any) -> Spec:
    method, noise = canonical(method, noise)
    return GoldClassifier(**fields, method=method, noise=noise, **reading)


def _ablation(fields: dict[str, Any], ablation: Mapping[str, Any]) -> Iterator[Spec]:
    """What runs at one noise level: Fig. 6b (less gold), Fig. 6c (caps), other readings, the sigmoid's effect."""
    noise = fields["protocol"].ablation_noise
    for method in (*VARIANTS, "true matrix"):
        yield _classifier(fields | {"gold": ablation["gold"]}, method, noise)
    for cap, method in product(ablation["caps"], VARIANTS):
        yield _classifier(fields, method, noise, cap=cap)
    yield from _readings(fields, ablation["readings"], [noise])
    yield SigmoidEffect(**fields, noise=noise)


def _readings(fields: dict[str, Any], readings: Iterable[Mapping], noises: Iterable[float]) -> Iterator[Spec]:
    for noise, reading in product(noises, readings):
        yield _classifier(fields, noise=noise, **reading)
        yield MatrixEstimates(**fields, noise=noise, **{k: v for k, v in reading.items() if k != "method"})


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    found = {spec: result for spec, result in finished.items() if not spec.protocol.reading}
    if not found:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one")
    estimates = {spec: result for spec, result in found.items() if isinstance(spec, MatrixEstimates)}
    effects = {spec: result.values for spec, result in found.items() if isinstance(spec, SigmoidEffect)}
    shown = [result for spec, result in estimates.items() if at_ablation_noise(spec) and _reading(spec) == DEFAULTS]
    cells = _cells(specs, found)
    return Study(
        scores=pd.DataFrame(cell | _percent(values | moved) for cell, values, moved in cells),
        curves=pd.DataFrame(cell | _percent(row) for cell, values, _ in cells for row in values["history"]),
        distances=pd.DataFrame(_distances(estimates), columns=DISTANCE_COLUMNS),
        matrices=dict(shown[0].arrays) if shown else {},
        sigmoid=pd.DataFrame({"seed": s.seed} | row for s, r in effects.items() for row in r["rows"]),
        surface=surface_frame(finished, of_surface, _surface_rows),
        reliability=pd.DataFrame(
            {"silver_loss": spec.silver_loss, "seed": spec.seed} | row
            for spec, result in estimates.items()
            if at_ablation_noise(spec) and spec.estimate_on == "gold" and not spec.cap
            for row in result.values["reliability"]
        ),
        transitions=pd.DataFrame(_transitions(found), columns=TRANSITION_COLUMNS),
        specs=tuple(finished),
        left_out=left_out,
    )


def _surface_rows(spec: GoldClassifier, result: Result) -> Iterator[dict]:
    metric = {"map": 100 * result.values["map"], "map" + MOVED: 100 * result.arrays["map" + MOVED]}
    curve = np.array([100 * row["map"] for row in result.values["history"]])
    yield surface_row(spec, spec.method, spec.seed, curve, **metric)


def _transitions(found: Mapping[Spec, Result]) -> Iterator[dict]:
    for spec in sorted((spec for spec in found if isinstance(spec, TransitionEstimates)), key=lambda s: s.noise):
        for row in found[spec].values["rows"]:
            shares = {name: np.nan if row[name] is None else 100 * row[name] for name in TRANSITION_SHARES}
            yield {"noise": spec.noise, "seed": spec.seed, **row, **shares}


def _cells(specs: Sequence[Spec], found: Mapping[Spec, Result]) -> list[tuple[dict, Mapping, Mapping]]:
    """Every method at every level, in the order of Table 1, then the ablation: (fields, its run's values and arrays).

    A run stands at each method and level that is the same training (`methods.canonical`).
    """
    classifiers = [spec for spec in specs if _is_classifier(spec)]
    levels = sorted({spec.noise for spec in classifiers if spec.noise is not None})
    seeds = list(dict.fromkeys(spec.seed for spec in classifiers))
    cells = []
    for spec in (spec for spec in classifiers if spec in found):
        for method, noise in product(dict.fromkeys([*METHODS, spec.method]), levels):
            if canonical(method, noise) == (spec.method, spec.noise):
                place = (noise, METHODS.index(method)) if in_main_grid(spec) else (float("inf"),)
                cell = _fields(spec) | {"method": method, "noise": noise}
                cells.append(((seeds.index(spec.seed), *place), cell, found[spec]))
    for spec in (spec for spec in specs if _is_own(spec) and spec in found):
        cell = {"noise": spec.noise, "gold": spec.gold, "seed": spec.seed, **DEFAULTS, "cap": 0}
        place = seeds.index(spec.seed), spec.noise, len(METHODS)
        cells.append((place, cell | {"method": spec.own.function}, found[spec]))
    return [(cell, run.values, run.arrays) for _, cell, run in sorted(cells, key=lambda entry: entry[0])]


def _percent(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's fractions in percent, without its history; epochs are no fractions."""
    kept = {name: value for name, value in record.items() if name != "history"}
    return {name: value if name == "epoch" else 100 * value for name, value in kept.items()}


TRANSITION_SHARES = ("added", "added_counted", "lost", "lost_counted")
TRANSITION_COLUMNS = ["noise", "seed", "decided_by", "classes", *TRANSITION_SHARES]
DISTANCE_COLUMNS = [
    *("matrix", "noise", "gold", "seed", *DEFAULTS, "diagonal", "off_diagonal", "contrast"),
    *("identity_rows", "borrowed_regulators", "single_label_images"),
]


def _distances(estimates: Mapping[MatrixEstimates, Result]) -> Iterable[dict]:
    for spec, result in estimates.items():
        values, true = result.values, contrast(result.arrays["true"])
        for name, (diagonal, off_diagonal) in values["distances"].items():
            galc = name.startswith("galc_slr")
            yield _fields(spec) | {
                "matrix": name,
                "diagonal": diagonal,
                "off_diagonal": off_diagonal,
                "contrast": abs(contrast(result.arrays[name]) - true),
                "identity_rows": values["identity_rows"].get(name, 0),
                "borrowed_regulators": values["borrowed_regulators"] if galc else 0,
                "single_label_images": values["single_label_images"] if galc else 0,
            }


def contrast(matrix: np.ndarray) -> float:
    """By how much the diagonal of a corruption matrix (K, K) stands out: its mean minus the mean of the other entries.

    >>> contrast(np.array([[0.9, 0.1], [0.3, 0.7]]))
    0.6000000000000001
    """
    off = ~np.eye(len(matrix), dtype=bool)
    return float(np.diag(matrix).mean() - matrix[off].mean())


def _reading(spec: GoldClassifier | MatrixEstimates) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in DEFAULTS}


def _fields(spec: GoldClassifier | MatrixEstimates) -> dict[str, Any]:
    """The fields that tell runs of one study apart; no cap is 0, so that the column stays whole numbers."""
    fields = {"noise": spec.noise, "gold": spec.gold, "seed": spec.seed, **_reading(spec)}
    return fields | {"cap": spec.cap or 0}
