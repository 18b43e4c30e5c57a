"""How well a ranking of suspicious images finds label errors (paper 3), and how good the classifiers behind it are.

A *low* score marks a suspicious image, and a NaN score ranks last. NumPy arrays. The metrics, of rankings those of
section 5.1, are fractions in [0, 1], except lift (a ratio, at least 0) and Spearman's correlation (in [-1, 1]).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, jaccard_score, roc_auc_score

from nlcore.errors import InputError, require

Array = Any  # a NumPy array


def auprc(scores: Array, hits: Array) -> float:
    """Area under the precision-recall curve of "low score = label error" (paper 3), as average precision.

    Args:
        scores: (N,) label quality; low = suspicious, NaN ranks last.
        hits: (N,) whether the image really has a label error.

    Returns:
        A fraction in [0, 1]; NaN where no image has an error.

    Raises:
        InputError: not two lists of one length, empty ones, or hits that are not 0 or 1.

    >>> auprc(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 0, 1, 0]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    scores, hits = _checked_ranking(scores, hits)
    return average_precision_at(scores, hits, len(scores)) if hits.any() else float("nan")


def auroc(scores: Array, hits: Array) -> float:
    """Area under the ROC curve of "low score = label error": how often an error scores below a right image.

    Args and errors as for `auprc`.

    Returns:
        A fraction in [0, 1], 0.5 for a random ranking; NaN where all images are alike.

    >>> auroc(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 0, 1, 0]))  # 3 of 4 pairs
    0.75
    """
    scores, hits = _checked_ranking(scores, hits)
    return float(roc_auc_score(hits, rankdata(-scores))) if 0 < hits.sum() < len(hits) else float("nan")


def average_precision_at(scores: Array, hits: Array, t: int) -> float:
    """AP@T of paper 3: average precision within the list of the T lowest scores, and nothing beyond it.

    The list is normalised by the hits *inside it* (0 where there are none), so AP@N is the AUPRC. Which images make
    the list where scores are equal is decided by position; inside the list, equal scores share one rank.

    Args:
        scores: (N,) label quality; low = suspicious, NaN ranks last.
        hits: (N,) what counts as found: at least one, two or three label errors.
        t: length of the list, 0 to N; the paper takes the number of mislabelled images.

    Returns:
        A fraction in [0, 1].

    Raises:
        InputError: as `auprc`; a list that is longer than the scores.

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

    Returns:
        In [-1, 1].

    Raises:
        InputError: not two lists of one length, or empty ones.

    >>> spearman(np.array([0.1, 0.2, 0.3]), np.array([2, 1, 0]))
    1.0
    """
    scores, error_counts = _checked_ranking(scores, error_counts, binary=False)
    suspicion, errors = rankdata(-scores), rankdata(error_counts)
    if np.ptp(suspicion) == 0 or np.ptp(errors) == 0:
        return float("nan")
    return float(np.corrcoef(suspicion, errors)[0, 1])


def lift_at(scores: Array, hits: Array, k: int) -> float:
    """Lift@k of paper 3 (5.2): the share of hits among the k lowest scores over the share of hits among all.

    Args:
        scores, hits: as for `auprc`; which of equal scores make the list is decided by position.
        k: length of the list, 1 to N.

    Returns:
        A ratio from 0 up: 1 is what a random list gives. NaN where there is no hit at all.

    Raises:
        InputError: as `auprc`; an empty list, or one that is longer than the scores.

    >>> lift_at(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 0, 0, 0]), 2)
    2.0
    """
    scores, hits = _checked_ranking(scores, hits)
    require(k >= 1, "k", k, "a list of at least one image")
    share_listed = hits[_lowest(scores, k)].mean()
    return float(share_listed / hits.mean()) if hits.any() else float("nan")


def mean_accuracy(targets: Array, predictions: Array) -> float:
    """Average per-class accuracy of Table S2: the share of right cells among the known ones, averaged over classes.

    Args:
        targets: (N, K) of 1, 0 and -1 (unknown: the cell is left out, and a class without a known cell too).
        predictions: (N, K) of 1 and 0.

    Returns:
        A fraction in [0, 1]; NaN where nothing is known.

    Raises:
        InputError: the shapes differ, are not (N, K), or hold nothing.

    >>> mean_accuracy(np.array([[1, 0], [0, -1]]), np.array([[1, 1], [1, 1]]))  # (1/2 + 0/1) / 2
    0.25
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    if targets.shape != predictions.shape or targets.ndim != 2 or targets.size == 0:
        found = f"{targets.shape} and {predictions.shape}"
        raise InputError(f"targets and predictions: found shapes {found}; expected both (images, classes)")
    known = (targets >= 0).sum(axis=0)
    right = (targets == predictions).sum(axis=0)
    return float((right[known > 0] / known[known > 0]).mean()) if known.any() else float("nan")


def jaccard(targets: Array, predictions: Array) -> float:
    """Jaccard index of Table S2: |true and predicted| / |true or predicted|, averaged over images; 1 if both are empty.

    Args:
        targets, predictions: (N, K) of 1 and 0.

    Returns:
        A fraction in [0, 1].

    Raises:
        InputError: the shapes differ, or targets are not 0 or 1.

    >>> jaccard(np.array([[1, 1, 0], [0, 0, 0]]), np.array([[1, 0, 0], [0, 0, 0]]))  # (1/2 + 1) / 2
    0.75
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    if targets.shape != predictions.shape or not np.isin(targets, (0, 1)).all():
        found = f"{targets.shape} and {predictions.shape}, or other values"
        raise InputError(f"targets and predictions: found {found}; expected one shape, and targets of 0 and 1")
    return float(jaccard_score(targets, predictions, average="samples", zero_division=1))


def _checked_ranking(scores: Array, hits: Array, *, binary: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N,) with NaN at the end, and hits (N,) as booleans (or counts)."""
    scores, hits = np.asarray(scores, float), np.asarray(hits)
    if scores.ndim != 1 or scores.shape != hits.shape or scores.size == 0:
        found = f"{scores.shape} and {hits.shape}"
        raise InputError(f"scores and hits: found shapes {found}; expected two lists of one length, not empty")
    if binary and not np.isin(hits, (0, 1)).all():
        raise InputError("hits: found other values; expected 0 or 1, so pass counts as `counts >= 2`")
    return np.where(np.isnan(scores), np.inf, scores), hits.astype(bool) if binary else hits


def _lowest(scores: np.ndarray, number: int) -> np.ndarray:
    if not 0 <= number <= len(scores):
        raise InputError(f"length of the list: found {number}; expected 0 to {len(scores)}, the number of images")
    return np.argsort(scores, kind="stable")[:number]
