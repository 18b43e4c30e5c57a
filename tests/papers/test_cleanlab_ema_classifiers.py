"""The joint forest stands for scikit-learn's own multi-label forest, and labels are what scikit-learn would say."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from nlcore.papers.cleanlab_ema.classifiers import (
    FOLDS,
    fold_rows,
    make_classifier,
    predict_labels,
    predict_probabilities,
)


@pytest.fixture(scope="module")
def data():
    features, labels = make_multilabel_classification(600, n_features=8, n_classes=5, random_state=0)
    return features[:400], labels[:400], features[400:], labels[400:]


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_labels_are_scikit_learns_own(data, name):
    features, labels, test_features, _ = data
    classifier = make_classifier(name).fit(features, labels)
    np.testing.assert_array_equal(predict_labels(classifier, test_features), classifier.predict(test_features))


def test_the_joint_forest_predicts_as_a_joint_forest_of_gini_trees(data):
    """The same criterion up to a factor: the trees are equal but for the last bit of a tie."""
    features, labels, test_features, _ = data
    ours = predict_probabilities(make_classifier("joint_random_forest").fit(features, labels), test_features)
    gini = RandomForestClassifier(random_state=0).fit(features, labels).predict_proba(test_features)
    gini = np.column_stack([p[:, 1] for p in gini])
    assert np.abs(ours - gini).mean() < 0.02
    assert np.corrcoef(ours.ravel(), gini.ravel())[0, 1] > 0.99


def test_every_row_is_held_out_once(data):
    rows = fold_rows(data[1])
    assert len(rows) == FOLDS
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(400))


def test_a_rare_label_set_is_expected_and_told_nobody():
    labels = np.array([[0, 1], [1, 0]] * 10 + [[1, 1]])
    sets = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    with pytest.warns(UserWarning, match="least populated class"):
        next(StratifiedKFold(FOLDS).split(sets, sets))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = fold_rows(labels)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(21))
