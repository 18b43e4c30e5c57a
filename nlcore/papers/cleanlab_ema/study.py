"""The study: which runs a profile consists of, and their results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.papers.cleanlab_ema.scoring import DatasetStatistics, PoolingScores, TestPartAccuracy
from nlcore.papers.cleanlab_ema.tagging import FOLDS as TAGGING_FOLDS
from nlcore.papers.cleanlab_ema.tagging import HeldOutTags
from nlcore.papers.profiles import Resources, load_profile
from nlcore.runs import Spec, Store

PAPER = "cleanlab_ema"
CELL = ["group", "classifier"]


@dataclass(frozen=True)
class Study:
    """Results of one profile.

    `scores` is long: group, classifier, seed, pooling, metric, value. `accuracy` has one row per group, classifier,
    seed and train/test labels. `datasets` has one row per group and seed.
    """

    scores: pd.DataFrame
    accuracy: pd.DataFrame
    datasets: pd.DataFrame
    specs: tuple[Spec, ...]
    left_out: tuple[Spec, ...]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The (group, classifier) pairs there are results for, in the profile's order."""
        return list(dict.fromkeys(self.scores[CELL].itertuples(index=False, name=None)))

    def seed_counts(self) -> pd.DataFrame:
        """How many datasets stand behind every panel, and how many runs were not finished."""
        counts = self.scores.groupby(CELL, sort=False).seed.nunique().rename("datasets").reset_index()
        return counts.assign(
            unfinished=[
                sum(
                    isinstance(s, PoolingScores) and (s.group, s.classifier) == (row.group, row.classifier)
                    for s in self.left_out
                )
                for row in counts.itertuples()
            ]
        )

    def cell(self, group: str, classifier: str) -> pd.DataFrame:
        """The scores of one panel of the figures."""
        return self.scores[(self.scores.group == group) & (self.scores.classifier == classifier)]


def grid(profile: str, *, seeds: Sequence[int] | None = None, resources: Resources | None = None) -> list[Spec]:
    """The runs of `profile`; `seeds` replaces every cell's own. `resources` are for papers that train on images."""
    settings = load_profile(PAPER, profile)
    specs: list[Spec] = []
    for cell in settings["cells"]:
        for seed in _seeds(cell, seeds):
            specs.append(PoolingScores(group=cell["group"], classifier=cell["classifier"], seed=seed))
            specs.append(DatasetStatistics(group=cell["group"], seed=seed))
    for cell in settings["accuracy"]:
        for seed in _seeds(cell, seeds):
            for labels in ("given", "true"):
                fields = {"group": cell["group"], "classifier": cell["classifier"], "seed": seed}
                specs.append(TestPartAccuracy(**fields, train_labels=labels))
    specs += _tagging(settings["tagging"], Resources())
    if "celeba" in settings and resources is not None and resources.celeba_root is not None:
        specs += _tagging(settings["celeba"], resources)
    return list(dict.fromkeys(specs))


def _tagging(settings: dict, resources: Resources) -> list[Spec]:
    """Held-out predictions on the labels as given, and on every copy with injected errors."""
    fields = {name: value for name, value in settings.items() if name != "injected"}
    if settings["source"] == "celeba":
        fields |= {
            "folder": resources.celeba_root, "weights": resources.weights or "timm",
            "on_bad_image": resources.on_bad_image, "device": str(resolve_device(resources.device)),
        }  # fmt: skip
    return [
        HeldOutTags(**fields, fold=fold, injected=seed)
        for seed in (None, *settings["injected"])
        for fold in range(TAGGING_FOLDS)
    ]


def _seeds(cell: dict, seeds: Sequence[int] | None) -> Sequence[int]:
    return cell["seeds"] if seeds is None else seeds


def load_study(specs: Sequence[Spec], store: Store, *, partial: bool = False) -> Study:
    """Read a grid's results from the store.

    With `partial`, runs that are not finished are left out, and named in the study; every table states its seeds.

    Raises:
        InputError: a run is not finished, and `partial` was not asked for; or nothing is finished at all.
    """
    results, left_out = store.results(specs, partial=partial)
    finished = {spec: result.values for spec, result in results.items()}
    scores = [
        {**spec.model_dump(), "pooling": pooling, "metric": metric, "value": value}
        for spec, values in finished.items()
        if isinstance(spec, PoolingScores)
        for pooling, metrics in values["metrics"].items()
        for metric, value in metrics.items()
    ]
    if not scores:
        raise InputError(f"{PAPER}: no finished run to show; expected at least one dataset scored")
    accuracy = [
        {
            **spec.model_dump(),
            "test_labels": test,
            **{name: values[f"{name}_{test}"] for name in ("accuracy", "jaccard")},
        }
        for spec, values in finished.items()
        if isinstance(spec, TestPartAccuracy)
        for test in ("given", "true")
    ]
    datasets = [{**spec.model_dump(), **v} for spec, v in finished.items() if isinstance(spec, DatasetStatistics)]
    return Study(pd.DataFrame(scores), pd.DataFrame(accuracy), pd.DataFrame(datasets), tuple(finished), left_out)
