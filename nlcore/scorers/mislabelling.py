"""Which images carry a wrong label, and which of those are worth relabelling (paper 1: D1, D2, CBIM).

An image with M given labels is predicted to have the M classes of highest probability. Classes that are predicted but
not given conflict with those that are given but not predicted; every such pair (y_p, y_t) may be a swapped label.

Probabilities and labels are (N, L) for N images and L classes, labels of 1, 0 and -1. An unknown label is neither
given nor predicted. NumPy arrays or torch tensors; what comes back is of the same kind. Likelihoods, like
probabilities, are fractions in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from nlcore.errors import InputError, require_fraction
from nlcore.scorers.uncertainty import checked_probabilities

Array = Any  # a NumPy array or a torch tensor
BLOCK = 2**22  # contributions computed at a time: bounds the memory, whatever the number of pairs


@dataclass(frozen=True)
class ConflictingPairs:
    """All conflicting pairs of all images, image after image (paper 1, Fig. 4); each field is (pairs,)."""

    image: Array  # row of the image
    predicted: Array  # y_p, a class predicted but not given
    given: Array  # y_t, a class given but not predicted
    likelihood: Array  # the D1 of this pair alone, in [0, 1]


@dataclass(frozen=True)
class LikelihoodBins:
    """Clean and wrong images by mislabelling likelihood (paper 1, Tables 1-3)."""

    edges: np.ndarray  # (bins + 1,), from 0 to 1
    clean: np.ndarray  # (bins,) number of images without a wrong label
    wrong: np.ndarray  # (bins,) number of images with at least one

    @property
    def ratio(self) -> np.ndarray:
        """Clean images for each wrong one, (bins,): infinite without a wrong image, NaN in an empty bin."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.clean / self.wrong


def predicted_labels(probs: Array, labels: Array) -> Array:
    """Eq. 1: the M classes of highest probability as a mask (N, L), M = number of labels given to the image.

    Equal probabilities are ranked by index: the first class wins.

    Args:
        probs: (N, L) probabilities P(y|x).
        labels: (N, L) labels given to the images: 1, 0 and -1 (unknown: never predicted).

    Returns:
        (N, L) bool, with as many classes in each row as the image has labels.

    Raises:
        InputError: shapes differ, probabilities outside [0, 1] or NaN, labels not 1, 0 or -1.

    >>> predicted_labels(np.array([[0.8, 0.2, 0.5]]), np.array([[0, 1, 1]]))
    array([[ True, False,  True]])
    """
    xp, probs, labels = _checked(probs, labels)
    probs = xp.where(labels >= 0, probs, -xp.ones_like(probs))  # an unknown class comes after all known ones
    number = xp.sum(xp.astype(labels == 1, xp.int64), axis=-1, keepdims=True)  # M
    # Sorting values is several times faster than ranking classes (argsort); only those level with the M-th are ranked.
    ascending = xp.sort(probs, axis=-1, stable=False)
    last = ascending[xp.arange(probs.shape[0], device=device(probs)), xp.clip(-number[:, 0], -probs.shape[1], -1)]
    above, level = probs > last[:, None], probs == last[:, None]
    left = number - xp.sum(xp.astype(above, xp.int64), axis=-1, keepdims=True)
    return above | (level & (xp.cumulative_sum(xp.astype(level, xp.int64), axis=-1) <= left))


