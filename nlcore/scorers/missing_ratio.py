"""Which partly labelled images to complete (paper 2): by the ratio of unknown to known labels, and by entropy.

The measures choose images whose targets are (N, K) with 1, 0 and -1 = unknown. When labels are missing uniformly at
random, as in the paper, the ratio says nothing about what an image shows: then Hard and Medium choose at random as far
as the image goes, and differ in cost only.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace
from scipy.stats import rankdata

from nlcore.errors import InputError, require, require_fraction
from nlcore.scorers.selection import check_number

Array = Any  # a NumPy array or a torch tensor
Measure = Literal["random", "medium", "hard", "hard+medium", "entropy"]
Combination = Literal["ties", "product"]
MEASURES: tuple[Measure, ...] = ("random", "medium", "hard", "hard+medium", "entropy")


def relabelling_cost(targets: Array) -> Array:
    """Cost of completing each image, (N, K) -> (N,) int64: its number of unknown cells (paper 2, 4.1).

    >>> relabelling_cost(np.array([[1, -1, -1], [0, 1, 0]]))
    array([2, 0])
    """
    xp = array_namespace(targets)
    return xp.sum(xp.astype(targets == -1, xp.int64), axis=-1)


def hard_ratio(targets: Array) -> Array:
    """Eq. 5: |unknown| / |known| of each image, the higher the harder; infinite where nothing is known.

    Args:
        targets: (N, K) of 1, 0 and -1 (unknown).

    Returns:
        (N,) float64 in [0, inf].

    Raises:
        InputError: targets are not (N, K), or not 1, 0 and -1.

    >>> hard_ratio(np.array([[1, -1, -1], [0, 1, 0], [-1, -1, -1]]))
    array([ 2.,  0., inf])
    """
    xp = array_namespace(targets)
    if targets.ndim != 2 or not xp.all((targets == 1) | (targets == 0) | (targets == -1)):
        shape = tuple(targets.shape)
        raise InputError(f"targets of shape {shape}: not usable; expected (images, classes) of 1, 0 and -1 (unknown)")
    unknown = xp.astype(relabelling_cost(targets), xp.float64)
    known = targets.shape[-1] - unknown
    return xp.where(known > 0, unknown / xp.where(known > 0, known, 1.0), xp.inf)


def medium_distance(targets: Array) -> Array:
    """Eq. 4: | |unknown| / |known| - 1 | of each image, the lower the better; infinite where nothing is known.

    Args, shape of the result and errors as for `hard_ratio`.

    >>> medium_distance(np.array([[1, -1, -1], [0, 1, 0], [1, 0, -1]]))
    array([1. , 1. , 0.5])
    """
    return array_namespace(targets).abs(hard_ratio(targets) - 1)


def select_batch(
    targets: Array,
    number: int,
    *,
    measure: Measure,
    entropy: Array | None = None,
    combination: Combination = "ties",
    hard_share: float = 0.1,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Choose the next images to complete (paper 2, 3.2 and lines 10 to 12 of Algorithm 1).

    Args:
        targets: (N, K) of the pool, with 1, 0 and -1 (unknown).
        number: size of the batch (50 in the paper).
        measure: "medium" (Eq. 4), "hard" (Eq. 5), "hard+medium", "entropy" alone, or "random".
        entropy: (N,) uncertainty of each image, to combine with a ratio measure; "entropy" needs it.
        combination: the paper does not say how the two combine. "ties": rank by ratio, the higher entropy decides
            between equal ratios. "product": the product of both ranks, lowest first (equal values share a mean rank).
        hard_share: in [0, 1]; "hard+medium" takes this share of the batch by Hard, the rest by Medium from what is
            left (rounded to a whole number of images). For the paper's other reading, the first tenth of the whole
            budget, pass 1.0 in the first iteration and then 0.0.
        rng: breaks the ties that remain, at random; without it the first image wins. "random" needs it.

    Returns:
        (number,) distinct indices into the pool, in the order of choice.

    Raises:
        InputError: an unknown measure or combination, a pool smaller than the batch, a share that is no fraction, or an
            argument is missing or does not fit.

    >>> pool = np.array([[1, 0, 0, -1], [1, -1, -1, -1], [0, 1, -1, -1]])  # ratios 1/3, 3, 1
    >>> select_batch(pool, 2, measure="hard"), select_batch(pool, 2, measure="medium")
    (array([1, 2]), array([2, 0]))
    """
    require(measure in MEASURES, "measure", measure, f"one of {', '.join(MEASURES)}")
    require_fraction("hard_share", hard_share)
    hard = -_numpy(hard_ratio(targets))  # the lower, the harder
    check_number(number, len(hard))
    entropy = _checked_entropy(entropy, len(hard), measure)
    if measure == "random" and rng is None:
        raise InputError("rng: missing; expected a generator for random selection")
    last = np.arange(len(hard)) if rng is None else rng.permutation(len(hard))
    rank = lambda ratio: _rank(ratio, entropy, combination, last)
    if measure == "hard+medium":
        first = rank(hard)[: round(hard_share * number)]
        rest = rank(_numpy(medium_distance(targets)))
        return np.concatenate([first, rest[~np.isin(rest, first)]])[:number]
    if measure in ("random", "entropy"):
        return rank(np.zeros(len(hard)))[:number]
    return rank(hard if measure == "hard" else _numpy(medium_distance(targets)))[:number]


def _rank(ratio: np.ndarray, entropy: np.ndarray | None, combination: Combination, last: np.ndarray) -> np.ndarray:
    """Images in order of choice: low ratio first, combined with high entropy, then by `last`."""
    require(combination in ("ties", "product"), "combination", combination, "'ties' or 'product'")
    if entropy is None:
        return np.lexsort((last, ratio))
    if combination == "product":
        return np.lexsort((last, rankdata(ratio) * rankdata(-entropy)))
    return np.lexsort((last, -entropy, ratio))  # the last key counts most


def _checked_entropy(entropy: Array | None, images: int, measure: str) -> np.ndarray | None:
    if measure == "random":
        return None
    if entropy is None:
        if measure == "entropy":
            raise InputError("entropy: missing; expected one for every image, as the measure 'entropy' needs it")
        return None
    entropy = _numpy(entropy)
    if entropy.shape != (images,) or np.isnan(entropy).any():
        raise InputError(f"entropy: found shape {entropy.shape} or NaN; expected a number for each of {images} images")
    return entropy


def _numpy(array: Array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.asarray(array.detach().cpu())
