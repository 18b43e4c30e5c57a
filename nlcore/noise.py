"""Label noise: swapped labels (papers 1 and 4) and missing labels (paper 2).

Targets are (N, K) arrays of N images and K classes: 1 = the image has the class, 0 = it has not. Rates are fractions in
[0, 1]. Noise is exact: a rate of 0.4 changes 40 % of the labels (rounded to a whole number), not 40 % on average. The
input is never modified.
"""

from __future__ import annotations

import numpy as np

from nlcore.errors import InputError, require, require_fraction


def swap_labels(targets: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Replace a fraction of the labels by classes that the image does not have (paper 1, 3.1 and 5.1).

    Exactly round(rate * number of ones) ones are drawn without replacement from all images together. Each becomes 0,
    and a class drawn uniformly from those the image does not have becomes 1. Two swaps of one image never pick the
    same class, and none picks a class the image had, not even one that was swapped away. So the number of labels per
    image stays, and exactly that many true labels are lost.

    Args:
        targets: (N, K) of 0 and 1.
        rate: fraction of the labels to swap, in [0, 1]: 0.4 for 40 %.
        rng: source of all draws, from `nlcore.generators`.

    Returns:
        (N, K), of the dtype of `targets`.

    Raises:
        InputError: the rate is outside [0, 1], targets are not 0 or 1, or the images lack so many absent classes.

    >>> targets = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    >>> noisy = swap_labels(targets, 0.4, np.random.default_rng(0))  # of 5 labels, 2
    >>> int(((targets == 1) & (noisy == 0)).sum()), noisy.sum(axis=1).tolist()
    (2, [2, 1, 1, 1])
    """
    targets = _checked(targets, rate)
    image, label = np.nonzero(targets)
    swaps = round(rate * len(image))
    absent = targets.shape[1] - targets.sum(axis=1, dtype=np.int64)  # (N,) classes left to swap to
    # An image can lose no more labels than it has absent classes. In random order, only so many of its labels may go.
    shuffled = rng.permutation(len(image))
    shuffled = shuffled[np.argsort(image[shuffled], kind="stable")]  # image by image, random within each
    first = np.searchsorted(image, image)  # where the image's labels begin
    possible = shuffled[np.arange(len(image)) - first < absent[image]]
    if swaps > len(possible):
        raise InputError(f"noise rate {rate}: found absent classes for {len(possible)} swaps; expected {swaps}")
    chosen = rng.permutation(possible)[:swaps]

    noisy = targets.copy()
    noisy[image[chosen], label[chosen]] = 0
    touched, number = np.unique(image[chosen], return_counts=True)
    key = np.where(targets[touched] == 0, rng.random((len(touched), targets.shape[1])), np.inf)
    order = np.argsort(key, axis=1)  # the absent classes of each image in random order, then the present ones
    row, place = np.nonzero(np.arange(targets.shape[1]) < number[:, None])
    noisy[touched[row], order[row, place]] = 1
    return noisy


def flip_symmetric(targets: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Symmetric noise of paper 4 (4.1): the same operation as `swap_labels`, with the same arguments and errors.

    Paper 4 flips a fraction of the labels to another class "with uniform probability", and draws again while the
    image already has the new class. Drawing again until a class is absent is drawing uniformly from the absent ones.
    One choice is ours in both papers: "already has" includes the labels that noise has taken from the image.
    Taken literally, label by label, a lost true label could come back, and the fraction would not be exact.
    """
    return swap_labels(targets, rate, rng)


def hide_labels(targets: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Make a fraction of all image-class cells unknown (paper 2, 4.1).

    Exactly round(rate * N * K) cells, positive and negative alike, drawn without replacement, become -1. With rate 1
    nothing is known any more.

    Args:
        targets: (N, K) of 0 and 1.
        rate: fraction of the N * K cells to hide, in [0, 1].
        rng: source of all draws, from `nlcore.generators`.

    Returns:
        (N, K) of 1, 0 and -1 (unknown), in a signed dtype that holds the targets'.

    Raises:
        InputError: the rate is outside [0, 1], or targets are not 0 or 1.

    >>> partial = hide_labels(np.eye(5, dtype=np.uint8), 0.2, np.random.default_rng(0))
    >>> int((partial == -1).sum()), partial.dtype
    (5, dtype('int16'))
    """
    targets = _checked(targets, rate)
    hidden = rng.choice(targets.size, size=round(rate * targets.size), replace=False, shuffle=False)
    partial = targets.astype(np.result_type(targets.dtype, np.int8))  # a copy that can hold -1
    partial.reshape(-1)[hidden] = -1
    return partial


def true_corruption_matrix(classes: int, rate: float) -> np.ndarray:
    """The corruption matrix of symmetric noise as paper 4 prints it: C_ii = 1 - r and C_ij = r / (K - 1) elsewhere.

    C[i, j] is the probability that label i is flipped to label j, shape (K, K). It is exact for images with a single
    label. With more, a label cannot go to the image's other classes, so that classes which often appear together
    exchange fewer labels than r / (K - 1): `empirical_corruption_matrix` counts it.

    Args:
        classes: K, at least 2.
        rate: r, the fraction of the labels that are flipped, in [0, 1].

    Returns:
        (K, K) float64; rows sum to 1.

    Raises:
        InputError: fewer than two classes, or a rate outside [0, 1].

    >>> true_corruption_matrix(3, 0.4)
    array([[0.6, 0.2, 0.2],
           [0.2, 0.6, 0.2],
           [0.2, 0.2, 0.6]])
    """
    require_fraction("noise rate", rate)
    require(classes >= 2, "classes", classes, "at least two, to flip a label from one to another")
    return np.where(np.eye(classes, dtype=bool), 1 - rate, rate / (classes - 1))


def empirical_corruption_matrix(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """The corruption matrix counted from swapped labels: C[i, j] = share of the labels i that went to j (paper 4, 3.1).

    An image that lost m labels gained m others, and nothing tells which became which: each lost label counts 1/m for
    each gained one. Rows sum to 1; a class without a clean label gets the row of the identity.

    Args:
        clean, noisy: (N, K) of 0 and 1, with as many labels in each image before and after.

    Returns:
        (K, K) float64, fractions; rows sum to 1.

    Raises:
        InputError: shapes differ, entries are not 0 or 1, or an image's number of labels has changed.

    >>> clean, noisy = np.array([[1, 1, 0], [1, 0, 0]]), np.array([[1, 0, 1], [1, 0, 0]])  # a label 1 became a 2
    >>> empirical_corruption_matrix(clean, noisy)
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 0., 1.]])
    """
    clean, noisy = _checked(clean, 0.0), _checked(noisy, 0.0)
    if clean.shape != noisy.shape:
        raise InputError(f"noisy targets: found shape {noisy.shape}; expected {clean.shape}, that of the clean ones")
    clean, noisy = clean.astype(np.float64), noisy.astype(np.float64)
    if np.any(clean.sum(axis=1) != noisy.sum(axis=1)):
        raise InputError("noisy targets: some image's number of labels has changed; expected swapped clean ones")
    lost, gained = clean * (1 - noisy), noisy * (1 - clean)
    share = gained / np.maximum(gained.sum(axis=1, keepdims=True), 1)
    counts = lost.T @ share + np.diag((clean * noisy).sum(axis=0))
    labels = clean.sum(axis=0)[:, None]
    return np.where(labels > 0, counts / np.maximum(labels, 1), np.eye(len(labels)))


def _checked(targets: np.ndarray, rate: float) -> np.ndarray:
    require_fraction("noise rate", rate)
    targets = np.asarray(targets)
    require(targets.ndim == 2, "shape of targets", targets.shape, "(images, classes)")
    if not ((targets == 0) | (targets == 1)).all():
        raise InputError("targets: found other values or NaN; expected 0 or 1 before noise is added")
    return targets
