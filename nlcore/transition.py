"""How often each label was added or lost, found without any clean label (the T-estimator of Li et al., NeurIPS 2022).

Noise is described class by class, by two rates, both fractions in [0, 1]:

    added = P(label given | class absent),    lost = P(label not given | class present).

The idea: say somebody tells for a class j which images truly have it, of *some* images only, chosen whatever their
other labels are. On these, count how often another label k is given with and without j; in all images, count how often
the labels j and k are given together. The first counts know the truth about j and the second do not, and they differ
by the noise of j alone, which so follows from two linear equations. Every k gives an answer, and the one that fits all
others best is taken. Who tells the truth about j is a classifier: images whose given label it finds easy to learn.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from nlcore.errors import InputError, require

SELECTED = 50  # images with a label and as many without it: of fewer, counts say nothing (the authors' number)
ROUNDING = 0.3  # divided by the number of classes: a rate so far below 0 counts as 0 (the authors' number)


@dataclass(frozen=True)
class TransitionEstimate:
    """Rates by class, and where they come from.

    Attributes:
        added: (K,) P(label given | class absent), in [0, 1].
        lost: (K,) P(label not given | class present), in [0, 1].
        by_dual_t: classes that no pair of labels decides; theirs come from the classifier's own predictions.
    """

    added: np.ndarray
    lost: np.ndarray
    by_dual_t: tuple[int, ...] = ()


def transition_estimate(
    labels: np.ndarray, probabilities: np.ndarray, losses: np.ndarray, *, rng: np.random.Generator
) -> TransitionEstimate:
    """The rates of every class, from noisy labels and a classifier trained on them (Li et al., 2022, Section 3.2).

    Args:
        labels: (n, K) of 0 and 1, as given.
        probabilities: (n, K), what the classifier says of the given labels of the same images.
        losses: (n, K), the classifier's binary cross-entropies early in its training, before it has memorised wrong
            labels; the authors take the mean of five epochs.
        rng: draws where the mixtures of `easily_learnt` start.

    Returns:
        Rates with added + lost < 1, unless a class is decided by its own predictions alone (Dual-T; Yao et al., 2020).

    Raises:
        InputError: shapes that differ, or labels that are not 0 or 1.
    """
    labels = np.asarray(labels)
    require(probabilities.shape == labels.shape, "shape of probabilities", probabilities.shape, str(labels.shape))
    require(losses.shape == labels.shape, "shape of losses", losses.shape, str(labels.shape))
    if labels.ndim != 2 or not ((labels == 0) | (labels == 1)).all():
        raise InputError(f"labels of shape {labels.shape}: not usable; expected (images, classes) of 0 and 1")
    selected = easily_learnt(labels, losses, rng=rng)
    rates, decided = _rates_by_pairs(labels.astype(np.float64), selected)
    rates = np.where(decided, rates, _dual_t(labels, probabilities))
    return TransitionEstimate(*rates, tuple(np.flatnonzero(~decided).tolist()))


def easily_learnt(labels: np.ndarray, losses: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """(n, K) bool: of the images with a label, and of those without it, the ones in the lower of two modes of the loss.

    Args:
        labels: (n, K) of 0 and 1.
        losses: (n, K), of a classifier early in its training.
        rng: draws where the mixtures of two normal distributions start.

    >>> labels, losses = np.array([[1], [1], [1], [1]]), np.array([[0.1], [0.2], [3.0], [0.1]])
    >>> easily_learnt(labels, losses, rng=np.random.default_rng(0)).ravel()
    array([ True,  True, False,  True])
    """
    selected = np.zeros(labels.shape, bool)
    for column in range(labels.shape[1]):
        for value in (0, 1):
            images = np.flatnonzero(labels[:, column] == value)
            selected[images, column] = _lower_mode(losses[images, column], seed=int(rng.integers(2**31)))
    return selected


def counted_rates(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(2, K): which share of the images without each class was given it, and which share of those with it was not.

    Args:
        truth, labels: (n, K) of 0 and 1, before and after noise. A class that all images have, or none, has rate 0.

    >>> counted_rates(np.array([[1], [1], [0], [0]]), np.array([[1], [0], [0], [0]])).ravel()
    array([0. , 0.5])
    """
    return np.stack([
        ((truth == value) & (labels != value)).sum(axis=0) / np.maximum((truth == value).sum(axis=0), 1)
        for value in (0, 1)
    ])  # fmt: skip


