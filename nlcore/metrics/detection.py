"""How well a ranking of suspicious images finds label errors (paper 3), and how good the classifiers behind it are.

A *low* score marks a suspicious image. NumPy arrays; fractions in [0, 1], except lift and Spearman's correlation.
A NaN score ranks last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, jaccard_score, roc_auc_score

from nlcore.errors import InputError

Array = Any  # a NumPy array


def auprc(scores: Array, hits: Array) -> float:
    """Area under the precision-recall curve of "low score = label error" (paper 3), as average precision.

    Args:
        scores: (N,) label quality; low = suspicious, NaN ranks last.
        hits: (N,) whether the image really has a label error. NaN is returned where none has.
    """
    scores, hits = _checked_ranking(scores, hits)
    return average_precision_at(scores, hits, len(scores)) if hits.any() else float("nan")


def auroc(scores: Array, hits: Array) -> float:
    """Area under the ROC curve; arguments as for `auprc`. NaN where all images are alike."""
    scores, hits = _checked_ranking(scores, hits)
    return float(roc_auc_score(hits, rankdata(-scores))) if 0 < hits.sum() < len(hits) else float("nan")


def average_precision_at(scores: Array, hits: Array, t: int) -> float:
    """AP@T of paper 3: average precision within the list of the T lowest scores, and nothing beyond it.

    The list is normalised by the hits *inside it* (0 where there are none), so AP@N is the AUPRC. Which images make
    the list where scores are equal is decided by position; inside the list, equal scores share one rank.

    Args:
        scores: (N,) label quality; low = suspicious, NaN ranks last.
        hits: (N,) what counts as found: at least one, two or three label errors.
        t: length of the list, 0 to N.

    >>> average_precision_at(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 0, 1, 1]), 3)  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    scores, hits = _checked_ranking(scores, hits)
    listed = _lowest(scores, t)
    if not hits[listed].any():
        return 0.0
    return float(average_precision_score(hits[listed], rankdata(-scores[listed])))


def spearman(scores: Array, error_counts: Array) -> float:
    """Spearman's rank correlation of the *suspicion* (minus the score) with the number of label errors.

    So positive is good, as in the published numbers. NaN where the scores or the counts are all equal.

    Args:
        scores: (N,) label quality; low = suspicious, NaN ranks last.
        error_counts: (N,) number of wrongly annotated classes of each image.
    """
    scores, error_counts = _checked_ranking(scores, error_counts, binary=False)
    suspicion, errors = rankdata(-scores), rankdata(error_counts)
    if np.ptp(suspicion) == 0 or np.ptp(errors) == 0:
        return float("nan")
    return float(np.corrcoef(suspicion, errors)[0, 1])


def lift_at(scores: Array, hits: Array, k: int) -> float:
    """Lift@k of paper 3: the share of hits among the k lowest scores over the share of hits among all.

    1 is what a random list gives. Ties by position, NaN ranks last; NaN is returned where there is no hit at all.

    >>> lift_at(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 0, 0, 0]), 2)
    2.0
    """
    scores, hits = _checked_ranking(scores, hits)
    if k < 1:
        raise InputError(f"lift needs a list of at least one image, not {k}")
    share_listed = hits[_lowest(scores, k)].mean()
    return float(share_listed / hits.mean()) if hits.any() else float("nan")


def mean_accuracy(targets: Array, predictions: Array) -> float:
    """Average per-class accuracy of Table S2: the share of right cells among the known ones, averaged over classes.

    Args:
        targets: (N, K) of 1, 0 and -1 (unknown: the cell is left out, and a class without a known cell too).
        predictions: (N, K) of 1 and 0.
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    if targets.shape != predictions.shape or targets.ndim != 2 or targets.size == 0:
        raise InputError(f"targets {targets.shape} and predictions {predictions.shape} must be (images, classes)")
    known = (targets >= 0).sum(axis=0)
    right = (targets == predictions).sum(axis=0)
    return float((right[known > 0] / known[known > 0]).mean()) if known.any() else float("nan")


def jaccard(targets: Array, predictions: Array) -> float:
    """Jaccard index of Table S2: |true and predicted| / |true or predicted|, averaged over images; 1 if both are empty.

    Args:
        targets, predictions: (N, K) of 1 and 0.
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    if targets.shape != predictions.shape or not np.isin(targets, (0, 1)).all():
        raise InputError("the Jaccard index needs targets of 0 and 1, and predictions of the same shape")
    return float(jaccard_score(targets, predictions, average="samples", zero_division=1))


def _checked_ranking(scores: Array, hits: Array, *, binary: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N,) with NaN at the end, and hits (N,) as booleans (or counts)."""
    scores, hits = np.asarray(scores, float), np.asarray(hits)
    if scores.ndim != 1 or scores.shape != hits.shape or scores.size == 0:
        raise InputError(f"scores {scores.shape} and hits {hits.shape} must be two lists of one length, not empty")
    if binary and not np.isin(hits, (0, 1)).all():
        raise InputError("hits must be 0 or 1: pass counts as `counts >= 2`")
    return np.where(np.isnan(scores), np.inf, scores), hits.astype(bool) if binary else hits


def _lowest(scores: np.ndarray, number: int) -> np.ndarray:
    if not 0 <= number <= len(scores):
        raise InputError(f"a list of {number} images cannot be taken from {len(scores)}")
    return np.argsort(scores, kind="stable")[:number]
