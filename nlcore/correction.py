"""Loss correction with an estimated corruption matrix (paper 4: GLC and GALC-SLR).

A corruption matrix C is (K, K): C[k, j] is the probability, a fraction in [0, 1], that label k was turned into label j
(paper 4, Section 3.1). The estimators take
what a *silver* classifier, trained on noisy labels, predicts for images whose true labels are known (*gold* images).
They are NumPy, since a matrix is estimated once per run; correcting the predictions in the loss is torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from nlcore.errors import InputError, require
from nlcore.noise import empirical_corruption_matrix

Reading = Literal["repaired", "as_written", "unscaled"]


@dataclass(frozen=True)
class CorruptionEstimate:
    """An estimated corruption matrix, and the classes for which there was too little to estimate it from.

    Attributes:
        matrix: (K, K) float64.
        identity_rows: classes without a usable gold image; their row is that of the identity.
        borrowed_regulators: classes without a single-label image; their regulator is GLC's row.
    """

    matrix: np.ndarray
    identity_rows: tuple[int, ...] = ()
    borrowed_regulators: tuple[int, ...] = ()


def gold_count_matrix(gold_targets: np.ndarray, gold_noisy_targets: np.ndarray) -> CorruptionEstimate:
    """The natural reference: what happened to the gold images' own labels, counted, without any classifier.

    Args:
        gold_targets: (n, K) of 0 and 1, the true labels of the gold images.
        gold_noisy_targets: (n, K), the labels the same images had before they were verified.

    Returns:
        The matrix of `noise.empirical_corruption_matrix`; a class without a gold image gets the row of the identity.

    Raises:
        InputError: no gold image at all, shapes that differ, targets not 0 or 1, or other numbers of labels.

    >>> gold_count_matrix(np.array([[1, 1, 0], [1, 0, 0]]), np.array([[1, 0, 1], [1, 0, 0]]))
    CorruptionEstimate(matrix=array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 0., 1.]]), identity_rows=(2,), borrowed_regulators=())
    """
    gold_targets = _checked_targets(gold_targets)
    matrix = empirical_corruption_matrix(gold_targets, gold_noisy_targets)
    return CorruptionEstimate(matrix, _classes(gold_targets.sum(axis=0) == 0))


def glc_matrix(targets: np.ndarray, softmax: np.ndarray) -> CorruptionEstimate:
    """Gold Loss Correction (GLC): row k is the mean softmax output over the gold images that have class k.

    Paper 4 (3.2) takes it from Hendrycks et al. (2018), whose images have one class each.

    Args:
        targets: (n, K) of 0 and 1, the true labels of the gold images.
        softmax: (n, K), the silver classifier's softmax output for them.

    Returns:
        The matrix, whose rows sum to 1 as the softmax does; a class without a gold image gets the row of the identity.

    Raises:
        InputError: no gold image at all, shapes that differ, targets not 0 or 1, outputs not in [0, 1].

    >>> glc_matrix(np.array([[1, 0], [1, 0], [0, 1]]), np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])).matrix
    array([[0.7, 0.3],
           [0.2, 0.8]])
    """
    targets, softmax = _checked_targets(targets), _checked_outputs(softmax, targets, "softmax outputs")
    images = targets.sum(axis=0)  # (K,)
    matrix = np.where(images[:, None] > 0, targets.T @ softmax / np.maximum(images, 1)[:, None], np.eye(len(images)))
    return CorruptionEstimate(matrix, _classes(images == 0))


def galc_slr_matrix(
    targets: np.ndarray,
    sigmoid: np.ndarray,
    softmax: np.ndarray,
    single_classes: np.ndarray,
    single_softmax: np.ndarray,
    *,
    reading: Reading = "repaired",
) -> CorruptionEstimate:
    """Algorithm 1 of paper 4 (3.3), GALC-SLR's estimate with single-label regulators, without its loops over images:

        C_hat = diag(A)^-1 (Y' F_sig - B Reg + diag(B 1) Reg)

    Y (n, K) are the labels and F_sig (n, K) the silver classifier's sigmoids of the images used. A = Y'Y counts the
    images with both classes, B = A - diag(A). Reg_k, the regulator of class k, is the mean softmax over trusted images
    with the single label k. From the prediction for an image with class k, the regulators of its *other* classes are
    subtracted (line 31), and for each of them Reg_k is added once (line 33); row k is the mean over its images.

    Why "repaired" normalises: say Reg = C, and the classifier predicts the sum of the rows of C of an image's classes.
    Then row k of C_hat is (1 + m_k) C_k, with m_k the mean number of other classes beside k. Dividing the row by its
    sum gives C_k back; estimation error may make an entry negative, which no probability is, so it is cut at 0.

    Args:
        targets: (n, K) labels Y: the true ones of gold images (the paper's text), or noisy silver ones (Algorithm 1).
        sigmoid: (n, K) F_sig.
        softmax: (n, K) the silver classifier's softmax of the same images, for regulators borrowed from GLC.
        single_classes: (m,) the class of every trusted single-label image.
        single_softmax: (m, K) the silver classifier's softmax for them.
        reading: "repaired" cuts at 0 and normalises the rows; "as_written" applies the sigmoid of line 38, which
            turns every entry near 0 into 0.5; "unscaled" is C_hat itself, which the paper's Fig. 4 shows.

    Returns:
        The matrix, of entries in [0, 1] unless it is "unscaled". A class without an image gets the row of the identity
        (as does, when repaired, a row without a positive entry), a class without a single-label image GLC's row as its
        regulator.

    Raises:
        InputError: as for `glc_matrix`; an unknown reading; a class of a single-label image that is none.

    >>> softmax = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8]])  # of one single-label image per class
    >>> targets = np.array([[1, 1, 0], [0, 0, 1]])  # the first image has two
    >>> sigmoid = targets @ softmax  # the classifier sees both corrupted labels of it, added up
    >>> galc_slr_matrix(targets, sigmoid, sigmoid / 2, np.array([0, 1, 2]), softmax).matrix
    array([[0.5, 0.3, 0.2],
           [0.1, 0.6, 0.3],
           [0.1, 0.1, 0.8]])
    """
    if reading not in ("repaired", "as_written", "unscaled"):
        raise InputError(f"reading: found {reading!r}; expected 'repaired', 'as_written' or 'unscaled'")
    glc = glc_matrix(targets, softmax)
    targets = _checked_targets(targets)
    sigmoid = _checked_outputs(sigmoid, targets, "sigmoid outputs")
    regulators, borrowed = _single_label_regulators(single_classes, single_softmax, glc.matrix)

    together = targets.T @ targets  # A
    images = np.diag(together)
    others = together - np.diag(images)  # B
    sums = targets.T @ sigmoid - others @ regulators + others.sum(axis=1, keepdims=True) * regulators
    matrix = _scaled(sums / np.maximum(images, 1)[:, None], reading)
    unusable = (images == 0) | (matrix.sum(axis=1) <= 0) if reading == "repaired" else images == 0
    return CorruptionEstimate(np.where(unusable[:, None], np.eye(len(images)), matrix), _classes(unusable), borrowed)


def matrix_tensor(
    matrix: np.ndarray, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """A corruption matrix (..., K, K) as the tensor that the corrected loss takes, checked.

    The check is here, once before training, because looking into a matrix on a GPU would make every step wait.

    Args:
        matrix: C, or any stack of them; rows need not sum to 1, since "as_written" and "unscaled" ones do not.
        device: where the training runs.
        dtype: of the tensor.

    Returns:
        (..., K, K), for `corrected_probabilities` and `corrected_logits`.

    Raises:
        InputError: it is not square, or a row has NaN, infinite or negative entries.

    >>> matrix_tensor(np.array([[1.5, -0.5], [0, 1]]))
    Traceback (most recent call last):
    nlcore.errors.InputError: corruption matrix: row 0 has negative entries; expected finite ones of at least 0
    """
    matrix = np.asarray(matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise InputError(f"corruption matrix: found shape {matrix.shape}; expected a square one")
    for wrong, what in ((~np.isfinite(matrix), "NaN or infinite"), (matrix < 0, "negative")):
        if wrong.any():
            row = np.argwhere(wrong)[0][-2]
            raise InputError(f"corruption matrix: row {row} has {what} entries; expected finite ones of at least 0")
    return torch.as_tensor(matrix, device=device, dtype=dtype)


def corrected_probabilities(
    probabilities: torch.Tensor, matrix: torch.Tensor, *, floor: float | None = 1e-6
) -> torch.Tensor:
    """What the noisy labels should look like, given what the true ones do: C' g (paper 4, step 3).

    Entry j is sum_k g_k C[k, j]: the label j is seen where a class k is present and turned into j.

    Args:
        probabilities: (..., N, K) the gold classifier's sigmoids g.
        matrix: (K, K) from `matrix_tensor`, or (..., K, K) with one matrix per leading index.
        floor: the result is kept in [floor, 1 - floor], where logarithms are finite. Even rows that sum to 1 can
            lead above 1 when an image has several classes. No gradient passes where it is cut. None cuts nothing.

    Returns:
        (..., N, K), in float32 at least: half precision would round 1 - floor to 1.

    Raises:
        InputError: the matrix is not (K, K).

    >>> corrected_probabilities(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.4], [0.4, 0.6]]))
    tensor([[0.6000, 0.4000]])
    """
    classes = probabilities.shape[-1]
    if matrix.shape[-2:] != (classes, classes):
        raise InputError(f"corruption matrix: found shape {tuple(matrix.shape)}; expected ({classes}, {classes})")
    wide = torch.promote_types(probabilities.dtype, torch.float32)
    with torch.autocast(probabilities.device.type, enabled=False):
        observed = probabilities.to(wide) @ matrix.to(device=probabilities.device, dtype=wide)
    return observed if floor is None else observed.clamp(floor, 1 - floor)


def corrected_logits(logits: torch.Tensor, matrix: torch.Tensor, *, floor: float = 1e-6) -> torch.Tensor:
    """`corrected_probabilities` of the sigmoids of `logits`, as logits again, for losses that take logits.

    The corrected loss of paper 4 is `loss(corrected_logits(logits, C), noisy_targets)` on silver images, plus
    `loss(logits, targets)` on gold ones.

    Args:
        logits: (..., N, K) of the gold classifier.
        matrix, floor: as for `corrected_probabilities`; a floor is needed here, to keep the logits finite.

    Returns:
        (..., N, K), in float32 at least.

    Raises:
        InputError: the matrix is not (K, K).

    >>> corrected_logits(torch.tensor([[3.0, -3.0]]), torch.tensor([[0.6, 0.4], [0.4, 0.6]])).sigmoid()
    tensor([[0.5905, 0.4095]])
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.logit(corrected_probabilities(torch.sigmoid(logits.to(wide)), matrix, floor=floor))


