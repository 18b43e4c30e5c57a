"""Step 3 (3.3): the gold classifier g, trained on gold images as they are and on silver images through C.

The same code trains the baselines: they differ in which rows they use, whose labels, and through which matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlcore.correction import corrected_logits, corrected_probabilities, matrix_tensor
from nlcore.losses import asymmetric_loss, asymmetric_loss_of_probabilities
from nlcore.metrics import mean_average_precision, mean_class_f1, overall_f1
from nlcore.noise import true_corruption_matrix
from nlcore.papers.galc_slr.fitting import Fit, Protocol
from nlcore.papers.galc_slr.matrices import MatrixEstimates
from nlcore.papers.galc_slr.silver import SilverLoss
from nlcore.runs import Result, Work

THRESHOLDS = (0.8, 0.5)
Method = Literal[
    "asl", "galc_slr as written", "galc_slr", "glc", "true matrix", "gold only", "asl + clean gold",
    "galc_slr as written, clipped", "gold count", "glc with softmax",
]  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How one method trains: the gold images' labels, whether silver images are used, and the matrix for them."""

    clean_gold: bool = True
    silver: bool = True
    matrix: str | None = None  # a name in `MatrixEstimates`
    floor: float | None = 1e-6  # C'g is kept this far from 0 and 1; None: it is not kept anywhere
    softmax: bool = False  # GLC's own loss: cross-entropy of C' softmax


WAYS: dict[str, Way] = {
    "asl": Way(clean_gold=False),
    "galc_slr as written": Way(matrix="galc_slr as written", floor=None),
    "galc_slr": Way(matrix="galc_slr"),
    "glc": Way(matrix="glc"),
    "true matrix": Way(matrix="true"),
    "gold only": Way(silver=False),
    "asl + clean gold": Way(),
    "galc_slr as written, clipped": Way(matrix="galc_slr as written"),
    "gold count": Way(matrix="gold count"),
    "glc with softmax": Way(matrix="glc", softmax=True),
}


class GoldClassifier(Protocol):
    """One method, trained to the last epoch and tested on clean labels.

    Values in points: `map`, `map_without_person`, and by threshold `cf1_0.8`, `of1_0.8`, `cf1_0.5`, `of1_0.5`, all of
    the last model; `history`, a list of {"epoch", "map"} (and "average_map" where weights are averaged).
    """

    method: Method
    silver_loss: SilverLoss = "asl"
    cap: int | None = None
    estimate_on: Literal["gold", "silver"] = "gold"
    evaluate_every: int

    def requires(self) -> Sequence[Protocol]:
        if WAYS[self.method].matrix in (None, "true"):
            return []
        fields = {name: getattr(self, name) for name in ("silver_loss", "cap", "estimate_on")}
        return [MatrixEstimates(**self.shared(), **fields)]

    def work(self) -> Work:
        return Work(type(self).__name__, self.training_seconds())

    def compute(self, inputs: Sequence[Result]) -> Result:
        way, source, division = WAYS[self.method], self.source(), self.division()
        labels = division.noisy.copy()
        if way.clean_gold:
            labels[division.gold] = source.targets[division.gold]
        trusted = np.isin(np.arange(len(labels)), division.gold)
        fit = Fit(self, source, np.column_stack([labels, trusted]))
        rows = np.sort(np.concatenate([division.gold, division.silver]))
        if not way.silver:  # as many steps as the other methods: every gold image several times in an epoch
            rows = np.resize(division.gold, len(rows))
        truth = source.targets[source.test]

        def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
            return {"map": 100 * float(mean_average_precision(truth, fit.logits(source.test, model)))}

        loss = SilverGoldLoss(way, self._matrix(inputs, labels.shape[1], fit.device))
        history = fit.train(rows, loss, evaluate=evaluate, evaluate_every=self.evaluate_every)
        return Result({**final_metrics(truth, fit.logits(source.test), source.class_names), "history": history})

    def _matrix(self, inputs: Sequence[Result], classes: int, device: torch.device) -> Tensor | None:
        name = WAYS[self.method].matrix
        if name is None:
            return None
        found = true_corruption_matrix(classes, self.noise / 100) if name == "true" else inputs[0].arrays[name]
        return matrix_tensor(found, device=device)


@dataclass(frozen=True)
class SilverGoldLoss:
    """l = ASL(C'g(x), y) on silver images, ASL(g(x), y) on gold ones, summed over the batch (3.3).

    Takes logits (B, K) and targets (B, K + 1), whose last column is 1 where the image is trusted.
    """

    way: Way
    matrix: Tensor | None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        labels, trusted = targets[:, :-1], targets[:, -1:] > 0
        if self.matrix is None:
            return asymmetric_loss(logits, labels)
        if self.way.softmax:
            return self._cross_entropy(logits, labels, trusted)
        if self.way.floor is not None:
            logits = logits.float()
            return asymmetric_loss(torch.where(trusted, logits, corrected_logits(logits, self.matrix)), labels)
        g = torch.sigmoid(logits.float())
        corrected = corrected_probabilities(g, self.matrix, floor=None)
        return asymmetric_loss_of_probabilities(torch.where(trusted, g, corrected), labels)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, trusted: Tensor) -> Tensor:
        """GLC's loss, with every label of an image as one observation: -log (C' softmax) and -log softmax."""
        plain = functional.log_softmax(logits.float(), dim=-1)
        observed = (plain.exp() @ self.matrix).clamp(min=1e-8).log()
        return -(labels * torch.where(trusted, plain, observed)).sum()


def final_metrics(truth: np.ndarray, logits: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """mAP, CF1 and OF1 in points of the test images, (n, K) each."""
    person = [k for k, name in enumerate(class_names) if name == "person"]
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    values = {
        "map": mean_average_precision(truth, logits),
        "map_without_person": mean_average_precision(truth, logits, without=person),
    }
    for threshold in THRESHOLDS:
        values[f"cf1_{threshold}"] = mean_class_f1(truth, probabilities, threshold=threshold)
        values[f"of1_{threshold}"] = overall_f1(truth, probabilities, threshold=threshold)
    return {name: 100 * float(value) for name, value in values.items()}