def mislabelling_likelihood(probs: Array, labels: Array) -> Array:
    """D1 (Eq. 2): the largest relative lead of a predicted class over a given one, among the conflicting pairs.

    D1(x) = max over (y_p, y_t) of (P(y_p|x) - P(y_t|x)) / max(P(y_p|x), P(y_t|x)). A predicted class is never less
    probable than one that is not, so this is 1 - min P(y_t|x) / max P(y_p|x).

    Args:
        probs: (N, L) probabilities P(y|x).
        labels: (N, L) labels given to the images.

    Returns:
        (N,) in [0, 1]; 0 without a conflict. Images above the paper's threshold t1 count as mislabelled.

    Raises:
        InputError: shapes differ, probabilities outside [0, 1] or NaN, labels not 1, 0 or -1.

    >>> mislabelling_likelihood(np.array([[0.8, 0.2, 0.5]]), np.array([[0, 1, 1]]))  # {0, 2} predicted: 1 - 0.2 / 0.8
    array([0.75])
    """
    xp, predicted, given = _conflicts(probs, labels)
    lead = xp.max(xp.where(predicted, probs, xp.zeros_like(probs)), axis=-1)
    trail = xp.min(xp.where(given, probs, xp.ones_like(probs)), axis=-1)
    conflict = xp.any(given, axis=-1) & (lead > 0)
    return xp.where(conflict, 1 - trail / xp.where(conflict, lead, xp.ones_like(lead)), xp.zeros_like(lead))


def conflicting_pairs(probs: Array, labels: Array) -> ConflictingPairs:
    """Every pair of a predicted and a given class in conflict, with its own D1 (paper 1, 3.3 and Fig. 4).

    Args and errors as for `mislabelling_likelihood`. An image with c classes predicted but not given has as many given
    but not predicted, and so c * c pairs. A pair of probabilities 0 and 0 has the likelihood 0.

    >>> pairs = conflicting_pairs(np.array([[0.8, 0.2, 0.5]]), np.array([[0, 1, 1]]))
    >>> pairs.image, pairs.predicted, pairs.given, pairs.likelihood
    (array([0]), array([0]), array([1]), array([0.75]))
    """
    xp, predicted, given = _conflicts(probs, labels)
    image, y_p = xp.nonzero(predicted)
    _, y_t = xp.nonzero(given)  # as many per image as above: both sets have M classes, less the common ones
    number = xp.sum(xp.astype(predicted, xp.int64), axis=-1)  # c conflicts make c * c pairs
    begin = (xp.cumulative_sum(number) - number)[image]
    repeats = number[image]
    first = xp.repeat(xp.arange(image.shape[0], device=device(image)), repeats)  # each y_p once for every y_t
    step = xp.arange(first.shape[0], device=device(image)) - (xp.cumulative_sum(repeats) - repeats)[first]
    image, y_p, y_t = image[first], y_p[first], y_t[begin[first] + step]
    lead, trail = probs[image, y_p], probs[image, y_t]
    return ConflictingPairs(image, y_p, y_t, 1 - xp.where(lead > 0, trail / xp.where(lead > 0, lead, 1.0), 1.0))


def feature_mislabelling_likelihood(
    probs: Array, labels: Array, weights: Array, features: Array, *, bias: Array | None = None
) -> Array:
    """D2 (Eq. 11): like D1, from what the features contribute to the conflicting classes instead of probabilities.

    D2(x) = max over (y_p, y_t) of (q_p - q_t) / max(q_p, q_t), with q_p and q_t of `pair_contributions`; 0 without a
    conflict, and at least 0, since the paper states the range [0, 1].

    Args:
        probs, labels: as for `mislabelling_likelihood`.
        weights: (L, F) w of the last layer, F its number of features.
        features: (N, F) z, the output of the second-to-last layer.
        bias: (L,) counts as the contribution of one more feature, so that contributions sum to the logit. The paper's
            Eq. 3 has none, and leaves it out: default.

    Returns:
        (N,) in [0, 1].

    Raises:
        InputError: as `mislabelling_likelihood`; weights and features that do not fit.

    >>> probs, labels = np.array([[0.8, 0.2, 0.5]]), np.array([[0, 1, 1]])
    >>> weights = np.array([[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> feature_mislabelling_likelihood(probs, labels, weights, np.array([[1.0, 1.0]]))  # q_p = 3, q_t = 1
    array([0.66666667])
    """
    pairs = conflicting_pairs(probs, labels)
    q_p, q_t = pair_contributions(pairs, weights, features, bias=bias)
    xp = array_namespace(q_p)
    larger = xp.maximum(q_p, q_t)
    likelihood = xp.where(larger > 0, (q_p - q_t) / xp.where(larger > 0, larger, 1.0), 0.0)
    return xp.clip(_largest_per_image(xp, pairs.image, likelihood, probs.shape[0], empty=0.0), 0.0, None)


