"""Step 2 (3.3): corruption matrices from one silver classifier, their distance to the truth, and what they lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from nlcore.correction import corrected_probabilities, galc_slr_matrix, glc_matrix, gold_count_matrix, matrix_tensor
from nlcore.losses import asymmetric_loss_of_probabilities
from nlcore.noise import empirical_corruption_matrix, true_corruption_matrix
from nlcore.papers.galc_slr.data import capped
from nlcore.papers.galc_slr.fitting import Protocol
from nlcore.papers.galc_slr.silver import SilverClassifier, SilverLoss
from nlcore.runs import Result, Work

READINGS = {"galc_slr": "repaired", "galc_slr as written": "as_written", "galc_slr unscaled": "unscaled"}


class MatrixEstimates(Protocol):
    """Arrays (K, K) by name: true, counted (on silver), glc, gold count, and GALC-SLR in three readings.

    Values: `distances` name -> (mean absolute error on the diagonal, off it) to the printed true matrix;
    `identity_rows` name -> number of classes without a usable gold image; `borrowed_regulators`, the number of classes
    without a single-label image; `single_label_images`, how many there are.
    """

    silver_loss: SilverLoss = "asl"
    cap: int | None = None  # at most so many single-label images of a class
    estimate_on: Literal["gold", "silver"] = "gold"  # silver: noisy labels, as Algorithm 1 says

    def requires(self) -> Sequence[Protocol]:
        return [SilverClassifier(**self.shared(), silver_loss=self.silver_loss)]

    def work(self) -> Work:
        return Work(type(self).__name__, 0.2)

    def compute(self, inputs: Sequence[Result]) -> Result:
        source, division = self.source(), self.division()
        logits = inputs[0].arrays
        rows, labels = (
            (division.gold, source.targets) if self.estimate_on == "gold" else (division.silver, division.noisy)
        )
        used, images = labels[rows], logits[self.estimate_on]
        kept = capped(source.single_classes, self.cap, self.seed)
        single = softmax(logits["single"][kept]) if len(kept) else np.empty((0, used.shape[1]))
        found = {"glc": glc_matrix(used, softmax(images))}
        for name, reading in READINGS.items():
            found[name] = galc_slr_matrix(
                used, sigmoid(images), softmax(images), source.single_classes[kept], single, reading=reading
            )
        found["gold count"] = gold_count_matrix(source.targets[division.gold], division.noisy[division.gold])
        truth = true_corruption_matrix(used.shape[1], self.noise / 100)
        counted = empirical_corruption_matrix(source.targets[division.silver], division.noisy[division.silver])
        matrices = {"true": truth, "counted": counted} | {name: estimate.matrix for name, estimate in found.items()}
        values = {
            "distances": {name: distance(matrix, truth) for name, matrix in matrices.items()},
            "identity_rows": {name: len(estimate.identity_rows) for name, estimate in found.items()},
            "borrowed_regulators": len(found["galc_slr"].borrowed_regulators),
            "single_label_images": len(kept),
        }
        return Result(values, matrices)


class SigmoidEffect(Protocol):
    """Value `rows`: what the corrected loss sees on silver images, by correction (the notebook's section "Why").

    The silver classifier's own sigmoids stand for g. `mean`: of C'g over all cells; `above_one`: share of cells where
    C'g exceeds 1; `row_sum`: of C, on average; `with_gradient`: share of cells whose loss has a gradient at all;
    `from_absent`: share of the absolute gradient that comes from absent labels, which alone can push a class down.
    """

    def requires(self) -> Sequence[Protocol]:
        return [SilverClassifier(**self.shared()), MatrixEstimates(**self.shared())]

    def work(self) -> Work:
        return Work(type(self).__name__, 0.2)

    def compute(self, inputs: Sequence[Result]) -> Result:
        matrices, labels = inputs[1].arrays, self.division().noisy[self.division().silver]
        logits = inputs[0].arrays["silver"].astype(np.float32)
        corrections = [
            ("no correction", np.eye(labels.shape[1]), 1e-6),
            ("true matrix", matrices["true"], 1e-6),
            ("galc_slr", matrices["galc_slr"], 1e-6),
            ("galc_slr as written", matrices["galc_slr as written"], None),
            ("galc_slr as written, clipped", matrices["galc_slr as written"], 1e-6),
        ]
        return Result({"rows": [{"correction": n, **silver_gradient(logits, labels, m, f)} for n, m, f in corrections]})


def silver_gradient(
    logits: np.ndarray, labels: np.ndarray, matrix: np.ndarray, floor: float | None
) -> dict[str, float]:
    """See `SigmoidEffect`. The gradient is that with respect to C'g, cell by cell: logits, labels (n, K)."""
    inner = torch.as_tensor(logits).sigmoid() @ matrix_tensor(matrix)  # C'g before any clipping
    inner.requires_grad_(True)
    observed = corrected_probabilities(inner, torch.eye(len(matrix)), floor=floor)
    targets = torch.as_tensor(labels, dtype=torch.float32)
    asymmetric_loss_of_probabilities(observed, targets).backward()
    size, inner = inner.grad.abs(), inner.detach()
    return {
        "row_sum": float(matrix.sum(axis=1).mean()),
        "mean": float(inner.mean()),
        "above_one": float((inner > 1).float().mean()),
        "with_gradient": float((size > 0).float().mean()),
        "from_absent": float(size[targets == 0].sum() / size.sum().clamp(min=1e-12)),
    }


def distance(matrix: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean absolute error on the diagonal and off it, both (K, K)."""
    error, diagonal = np.abs(matrix - truth), np.eye(len(truth), dtype=bool)
    return float(error[diagonal].mean()), float(error[~diagonal].mean())


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Elementwise, in float64."""
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the classes, (n, K), in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True).astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)
