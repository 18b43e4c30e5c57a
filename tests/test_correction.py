"""Corruption matrices: Algorithm 1 line by line as the oracle, cases with a known answer, and gradients."""

import numpy as np
import pytest
import torch

from nlcore.correction import (
    corrected_logits,
    corrected_probabilities,
    galc_slr_matrix,
    glc_matrix,
    gold_count_matrix,
    matrix_tensor,
)
from nlcore.errors import InputError
from nlcore.noise import flip_symmetric, true_corruption_matrix


def softmax_of(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def random_problem(seed=0, images=60, singles=40, classes=5):
    """Targets with every class, sigmoids, softmax outputs, and single-label images of every class."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((images, classes)) < 0.4).astype(np.int8)
    targets[:classes] |= np.eye(classes, dtype=np.int8)
    logits = rng.normal(size=(images, classes))
    single_classes = np.arange(singles) % classes
    single_softmax = softmax_of(rng.normal(size=(singles, classes)))
    return targets, 1 / (1 + np.exp(-logits)), softmax_of(logits), single_classes, single_softmax


def algorithm_1(targets, sigmoid, single_classes, single_softmax):
    """Paper 4, Algorithm 1, transcribed line by line (numbers are the paper's); the literal output of line 38."""
    K = targets.shape[1]
    Reg = np.zeros((K, K))  # 5
    for k in range(K):  # 7
        num_examples = 0  # 8
        for i in range(len(single_classes)):  # 9
            if single_classes[i] == k:
                num_examples += 1  # 10
                Reg[k] += single_softmax[i]  # 12
        Reg[k] /= num_examples  # 14
    C_hat = np.zeros((K, K))  # 17
    for k in range(K):  # 19
        num_examples = 0  # 20
        for i in range(len(targets)):  # 21
            if targets[i, k] != 1:
                continue
            num_examples += 1  # 22
            num_other_labels = 0  # 23
            regulators = np.zeros(K)  # 25
            for p in range(K):  # 26
                if p != k and targets[i, p] == 1:
                    num_other_labels += 1  # 27
                    regulators += Reg[p]  # 28
            C_hat[k] += sigmoid[i] - regulators  # 31
            C_hat[k] += Reg[k] * num_other_labels  # 33
        C_hat[k] /= num_examples  # 35
    return C_hat, 1 / (1 + np.exp(-C_hat))  # 38


@pytest.mark.parametrize("seed", range(5))
def test_literal_output_is_that_of_algorithm_1(seed):
    targets, sigmoid, _, *singles = problem = random_problem(seed)
    unscaled, literal = algorithm_1(targets, sigmoid, *singles)
    written = galc_slr_matrix(*problem, reading="as_written")
    np.testing.assert_allclose(written.matrix, literal, atol=1e-12)
    assert written.identity_rows == written.borrowed_regulators == ()
    np.testing.assert_allclose(galc_slr_matrix(*problem, reading="unscaled").matrix, unscaled, atol=1e-12)
    repaired = np.maximum(unscaled, 0)
    repaired /= repaired.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(galc_slr_matrix(*problem).matrix, repaired, atol=1e-12)


def test_identity_data_give_the_identity():
    targets, *_ = random_problem()
    softmax = targets / targets.sum(axis=1, keepdims=True).clip(1)
    estimate = galc_slr_matrix(targets, targets, softmax, np.arange(5), np.eye(5))
    np.testing.assert_allclose(estimate.matrix, np.eye(5), atol=1e-15)
    np.testing.assert_allclose(glc_matrix(np.eye(5), np.eye(5)).matrix, np.eye(5))


def test_ideal_classifier_shows_why_rows_are_normalised():
    """Predictions that are sums of rows of C: row k of C_hat is (1 + mean number of others) C_k, normalised C_k."""
    corruption = true_corruption_matrix(6, 0.4)
    corruption[0] = [0.7, 0.3, 0, 0, 0, 0]
    targets = (np.random.default_rng(0).random((300, 6)) < 0.25).astype(float)
    targets = targets[targets.sum(axis=1) < 3]  # with two classes at most, the sums stay below 1
    sigmoid = targets @ corruption
    arguments = targets, sigmoid, np.full_like(sigmoid, 1 / 6), np.arange(6), corruption
    np.testing.assert_allclose(galc_slr_matrix(*arguments).matrix, corruption, atol=1e-12)
    others = [targets[targets[:, k] == 1].sum(axis=1).mean() - 1 for k in range(6)]
    unscaled = galc_slr_matrix(*arguments, reading="unscaled").matrix
    np.testing.assert_allclose(unscaled, (1 + np.array(others))[:, None] * corruption, atol=1e-12)
    # The sigmoid turns what should be 0 into one half, so that C'g leaves [0, 1] with a few classes.
    written = galc_slr_matrix(*arguments, reading="as_written").matrix
    assert written[0, 5] == pytest.approx(0.5)


def test_glc_by_hand():
    targets = np.array([[1, 1, 0], [1, 0, 0]])
    softmax = np.array([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1]])
    estimate = glc_matrix(targets, softmax)
    np.testing.assert_allclose(estimate.matrix, [[0.6, 0.25, 0.15], [0.5, 0.3, 0.2], [0, 0, 1]])
    assert estimate.identity_rows == (2,)


def test_classes_without_images_are_named():
    targets, sigmoid, softmax, single_classes, single_softmax = random_problem()
    targets[:, 3] = 0
    kept = ~np.isin(single_classes, [1, 3])
    estimate = galc_slr_matrix(targets, sigmoid, softmax, single_classes[kept], single_softmax[kept])
    assert estimate.identity_rows == (3,) and estimate.borrowed_regulators == (1, 3)
    np.testing.assert_array_equal(estimate.matrix[3], np.eye(5)[3])
    # Class 1 behaves as if one single-label image predicted GLC's row.
    glc = glc_matrix(targets, softmax).matrix
    lent = galc_slr_matrix(targets, sigmoid, softmax, np.append(single_classes[kept], 1),
                           np.vstack([single_softmax[kept], glc[1]]))  # fmt: skip
    np.testing.assert_allclose(estimate.matrix, lent.matrix)
    assert lent.borrowed_regulators == (3,)
    none = galc_slr_matrix(targets, sigmoid, softmax, [], np.zeros((0, 5)))
    assert none.borrowed_regulators == (0, 1, 2, 3, 4) and np.isfinite(none.matrix).all()


def test_repaired_row_without_a_positive_entry_is_the_identity():
    targets = np.array([[1, 1], [1, 1]])
    single = np.array([[0, 0], [1, 1]])  # Reg_1 = (1, 1) is subtracted from predictions of 0
    estimate = galc_slr_matrix(targets, np.zeros((2, 2)), np.zeros((2, 2)), np.array([0, 1]), single)
    assert estimate.identity_rows == (0,)
    np.testing.assert_allclose(estimate.matrix, [[1, 0], [0.5, 0.5]])


def test_gold_count_recovers_known_corruption():
    clean = np.zeros((40_000, 8), np.int8)
    clean[np.arange(40_000), np.random.default_rng(0).integers(8, size=40_000)] = 1
    noisy = flip_symmetric(clean, 0.4, np.random.default_rng(1))
    estimate = gold_count_matrix(clean, noisy)
    np.testing.assert_allclose(estimate.matrix, true_corruption_matrix(8, 0.4), atol=0.03)
    assert estimate.identity_rows == ()
    without = clean * (np.arange(8) != 5)
    assert gold_count_matrix(without, without).identity_rows == (5,)


def test_corrected_probabilities_by_hand():
    matrix = matrix_tensor(np.array([[0.6, 0.4], [0.2, 0.8]]))
    probabilities = torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.0, 0.0]])
    corrected = corrected_probabilities(probabilities, matrix, floor=None)
    torch.testing.assert_close(corrected, torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.8, 1.2], [0.0, 0.0]]))
    safe = corrected_probabilities(probabilities, matrix)
    assert safe.max() == 1 - 1e-6 and safe.min() == 1e-6
    assert torch.isfinite(corrected_logits(torch.tensor([[90.0, 90.0], [-900.0, -900.0]]), matrix)).all()
    assert corrected_probabilities(probabilities.half(), matrix).dtype == torch.float32