def conflict_informativeness(
    probs: Array, labels: Array, weights: Array, features: Array, *, threshold: float = 0.5, bias: Array | None = None
) -> Array:
    """CBIM (Eqs. 6, 7): how strongly the features pull both ways, max over the saved pairs of sqrt(q_p q_t).

    Args:
        probs, labels, weights, features, bias: as for `feature_mislabelling_likelihood`.
        threshold: t1, a fraction in [0, 1]: a pair is saved when its D1 exceeds it (the paper gives no value).

    Returns:
        (N,), at least 0, the higher the more informative; minus infinity without a saved pair, so that those images
        rank last.

    Raises:
        InputError: as `feature_mislabelling_likelihood`; a threshold that is no fraction.

    >>> probs, labels = np.array([[0.8, 0.2, 0.5]]), np.array([[0, 1, 1]])
    >>> weights = np.array([[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> conflict_informativeness(probs, labels, weights, np.array([[1.0, 1.0]]))  # sqrt(3 * 1)
    array([1.73205081])
    """
    require_fraction("threshold", threshold)
    pairs = conflicting_pairs(probs, labels)
    saved = pairs.likelihood > threshold
    pairs = ConflictingPairs(*(field[saved] for field in vars(pairs).values()))
    q_p, q_t = pair_contributions(pairs, weights, features, bias=bias)
    xp = array_namespace(q_p)
    return _largest_per_image(xp, pairs.image, xp.sqrt(q_p * q_t), probs.shape[0], empty=-float("inf"))


