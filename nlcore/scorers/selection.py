"""Taking a batch of images by score: the last step of every active-learning iteration (papers 1 and 2).

NumPy arrays; ties are decided by position, so the same scores always give the same batch.
"""

from __future__ import annotations

import numpy as np

from nlcore.errors import InputError, require


def select_lowest(scores: np.ndarray, number: int) -> np.ndarray:
    """Indices (number,) of the lowest scores, lowest first; ties by position, NaN last.

    Args:
        scores: (N,), one per image of the pool.
        number: how many to take, 0 to N.

    Raises:
        InputError: scores are not (N,), or `number` is not 0 to N.

    >>> select_lowest(np.array([0.3, 0.1, 0.3, np.nan]), 3).tolist()
    [1, 0, 2]
    """
    return _first(np.asarray(scores), number)


def select_highest(scores: np.ndarray, number: int) -> np.ndarray:
    """Indices (number,) of the highest scores, highest first; ties by position, NaN last.

    Args and errors as for `select_lowest`.

    >>> select_highest(np.array([0.3, 0.1, 0.3, np.nan]), 3).tolist()
    [0, 2, 1]
    """
    return _first(-np.asarray(scores), number)


def check_number(number: int, pool: int) -> None:
    """Raise an InputError unless `number` images can be taken from `pool` of them.

    >>> check_number(50, 20)
    Traceback (most recent call last):
    nlcore.errors.InputError: batch: found 50 images to select; expected 0 to 20, the size of the pool
    """
    if not 0 <= number <= pool:
        raise InputError(f"batch: found {number} images to select; expected 0 to {pool}, the size of the pool")


def _first(scores: np.ndarray, number: int) -> np.ndarray:
    require(scores.ndim == 1, "shape of scores", scores.shape, "(images,)")
    check_number(number, len(scores))
    return np.argsort(scores, kind="stable")[:number]
