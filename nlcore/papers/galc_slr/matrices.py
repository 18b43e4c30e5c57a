"""Corruption matrices (3.3, step 2): how far they are from the truth, and what they do to the gradient."""

from __future__ import annotations

import numpy as np
import torch

from nlcore.correction import matrix_tensor
from nlcore.losses import asymmetric_calibration, asymmetric_gradient_of_probabilities

# GALC-SLR's estimates by name, and how `nlcore.correction.galc_slr_matrix` makes each.
ESTIMATES = {"galc_slr": "repaired", "galc_slr as written": "as_written", "galc_slr unscaled": "unscaled"}
RELIABILITY_BINS = 20


def silver_gradient(
    logits: np.ndarray, labels: np.ndarray, matrix: np.ndarray, floor: float | None
) -> dict[str, float]:
    """What the corrected loss sees through a matrix: `row_sum`, `mean`, `above_one`, `with_gradient`, `from_absent`.

    They are explained in `runs.SigmoidEffect`. The gradient is that of ASL with respect to C'g, cell by cell.

    Args:
        logits, labels: (n, K), a classifier's for n images and their labels, 0 and 1.
        matrix: (K, K).
        floor: how far from 0 and 1 C'g is kept; None cuts nothing.
    """
    inner = torch.as_tensor(logits).sigmoid() @ matrix_tensor(matrix)  # C'g before any clipping
    observed = inner if floor is None else inner.clamp(floor, 1 - floor)
    targets = torch.as_tensor(labels, dtype=torch.float32)
    size = asymmetric_gradient_of_probabilities(observed, targets).masked_fill_(observed != inner, 0).abs()
    return {
        "row_sum": float(matrix.sum(axis=1).mean()),
        "mean": float(inner.mean()),
        "above_one": float((inner > 1).float().mean()),
        "with_gradient": float((size > 0).float().mean()),
        "from_absent": float(size[targets == 0].sum() / size.sum().clamp(min=1e-12)),
    }


def calibrated(outputs: np.ndarray) -> np.ndarray:
    """How often a label is there of which an ASL-trained classifier says p, for `outputs` p of any shape."""
    return asymmetric_calibration(torch.tensor(outputs)).numpy()


def reliability(outputs: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """By interval of a classifier's `outputs` (n, K): `cells`, the mean `output`, and the `share` that has the label.

    Intervals are twentieths of [0, 1]; those without a cell are left out.
    """
    place = np.minimum((outputs * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1).ravel()
    cells = np.bincount(place, minlength=RELIABILITY_BINS)
    sums = {name: np.bincount(place, values.ravel(), RELIABILITY_BINS) for name, values in
            (("output", outputs), ("share", labels))}  # fmt: skip
    return [
        {"cells": int(cells[k]), **{name: float(total[k] / cells[k]) for name, total in sums.items()}}
        for k in np.flatnonzero(cells)
    ]


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
