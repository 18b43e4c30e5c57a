"""How much a metric depends on which images it was taken on: its values in bootstrap draws of the test images.

A metric is a smooth function of how much each image counts. Its derivative by that, image for image, is the influence
of the image (Hampel 1974); a draw in which image i stands w_i times moves the metric by

    sum_i (w_i - 1) influence_i

to first order: the bootstrap without sorting anew in each draw (Efron 1982, "The jackknife, the bootstrap and other
resampling plans", ch. 6). The draws are the same for all metrics of as many images, so that those of two methods can be
subtracted draw by draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nlcore.errors import InputError
from nlcore.generators import generator

DRAWS = 200
MOVED = "_moved"  # after a metric's name, in results: by how much each draw moves it


@lru_cache(maxsize=4)
def image_draws(images: int) -> np.ndarray:
    """How often each of so many images stands in each draw of as many: (DRAWS, images) uint16.

    >>> image_draws(5).shape, set(image_draws(5).sum(axis=1).tolist())
    ((200, 5), {5})
    """
    rng = generator("draws of test images", images)
    return rng.multinomial(images, np.full(images, 1 / images), size=DRAWS).astype(np.uint16)


def moved(influence: np.ndarray) -> np.ndarray:
    """By how much a metric is moved in each draw.

    Args:
        influence: (N,), of every image.

    Returns:
        (DRAWS,) float32.
    """
    return (image_draws(len(influence)) @ influence - influence.sum()).astype(np.float32)


def average_precision_influence(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The influence of every image on each class's average precision ("standard" definition).

    Of AP = sum_i w_i TP_i / n_i / sum_i w_i over the positive images i, where TP_i and n_i count, with their weights w,
    the positives and all images that score at least as high as i. At w = 1 the derivative by w_j is

        1/P (sum over positives i not above j of (y_j - TP_i / n_i) / n_i  +  y_j (TP_j / n_j - AP))

    Args:
        targets: (N, K) of 1, 0 and -1 (unknown: the cell has no influence).
        scores: (N, K), higher = more likely.

    Returns:
        (N, K) float64; a class's sum to 0; NaN for a class without positives.

    Raises:
        InputError: the shapes differ.

    >>> found = average_precision_influence(np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.7]]))
    >>> np.round(found[:, 0], 3).tolist()  # without the image in the middle AP would be 1
    [0.139, -0.111, -0.028]
    """
    if targets.shape != scores.shape or targets.ndim != 2:
        found = f"{targets.shape} and {scores.shape}"
        raise InputError(f"targets and scores: found shapes {found}; expected both (images, classes)")
    return np.stack([_of_class(*pair) for pair in zip(targets.T, scores.T, strict=True)], axis=1)


def _of_class(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N,) of one class."""
    known, positive = targets >= 0, targets == 1
    scores = np.where(np.isnan(scores), -np.inf, scores)
    ranked = np.sort(scores[positive])  # of the P positives, ascending
    number = len(ranked)
    if not number:
        return np.full(len(targets), np.nan)
    reached = np.searchsorted(ranked, scores, side="right")  # positives that are not above the image
    listed = np.bincount(reached[known], minlength=number + 1)[::-1].cumsum()[::-1][1:]  # n_i
    precision = (number - np.searchsorted(ranked, ranked, side="left")) / listed  # TP_i / n_i
    up_to = lambda values: np.concatenate([[0.0], values.cumsum()])[reached]
    found = positive * up_to(1 / listed) - up_to(precision / listed)
    own = np.zeros(len(targets))
    own[positive] = precision[reached[positive] - 1] - precision.mean()
    return np.where(known, found + own, 0.0) / number


def mean_influence(influence: np.ndarray) -> np.ndarray:
    """The influence on mAP, the mean over the classes that have an average precision: (N, K) to (N,); else zeros.

    >>> mean_influence(np.array([[0.25, np.nan, 0.75], [-0.25, np.nan, -0.75]]))
    array([ 0.5, -0.5])
    """
    counted = ~np.isnan(influence[0])
    return influence[:, counted].mean(axis=1) if counted.any() else np.zeros(len(influence))


def map_influence(
    targets: np.ndarray, scores: np.ndarray, *, without: Sequence[int] = ()
) -> dict[str, np.ndarray]:
    """The influence of every image on mAP over all classes, and over those that are not in `without`: (N,) each.

    Arguments and errors as of `average_precision_influence`; the names are `map` and `map_without_person`, whose class
    is the only one that a paper leaves out.
    """
    by_class = average_precision_influence(targets, scores)
    others = np.delete(by_class, list(without), axis=1)
    return {"map": mean_influence(by_class), "map_without_person": mean_influence(others)}


def f1_influence(targets: np.ndarray, probabilities: np.ndarray, *, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The influence of every image on CF1 and on OF1: (N,) each; arguments as of `mean_class_f1`.

    Of F1 = 2 TP / (P + Q), with P positives and Q predicted, the derivative by an image's weight is
    (2 tp - F1 (p + q)) / (P + Q) with its own tp, p and q.

    >>> targets, probabilities = np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.1], [0.6, 0.9]])
    >>> [np.round(found, 2).tolist() for found in f1_influence(targets, probabilities, threshold=0.8)]
    [[0.11, -0.11], [0.08, -0.08]]
    """
    positive, predicted = targets == 1, (probabilities > threshold) & (targets >= 0)
    found, either = 2.0 * (positive & predicted), 1.0 * positive + predicted
    by_class = _f1_influence(found, either).mean(axis=1)
    return by_class, _f1_influence(found.sum(axis=1, keepdims=True), either.sum(axis=1, keepdims=True))[:, 0]


def _f1_influence(found: np.ndarray, either: np.ndarray) -> np.ndarray:
    total = np.maximum(either.sum(axis=0), 1)
    return (found - found.sum(axis=0) / total * either) / total
