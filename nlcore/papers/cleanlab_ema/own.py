"""Poolings of one's own: they make one score of an image's annotations' scores, as the paper's do (section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nlcore.data.benchmark import make_benchmark
from nlcore.generators import generator
from nlcore.papers.cleanlab_ema.protocol import PAPER
from nlcore.papers.cleanlab_ema.scoring import HEADLINE, OnFolds, PoolingScores, detection_metrics
from nlcore.papers.cleanlab_ema.words import CLASSIFIERS, HEADLINE_NAMES, METRICS
from nlcore.papers.own import OwnMethod, OwnRun, Role
from nlcore.runs import Result, Spec, Work
from nlcore.scorers.label_quality import self_confidence

if TYPE_CHECKING:
    from nlcore.papers.cleanlab_ema.study import Study

BESIDE = dict(zip(HEADLINE, HEADLINE_NAMES, strict=True))


def are_scores(found: Any, scores: np.ndarray) -> bool:
    """Whether these are a finite score for every image."""
    pooled = np.asarray(found, float)
    return pooled.shape == (len(scores),) and bool(np.isfinite(pooled).all())


ROLE = Role(
    kind="pooling",
    takes="scores",
    gives="a finite score for each image, (N,) from (N, K), the lowest the most suspect",
    example=lambda: (generator(PAPER, "small scores").uniform(size=(6, 4)),),
    fits=are_scores,
)


def pooled(method: OwnMethod, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N,) scores of images by a pooling of one's own, from labels and probabilities (N, K)."""
    return np.asarray(ROLE.call(method, self_confidence(labels, probabilities)), float)


class OwnPoolingScores(OwnRun, OnFolds):
    """All metrics of one pooling of one's own. Value `metrics`: its name -> metric name -> value."""

    def work(self) -> Work:
        return Work(f"OwnPoolingScores {self.group}", 0.1 if self.group == "small" else 1.0)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """As for the paper's poolings (`PoolingScores`): the same predictions, the same metrics."""
        data = make_benchmark(self.group, self.seed)
        scores = pooled(self.own, data.given_labels, self.joined(inputs))
        return Result({"metrics": {self.own.function: detection_metrics(scores, data.error_counts)}})


def beside(spec: Spec, method: OwnMethod) -> OwnPoolingScores | None:
    """The run that goes with the paper's poolings on a dataset, under one classifier; none with any other."""
    if not isinstance(spec, PoolingScores) or spec.digits is not None:
        return None
    return OwnPoolingScores(**{name: getattr(spec, name) for name in OnFolds.model_fields}, own=method)


def compared(study: Study) -> pd.DataFrame:
    """The six metrics of the ten poolings and of one's own, by panel: what a pooling of one's own is held against."""
    scores = study.scores[study.scores.metric.isin(list(METRICS))]
    panels = [f"{row.group}, {CLASSIFIERS[row.classifier]}" for row in scores.itertuples()]
    named = scores.assign(metric=scores.metric.map({name: shown for name, (_, shown) in METRICS.items()}), at=panels)
    return named.rename(columns={"pooling": "method"})[["metric", "at", "method", "seed", "value"]]
