"""Metrics: hand-computed values, agreement with scikit-learn, and the properties that the report relies on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from nlcore.errors import InputError
from nlcore.metrics import (
    AveragePrecision,
    auprc,
    auroc,
    average_precision_all,
    average_precision_at,
    increase_per_label,
    jaccard,
    lift_at,
    mean_accuracy,
    mean_average_precision,
    mean_class_f1,
    overall_f1,
    per_class_average_precision,
    spearman,
    value_at_cost,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


@st.composite
def targets_and_scores(draw, values=(0, 1)):
    """Few distinct scores, so that ties are common."""
    shape = draw(SHAPES)
    targets = draw(hnp.arrays(np.int8, shape, elements=st.sampled_from(values)))
    scores = draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])))
    return targets, scores


def random_problem(images=200, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((images, classes)) < 0.2).astype(np.int8)
    return targets, rng.random((images, classes)).round(2)  # rounded: ties


def test_average_precision_by_hand():
    targets = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    scores = np.array([[0.9, 0.9], [0.8, 0.5], [0.7, 0.5], [0.6, 0.1]])
    # Class 0: hits at ranks 1 and 3. Class 1: both hits share ranks 2 and 3, where 2 of 3 are right.
    np.testing.assert_allclose(per_class_average_precision(targets, scores), [(1 + 2 / 3) / 2, 2 / 3], atol=1e-15)
    assert mean_average_precision(targets, scores) == pytest.approx(3 / 4)
    assert mean_average_precision(targets, scores, without=[0]) == pytest.approx(2 / 3)


def test_asl_definition_ranks_ties_by_position_and_counts_empty_classes_as_zero():
    targets = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.full((3, 2), 0.5)
    # The later image comes first: hits at ranks 1 and 3 of class 0; class 1 has none.
    np.testing.assert_allclose(
        per_class_average_precision(targets, scores, definition="asl"), [(1 + 2 / 3) / (2 + 1e-8), 0], atol=1e-15
    )
    assert mean_average_precision(targets, scores, definition="asl") == pytest.approx(5 / 12)
    np.testing.assert_allclose(per_class_average_precision(targets, scores), [2 / 3, np.nan])
    assert mean_average_precision(targets, scores) == pytest.approx(2 / 3)


@given(targets_and_scores())
def test_average_precision_is_that_of_scikit_learn(problem):
    targets, scores = problem
    ours = per_class_average_precision(targets, scores)
    for k in range(targets.shape[1]):
        if targets[:, k].any():
            assert ours[k] == pytest.approx(average_precision_score(targets[:, k], scores[:, k]), abs=1e-9)
        else:
            assert np.isnan(ours[k])
    if targets.any():
        expected = average_precision_score(targets.ravel(), scores.ravel())
        assert average_precision_all(targets, scores) == pytest.approx(expected, abs=1e-9)


@given(targets_and_scores(values=(-1, 0, 1)))
def test_unknown_cells_are_as_good_as_absent(problem):
    targets, scores = problem
    ours = per_class_average_precision(targets, scores)
    for k in range(targets.shape[1]):
        known = targets[:, k] >= 0
        if known.any():
            alone = per_class_average_precision(targets[known, k : k + 1], scores[known, k : k + 1])
            np.testing.assert_allclose(ours[k], alone[0], atol=1e-12)
        else:
            assert np.isnan(ours[k])


@given(targets_and_scores(values=(-1, 0, 1)))
def test_with_fixed_targets_average_precision_has_the_same_bits(problem):
    targets, scores = problem
    for definition in ("standard", "asl"):
        of_class = AveragePrecision(targets, definition=definition)
        for order in (slice(None), slice(None, None, -1)):  # of one model, and then of another
            expected = per_class_average_precision(targets, scores[order], definition=definition)
            np.testing.assert_array_equal(of_class(scores[order]), expected)


@given(targets_and_scores(values=(-1, 0, 1)))
def test_torch_and_numpy_agree(problem):
    targets, scores = problem
    tensors = torch.from_numpy(targets), torch.from_numpy(scores)
    averages = per_class_average_precision, mean_average_precision, average_precision_all
    for metric in (*averages, mean_class_f1, overall_f1):
        result = metric(*tensors)
        assert isinstance(result, torch.Tensor)
        np.testing.assert_allclose(result.numpy(), metric(targets, scores), atol=1e-12)


def test_many_models_in_one_call():
    targets, scores = random_problem()
    stack = np.stack([scores, scores[::-1], 1 - scores])
    expected = [mean_average_precision(targets, one) for one in stack]
    np.testing.assert_allclose(mean_average_precision(targets, stack), expected, atol=1e-15)
    np.testing.assert_allclose(mean_average_precision(np.stack([targets] * 3), stack), expected, atol=1e-15)
    np.testing.assert_allclose(
        average_precision_all(targets, stack), [average_precision_all(targets, one) for one in stack], atol=1e-15
    )


def test_nan_scores_rank_last():
    targets, scores = np.array([[1], [0], [1]]), np.array([[np.nan], [0.2], [0.9]])
    np.testing.assert_allclose(per_class_average_precision(targets, scores), [(1 + 2 / 3) / 2])
    assert np.isnan(scores[0, 0])  # the caller's array is untouched


def test_no_positive_at_all_is_not_a_number():
    targets, scores = np.zeros((4, 3), int), np.random.default_rng(0).random((4, 3))
    assert np.isnan(mean_average_precision(targets, scores))
    assert np.isnan(average_precision_all(targets, scores))


def test_f1_by_hand():
    targets = np.array([[1, 0, -1], [1, 1, 0], [0, 0, 0]])
    probabilities = np.array([[0.9, 0.1, 0.9], [0.5, 0.95, 0.1], [0.85, 0.81, np.nan]])
    # Class 0: TP 1, FP 1, FN 1 -> 1/2. Class 1: TP 1, FP 1 -> 2/3. Class 2: its only prediction is unknown -> 0.
    assert mean_class_f1(targets, probabilities) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert overall_f1(targets, probabilities) == pytest.approx(4 / 7)
    assert overall_f1(targets, probabilities, threshold=0.95) == 0
    assert mean_class_f1(np.ones((1, 1)), np.full((1, 1), 0.8)) == 0  # exceeds, not reaches


def test_f1_is_that_of_scikit_learn():
    targets, probabilities = random_problem()
    for threshold in (0.5, 0.8):
        predicted = probabilities > threshold
        macro, micro = (f1_score(targets, predicted, average=name, zero_division=0) for name in ("macro", "micro"))
        assert mean_class_f1(targets, probabilities, threshold=threshold) == pytest.approx(macro, abs=1e-12)
        assert overall_f1(targets, probabilities, threshold=threshold) == pytest.approx(micro, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_average_precision(np.zeros((3, 2)), np.zeros((3, 4))), r"found shapes \(3, 2\) and \(3, 4\)"),
        (lambda: mean_average_precision(np.zeros(3), np.zeros(3)), "expected both"),
        (lambda: mean_average_precision(np.zeros((0, 2)), np.zeros((0, 2))), "at least one image"),
        (lambda: mean_average_precision(np.full((3, 2), 0.5), np.zeros((3, 2))), "1, 0 or -1"),
        (lambda: mean_average_precision(np.zeros((3, 2)), np.zeros((3, 2)), without=[2]), r"without: .*some of 0 to 1"),
        (lambda: per_class_average_precision(np.zeros((3, 2)), np.zeros((3, 2)), definition="ASL"), "definition"),
        (lambda: AveragePrecision(np.zeros((3, 2)), definition="ASL"), "definition"),
        (lambda: AveragePrecision(np.full((3, 2), 2)), "targets"),
        (lambda: AveragePrecision(np.zeros(3)), "targets"),
        (lambda: AveragePrecision(np.zeros((3, 2)))(np.zeros((2, 2))), "targets and scores"),
        (lambda: average_precision_at(np.zeros(3), np.zeros(3), 4), "length of the list: found 4; expected 0 to 3"),
        (lambda: average_precision_at(np.zeros(3), np.array([0, 1, 2]), 3), "hits: .*expected 0 or 1"),
        (lambda: lift_at(np.zeros(3), np.zeros(3), 0), "at least one image"),
        (lambda: spearman(np.zeros(3), np.zeros(4)), "one length"),
        (lambda: value_at_cost([0, 2, 1], [1, 1, 1], 1), "strictly increasing"),
        (lambda: value_at_cost([5, 6], [1, 1], 1), "cost: found 1; expected at least 5"),
        (lambda: increase_per_label(0.1, 0.2, 0), "cost: found 0 or less"),
        (lambda: jaccard(np.full((2, 2), -1), np.zeros((2, 2))), "0 and 1"),
        (lambda: mean_accuracy(np.zeros((2, 2)), np.zeros((2, 3))), "expected both"),
        (lambda: mean_class_f1(np.ones((2, 2)), np.ones((2, 2)), threshold=80), "threshold: found 80; expected"),
        (lambda: overall_f1(np.ones((2, 2)), np.ones((2, 2)), threshold=-0.1), "threshold: found -0.1"),
    ],
)
def test_unusable_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_increase_per_label_and_value_at_cost():
    assert increase_per_label(0.28, 0.38, 8000) == pytest.approx(0.1 / 8000)
    costs, values = [0, 800, 1600], [0.28, 0.30, 0.40]
    assert value_at_cost(costs, values, 0) == 0.28
    assert value_at_cost(costs, values, 1200) == pytest.approx(0.35)
    assert value_at_cost(costs, values, 9999) == 0.40


def test_average_precision_at_looks_at_the_list_only():
    scores, hits = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0, 1, 0, 1, 1])
    assert average_precision_at(scores, hits, 3) == pytest.approx(1 / 2)
    assert average_precision_at(scores, hits, 4) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert average_precision_at(scores, hits, 1) == 0
    assert average_precision_at(scores, hits, 0) == 0


def test_equal_scores_enter_the_list_by_position_and_share_a_rank_inside():
    scores, hits = np.array([0.5, 0.5, 0.5, 0.5]), np.array([1, 0, 0, 1])
    assert average_precision_at(scores, hits, 2) == pytest.approx(1 / 2)
    assert average_precision_at(scores, hits[[1, 2, 0, 3]], 2) == 0
    assert lift_at(scores, hits, 1) == 2


@given(targets_and_scores())
def test_label_error_rankings_agree_with_scikit_learn(problem):
    hits, scores = (array.ravel() for array in problem)
    if 0 < hits.sum() < len(hits):
        assert auroc(scores, hits) == pytest.approx(roc_auc_score(hits, -scores))
    else:
        assert np.isnan(auroc(scores, hits))
    if hits.any():
        assert auprc(scores, hits) == pytest.approx(average_precision_score(hits, -scores))
        assert auprc(scores, hits) == pytest.approx(average_precision_at(scores, hits, len(hits)))
        assert lift_at(scores, hits, len(hits)) == 1
    else:
        assert np.isnan(auprc(scores, hits)) and np.isnan(lift_at(scores, hits, 1))


def test_spearman_is_positive_when_low_scores_have_more_errors():
    scores, errors = np.array([0.1, 0.2, 0.2, 0.9]), np.array([3, 1, 2, 0])
    assert spearman(scores, errors) == pytest.approx(-spearmanr(scores, errors).statistic)
    assert spearman(scores, errors) > 0.9
    assert np.isnan(spearman(scores, np.ones(4)))


def test_unscored_images_rank_last_among_label_errors():
    scores, hits = np.array([np.nan, 0.3, 0.2]), np.array([0, 1, 1])
    assert auprc(scores, hits) == auroc(scores, hits) == average_precision_at(scores, hits, 2) == 1
    assert lift_at(scores, hits, 2) == 1.5
    assert spearman(scores, np.array([0, 1, 2])) == pytest.approx(1)


def test_accuracy_and_jaccard_by_hand():
    targets = np.array([[1, 0, -1], [0, 0, -1], [1, 1, 1]])
    predictions = np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0]])
    assert mean_accuracy(targets, predictions) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    # Rows: {0} against {0, 1} is 1/2; both empty is 1; {0, 1} against {1} is 1/2.
    assert jaccard(targets[:, :2], predictions[:, :2]) == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