def test_corrected_logits_give_the_corrected_probabilities():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = matrix_tensor(true_corruption_matrix(5, 0.3), dtype=torch.float64)
    expected = corrected_probabilities(logits.sigmoid(), matrix)
    torch.testing.assert_close(corrected_logits(logits, matrix).sigmoid(), expected)
    torch.testing.assert_close(corrected_logits(logits, torch.eye(5, dtype=torch.float64)), logits)


def test_one_matrix_per_model():
    probabilities = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    matrices = torch.stack([matrix_tensor(true_corruption_matrix(5, rate)) for rate in (0.0, 0.2, 0.4)])
    together = corrected_probabilities(probabilities, matrices)
    for one, matrix, expected in zip(probabilities, matrices, together, strict=True):
        torch.testing.assert_close(corrected_probabilities(one, matrix), expected)


def test_gradients():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, generator=rng, dtype=torch.float64).sub(2).requires_grad_()
    matrix = matrix_tensor(true_corruption_matrix(5, 0.4), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: corrected_logits(x, matrix), logits)
    assert torch.autograd.gradcheck(lambda x: corrected_probabilities(x.sigmoid(), matrix), logits)
    sure = torch.tensor([[80.0, -80.0, 0.0]], requires_grad=True)
    corrected_logits(sure, torch.eye(3)).sum().backward()
    assert torch.isfinite(sure.grad).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: glc_matrix(np.zeros((0, 3)), np.zeros((0, 3))), "gold set: empty"),
        (lambda: gold_count_matrix(np.zeros((0, 3)), np.zeros((0, 3))), "gold set: empty"),
        (lambda: glc_matrix(np.full((2, 3), -1), np.zeros((2, 3))), "0 and 1"),
        (lambda: glc_matrix(np.eye(3), np.full((3, 3), np.nan)), "softmax outputs: found other values or NaN"),
        (lambda: glc_matrix(np.eye(3), np.eye(4)), r"shape of softmax outputs: found \(4, 4\); expected \(3, 3\)"),
        (lambda: galc_slr_matrix(*random_problem(), reading="literal"), "reading"),
        (lambda: galc_slr_matrix(np.eye(3), np.eye(3), np.eye(3), np.array([3]), np.eye(3)[:1]), "from 0 to 2"),
        (lambda: galc_slr_matrix(np.eye(3), np.eye(3), np.eye(3), np.array([0.0]), np.eye(3)[:1]), "whole number"),
        (lambda: galc_slr_matrix(np.eye(3), np.eye(3) * 2, np.eye(3), np.array([0]), np.eye(3)[:1]), "sigmoid"),
        (lambda: matrix_tensor(np.array([[1, 0], [np.nan, 1]])), "corruption matrix: row 1 has NaN"),
        (lambda: matrix_tensor(np.array([[1.5, -0.5], [0, 1]])), "corruption matrix: row 0 has negative"),
        (lambda: matrix_tensor(np.zeros((2, 3))), "square"),
        (lambda: corrected_probabilities(torch.zeros(2, 3), torch.eye(4)), r"found shape \(4, 4\); expected \(3, 3\)"),
    ],
)
def test_unusable_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
