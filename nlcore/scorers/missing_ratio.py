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

from nlcore.errors import InputError
from nlcore.scorers.selection import check_number

Array = Any  # a NumPy array or a torch tensor
Measure = Literal["random", "medium", "hard", "hard+medium", "entropy"]
Combination = Literal["ties", "product"]
MEASURES: tuple[Measure, ...] = ("random", "medium", "hard", "hard+medium", "entropy")


def relabelling_cost(targets: Array) -> Array:
    """Cost of completing each image: its number of unknown cells, (N, K) -> (N,)."""
    xp = array_namespace(targets)
    return xp.sum(xp.astype(targets == -1, xp.int64), axis=-1)


def hard_ratio(targets: Array) -> Array:
    """Eq. 5: |unknown| / |known| of each image, the higher the harder; infinite where nothing is known.

    Args:
        targets: (N, K) of 1, 0 and -1 (unknown).

    Returns:
        (N,) float64 in [0, inf].
    """
    xp = array_namespace(targets)
    if targets.ndim != 2 or not xp.all((targets == 1) | (targets == 0) | (targets == -1)):
        raise InputError("targets must be (images, classes) of 1, 0 and -1 (unknown)")
    unknown = xp.astype(relabelling_cost(targets), xp.float64)
    known = targets.shape[-1] - unknown
    return xp.where(known > 0, unknown / xp.where(known > 0, known, 1.0), xp.inf)


def medium_distance(targets: Array) -> Array:
    """Eq. 4: | |unknown| / |known| - 1 | of each image, the lower the better; infinite where nothing is known."""
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
    """Choose the next images to complete.

    Args:
        targets: (N, K) of the pool, with 1, 0 and -1 (unknown).
        number: size of the batch (50 in the paper).
        measure: "medium" (Eq. 4), "hard" (Eq. 5), "hard+medium", "entropy" alone, or "random".
        entropy: (N,) uncertainty of each image, to combine with a ratio measure; "entropy" needs it.
        combination: the paper does not say how the two combine. "ties": rank by ratio, the higher entropy decides
            between equal ratios. "product": the product of both ranks, lowest first (equal values share a mean rank).
        hard_share: "hard+medium" takes this share of the batch by Hard, the rest by Medium from what is left. For the
            paper's other reading, the first tenth of the whole budget, pass 1.0 in the first iteration and then 0.0.
        rng: breaks the ties that remain, at random; without it the first image wins. "random" needs it.

    Returns:
        (number,) distinct indices into the pool, in the order of choice.

    Raises:
        InputError: an unknown measure or combination, a pool smaller than the batch, or an argument is missing.
    """
    if measure not in MEASURES:
        raise InputError(f"unknown measure {measure!r}: choose from {', '.join(MEASURES)}")
    if not 0 <= hard_share <= 1:
        raise InputError(f"hard_share must lie in [0, 1], not {hard_share}")
    hard = -_numpy(hard_ratio(targets))  # the lower, the harder
    check_number(number, len(hard))
    entropy = _checked_entropy(entropy, len(hard), measure)
    if measure == "random" and rng is None:
        raise InputError("random selection needs a generator")
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
    if combination not in ("ties", "product"):
        raise InputError(f"unknown combination {combination!r}: choose 'ties' or 'product'")
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
            raise InputError("the measure 'entropy' needs the entropy of every image")
        return None
    entropy = _numpy(entropy)
    if entropy.shape != (images,) or np.isnan(entropy).any():
        raise InputError(f"entropy must be a number for each of the {images} images, not NaN")
    return entropy


def _numpy(array: Array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.asarray(array.detach().cpu())
