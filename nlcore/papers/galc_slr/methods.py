"""The methods that are compared: which images and labels each trains on, through which matrix, by which loss (3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nlcore.correction import corrected_probabilities
from nlcore.losses import asymmetric_gradient, asymmetric_gradient_of_probabilities
from nlcore.metrics import mean_average_precision, mean_class_f1, overall_f1
from nlcore.metrics.resampling import MOVED, f1_influence, map_influence, moved
from nlcore.papers.galc_slr.protocol import CALIBRATED, DEFAULTS, MIXUP, T_ESTIMATOR, THRESHOLDS
from nlcore.training.gradients import Differentiable, OutputGradients, closed_form
from nlcore.training.learners import ASYMMETRIC
from nlcore.training.mixup import mixed_gradient
from nlcore.transition import importance_weights

Method = Literal[
    "asl", "galc_slr as written", "galc_slr", "glc", "true matrix", "gold only", "asl + clean gold",
    "galc_slr as written, clipped", "gold count", "glc with softmax", "galc_slr, second sigmoid",
    "galc_slr as written, second sigmoid", "true matrix, second sigmoid", "identity, second sigmoid",
    "galc_slr, calibrated", "asl + mixup", "asl + T-estimator",
]  # fmt: skip
MIXED = closed_form(mixed_gradient(asymmetric_gradient))
WITHOUT_ESTIMATE = (None, "true", "identity")  # matrices that are known without any classifier


@dataclass(frozen=True)
class Way:
    """How one method trains: the gold images' labels, whether silver images are used, and the matrix for them."""

    clean_gold: bool = True
    silver: bool = True
    matrix: str | None = None  # a name in `MatrixEstimates`
    floor: float | None = 1e-6  # C'g is kept this far from 0 and 1; None: it is not kept anywhere
    softmax: bool = False  # GLC's own loss: cross-entropy of C' softmax
    second_sigmoid: bool = False  # C'g goes into ASL's place for logits, as ASL's public code takes them
    mixup: bool = False  # trains on mixtures of two images
    reweighted: bool = False  # by rates in the matrix's place: a name in `TransitionEstimates`

    @property
    def readings(self) -> tuple[str, ...]:
        """Which of `DEFAULTS` make a difference: those that the matrix depends on."""
        if self.reweighted or self.matrix in (*WITHOUT_ESTIMATE, "gold count"):
            return ()
        return tuple(DEFAULTS) if self.matrix.startswith("galc_slr") else ("silver_loss", "estimate_on")

    @property
    def loss(self) -> tuple[bool | float | None, ...]:
        """What decides the form of the loss: methods that agree in it can share a pass."""
        return self.matrix is not None, self.softmax, self.second_sigmoid, self.mixup, self.reweighted, self.floor


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
    "galc_slr, second sigmoid": Way(matrix="galc_slr", second_sigmoid=True),
    "galc_slr as written, second sigmoid": Way(matrix="galc_slr as written", second_sigmoid=True),
    "true matrix, second sigmoid": Way(matrix="true", second_sigmoid=True),
    "identity, second sigmoid": Way(matrix="identity", second_sigmoid=True),
    CALIBRATED: Way(matrix=CALIBRATED),
    MIXUP: Way(clean_gold=False, mixup=True),
    T_ESTIMATOR: Way(clean_gold=False, matrix="rates", reweighted=True),
}


def canonical(method: str, noise: float | None) -> tuple[str, float | None]:
    """Of all methods and noise levels that are one training by construction, the one under which it is run.

    Gold images alone, with their true labels, are the same at every level: None. Without noise every label is a true
    one, whoever verified it, and the true matrix is the identity, so that C'g = g: what is left is plain ASL.
    """
    way = WAYS[method]
    if not way.silver:
        return method, None
    plain = noise == 0 and way.matrix in (None, "true") and not (way.second_sigmoid or way.mixup)
    return ("asl", noise) if plain else (method, noise)


