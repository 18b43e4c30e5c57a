"""The synthetic benchmark of "Identifying Incorrect Annotations in Multi-Label Classification Data" (appendix A).

Two groups of ten datasets, *small* and *large*. Each dataset is a bag of words with true labels, to which
class-wise label noise is added: a random 2 x 2 noise matrix per class (Eqs. 12 and 13), at most three wrong
classes per example. The generator is reproducible to the bit, so scores can be held against the published ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import train_test_split

from nlcore.errors import require

with warnings.catch_warnings():
    # Of the progress bars that cleanlab loads and we never see: a notebook without widgets is nothing to warn of.
    warnings.filterwarnings("ignore", "IProgress not found")
    from cleanlab.benchmarking.noise_generation import generate_noise_matrix_from_trace, generate_noisy_labels

GAMMA_SHAPE, GAMMA_SCALE = 2.0, 0.01  # (kappa, theta) of Eq. 12
MAX_ERRORS_PER_EXAMPLE = 3
WORDS_PER_EXAMPLE = 500


@dataclass(frozen=True)
class BenchmarkGroup:
    """Sizes of one group of datasets (paper, Table S1): numbers of examples, features and classes."""

    train: int  # examples
    test: int
    features: int
    classes: int
    labels: int  # expected number of classes of an example


GROUPS = {
    "small": BenchmarkGroup(train=5_000, test=1_000, features=3, classes=4, labels=2),
    "large": BenchmarkGroup(train=30_000, test=7_500, features=20, classes=50, labels=5),
}


@dataclass(frozen=True)
class BenchmarkDataset:
    """One dataset: features are (N, D) with rows of unit length, labels (N, K) of 0 and 1.

    The fields of the test part, whose labels have noise of the same matrices, have its number of rows instead of N.
    """

    features: np.ndarray
    true_labels: np.ndarray
    given_labels: np.ndarray
    test_features: np.ndarray
    test_true_labels: np.ndarray
    test_given_labels: np.ndarray
    noise_matrices: np.ndarray  # (K, 2, 2); [k, given, true] = P(given | true) for class k

    @property
    def error_counts(self) -> np.ndarray:
        """Number of wrongly annotated classes of every training example, (N,), at most 3."""
        return (self.given_labels != self.true_labels).sum(axis=1)


@lru_cache(maxsize=32)  # a large dataset takes three seconds and 40 MB, and a dozen runs use it
def make_benchmark(group: str, seed: int) -> BenchmarkDataset:
    """Generate one dataset of the benchmark, the same to the bit on every machine.

    The order of the draws is part of the published data: everything comes from NumPy's global generator, which
    drawing a noise matrix seeds anew. The caller's global generator is left as it was.

    Args:
        group: "small" or "large".
        seed: 0 to 9 in the paper.

    Returns:
        The dataset; its arrays are read-only, since calls with the same arguments share them.

    Raises:
        InputError: an unknown group.

    >>> data = make_benchmark("small", 0)
    >>> data.features.shape, data.given_labels.shape, data.noise_matrices.shape
    ((5000, 3), (5000, 4), (4, 2, 2))
    >>> np.bincount(data.error_counts).tolist()  # examples with 0, 1, 2 and 3 wrong annotations
    [3134, 1605, 247, 14]
    """
    require(group in GROUPS, "group", group, " or ".join(GROUPS))
    size = GROUPS[group]
    with _global_generator(seed):
        correct_rates = draw_correct_rates(size.classes)
        features, labels = make_multilabel_classification(
            n_samples=size.train + size.test,
            n_features=size.features,
            n_classes=size.classes,
            n_labels=size.labels,
            length=WORDS_PER_EXAMPLE,
            allow_unlabeled=True,
        )
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
        x, x_test, y, y_test = train_test_split(features, labels, test_size=size.test, random_state=seed)
        matrices = draw_noise_matrices(y.mean(axis=0), correct_rates, seed)
        given, given_test = add_class_noise(y, matrices), add_class_noise(y_test, matrices)
    arrays = (x, y, given, x_test, y_test, given_test, matrices)
    for array in arrays:
        array.setflags(write=False)
    return BenchmarkDataset(*arrays)


def draw_correct_rates(classes: int) -> np.ndarray:
    """Half the trace of every class's noise matrix: its average share of right annotations, a fraction in [0.5, 1].

    Eq. 12 as the authors' code has it: Y_k = (1 - X_k) (1 - exp(-(r_k)^2 / K) / (2 K)) with X_k from a gamma
    distribution and r_k the rank (from 0) of 1 - X_k, so that the noisiest classes get noisier still (the text
    ranks X_k). Then max(Y_k, 1 - Y_k); Eq. 13's trace is twice that.

    Args:
        classes: K. The draws come from NumPy's global generator, see `make_benchmark`.

    Returns:
        (K,), of which the class with the lowest 1 - X_k has been lowered most.
    """
    rates = 1 - np.random.gamma(GAMMA_SHAPE, GAMMA_SCALE, size=classes)
    rates[np.argsort(rates)] *= rank_weights(classes)
    return np.maximum(rates, 1 - rates)


def rank_weights(classes: int) -> np.ndarray:
    """The second factor of Eq. 12 by rank, (K,) in (0, 1): the first class, the noisiest, is lowered most.

    >>> rank_weights(4).round(3)
    array([0.875, 0.903, 0.954, 0.987])
    """
    return 1 - np.exp(-(np.arange(classes) ** 2) / classes) / (2 * classes)


def draw_noise_matrices(positive_rates: np.ndarray, correct_rates: np.ndarray, seed: int) -> np.ndarray:
    """A random valid 2 x 2 noise matrix for each class with trace 2 * correct_rates[k] (Eq. 13).

    Args:
        positive_rates: (K,) share of the examples that have the class.
        correct_rates: (K,) of `draw_correct_rates`.
        seed: class k is drawn with seed + k, from NumPy's global generator, which this seeds anew.

    Returns:
        (K, 2, 2): [k, given, true] = P(given | true), so columns sum to 1.
    """
    return np.stack(
        [
            generate_noise_matrix_from_trace(
                2, trace=2 * correct, py=np.array([1 - positive, positive]), valid_noise_matrix=True, seed=seed + k
            )
            for k, (positive, correct) in enumerate(zip(positive_rates, correct_rates, strict=True))
        ]
    )


def add_class_noise(true_labels: np.ndarray, noise_matrices: np.ndarray) -> np.ndarray:
    """Noisy copies of labels; classes are flipped in order, and an example with three errors is left alone.

    Args:
        true_labels: (N, K) of 0 and 1; they stay as they are.
        noise_matrices: (K, 2, 2) of `draw_noise_matrices`. The draws come from NumPy's global generator.

    Returns:
        (N, K) of 0 and 1.
    """
    given = true_labels.copy()
    for k, matrix in enumerate(noise_matrices):
        open_rows = np.flatnonzero((given != true_labels).sum(axis=1) < MAX_ERRORS_PER_EXAMPLE)
        if len(open_rows):
            given[open_rows, k] = generate_noisy_labels(given[open_rows, k], matrix)
    return given


@contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator for the block, and put the caller's state back after it."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
