"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from nlcore.errors import InputError
from nlcore.papers.profiles import Resources, load_profile
from nlcore.papers.teacher_student.data import Labels
from nlcore.papers.teacher_student.methods import METHODS, Method
from nlcore.papers.teacher_student.setting import Setting
from nlcore.runs import Result, Spec, Store

PAPER = "teacher_student"
WITHOUT_FRACTION = ("noisy", "ground_truth")
SCORES = ("mAP", "AP_all")
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "linear": {"activation": "linear"},
    "tanh": {"activation": "tanh"},
    "relu": {"activation": "relu"},
    "none": {"pretraining": "none"},
    "teacher_only": {"pretraining": "teacher"},
    "student_only": {"pretraining": "student"},
    "soft": {"labels": "soft"},
}


@dataclass(frozen=True)
class Study:
    """Results of one profile.

    `scores` is long: series (a method, or a variant of the proposed one), fraction, seed, equal_budget, metric, value.
    `labels` is the result of the data stage; `qualitative` that of the methods at the smallest share, first seed.
    """

    scores: pd.DataFrame
    labels: Result | None
    qualitative: Mapping[str, Result]
    setting: Setting
    specs: tuple[Spec, ...]
    left_out: tuple[Spec, ...]

    def values(self, series: str, fraction: float, metric: str, *, equal_budget: bool = False) -> pd.Series:
        """One value per seed; methods that use no verified image have the same at every share."""
        fraction = 0.0 if series in WITHOUT_FRACTION else fraction
        rows = self.scores[
            (self.scores.series == series)
            & np.isclose(self.scores.fraction, fraction)
            & (self.scores.metric == metric)
            & (self.scores.equal_budget == equal_budget)
        ]
        return rows.set_index("seed").value.sort_index()

    def fractions(self, series: str = "proposed") -> list[float]:
        """The shares of verified images that a series was run with."""
        rows = self.scores[(self.scores.series == series) & ~self.scores.equal_budget]
        return sorted(rows.fraction.unique())

    def seed_counts(self) -> pd.DataFrame:
        """How many seeds stand behind every series and share, and how many runs are not finished."""
        rows = self.scores[(self.scores.metric == "mAP") & ~self.scores.equal_budget]
        counts = rows.pivot_table(index="series", columns="fraction", values="seed", aggfunc="nunique", sort=False)
        return counts.fillna(0).astype(int).assign(unfinished=len(self.left_out))


def grid(profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None) -> list[Spec]:
    """The runs of `profile`; `seeds` replaces its own, `resources` say what images and weights it trains on."""
    settings = load_profile(PAPER, profile)
    setting = _setting(settings["setting"], resources)
    specs: list[Spec] = [Labels(setting=setting)]
    for seed in settings["seeds"] if seeds is None else seeds:
        specs += (Method(setting=setting, seed=seed, **fields) for fields in _fields(settings, setting))
    return list(dict.fromkeys(specs))


def _setting(fields: Mapping[str, Any], resources: Resources | None) -> Setting:
    """The profile's setting with what a person gave; frozen features need neither images nor a GPU."""
    if fields["dataset"] == "embedded" or resources is None:
        return Setting(**fields)
    given = {name: value for name, value in asdict(resources).items() if value is not None}
    return Setting(**(dict(fields) | given))


def _fields(settings: Mapping[str, Any], setting: Setting) -> Iterator[dict[str, Any]]:
    for method in settings["methods"]:
        for fraction in [0.0] if method in WITHOUT_FRACTION else settings["fractions"]:
            yield {"method": method, "fraction": fraction}
    for fraction in settings["ablations"]:
        yield {"method": "proposed", "fraction": fraction}
        for options in VARIANTS.values():
            yield {"method": "proposed", "fraction": fraction, **options}
    for fraction in settings["equal_budget"]:
        for method in ("finetune_whole", "finetune_last", "proposed"):
            yield {"method": method, "fraction": fraction, "budget": 2 * setting.passes}


def series_of(spec: Method) -> str:
    """The name under which tables and figures show a run."""
    for name, options in VARIANTS.items():
        if all(getattr(spec, field) == value for field, value in options.items()):
            return name
    return spec.method


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    rows = [
        {"series": series_of(spec), "fraction": spec.fraction, "seed": spec.seed,
         "equal_budget": spec.budget is not None, "metric": metric, "value": value}
        for spec, result in finished.items()
        if isinstance(spec, Method)
        for metric, value in result.values.items()
    ]  # fmt: skip
    if not rows:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one method scored")
    labels = next((result for spec, result in finished.items() if isinstance(spec, Labels)), None)
    return Study(pd.DataFrame(rows), labels, _qualitative(finished), specs[0].setting, tuple(finished), left_out)


def _qualitative(finished: Mapping[Spec, Result]) -> dict[str, Result]:
    """Predictions to look at: one result per method, of the first seed at the smallest share of verified images."""
    runs = [
        spec for spec in finished if isinstance(spec, Method) and spec.budget is None and series_of(spec) in METHODS
    ]
    first = min((spec.seed for spec in runs), default=0)
    runs = sorted((spec for spec in runs if spec.seed == first), key=lambda spec: -spec.fraction)
    return {spec.method: finished[spec] for spec in runs}
