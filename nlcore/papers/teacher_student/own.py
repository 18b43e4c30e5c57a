"""Cleaners of one's own: they correct the noisy labels, as the paper's teacher does, before a classifier learns them.

A cleaner and no loss: the question of the paper is what the clean labels of a few images tell about the noisy ones of
all others, and a loss is not told which labels of a batch are which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from nlcore.generators import generator
from nlcore.papers.own import OwnMethod, OwnRun, Role
from nlcore.papers.teacher_student.methods import finetune_mixed
from nlcore.papers.teacher_student.problem import Problem
from nlcore.papers.teacher_student.protocol import PAPER
from nlcore.papers.teacher_student.runs import Labels, Method, Stage
from nlcore.papers.teacher_student.words import NAMES
from nlcore.report.draws import DRAW
from nlcore.runs import Result, Spec, Work

if TYPE_CHECKING:
    from nlcore.papers.teacher_student.study import Study

BESIDE = NAMES


def small_labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (12, 5), noisy labels (12, 3), and the clean labels (4, 3) of the first four."""
    draws = generator(PAPER, "small labels")
    features = draws.normal(size=(12, 5)).astype(np.float32)
    return features, *(draws.integers(0, 2, size=(count, 3)).astype(np.int8) for count in (12, 4))


def are_labels(found: Any, features: np.ndarray, noisy: np.ndarray, clean: np.ndarray) -> bool:
    """Whether these are labels between 0 and 1 in the shape of the noisy ones."""
    cleaned = np.asarray(found, float)
    return cleaned.shape == noisy.shape and bool(((cleaned >= 0) & (cleaned <= 1)).all())


ROLE = Role(
    kind="cleaner",
    takes="features, noisy, clean",
    gives="labels between 0 and 1 for all images and classes, (n, K) as the noisy ones",
    example=small_labels,
    fits=are_labels,
)


class OwnCleaner(OwnRun, Stage):
    """A classifier trained on labels that a cleaner of one's own has corrected; values and array as of `Method`."""

    fraction: float

    @property
    def uncleaned(self) -> Method:
        """The baseline as which it is trained, but for the labels: the last layer on the mixed ones."""
        return Method(**self.shared(), seed=self.seed, method="finetune_mixed", fraction=self.fraction)

    def requires(self) -> Sequence[Spec]:
        return [Labels(**self.of_stages()), self.network()]

    def work(self) -> Work:
        return self.uncleaned.work()

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Clean the noisy labels of the training images, and go on as `finetune_mixed` does.

        1. The cleaner is told the training images' features in the noisy network, their noisy labels, and the clean
           ones of the verified images, which come first.
        2. The noisy network's last layer trains on the clean labels of V and the cleaned ones of T, 1 : 9.
        """
        problem = self.problem(inputs[0])
        noisy = self.network().trained(problem, inputs[1])
        cleaned = replace(problem, noisy=self._cleaned(problem, noisy.features))
        return Result(*finetune_mixed(self.uncleaned, cleaned, noisy, None))

    def _cleaned(self, problem: Problem, features: np.ndarray) -> torch.Tensor:
        """(n, K) float32: the noisy labels, those of the training images cleaned."""
        verified, _ = problem.verified(self.fraction)
        shown = features[problem.train.numpy()], problem.noisy[problem.train].numpy(), problem.clean[verified].numpy()
        labels = problem.noisy.float()
        labels[problem.train] = torch.as_tensor(np.asarray(ROLE.call(self.own, *shown), np.float32))
        return labels


def beside(spec: Spec, method: OwnMethod) -> OwnCleaner | None:
    """The run that goes with fine-tuning on mixed labels, but for Open Images and other rates; none with any other."""
    plain = isinstance(spec, Method) and spec.method == "finetune_mixed" and spec.source.data != "openimages"
    plain = plain and not spec.protocol.reading
    return OwnCleaner(**spec.shared(), seed=spec.seed, fraction=spec.fraction, own=method) if plain else None


def compared(study: Study) -> pd.DataFrame:
    """mAP and AP_all of every method of Table 2, by share of clean labels: what a cleaner of one's own is held against.
    """
    rows = [
        {"metric": metric, "at": f"{fraction:.0%} clean", "method": series, "seed": seed, DRAW: draw, "value": value}
        for metric in ("mAP", "AP_all")
        for fraction in study.fractions("finetune_mixed")
        for series in study.series
        for (seed, draw), value in study.in_draws(series, fraction, metric).items()
    ]
    return pd.DataFrame(rows)