def _single_label_regulators(
    classes: np.ndarray, softmax: np.ndarray, glc_rows: np.ndarray
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Reg (K, K) of Algorithm 1, lines 7-15, and the classes whose row is GLC's for want of a single-label image."""
    classes, number = np.asarray(classes), len(glc_rows)
    integers = classes.size == 0 or np.issubdtype(classes.dtype, np.integer)
    if classes.ndim != 1 or not integers or np.any((classes < 0) | (classes >= number)):
        raise InputError(f"single-label images: found other classes; expected a whole number from 0 to {number - 1}")
    labels = np.eye(number)[classes.astype(np.int64)]  # (m, K)
    softmax = _checked_outputs(softmax, labels, "softmax outputs of single-label images")
    images = labels.sum(axis=0)
    means = labels.T @ softmax / np.maximum(images, 1)[:, None]
    return np.where(images[:, None] > 0, means, glc_rows), _classes(images == 0)


def _scaled(matrix: np.ndarray, reading: Reading) -> np.ndarray:
    if reading == "unscaled":
        return matrix
    if reading == "as_written":
        return 1 / (1 + np.exp(-matrix))
    positive = np.maximum(matrix, 0)
    total = positive.sum(axis=1, keepdims=True)
    return positive / np.where(total > 0, total, 1)


def _classes(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _checked_targets(targets: np.ndarray) -> np.ndarray:
    targets = np.asarray(targets)
    if targets.ndim != 2 or not ((targets == 0) | (targets == 1)).all():
        raise InputError(f"targets of shape {targets.shape}: not usable; expected (images, classes) of 0 and 1")
    if len(targets) == 0:
        raise InputError("gold set: empty; expected images with known labels to estimate a corruption matrix from")
    return targets.astype(np.float64)


def _checked_outputs(outputs: np.ndarray, targets: np.ndarray, what: str) -> np.ndarray:
    outputs = np.asarray(outputs, dtype=np.float64)
    require(outputs.shape == targets.shape, f"shape of {what}", outputs.shape, f"{targets.shape}, that of the targets")
    if not ((outputs >= 0) & (outputs <= 1)).all():
        raise InputError(f"{what}: found other values or NaN; expected fractions between 0 and 1")
    return outputs
