"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlcore.errors import InputError
from nlcore.papers.galc_slr.gold import GoldClassifier
from nlcore.papers.galc_slr.matrices import MatrixEstimates, SigmoidEffect
from nlcore.papers.profiles import Resources, load_profile
from nlcore.runs import Result, Spec, Store

PAPER = "galc_slr"
METHODS = ("asl", "galc_slr as written", "galc_slr", "glc", "true matrix", "gold only", "asl + clean gold")
VARIANTS = ("galc_slr", "galc_slr as written")
DEFAULTS = {"silver_loss": "asl", "cap": None, "estimate_on": "gold"}
FIELDS = ["method", "noise", "gold", "seed", *DEFAULTS]


@dataclass(frozen=True)
class Study:
    """Results of one profile.

    `scores` has one row per trained gold classifier: method, noise, gold, seed, silver_loss, cap (0: none),
    estimate_on, and its metrics in points. `curves` has one row per evaluation: the same, epoch and mAP. `distances`
    has one row per corruption matrix. `matrices` holds the matrices themselves at the ablation's noise, name -> (K, K),
    of the first seed. `sigmoid` is the table of section "Why".
    """

    scores: pd.DataFrame
    curves: pd.DataFrame
    distances: pd.DataFrame
    matrices: dict[str, np.ndarray]
    sigmoid: pd.DataFrame
    gold: int
    ablation_noise: int
    layout: str
    specs: tuple[Spec, ...] = ()
    left_out: tuple[Spec, ...] = ()

    @property
    def levels(self) -> list[int]:
        """Noise levels of the main grid, in percent."""
        return sorted(self.main.noise.unique())

    @property
    def main(self) -> pd.DataFrame:
        """The runs of Table 1: the seven methods at the default gold fraction and readings."""
        return self.runs(self.scores)[lambda frame: frame.method.isin(METHODS)]

    def runs(self, frame: pd.DataFrame, **fields) -> pd.DataFrame:
        """Rows of `scores`, `curves` or `distances` with these fields; those not named are at their default."""
        wanted = {"gold": self.gold, **DEFAULTS, "cap": 0} | fields
        mask = np.logical_and.reduce([frame[name] == value for name, value in wanted.items()])
        return frame[mask]

    def values(self, metric: str, **fields) -> pd.Series:
        """One value per seed of a trained classifier, such as values("map", method="asl", noise=40)."""
        return self.runs(self.scores, **fields).set_index("seed")[metric].sort_index()

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every noise level and method, and how many runs were not finished."""
        counts = self.main.groupby(["noise", "method"], sort=False).seed.nunique().unstack("method")
        missing = [
            sum(isinstance(s, GoldClassifier) and s.noise == noise for s in self.left_out) for noise in counts.index
        ]
        return counts[[method for method in METHODS if method in counts]].assign(unfinished=missing).reset_index()


def grid(profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None) -> list[Spec]:
    """The runs of `profile`; `seeds` replaces its own. `resources` name the images and the device."""
    settings, given = load_profile(PAPER, profile), resources or Resources()
    shared = settings["protocol"] | {
        "weights": given.weights or settings.get("weights"),
        "data_root": given.data_root,
        "device": given.device,
        "on_bad_image": given.on_bad_image,
        "deterministic": given.deterministic,
    }
    specs: list[Spec] = []
    for seed in settings["seeds"] if seeds is None else seeds:
        fields = shared | {"seed": seed, "gold": settings["gold"]}
        for noise in settings["noise"]:
            # Curves by epoch are drawn at one noise level; elsewhere only the last model is tested.
            every = 1 if noise == settings["ablation"]["noise"] else shared["epochs"]
            specs += [GoldClassifier(**fields, noise=noise, method=m, evaluate_every=every) for m in METHODS]
            specs.append(MatrixEstimates(**fields, noise=noise))
        specs += _ablation(fields, settings["ablation"])
    return list(dict.fromkeys(specs))


def _ablation(fields: dict, ablation: dict) -> Iterable[Spec]:
    """What runs at one noise level: Fig. 6b (less gold), Fig. 6c (caps), other readings, the sigmoid's effect."""
    at = fields | {"noise": ablation["noise"]}
    last = {"evaluate_every": fields["epochs"]}
    for method in (*VARIANTS, "true matrix"):
        yield GoldClassifier(**at | {"gold": ablation["gold"]}, method=method, **last)
    for cap in ablation["caps"]:
        for method in VARIANTS:
            yield GoldClassifier(**at, method=method, cap=cap, evaluate_every=1)
    for reading in ablation["readings"]:
        yield GoldClassifier(**at, **reading, **last)
        matrix_fields = {name: value for name, value in reading.items() if name != "method"}
        yield MatrixEstimates(**at, **matrix_fields)
    yield SigmoidEffect(**at)


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    found, left_out = store.results(specs, partial=partial)
    if not any(isinstance(spec, GoldClassifier) for spec in found):
        raise InputError(f"{PAPER}: no finished run to show; expected at least one classifier")
    return _collect(specs, found, left_out)


def _collect(specs: Sequence[Spec], found: dict[Spec, Result], left_out: tuple[Spec, ...]) -> Study:
    classifiers = {spec: result.values for spec, result in found.items() if isinstance(spec, GoldClassifier)}
    estimates = {spec: result for spec, result in found.items() if isinstance(spec, MatrixEstimates)}
    effects = {spec: result.values for spec, result in found.items() if isinstance(spec, SigmoidEffect)}
    noise = next(spec.noise for spec in specs if isinstance(spec, SigmoidEffect))
    shown = [result for spec, result in estimates.items() if spec.noise == noise and _is_default(spec)]
    last = ({name: value for name, value in result.items() if name != "history"} for result in classifiers.values())
    return Study(
        scores=pd.DataFrame(_fields(spec) | values for spec, values in zip(classifiers, last, strict=True)),
        curves=pd.DataFrame(_fields(s) | row for s, r in classifiers.items() for row in r["history"]),
        distances=pd.DataFrame(_distances(estimates), columns=DISTANCE_COLUMNS),
        matrices=dict(shown[0].arrays) if shown else {},
        sigmoid=pd.DataFrame({"seed": s.seed} | row for s, r in effects.items() for row in r["rows"]),
        gold=specs[0].gold,
        ablation_noise=noise,
        layout=specs[0].layout,
        specs=tuple(found),
        left_out=left_out,
    )


DISTANCE_COLUMNS = [
    *("matrix", "noise", "gold", "seed", *DEFAULTS, "diagonal", "off_diagonal"),
    *("identity_rows", "borrowed_regulators", "single_label_images"),
]


def _distances(estimates: dict) -> Iterable[dict]:
    for spec, result in estimates.items():
        values = result.values
        for name, (diagonal, off_diagonal) in values["distances"].items():
            galc = name.startswith("galc_slr")
            yield _fields(spec) | {
                "matrix": name,
                "diagonal": diagonal,
                "off_diagonal": off_diagonal,
                "identity_rows": values["identity_rows"].get(name, 0),
                "borrowed_regulators": values["borrowed_regulators"] if galc else 0,
                "single_label_images": values["single_label_images"] if galc else 0,
            }


def _fields(spec: Spec) -> dict:
    """The fields that tell runs of one study apart; no cap is 0, so that the column stays whole numbers."""
    fields = {name: getattr(spec, name) for name in FIELDS if hasattr(spec, name)}
    return fields | {"cap": fields.get("cap") or 0}


def _is_default(spec: Spec) -> bool:
    return all(getattr(spec, name) == value for name, value in DEFAULTS.items())
