r"""Label quality scores: how likely all annotations of an image are right, as one number per image.

"Identifying Incorrect Annotations in Multi-Label Classification Data" (paper 3), section 4. Every class k of image i
gets a score s_i^k, the *self-confidence* (Eq. 1): the probability a model gives to the annotation as it stands. A
*pooling* makes one score s_i^* of the K scores; the lowest-scoring images are the first to look at.

Poolings are functions of scores (N, K) that return (N,), of the same kind and type. In their equations, s^k are the
scores of one image, s^(1) <= ... <= s^(n) the same scores in increasing order, and n is the number of classes whose
label is known. Scores are fractions in [0, 1], and so are the pooled ones unless a pooling says otherwise. A score of
NaN stands for an unknown label and is left out; an image with no known label has the score NaN, and so ranks last.
None loops over images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from numbers import Real

import array_api_compat

from nlcore.errors import InputError, require
from nlcore.scorers.blocks import (
    Array,
    check_arrays,
    check_values,
    checked_block,
    is_count,
    release_pages,
    row_blocks,
)


def label_quality_scores(
    labels: Array,
    probs: Array,
    *,
    pooling: str = "ema",
    block_bytes: int | None = None,
    threads: int = 1,
    **options: float,
) -> Array:
    """Label quality score of every image, shape (N,): the lower, the more suspect (paper 3, section 4).

    The self-confidence of every annotation, pooled over the classes. The rows are worked on in blocks, so memory does
    not grow with N.

    Args:
        labels: (N, K) of 1, 0 and -1 (unknown: left out).
        probs: (N, K) probabilities in [0, 1], best out of sample. Both are NumPy arrays or memory maps, or both torch
            tensors on one device.
        pooling: a key of `POOLINGS`; "ema" is the paper's choice.
        block_bytes: bytes of probabilities in a block; by default what suits the device.
        threads: blocks worked on at a time; the scores are the same for any number.
        options: what the pooling takes, e.g. `alpha=0.8` for "ema".

    Returns:
        (N,) of the kind of array and the type that the probabilities are (float32 for half precision); NaN for an image
        without a known label. In [0, 1] but for "log" (at most 0) and "weighted_cumulative" (up to 1.58).

    Raises:
        InputError: a pooling or an option that does not exist, an option or value out of range, or arrays whose shapes
            or types do not fit.

    >>> label_quality_scores(np.array([[1, 0], [0, -1]]), np.array([[0.9, 0.5], [0.25, 0.1]])).round(3)
    array([0.58, 0.75])
    """
    pool = _find_pooling(pooling, options)
    require(is_count(threads), "threads", threads, "a whole number of at least 1")
    check_arrays(labels, probs)

    def score(rows: slice) -> Array:
        scores = pool(_self_confidence(*checked_block(labels, probs, rows)), **options)
        release_pages(labels)
        release_pages(probs)
        return scores

    blocks = row_blocks(probs, block_bytes=block_bytes)
    if threads == 1:
        scores = [score(rows) for rows in blocks]
    else:
        with ThreadPoolExecutor(threads) as executor:
            scores = list(executor.map(score, blocks))
    return array_api_compat.array_namespace(probs).concat(scores)


def self_confidence(labels: Array, probs: Array) -> Array:
    r"""Self-confidence of every annotation, shape (N, K); NaN where the label is unknown (Eq. 1).

    s_i^k = b_i^k p_i^k + (1 - b_i^k)(1 - p_i^k), with b_i^k the label (1 or 0) and p_i^k the probability that class k
    applies to image i.

    Args:
        labels, probs: as for `label_quality_scores`.

    Raises:
        InputError: values out of range, or shapes and types that do not fit.

    >>> self_confidence(np.array([[1, 0, -1]]), np.array([[0.75, 0.75, 0.75]]))
    array([[0.75, 0.25,  nan]])
    """
    check_arrays(labels, probs)
    check_values(labels, probs)
    return _self_confidence(labels, probs)


def _self_confidence(labels: Array, probs: Array) -> Array:
    xp = array_api_compat.array_namespace(labels, probs)
    labels = xp.astype(labels, xp.int8, copy=False)
    scores = xp.abs(probs - (1 - labels))  # p, or |p - 1|: Eq. 1 to the last bit, in half the time of `where`
    return xp.where(labels == -1, xp.nan, scores) if xp.min(labels) < 0 else scores


# Poolings -------------------------------------------------------------------------------------------------------------


def minimum(scores: Array) -> Array:
    """s^* = min_k s^k: the most suspect class alone (Eq. 2).

    Args:
        scores: (N, K), NaN for an unknown label.

    >>> minimum(np.array([[0.5, 0.25, 1.0]]))
    array([0.25])
    """
    xp = array_api_compat.array_namespace(scores)
    lowest = xp.min(xp.where(xp.isnan(scores), xp.inf, scores), axis=1)
    return xp.where(xp.isinf(lowest), xp.nan, lowest)


def maximum(scores: Array) -> Array:
    """s^* = max_k s^k: the most trusted class alone (Eq. 3).

    Args:
        scores: (N, K), NaN for an unknown label.

    >>> maximum(np.array([[0.5, 0.25, 1.0]]))
    array([1.])
    """
    return -minimum(-scores)


def mean(scores: Array) -> Array:
    """s^* = mean_k s^k, over the known classes (Eq. 4).

    Args:
        scores: (N, K), NaN for an unknown label.

    >>> mean(np.array([[0.5, 0.25, np.nan]]))
    array([0.375])
    """
    return _weighted_mean(scores, array_api_compat.array_namespace(scores).ones_like(scores))


def median(scores: Array) -> Array:
    """s^* = median_k s^k; of an even number of scores, the mean of the middle two (Eq. 5).

    Args:
        scores: (N, K), NaN for an unknown label.

    >>> median(np.array([[0.5, 0.25, 1.0]]))
    array([0.5])
    """
    xp = array_api_compat.array_namespace(scores)

    def weights(position: Array, known: Array) -> Array:
        lower, upper = xp.floor((known + 1) / 2), xp.ceil((known + 1) / 2)
        return (xp.astype(position == lower, position.dtype) + xp.astype(position == upper, position.dtype)) / 2

    return _weighted_order_statistics(scores, weights)


def exponential_moving_average(scores: Array, *, alpha: float = 0.8) -> Array:
    r"""Exponential moving average over the scores in decreasing order: the smallest weighs most (Eq. 6).

    S^1 = the largest score, S^t = alpha (t-th largest) + (1 - alpha) S^(t-1), s^* = S^n. Written out, the k-th
    *smallest* score has the weight alpha (1 - alpha)^(k-1), and the largest (1 - alpha)^(n-1): a sort and fixed
    weights.

    Args:
        scores: (N, K), NaN for an unknown label.
        alpha: the forgetting factor, in (0, 1]; 1 is the minimum.

    Raises:
        InputError: another alpha.

    >>> exponential_moving_average(np.array([[0.5, 0.25, 1.0]]), alpha=0.5)
    array([0.5])
    """
    require(isinstance(alpha, Real) and 0 < alpha <= 1, "alpha", alpha, "a number above 0 and at most 1")
    xp = array_api_compat.array_namespace(scores)

    def weights(position: Array, known: Array) -> Array:
        factor = xp.where(position == known, xp.ones_like(position), float(alpha))
        return (1 - alpha) ** (position - 1) * factor

    return _weighted_order_statistics(scores, weights)


def softmin(scores: Array, *, temperature: float = 0.1) -> Array:
    r"""s^* = sum_k s^k e^((1 - s^k) / tau) / sum_k e^((1 - s^k) / tau): a softer minimum (Eq. 7).

    Args:
        scores: (N, K), NaN for an unknown label.
        temperature: tau, above 0: towards 0 the minimum, towards infinity the mean.

    Raises:
        InputError: the temperature is no finite number above 0.

    >>> softmin(np.array([[0.0, 1.0]]), temperature=1.0).round(4)
    array([0.2689])
    """
    valid = isinstance(temperature, Real) and 0 < temperature < float("inf")
    require(valid, "temperature", temperature, "a finite number above 0")
    xp = array_api_compat.array_namespace(scores)
    temperature = max(float(temperature), float(xp.finfo(scores.dtype).smallest_normal))  # it may be 0 in float32
    # The factor e^((1 - min s) / tau) cancels; without it the exponential overflows at a low temperature.
    return _weighted_mean(scores, xp.exp((minimum(scores)[:, None] - scores) / temperature))


def log_transform(scores: Array, *, epsilon: float = 1e-8) -> Array:
    r"""s^* = 1/n sum_k log(s^k + epsilon): minus the binary cross-entropy of the annotations (Eq. 8).

    Args:
        scores: (N, K), NaN for an unknown label.
        epsilon: above 0, keeps a score of zero finite.

    Returns:
        (N,), from log(epsilon) to 0.

    Raises:
        InputError: epsilon is no finite number above 0.

    >>> log_transform(np.array([[1.0, 0.5]])).round(4)
    array([-0.3466])
    """
    require(isinstance(epsilon, Real) and 0 < epsilon < float("inf"), "epsilon", epsilon, "a finite number above 0")
    return mean(array_api_compat.array_namespace(scores).log(scores + epsilon))


def cumulative_average(scores: Array, *, k: int = 2) -> Array:
    r"""s^* = 1/J sum_(k=1)^J s^(k): the mean of the J lowest scores, J = min(k, n) (Eq. 9).

    Args:
        scores: (N, K), NaN for an unknown label.
        k: how many scores, at least 1; all where an image has fewer.

    Raises:
        InputError: k is no whole number of at least 1.

    >>> cumulative_average(np.array([[0.5, 0.25, 1.0]]))
    array([0.375])
    """
    require(is_count(k), "k", k, "a whole number of at least 1")
    xp = array_api_compat.array_namespace(scores)

    def weights(position: Array, known: Array) -> Array:
        return xp.astype(position <= k, position.dtype) / xp.clip(known, max=float(k))

    return _weighted_order_statistics(scores, weights)


def weighted_cumulative_average(scores: Array) -> Array:
    r"""s^* = sum_(J=1)^n e^(1 - J) / J sum_(k=1)^J s^(k): cumulative averages of all lengths, the short first (Eq. 10).

    The weights do not add up to one, so s^* reaches about 1.58.

    Args:
        scores: (N, K), NaN for an unknown label.

    >>> weighted_cumulative_average(np.array([[1.0, 0.5]])).round(4)  # 0.5 + e^-1 (0.5 + 1) / 2
    array([0.7759])
    """
    xp = array_api_compat.array_namespace(scores)

    def weights(position: Array, known: Array) -> Array:
        # s^(k) is part of every average of length J >= k: exchange the two sums, and its weight is a sum from the end.
        by_length = xp.where(position <= known, xp.exp(1 - position) / position, 0.0)
        return xp.flip(xp.cumulative_sum(xp.flip(by_length, axis=-1), axis=-1), axis=-1)

    return _weighted_order_statistics(scores, weights)


def simple_moving_average(scores: Array, *, period: int = 2) -> Array:
    r"""s^* = 1/(P (n - P + 1)) sum_(k'=P)^n sum_(k=k'-P+1)^k' s^(k): mean of the moving averages (Eq. 11).

    P = min(period, n) neighbours in sorted order are averaged at a time.

    Args:
        scores: (N, K), NaN for an unknown label.
        period: at least 1; 1 is the mean.

    Raises:
        InputError: the period is no whole number of at least 1.

    >>> simple_moving_average(np.array([[0.5, 0.25, 1.0]]))  # (0.375 + 0.75) / 2
    array([0.5625])
    """
    require(is_count(period), "period", period, "a whole number of at least 1")
    xp = array_api_compat.array_namespace(scores)

    def weights(position: Array, known: Array) -> Array:
        width = xp.clip(known, max=float(period))
        windows = known - width + 1
        # How many of the windows hold s^(k): fewer towards the two ends.
        windows_with = xp.minimum(xp.minimum(position, known - position + 1), xp.minimum(width, windows))
        return windows_with / (width * windows)

    return _weighted_order_statistics(scores, weights)


POOLINGS: dict[str, Callable[..., Array]] = {
    "min": minimum,
    "max": maximum,
    "mean": mean,
    "median": median,
    "ema": exponential_moving_average,
    "softmin": softmin,
    "log": log_transform,
    "cumulative": cumulative_average,
    "weighted_cumulative": weighted_cumulative_average,
    "sma": simple_moving_average,
}


def _weighted_order_statistics(scores: Array, weights: Callable[[Array, Array], Array]) -> Array:
    """sum_k w_k(n) s^(k) for every row; `weights(position, known)` gives w at positions 1 ... K for n known scores."""
    xp = array_api_compat.array_namespace(scores)
    device = array_api_compat.device(scores)
    ascending = xp.sort(scores, axis=1, stable=False)  # NaN last; a stable sort takes twice as long, to no end
    count = scores.shape[1]
    position = xp.arange(1, count + 1, dtype=xp.float64, device=device)
    if not xp.any(xp.isnan(ascending[:, -1])):  # the usual case: the weights are the same for every row
        known = xp.full((1,), count, dtype=xp.float64, device=device)
        return ascending @ xp.astype(weights(position, known), scores.dtype)
    unknown = xp.isnan(ascending)
    known = xp.sum(xp.astype(~unknown, xp.float64), axis=1, keepdims=True)
    table = xp.astype(weights(position, xp.clip(known, min=1.0)), scores.dtype)
    pooled = xp.sum(xp.where(unknown, 0.0, ascending * table), axis=1)
    return xp.where(known[:, 0] == 0, xp.nan, pooled)


def _weighted_mean(scores: Array, weights: Array) -> Array:
    """sum_k w^k s^k / sum_k w^k over the known scores of every row; NaN where none is known."""
    xp = array_api_compat.array_namespace(scores)
    unknown = xp.isnan(scores)
    total = xp.sum(xp.where(unknown, 0.0, weights), axis=1)
    weighted = xp.sum(xp.where(unknown, 0.0, weights * scores), axis=1)
    return weighted / xp.where(xp.all(unknown, axis=1), xp.nan, total)


# Options --------------------------------------------------------------------------------------------------------------


def _find_pooling(name: str, options: dict[str, float]) -> Callable[..., Array]:
    if not isinstance(name, str) or name not in POOLINGS:
        raise InputError(f"pooling: found {name!r}; expected one of {', '.join(POOLINGS)}")
    parameters = inspect.signature(POOLINGS[name]).parameters.values()
    valid = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for option in options:
        if option not in valid:
            expected = f"only {', '.join(valid)}" if valid else "none"
            raise InputError(f"option of pooling {name!r}: found {option!r}; expected {expected}")
    return POOLINGS[name]