def importance_weights(
    probabilities: torch.Tensor, targets: torch.Tensor, added: torch.Tensor, lost: torch.Tensor
) -> torch.Tensor:
    """By how much more a given label is to be expected by the classifier itself than after noise (Liu and Tao, 2016).

    P(class | image) / P(label | image) of the label that is given. A loss weighted so has, on noisy labels, the
    expectation it has on clean ones, where the classifier is right.

    Args:
        probabilities: (..., B, K), what the classifier says of the true labels; no gradient passes through the weights.
        targets: (..., B, K) of 1, 0 and -1 (unknown: the weight is finite and means nothing).
        added, lost: (..., 1, K) or (K,), see `TransitionEstimate`.

    >>> rates = torch.tensor([0.1]), torch.tensor([0.4])
    >>> importance_weights(torch.tensor([[0.5], [0.5]]), torch.tensor([[1], [0]]), *rates)  # .5 / .35, .5 / .65
    tensor([[1.4286],
            [0.7692]])
    """
    p = probabilities.detach()
    given, not_given = (1 - lost) * p + added * (1 - p), lost * p + (1 - added) * (1 - p)
    present, absent = p / given.clamp(min=1e-12), (1 - p) / not_given.clamp(min=1e-12)
    return torch.lerp(absent, present, targets.to(p.dtype))


def _lower_mode(values: np.ndarray, *, seed: int) -> np.ndarray:
    """(n,) bool: nearer to the lower of two normal distributions, with the authors' settings of the fit."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(values) < 2:
        return np.ones(len(values), bool)
    scaled = ((values - values.min()) / (np.ptp(values) + 1e-30))[:, None]
    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten steps are the authors' choice
        likely = mixture.fit(scaled).predict_proba(scaled)
    return likely[:, mixture.means_.argmin()] > 0.5


def _rates_by_pairs(labels: np.ndarray, selected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, K) rates, added and lost, and (K,) whether any pair of labels has decided them.

    For class j, a row below, and label k, a column: `noisy[a, b]` is P(j given is a, k given is b), of all images, and
    `clean[y, b]` is P(j truly is y, k given is b), from the selected images of j. Then
    noisy[1, b] = added clean[0, b] + (1 - lost) clean[1, b] for both b, which is solved for the rates.
    """
    images, classes = labels.shape
    absent, trusted = 1 - labels, (selected * (1 - labels), selected * labels)  # of j: truly 0, truly 1
    noisy = np.array([[given.T @ label for label in (absent, labels)] for given in (absent, labels)]) / images
    with np.errstate(divide="ignore", invalid="ignore"):
        # P(k given is b | j truly is y); and, from P(k not given) of all images, P(j truly is 1).
        among = [own.T @ labels / own.sum(axis=0)[:, None] for own in trusted]
        prior = ((1 - labels.mean(axis=0)) - (1 - among[0])) / (among[0] - among[1])
        clean = np.array([[(1 - prior) * (1 - among[0]), (1 - prior) * among[0]],
                          [prior * (1 - among[1]), prior * among[1]]])  # fmt: skip
        scale = clean[0, 0] * clean[1, 1] - clean[0, 1] * clean[1, 0] + np.diag(np.full(classes, np.nan))  # no j, j
        scaled = np.array([noisy[1, 0] * clean[1, 1] - noisy[1, 1] * clean[1, 0],
                           noisy[0, 1] * clean[0, 0] - noisy[0, 0] * clean[0, 1]])  # fmt: skip
        answers = scaled / scale  # (2, K, K)
    answers = np.where((answers < 0) & (answers > -ROUNDING / classes), 0.0, answers)
    usable = (answers >= 0).all(axis=0) & (answers.sum(axis=0) < 1) & (prior >= 0) & (prior <= 1)  # NaN is neither
    usable &= np.minimum(*(own.sum(axis=0) for own in trusted))[:, None] >= SELECTED
    rates = np.zeros((2, classes))
    for j in np.flatnonzero(usable.any(axis=1)):
        offered = answers[:, j, usable[j]]  # (2, answers)
        misfit = np.abs(offered[:, :, None] * scale[j] - scaled[:, j, None, :])  # of each answer, in every pair's terms
        rates[:, j] = offered[:, np.nansum(misfit, axis=(0, 2)).argmin()]
    return rates, usable.any(axis=1)


def _dual_t(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(2, K) rates by Dual-T: from the class to the predicted label, and from that to the given one.

    The first step is read off the image of which the classifier is surest, either way; the second is counted.
    """
    to_predicted = np.stack([probabilities.min(axis=0), probabilities.max(axis=0)])  # P(predicted | absent, present)
    predicted, given = probabilities > 0.5, labels == 1
    to_given = []  # P(given | not predicted), P(given | predicted)
    for value, own in ((0.0, ~predicted), (1.0, predicted)):
        number = own.sum(axis=0)
        to_given.append(np.where(number > 0, (own & given).sum(axis=0) / np.maximum(number, 1), value))
    present = (1 - to_predicted) * to_given[0] + to_predicted * to_given[1]  # P(given | absent), P(given | present)
    return np.stack([present[0], 1 - present[1]])
