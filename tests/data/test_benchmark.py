"""The benchmark's data are those of the paper: the draws to the bit, and with them the published scores."""

import numpy as np
import pytest

from nlcore.data.benchmark import GROUPS, add_class_noise, make_benchmark, rank_weights
from nlcore.metrics import average_precision_at
from nlcore.papers.cleanlab_ema.classifiers import FOLDS, fold_probabilities, fold_rows
from nlcore.papers.cleanlab_ema.published import published_table
from nlcore.scorers import label_quality_scores


def test_the_weights_of_equation_12_by_hand():
    """K = 2: the noisiest class keeps 1 - 1/4, the other 1 - exp(-1/2)/4."""
    np.testing.assert_allclose(rank_weights(2), [0.75, 1 - np.exp(-0.5) / 4])


def test_a_dataset_has_the_sizes_of_table_s1():
    data, size = make_benchmark("small", 3), GROUPS["small"]
    assert data.features.shape == (size.train, size.features)
    assert data.given_labels.shape == (size.train, size.classes)
    assert data.test_true_labels.shape == (size.test, size.classes)
    np.testing.assert_allclose(np.linalg.norm(data.features, axis=1), 1)


def test_the_first_dataset_is_always_the_same():
    data = make_benchmark("small", 0)
    assert np.bincount(data.error_counts).tolist() == [3134, 1605, 247, 14]
    assert (data.true_labels.sum(), data.given_labels.sum()) == (9038, 9401)
    np.testing.assert_allclose(data.features[0], [0.52444536, 0.55828054, 0.6428685], rtol=1e-7)


def test_noise_matrices_are_columns_of_probabilities():
    matrices = make_benchmark("small", 1).noise_matrices
    np.testing.assert_allclose(matrices.sum(axis=1), 1)
    assert (np.trace(matrices, axis1=1, axis2=2) > 1).all()  # better than chance, or nothing could be learned


def test_noise_is_what_its_matrix_says_and_at_most_three_errors_an_example():
    np.random.seed(0)
    truth = np.random.default_rng(0).integers(0, 2, size=(20_000, 6))
    matrix = np.array([[0.8, 0.3], [0.2, 0.7]])
    first = add_class_noise(truth[:, :1], matrix[None])
    for value in (0, 1):
        share = (first[truth[:, 0] == value] == 1).mean()
        assert abs(share - matrix[1, value]) < 0.01
    given = add_class_noise(truth, np.stack([matrix] * 6))
    assert (given != truth).sum(axis=1).max() == 3


def test_the_callers_generator_is_left_as_it_was():
    np.random.seed(5)
    expected = np.random.rand(3)
    np.random.seed(5)
    make_benchmark("small", 0)
    np.testing.assert_array_equal(np.random.rand(3), expected)


@pytest.mark.slow
def test_ten_datasets_give_the_published_scores():
    """Small, logistic regression: mean AP@T over the ten datasets for the poolings that matter most."""
    found = {"ema(alpha=0.8)": [], "softmin(temperature=0.1)": [], "min": []}
    for seed in range(10):
        data = make_benchmark("small", seed)
        probabilities = np.empty(data.given_labels.shape)
        for fold in range(FOLDS):
            rows = fold_rows(data.given_labels)[fold]
            probabilities[rows] = fold_probabilities("logistic_regression", data.features, data.given_labels, fold)
        wrong = data.error_counts >= 1
        for name in found:
            scores = label_quality_scores(data.given_labels, probabilities, pooling=name.split("(")[0])
            found[name].append(average_precision_at(scores, wrong, int(wrong.sum())))
    said = published_table().query("group == 'small' and classifier == 'logistic_regression' and metric == 'ap_at_t'")
    for name, values in found.items():
        assert abs(np.mean(values) - said.set_index("pooling")["mean"][name]) < 0.0005, name
