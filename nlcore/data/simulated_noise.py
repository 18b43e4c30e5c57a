"""What an ImageNet classifier would have said of simulated images: the noisy labels of paper 5.

Each of the J noisy labels is a logistic regression on the image's true labels and its features, fitted to the embedded
training images. Both count: features alone do not know which swaps of the classifier are frequent, and true labels
alone would miss a plain dog as often as a hidden one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nlcore.data.simulated_fit import principal_components
from nlcore.errors import InputError, require

PENALTY = 10.0  # on the squared weights, by the held-out likelihood
COMPONENTS = 128  # of the features
HALVINGS = 25


@dataclass(frozen=True)
class LabelNoise:
    """Probabilities of J noisy labels: sigmoid(bias + [targets, standardised components] @ weights)."""

    mean: np.ndarray  # (D,)
    basis: np.ndarray  # (C, D), principal components divided by their deviation
    weights: np.ndarray  # (K + C, J)
    bias: np.ndarray  # (J,)
    own: np.ndarray  # (J,) the class, of K, that each noisy label means

    def logits(self, features: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(N, J) of features (N, D) and targets (N, K)."""
        components = (features - self.mean) @ self.basis.T
        return targets @ self.weights[: targets.shape[1]] + components @ self.weights[targets.shape[1] :] + self.bias

    def draw(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        *,
        right: float | None = None,
        missing: float | None = None,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Noisy labels (N, J) int8.

        Args:
            features, targets: (N, D) and (N, K).
            right: share of noisy labels that shall be true; None leaves the classifier's own.
            missing: share of true labels that shall be absent; None likewise.
            generator: source of all draws.

        Raises:
            InputError: a share that no shift of the logits reaches.
        """
        logits = self.logits(features, targets)
        true = np.asarray(targets)[:, self.own] == 1
        if missing is not None:
            logits[true] += shift_to(logits[true], (1 - missing) * true.sum(), f"missing {missing:g}")
        if right is not None:
            require(0 < right < 1, "right", right, "a fraction above 0 and below 1")
            wrong = expected(logits[true]) * (1 / right - 1)
            logits[~true] += shift_to(logits[~true], wrong, f"right {right:g}")
        return (generator.random(logits.shape) < sigmoid(logits)).astype(np.int8)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits))."""
    return 1 / (1 + np.exp(-logits))


def expected(logits: np.ndarray) -> float:
    """How many labels are expected of these logits."""
    return float(sigmoid(logits).sum())


def shift_to(logits: np.ndarray, wanted: float, what: str) -> float:
    """The number that, added to all logits, makes `wanted` labels expected: by bisection.

    Raises:
        InputError: more than there are cells, or none.
    """
    if not 0 < wanted < len(logits):
        raise InputError(f"{what}: asks for {wanted:.0f} labels in {len(logits)} cells; expected a share that fits")
    low, high = -40.0, 40.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(logits + middle) < wanted else (low, middle)
    return (low + high) / 2


def fit_label_noise(
    features: np.ndarray, targets: np.ndarray, noisy: np.ndarray, own: np.ndarray, *, penalty: float = PENALTY
) -> LabelNoise:
    """J logistic regressions by L-BFGS.

    Args:
        features, targets, noisy: (N, D), (N, K) and (N, J) of the same training images.
        own: (J,) which class each noisy label means.
        penalty: on the squared weights, half of it.
    """
    mean, basis = principal_components(features, COMPONENTS)
    basis = basis / ((features - mean) @ basis.T).std(axis=0)[:, None]
    inputs = np.column_stack([targets, (features - mean) @ basis.T])
    x, wanted = (torch.as_tensor(array, dtype=torch.float64) for array in (inputs, noisy))
    weights = torch.zeros(x.shape[1], wanted.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.full((wanted.shape[1],), -4.0, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights + bias, wanted, reduction="sum")
        value = error + penalty / 2 * (weights**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    return LabelNoise(mean, basis, weights.detach().numpy(), bias.detach().numpy(), np.asarray(own))