@dataclass(frozen=True)
class SilverGoldLoss:
    """l = ASL(C'g(x), y) on silver images, ASL(g(x), y) on gold ones, summed over the batch (3.3).

    Takes logits (..., B, K) and targets (..., B, K + 1) of 1, 0 and -1 (unknown), whose last column is 1 where the
    image is trusted; `matrix` is (..., K, K), or (..., 2, K) where rates reweight the loss of all images.

    A mixture of two images has both images' targets and its share, as `MixedBatches` gives them.

    With a second sigmoid, ASL(C'g(x), y) is read as ASL's public code reads its argument, as logits: C'g, between 0 and
    the sum of C's column, goes through a sigmoid again. On silver images the loss is then bounded, whatever C is.
    """

    way: Way
    matrix: Tensor | None

    def __call__(self, logits: Tensor, targets: Tensor) -> Differentiable:
        if self.way.mixup:
            return MIXED(logits, targets)
        labels, trusted = targets[..., :-1], targets[..., -1:]
        if self.matrix is None:
            return ASYMMETRIC(logits, labels)
        if self.way.softmax:
            return self._cross_entropy(logits, labels, trusted > 0)
        z = logits.detach().float()
        if self.way.reweighted:
            added, lost = self.matrix.unsqueeze(-2).unbind(-3)
            weights = importance_weights(torch.sigmoid(z), labels, added, lost)
            return OutputGradients((logits, asymmetric_gradient(z, labels).mul_(weights)))
        by_logits = self._through_second_sigmoid if self.way.second_sigmoid else self._gradient
        return OutputGradients((logits, by_logits(z, torch.sigmoid(z), labels, trusted)))

    # Cells are chosen by arithmetic, as in nlcore/losses.py.

    def _gradient(self, z: Tensor, g: Tensor, labels: Tensor, trusted: Tensor) -> Tensor:
        """Of ASL(C'g, y) or ASL(g, y) by the logits: back through C, and through the sigmoid; none where C'g is cut."""
        observed, floor = corrected_probabilities(g, self.matrix, floor=None), self.way.floor
        seen = observed if floor is None else observed.clamp(floor, 1 - floor)
        by_seen = asymmetric_gradient_of_probabilities(torch.lerp(seen, g, trusted), labels)
        by_observed = by_seen * (1 - trusted)
        if floor is not None:
            by_observed.mul_((seen - observed).abs_().ceil_().clamp_(max=1).neg_().add_(1))
        by_g = torch.lerp(by_observed @ self.matrix.transpose(-1, -2), by_seen, trusted)
        return by_g.mul_(g).mul_(1 - g)

    def _through_second_sigmoid(self, z: Tensor, g: Tensor, labels: Tensor, trusted: Tensor) -> Tensor:
        """The same where C'g stands for logits."""
        corrected = corrected_probabilities(g, self.matrix, floor=None)
        by_given = asymmetric_gradient(torch.lerp(corrected, z, trusted), labels)
        by_g = (by_given * (1 - trusted)) @ self.matrix.transpose(-1, -2)
        return torch.lerp(by_g.mul_(g).mul_(1 - g), by_given, trusted)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, trusted: Tensor) -> Tensor:
        """GLC's loss, with every label of an image as one observation: -log (C' softmax) and -log softmax."""
        plain = functional.log_softmax(logits.float(), dim=-1)
        observed = (plain.exp() @ self.matrix).clamp(min=1e-8).log()
        return -(labels.clamp(min=0) * torch.where(trusted, plain, observed)).sum()


def of_member(history: Sequence[Mapping[str, Any]], member: int) -> list[dict[str, Any]]:
    """The evaluations of one member, from a history whose metrics have a value for each.

    >>> of_member([{"epoch": 1, "map": [0.25, 0.5]}], 1)
    [{'epoch': 1, 'map': 0.5}]
    """
    return [{name: value if name == "epoch" else value[member] for name, value in row.items()} for row in history]


def final_metrics(truth: np.ndarray, logits: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """mAP, CF1 and OF1 of the test images as fractions; truth and logits are (n, K)."""
    person, probabilities = _places(class_names, "person"), _sigmoid(logits)
    values = {
        "map": mean_average_precision(truth, logits),
        "map_without_person": mean_average_precision(truth, logits, without=person),
    }
    for threshold in THRESHOLDS:
        values[f"cf1_{threshold}"] = mean_class_f1(truth, probabilities, threshold=threshold)
        values[f"of1_{threshold}"] = overall_f1(truth, probabilities, threshold=threshold)
    return {name: float(value) for name, value in values.items()}


def moved_metrics(truth: np.ndarray, logits: np.ndarray, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """By how much each of `final_metrics` is moved in draws of the test images: (draws,) each, fractions."""
    found = map_influence(truth, logits, without=_places(class_names, "person"))
    for threshold in THRESHOLDS:
        of_f1 = f1_influence(truth, _sigmoid(logits), threshold=threshold)
        found |= dict(zip((f"cf1_{threshold}", f"of1_{threshold}"), of_f1, strict=True))
    return {name + MOVED: moved(influence) for name, influence in found.items()}


def _places(class_names: Sequence[str], wanted: str) -> list[int]:
    return [k for k, name in enumerate(class_names) if name == wanted]


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))
