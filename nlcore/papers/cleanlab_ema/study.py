"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from nlcore.data.celeba import IMAGES_FOLDER
from nlcore.errors import InputError, require
from nlcore.papers.cleanlab_ema.own import BESIDE, OwnPoolingScores
from nlcore.papers.cleanlab_ema.protocol import PAPER, TAGGING_FOLDS, Protocol
from nlcore.papers.cleanlab_ema.review import Review, Tagging, load_tagging, read_review
from nlcore.papers.cleanlab_ema.runs import (
    DatasetStatistics,
    FlaggedErrors,
    HeldOutTags,
    PoolingScores,
    TestPartAccuracy,
)
from nlcore.papers.cleanlab_ema.words import ATTRIBUTES, METRICS, NO_LARGE_FORESTS, NOT_CELEBA
from nlcore.papers.own import OwnMethod, own_labels, own_methods
from nlcore.papers.profiles import Resources, make_source, profiles_of
from nlcore.runs import Result, Spec, Store

CELL = ["group", "classifier"]
# Of rounded scores: few enough for equal ones to be equal; and as few as the published ones may have had.
DIGITS = (8, 4)
BENCHMARK = ("fig_2", "fig_3", *(f"fig_s{n}" for n in range(2, 9)), "lift", "why_t", "why_ranks")

INJECTED = ("lift_injected", "injected_by_kind", "flagger_injected")

# Artefact -> the runs behind it: kinds of runs, or a test of a run. Those not named rest on all.
READS = {
    "table_s1": DatasetStatistics,
    "table_s2": TestPartAccuracy,
    "fig_s1": (),
    **dict.fromkeys((*BENCHMARK, "published_scores", "published_scores_off"), (PoolingScores, OwnPoolingScores)),
    "why_rounding": PoolingScores,
    "flagger": FlaggedErrors,
    **dict.fromkeys(("table_1", "fig_1", "fig_4", *INJECTED, "review_sheet"), HeldOutTags),
}


def _of_scores(spec: Spec) -> bool:
    """Whether a run scores poolings on the scores as they are."""
    return isinstance(spec, PoolingScores) and spec.digits is None


# Claim -> the runs that decide it, all of them: how many errors a dataset has names the parts of ce2 to ce5. No run
# decides ce6, which is a person's review of CelebA's images.
CLAIM_READS = {
    "ce1": _of_scores,
    **dict.fromkeys(
        ("ce2", "ce3", "ce4", "ce5"), lambda spec: _of_scores(spec) or isinstance(spec, DatasetStatistics)
    ),
    "ce6": (),
}


@dataclass(frozen=True)
class Study:
    """Results of one profile.

    `scores` is long: group, classifier, seed, pooling, metric, value; `rounded` likewise, from scores of so
    many `digits`.
    `accuracy` has one row per group, classifier, seed and train/test labels. `datasets` has one row per group and seed.
    `flagged` has one row per dataset and classifier: `flag_metrics`. `tagging` is section 5.2, on CelebA where it was
    given, None where it is not finished.
    """

    scores: pd.DataFrame
    accuracy: pd.DataFrame
    datasets: pd.DataFrame
    rounded: pd.DataFrame = field(default_factory=pd.DataFrame)
    flagged: pd.DataFrame = field(default_factory=pd.DataFrame)
    tagging: Tagging | None = None
    review: Review | None = None  # of its images, where a person has looked at them
    specs: tuple[Spec, ...] = ()
    left_out: tuple[Spec, ...] = ()

    @cached_property
    def cells(self) -> list[tuple[str, str]]:
        """The (group, classifier) pairs there are results for, in the profile's order."""
        return list(dict.fromkeys(self.scores[CELL].itertuples(index=False, name=None)))

    @cached_property
    def by_dataset(self) -> pd.DataFrame:
        """Rows: (group, classifier, seed, metric) with a published metric; columns: poolings."""
        used = self.scores[self.scores.metric.isin(list(METRICS))]
        return used.pivot_table(index=[*CELL, "seed", "metric"], columns="pooling", values="value")

    @property
    def headline(self) -> dict[str, str]:
        """Pooling -> what figures call it: the ten of Figures 2, 3 and S2 to S4, then those of one's own."""
        return BESIDE | own_labels(self.specs)

    @property
    def own(self) -> Sequence[OwnMethod]:
        """The poolings of one's own."""
        return own_methods(self.specs)

    @property
    def deviations(self) -> str:
        """How the benchmark's runs differ from the published protocol."""
        return "" if ("large", "random_forest") in self.cells else NO_LARGE_FORESTS

    @property
    def held_out(self) -> tuple[Tagging, str]:
        """Section 5.2, and how it differs from the published protocol.

        Raises:
            InputError: its runs are not finished.
        """
        if self.tagging is None:
            raise InputError(f"{PAPER}: runs of section 5.2 are not finished; expected all folds of one source")
        said = {"celeba": "", "attributes": ATTRIBUTES}
        return self.tagging, said.get(self.tagging.source.data, NOT_CELEBA)

    def reviewed(self, path: str | Path) -> Study:
        """The same with a review sheet that was filled in, which decides ce6.

        Raises:
            InputError: section 5.2 is not finished, or as `read_review`.
        """
        return replace(self, review=read_review(self.held_out[0], path))

    def seed_counts(self) -> pd.DataFrame:
        """How many datasets stand behind every panel, and how many runs were not finished."""
        counts = self.scores.groupby(CELL, sort=False).seed.nunique().rename("datasets").reset_index()
        missing = [(s.group, s.classifier) for s in self.left_out if isinstance(s, PoolingScores) and s.digits is None]
        return counts.assign(unfinished=[missing.count((row.group, row.classifier)) for row in counts.itertuples()])

    def cell(self, group: str, classifier: str) -> pd.DataFrame:
        """The scores of one panel of the figures."""
        return self.scores[(self.scores.group == group) & (self.scores.classifier == classifier)]


