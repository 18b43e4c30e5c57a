"""scikit-learn classifiers of the label-quality benchmark, and their out-of-sample predictions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier

from nlcore.data.benchmark import make_benchmark
from nlcore.papers.cleanlab_ema.protocol import FOLDS


def make_classifier(name: str) -> BaseEstimator:
    """A classifier by name, with scikit-learn's default settings for classification and random state 0.

    `logistic_regression` and `random_forest` are one-vs-rest, as published. `joint_random_forest` is one forest whose
    trees predict all classes together, twenty times faster, and not the published protocol: it is fitted as a
    regression on the 0/1 labels, since their variance p (1 - p) is half of Gini's impurity and chooses the same splits.
    """
    if name == "logistic_regression":
        return OneVsRestClassifier(LogisticRegression(random_state=0))
    if name == "random_forest":
        return OneVsRestClassifier(RandomForestClassifier(random_state=0))
    return RandomForestRegressor(max_features="sqrt", random_state=0)


def predict_probabilities(classifier: BaseEstimator, features: np.ndarray) -> np.ndarray:
    """(N, K) probabilities of a fitted classifier; those of the joint forest are its regression."""
    return classifier.predict_proba(features) if hasattr(classifier, "predict_proba") else classifier.predict(features)


def predict_labels(classifier: BaseEstimator, features: np.ndarray) -> np.ndarray:
    """(N, K) int8 labels: 1 where the probability is above one half."""
    return (predict_probabilities(classifier, features) > 0.5).astype(np.int8)


def fold_rows(labels: np.ndarray) -> list[np.ndarray]:
    """Held-out rows of the five folds, stratified by the whole label set of an example; labels (N, K)."""
    label_sets = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # Label sets that fewer than five examples have are expected; they are in some of the folds only.
        warnings.filterwarnings("ignore", "The least populated class in y", UserWarning)
        return [held_out for _, held_out in folds.split(label_sets, label_sets)]


@lru_cache(maxsize=32)  # of a large dataset it takes half a second, and a dozen runs ask for it
def dataset_folds(group: str, seed: int) -> Sequence[np.ndarray]:
    """`fold_rows` of a dataset of the benchmark, by its given labels; to be read only."""
    return tuple(fold_rows(make_benchmark(group, seed).given_labels))


def fold_probabilities(name: str, features: np.ndarray, labels: np.ndarray, fold: int) -> np.ndarray:
    """Train on the other folds and predict the held-out rows of `fold`: (rows, K), in the order of `fold_rows`."""
    return held_out_probabilities(name, features, labels, fold_rows(labels)[fold])


def held_out_probabilities(name: str, features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Train on all other rows and predict those of `held_out`: (rows, K), in their order."""
    training = np.setdiff1d(np.arange(len(labels)), held_out)
    classifier = make_classifier(name).fit(features[training], labels[training])
    return predict_probabilities(classifier, features[held_out])