def pair_contributions(
    pairs: ConflictingPairs, weights: Array, features: Array, *, bias: Array | None = None
) -> tuple[Array, Array]:
    """Eqs. 4, 5: q_p and q_t of every pair, the summed leads of the features for y_p and of those for y_t.

    Feature i leads by (w_{i,p} - w_{i,t}) z_i: for y_p where this is positive (F_p), for y_t where negative (F_t).

    Args:
        pairs: of `conflicting_pairs`.
        weights, features, bias: as for `feature_mislabelling_likelihood`.

    Returns:
        q_p and q_t, each (pairs,) and at least 0, in the unit of the logits.

    Raises:
        InputError: weights and features that do not fit.
    """
    xp = array_namespace(weights, features)
    if weights.ndim != 2 or features.ndim != 2 or weights.shape[1] != features.shape[1]:
        found = f"{tuple(weights.shape)} and {tuple(features.shape)}"
        raise InputError(f"weights and features: found {found}; expected (classes, features) and (images, features)")
    if bias is not None:
        weights = xp.concat([weights, bias[:, None]], axis=1)
        features = xp.concat([features, xp.ones_like(features[:, :1])], axis=1)
    block = max(1, BLOCK // weights.shape[1])
    parts = [(weights[:0, 0], weights[:0, 0])]  # so that no pair gives empty arrays
    for start in range(0, pairs.image.shape[0], block):
        now = slice(start, start + block)
        lead = (weights[pairs.predicted[now]] - weights[pairs.given[now]]) * features[pairs.image[now]]
        parts.append((xp.sum(xp.clip(lead, 0, None), axis=-1), xp.sum(xp.clip(-lead, 0, None), axis=-1)))
    q_p, q_t = zip(*parts, strict=True)
    return xp.concat(q_p), xp.concat(q_t)


def contribution_matrix(weights: Array, features: Array) -> Array:
    """FC (Eq. 3, Fig. 5): contribution w_{i,j} z_i of every feature to every class, for one image.

    Args:
        weights: (L, F) w of the last layer.
        features: (F,) z of the image.

    Returns:
        (L, F): row j is class y_j, column i is feature f_i. Rows sum to the logits, less the bias.

    Raises:
        InputError: weights are not (L, F), or features not (F,).

    >>> contribution_matrix(np.array([[3, 0], [0, 1], [1, 1]]), np.array([1, 2]))
    array([[3, 0],
           [0, 2],
           [1, 2]])
    """
    if weights.ndim != 2 or tuple(features.shape) != (weights.shape[1],):
        found = f"{tuple(weights.shape)} and {tuple(features.shape)}"
        raise InputError(f"weights and features: found {found}; expected (classes, features) and (features,)")
    return weights * features


def count_by_likelihood(likelihood: Array, wrong: Array, *, bins: int = 10) -> LikelihoodBins:
    """Clean and wrong images per interval of the mislabelling likelihood (Tables 1-3): [0, 0.1), ..., [0.9, 1].

    Args:
        likelihood: (N,) D1 or D2, in [0, 1].
        wrong: (N,) whether any label of the image is wrong.
        bins: how many, of equal width; the last contains its upper end, 1.

    Raises:
        InputError: two lists of different lengths, or a likelihood outside [0, 1].

    >>> bins = count_by_likelihood(np.array([0.0, 0.3, 0.9, 1.0]), np.array([0, 0, 1, 0]), bins=2)
    >>> bins.clean, bins.wrong, bins.ratio
    (array([2, 1]), array([0, 1]), array([inf,  1.]))
    """
    likelihood, wrong = np.asarray(likelihood, dtype=np.float64), np.asarray(wrong, dtype=bool)
    if likelihood.shape != wrong.shape or likelihood.ndim != 1:
        found = f"{likelihood.shape} and {wrong.shape}"
        raise InputError(f"likelihood and wrong: found {found}; expected two lists of one length")
    if not ((likelihood >= 0) & (likelihood <= 1)).all():
        raise InputError("likelihood: found other values or NaN; expected fractions between 0 and 1")
    edges = np.arange(bins + 1) / bins
    clean, wrong = (np.histogram(likelihood[mask], bins=edges)[0] for mask in (~wrong, wrong))
    return LikelihoodBins(edges, clean, wrong)


def _conflicts(probs: Array, labels: Array) -> tuple[Any, Array, Array]:
    """The masks Y^C_p (predicted, not given) and Y^C_t (given, not predicted), each (N, L)."""
    predicted, given = predicted_labels(probs, labels), labels == 1
    return array_namespace(probs, labels), predicted & ~given, given & ~predicted


def _checked(probs: Array, labels: Array) -> tuple[Any, Array, Array]:
    xp, probs = checked_probabilities(probs)
    if probs.ndim != 2 or tuple(labels.shape) != tuple(probs.shape):
        found = f"{tuple(labels.shape)} and {tuple(probs.shape)}"
        raise InputError(f"labels and probabilities: found {found}; expected both (images, classes)")
    if not xp.all((labels == 1) | (labels == 0) | (labels == -1)):
        raise InputError("labels: found other values; expected 1, 0 or -1 (unknown)")
    return xp, probs, labels


def _largest_per_image(xp: Any, image: Array, values: Array, images: int, *, empty: float) -> Array:
    """Largest value of each image, (pairs,) -> (images,); `empty` where an image has none."""
    largest = xp.full((images,), empty, dtype=values.dtype, device=device(values))
    order = xp.argsort(values, stable=True)
    order = order[xp.argsort(image[order], stable=True)]  # by image, then by value: the last of each is its largest
    image, values = image[order], values[order]
    last = xp.concat([image[1:] != image[:-1], xp.ones_like(image[:1], dtype=xp.bool)])
    largest[image[last]] = values[last]
    return largest
