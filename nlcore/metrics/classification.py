"""Metrics of image classifiers (papers 1, 2, 4, 5): average precision, F1.

They take NumPy arrays or torch tensors on any device, of targets (N, K) with 1, 0 and -1 = unknown, and scores (N, K).
Unknown cells take part in nothing; a NaN score ranks last. All are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device

from nlcore.errors import InputError, require, require_fraction

Array = Any  # a NumPy array or a torch tensor
Definition = Literal["standard", "asl"]


def per_class_average_precision(targets: Array, scores: Array, *, definition: Definition = "standard") -> Array:
    """Average precision of every class: the mean, over the class's positive images, of the precision at their rank.

    AP_k = 1 / P_k * sum over positives i of TP_k(i) / n_k(i), where, among the images whose label k is known, n_k(i)
    counts those that score at least as high as image i, TP_k(i) the positives among them, and P_k all positives
    (paper 5, Eq. 5).

    Args:
        targets: (..., N, K) of 1, 0 and -1 (unknown: the cell is left out).
        scores: (..., N, K), higher = more likely. Leading axes broadcast, so B models are evaluated in one call.
        definition: "standard" is scikit-learn's: images with equal scores share one rank, a class without positives is
            NaN. "asl" is that of the public ASL script: equal scores are ranked by position (the later image first),
            the sum is divided by P_k + 1e-8, a class without positives is 0.

    Returns:
        (..., K) fractions in [0, 1], float64, of the kind of array that `scores` is. On the CPU NumPy is the faster
        of the two.

    Raises:
        InputError: the shapes do not fit, nothing to evaluate, a target that is not -1, 0 or 1, an unknown definition.

    >>> per_class_average_precision(np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.7]]))  # (1/1 + 2/3) / 2
    array([0.83333333])
    """
    require(definition in ("standard", "asl"), "definition", definition, "'standard' or 'asl'")
    xp, targets, scores = _checked(targets, scores)
    *leading, images, classes = scores.shape
    by_class = lambda array: xp.reshape(xp.matrix_transpose(array), (-1, images))  # (... K, N)
    positives = _Positives(xp, by_class(xp.broadcast_to(targets, scores.shape)))
    found = _average_precision(xp, positives, by_class(scores), definition)
    return xp.reshape(found, (*leading, classes))


class AveragePrecision:
    """`per_class_average_precision` of model after model on the same images: what follows from the targets is found
    once, which is half of the work.

    Args:
        targets, definition: as for `per_class_average_precision`; targets (N, K).

    Raises:
        InputError: as there.

    >>> of_class = AveragePrecision(np.array([[1], [0], [1]]))
    >>> of_class(np.array([[0.9], [0.8], [0.7]])), of_class(np.array([[0.9], [0.7], [0.8]]))
    (array([0.83333333]), array([1.]))
    """

    def __init__(self, targets: Array, *, definition: Definition = "standard") -> None:
        require(definition in ("standard", "asl"), "definition", definition, "'standard' or 'asl'")
        require(targets.ndim == 2, "axes of targets", targets.ndim, "2, (images, classes)")
        self.xp = array_namespace(targets)
        _check_targets(self.xp, targets)
        self.shape, self.definition = tuple(targets.shape), definition
        self.positives = _Positives(self.xp, self.xp.matrix_transpose(targets))

    def __call__(self, scores: Array) -> Array:
        """(K,) fractions of scores (N, K), an array of the kind that the targets are."""
        _check_shapes(self.shape, scores)
        by_class = self.xp.matrix_transpose(_nan_last(self.xp, scores))
        laid_out = self.xp.reshape(self.xp.reshape(by_class, (-1,)), by_class.shape)  # strided rows are sorted slowly
        return _average_precision(self.xp, self.positives, laid_out, self.definition)


def mean_average_precision(
    targets: Array, scores: Array, *, without: Sequence[int] = (), definition: Definition = "standard"
) -> Array:
    """mAP of papers 1, 2, 4 and 5: the mean of `per_class_average_precision` over the classes.

    Args:
        targets, scores, definition: as for `per_class_average_precision`. Classes without a positive image are left out
            ("standard") or count as 0 ("asl").
        without: further classes to leave out: mAP without `person` is `mean_average_precision(y, p, without=[0])`.

    Returns:
        A fraction in [0, 1] (0.75 for the 75 % of a paper), or one per leading index of `scores`; NaN where no class is
        left.

    Raises:
        InputError: as `per_class_average_precision`; a class to leave out that is none.

    >>> targets, scores = np.array([[1, 0], [0, 1], [1, 0]]), np.array([[0.9, 0.2], [0.8, 0.3], [0.7, 0.1]])
    >>> float(mean_average_precision(targets, scores)), float(mean_average_precision(targets, scores, without=[0]))
    (0.9166666666666666, 1.0)
    """
    return mean_of_classes(per_class_average_precision(targets, scores, definition=definition), without=without)


def mean_of_classes(average_precisions: Array, *, without: Sequence[int] = ()) -> Array:
    """mAP from the average precision of every class.

    Args:
        average_precisions: (..., K) fractions; NaN is left out.
        without: further classes to leave out.

    Returns:
        A fraction, or one per leading index; NaN where no class is left.

    Raises:
        InputError: a class to leave out that is none.

    >>> float(mean_of_classes(np.array([0.5, np.nan, 1.0])))
    0.75
    """
    xp = array_namespace(average_precisions)
    classes = average_precisions.shape[-1]
    if any(not 0 <= k < classes for k in without):
        raise InputError(f"without: found the classes {list(without)}; expected some of 0 to {classes - 1}")
    kept = np.isin(np.arange(classes), list(without), invert=True)
    counted = ~xp.isnan(average_precisions) & xp.asarray(kept, device=device(average_precisions))
    total = xp.sum(xp.where(counted, average_precisions, 0.0), axis=-1)
    number = xp.sum(xp.astype(counted, xp.float64), axis=-1)
    return xp.where(number > 0, total / xp.where(number > 0, number, 1.0), xp.nan)[()]


def average_precision_all(targets: Array, scores: Array) -> Array:
    """AP_all of paper 5 (4.2): the average precision of all image-class cells in one class-agnostic ranking.

    Args:
        targets, scores: as for `per_class_average_precision`; the scores of different classes are compared.

    Returns:
        A fraction in [0, 1], or one per leading index; NaN without a positive.

    Raises:
        InputError: as `per_class_average_precision`.

    >>> float(average_precision_all(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.8], [0.1, 0.7]])))  # (1 + 2/3) / 2
    0.8333333333333333
    """
    xp, targets, scores = _checked(targets, scores)
    as_rows = lambda array: xp.reshape(array, (-1, scores.shape[-2] * scores.shape[-1]))
    positives = _Positives(xp, as_rows(xp.broadcast_to(targets, scores.shape)))
    found = _average_precision(xp, positives, as_rows(scores), "standard")
    return xp.reshape(found, tuple(scores.shape[:-2]))[()]


def mean_class_f1(targets: Array, probabilities: Array, *, threshold: float = 0.8) -> Array:
    """CF1 of paper 4 (4.1): the mean over the classes of F1 = 2 TP / (2 TP + FP + FN), which is 0 where TP = 0.

    Args:
        targets: (..., N, K) of 1, 0 and -1 (unknown: the cell is left out).
        probabilities: (..., N, K) in [0, 1]; NaN predicts nothing.
        threshold: in [0, 1]; a class is predicted where its probability exceeds it (paper 4 gives none; ASL's script
            uses 0.8).

    Returns:
        A fraction in [0, 1], or one per leading index.

    Raises:
        InputError: the shapes do not fit, nothing to evaluate, a target that is not -1, 0 or 1, a threshold that is no
            fraction.

    >>> targets, probabilities = np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.9], [0.6, 0.9]])
    >>> float(mean_class_f1(targets, probabilities))  # classes: 2 / 3 each
    0.6666666666666666
    """
    xp, true_positives, positives, predicted = _counts(targets, probabilities, threshold)
    return xp.mean(_f1(xp, true_positives, positives, predicted), axis=-1)[()]


def overall_f1(targets: Array, probabilities: Array, *, threshold: float = 0.8) -> Array:
    """OF1 of paper 4 (4.1): F1 of all image-class cells together (micro F1).

    Args, shape of the result and errors as for `mean_class_f1`.

    >>> float(overall_f1(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.1], [0.6, 0.9]])))  # 2 of 3 found: 4 / 5
    0.8
    """
    xp, *counts = _counts(targets, probabilities, threshold)
    return _f1(xp, *(xp.sum(count, axis=-1) for count in counts))[()]


def _checked(targets: Array, scores: Array) -> tuple[ModuleType, Array, Array]:
    """The common namespace, the targets and the scores, which then have the shape (..., N, K) with NaN at the end."""
    xp = array_namespace(targets, scores)
    _check_shapes(tuple(targets.shape), scores)
    _check_targets(xp, targets)
    shape = np.broadcast_shapes(tuple(targets.shape), tuple(scores.shape))
    return xp, targets, xp.broadcast_to(_nan_last(xp, scores), shape)


def _check_shapes(targets: tuple[int, ...], scores: Array) -> None:
    if scores.ndim < 2 or len(targets) < 2 or targets[-2:] != tuple(scores.shape[-2:]):
        found = f"{targets} and {tuple(scores.shape)}"
        raise InputError(f"targets and scores: found shapes {found}; expected both (images, classes)")
    require(0 not in scores.shape, "shape of scores", tuple(scores.shape), "at least one image and one class")


def _check_targets(xp: ModuleType, targets: Array) -> None:
    if not xp.all((targets == 1) | (targets == 0) | (targets == -1)):
        raise InputError("targets: found other values; expected 1, 0 or -1 (unknown)")


def _nan_last(xp: ModuleType, scores: Array) -> Array:
    unranked = xp.isnan(scores)
    return xp.where(unranked, -xp.inf, scores) if xp.any(unranked) else scores


class _Positives:
    """What average precision needs of targets (R, N), whatever the scores."""

    def __init__(self, xp: ModuleType, targets: Array) -> None:
        known, positive = targets >= 0, targets == 1
        (self.cell,) = xp.nonzero(xp.reshape(positive, (-1,)))  # of all P positives, row after row
        self.images = targets.shape[1]
        self.row = self.cell // self.images
        self.number = xp.sum(xp.astype(positive, self.row.dtype), axis=-1)  # P_k of every row
        self.end = xp.cumulative_sum(self.number)
        self.before = (self.end - self.number)[self.row]  # positives in the rows before
        self.start = self.row * self.images
        self.known = None if xp.all(known) else known
        self.most = None if self.known is None else xp.sum(xp.astype(known, self.row.dtype), axis=-1)[self.row]


def _average_precision(xp: ModuleType, of: _Positives, scores: Array, definition: Definition) -> Array:
    """Average precision of every row of scores (R, N): (R,).

    Sorting values is several times faster than ranking every image (argsort). So each row is sorted once, and only
    the positives, a few per cent of the cells, are looked up in it.
    """
    if definition == "asl":  # unequal scores for all, in the order of a stable sort
        scores = xp.argsort(xp.argsort(scores, axis=-1, stable=True), axis=-1)
    ascending = scores if of.known is None else xp.where(of.known, scores, xp.min(scores))  # unknown ones at the bottom
    ascending = xp.sort(ascending, axis=-1, stable=False)  # stable would be slow, and equal numbers are equal
    listed = of.images - _first_not_below(xp, ascending, of.start, xp.reshape(scores, (-1,))[of.cell])  # n_k(i)
    listed = listed if of.most is None else xp.minimum(listed, of.most)

    key = xp.sort(of.row * (of.images + 1) + listed, stable=False)  # row after row; inside, the best rank comes first
    found = xp.searchsorted(key, key, side="right") - of.before  # TP_k(i)
    precision = xp.astype(found, xp.float64) / xp.astype(key - of.row * (of.images + 1), xp.float64)
    running = xp.cumulative_sum(precision, include_initial=True)
    total = running[of.end] - running[of.end - of.number]
    number = xp.astype(of.number, xp.float64)
    return total / (number + 1e-8) if definition == "asl" else total / xp.where(number > 0, number, xp.nan)


def _first_not_below(xp: ModuleType, ascending: Array, start: Array, values: Array) -> Array:
    """Index of the first element >= values[p] in the row of `ascending` (R, N) that begins at cell start[p]: by
    bisection for all p at once."""
    images = ascending.shape[-1]
    flat = xp.reshape(ascending, (-1,))
    low, step = start - 1, 1 << (images.bit_length() - 1)  # everything up to `low` is below the value
    last = start + images - 1
    while step:
        probe = xp.minimum(low + step, last)
        low = xp.where(flat[probe] < values, probe, low)
        step //= 2
    return low + 1 - start


def _counts(targets: Array, probabilities: Array, threshold: float) -> tuple[ModuleType, Array, Array, Array]:
    """Per class, over the known cells: true positives, positives and predicted positives, each (..., K)."""
    require_fraction("threshold", threshold)
    xp, targets, probabilities = _checked(targets, probabilities)
    positive, predicted = targets == 1, (probabilities > threshold) & (targets >= 0)
    count = lambda cells: xp.sum(xp.astype(cells, xp.float64), axis=-2)
    return xp, count(positive & predicted), count(positive), count(predicted)


def _f1(xp: ModuleType, true_positives: Array, positives: Array, predicted: Array) -> Array:
    either = positives + predicted  # = 2 TP + FP + FN
    return 2 * true_positives / xp.where(either > 0, either, 1.0)
