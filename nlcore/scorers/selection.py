"""Taking a batch of images by score: the last step of every active-learning iteration (papers 1 and 2)."""

from __future__ import annotations

import numpy as np

from nlcore.errors import InputError


def select_lowest(scores: np.ndarray, number: int) -> np.ndarray:
    """Indices (number,) of the lowest scores, lowest first; ties by position, NaN last.

    >>> select_lowest(np.array([0.3, 0.1, 0.3, np.nan]), 3).tolist()
    [1, 0, 2]
    """
    return _first(np.asarray(scores), number)


def select_highest(scores: np.ndarray, number: int) -> np.ndarray:
    """Indices (number,) of the highest scores, highest first; ties by position, NaN last."""
    return _first(-np.asarray(scores), number)


def check_number(number: int, pool: int) -> None:
    """Raise an InputError unless `number` images can be taken from `pool` of them."""
    if not 0 <= number <= pool:
        raise InputError(f"cannot select {number} images from a pool of {pool}")


def _first(scores: np.ndarray, number: int) -> np.ndarray:
    if scores.ndim != 1:
        raise InputError(f"scores must be one per image, not of shape {scores.shape}")
    check_number(number, len(scores))
    return np.argsort(scores, kind="stable")[:number]