def grid(settings: Mapping[str, Any], seeds: Sequence[int] | None, resources: Resources) -> list[Spec]:
    """The runs of a profile's settings; `seeds` replaces those of every cell. `resources` name CelebA, weights, device.

    Raises:
        InputError: CelebA was given to a profile that does not use it, or is not what it should be.
    """
    specs: list[Spec] = []
    for cell, seed in _datasets(settings["cells"], seeds):
        specs += [PoolingScores(**cell, seed=seed), FlaggedErrors(**cell, seed=seed)]
        if cell["group"] == "small":
            specs += [PoolingScores(**cell, seed=seed, digits=digits) for digits in DIGITS]
        specs.append(DatasetStatistics(group=cell["group"], seed=seed))
    for cell, seed in _datasets(settings["accuracy"], seeds):
        specs += [TestPartAccuracy(**cell, seed=seed, train_labels=labels) for labels in ("given", "true")]
    specs += _tagging_runs(settings["tagging"], resources)
    if resources.celeba_root is not None:
        specs += _tagging_runs(_on_celeba(settings, Path(resources.celeba_root)), resources)
    return specs


def _datasets(cells: Sequence[Mapping[str, Any]], seeds: Sequence[int] | None) -> Iterator[tuple[dict[str, str], int]]:
    """Every dataset of every cell, as (group and classifier, seed)."""
    for cell in cells:
        for seed in cell["seeds"] if seeds is None else seeds:
            yield {name: cell[name] for name in CELL}, seed


def _tagging_runs(settings: Mapping[str, Any], resources: Resources) -> list[Spec]:
    """Held-out predictions on the labels as given, and on every copy with injected errors."""
    shared = {"source": make_source(settings["source"], resources), "protocol": Protocol(**settings["protocol"])}
    copies = [(None, "swapped"), *product(settings["injected"], settings.get("kinds", ["swapped"]))]
    return [
        HeldOutTags(**shared, fold=fold, injected=seed, kind=kind)
        for seed, kind in copies
        for fold in range(TAGGING_FOLDS)
    ]


def _on_celeba(settings: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """The settings of section 5.2 on CelebA: on its images, or on its attributes where there are none or none is used.

    Data that nothing would read are an error, and not passed over.
    """
    with_images = (root / IMAGES_FOLDER).is_dir() and "celeba" in settings
    if with_images or "attributes" in settings:
        return settings["celeba" if with_images else "attributes"]
    require(root.is_dir(), "celeba_root", root, "a folder that is there")
    profiles = profiles_of(__package__)
    name = next((name for name, own in profiles.items() if own == settings), "of one's own")
    able = ", ".join(other for other, own in profiles.items() if {"celeba", "attributes"} & own.keys())
    if "celeba" in settings:
        raise InputError(f"celeba_root: no {IMAGES_FOLDER}/ in {root}; expected it, since profile {name} takes images")
    raise InputError(f"celeba_root: profile {name} does not use it; expected one of {able}")


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    finished, left_out = store.results(specs, partial=partial)
    if not any(isinstance(spec, PoolingScores) for spec in finished):
        raise InputError(f"{PAPER}: no finished run to show; expected at least one dataset scored")
    read = (_score_rows, _accuracy_rows, _dataset_rows, _rounded_rows, _flag_rows)
    frames = [pd.DataFrame(rows(finished)) for rows in read]
    return Study(*frames, load_tagging(finished, left_out), specs=tuple(finished), left_out=left_out)


def _score_rows(finished: Mapping[Spec, Result], digits: int | None = None) -> Iterator[dict[str, Any]]:
    for spec, result in finished.items():
        if isinstance(spec, PoolingScores | OwnPoolingScores) and getattr(spec, "digits", None) == digits:
            cell = spec.model_dump(exclude={"digits", "own"})
            for pooling, metrics in result.values["metrics"].items():
                for metric, value in metrics.items():
                    yield {**cell, "pooling": pooling, "metric": metric, "value": value}


def _rounded_rows(finished: Mapping[Spec, Result]) -> Iterator[dict[str, Any]]:
    return (row | {"digits": digits} for digits in DIGITS for row in _score_rows(finished, digits))


def _flag_rows(finished: Mapping[Spec, Result]) -> Iterator[dict[str, Any]]:
    for spec, result in finished.items():
        if isinstance(spec, FlaggedErrors):
            yield {**spec.model_dump(), **result.values}


def _accuracy_rows(finished: Mapping[Spec, Result]) -> Iterator[dict[str, Any]]:
    for spec, result in finished.items():
        if isinstance(spec, TestPartAccuracy):
            for test in ("given", "true"):
                values = {name: result.values[f"{name}_{test}"] for name in ("accuracy", "jaccard")}
                yield {**spec.model_dump(), "test_labels": test, **values}


def _dataset_rows(finished: Mapping[Spec, Result]) -> Iterator[dict[str, Any]]:
    for spec, result in finished.items():
        if isinstance(spec, DatasetStatistics):
            yield {**spec.model_dump(), **result.values}
