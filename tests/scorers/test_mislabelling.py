"""D1, D2 and CBIM against hand-computed images and a slow transcription of paper 1's equations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlcore.errors import InputError
from nlcore.scorers import mislabelling
from nlcore.scorers.mislabelling import (
    conflict_informativeness,
    conflicting_pairs,
    contribution_matrix,
    count_by_likelihood,
    feature_mislabelling_likelihood,
    mislabelling_likelihood,
    pair_contributions,
    predicted_labels,
)


def random_problem(seed=0, images=40, classes=7, features=5, values=(0, 1)):
    rng = np.random.default_rng(seed)
    probs = rng.random((images, classes)).round(1)  # rounded: ties, zeros and ones
    labels = rng.choice(values, size=(images, classes))
    return probs, labels, rng.normal(size=(classes, features)), rng.normal(size=(images, features))


def slow_pairs(probs, labels):
    """(y_p, y_t) of every image, by Eq. 1 and the sets of section 3.3."""
    for p, y in zip(probs, labels, strict=True):
        known = [k for k in range(len(p)) if y[k] != -1]
        given_labels = {k for k in known if y[k] == 1}
        predicted = set(sorted(known, key=lambda k: (-p[k], k))[: len(given_labels)])
        correct = predicted & given_labels
        yield [(a, b) for a in sorted(predicted - correct) for b in sorted(given_labels - correct)]


def slow_scores(probs, labels, weights, features, threshold):
    """D1 (Eq. 2), D2 (Eq. 11) and CBIM (Eqs. 3-7), pair by pair and feature by feature."""
    d1, d2, cbim = [], [], []
    for x, pairs in enumerate(slow_pairs(probs, labels)):
        scores1, scores2, scores3 = [0.0], [0.0], [-np.inf]
        for p, t in pairs:
            largest = max(probs[x, p], probs[x, t])
            score = (probs[x, p] - probs[x, t]) / largest if largest > 0 else 0.0
            q_p = q_t = 0.0
            for w_p, w_t, z in zip(weights[p], weights[t], features[x], strict=True):
                if w_p * z > w_t * z:
                    q_p += w_p * z - w_t * z
                else:
                    q_t += w_t * z - w_p * z
            scores1.append(score)
            scores2.append((q_p - q_t) / max(q_p, q_t))
            if score > threshold:
                scores3.append(np.sqrt(q_p * q_t))
        d1.append(max(scores1)), d2.append(max(scores2)), cbim.append(max(scores3))
    return d1, d2, cbim


@pytest.mark.parametrize("values", [(0, 1), (-1, 0, 1)])
@given(seed=st.integers(0, 10_000))
def test_all_measures_are_the_equations(values, seed):
    probs, labels, *_ = problem = random_problem(seed, images=6, values=values)
    d1, d2, cbim = slow_scores(*problem, threshold=0.5)
    np.testing.assert_allclose(mislabelling_likelihood(probs, labels), d1, atol=1e-12)
    np.testing.assert_allclose(feature_mislabelling_likelihood(*problem), d2, atol=1e-12)
    np.testing.assert_allclose(conflict_informativeness(*problem), cbim, atol=1e-12)
    pairs = conflicting_pairs(probs, labels)
    listed = [(x, p, t) for x, image in enumerate(slow_pairs(probs, labels)) for p, t in image]
    assert list(zip(pairs.image, pairs.predicted, pairs.given, strict=True)) == listed


def test_one_image_by_hand():
    probs, labels = np.array([[0.9, 0.6, 0.5, 0.3, 0.1]]), np.array([[1, 0, 0, 1, 1]])
    # Predicted {0, 1, 2}, given {0, 3, 4}: 0 agrees, and {1, 2} conflict with {3, 4}.
    assert predicted_labels(probs, labels).tolist() == [[True, True, True, False, False]]
    pairs = conflicting_pairs(probs, labels)
    assert pairs.predicted.tolist() == [1, 1, 2, 2] and pairs.given.tolist() == [3, 4, 3, 4]
    np.testing.assert_allclose(pairs.likelihood, [1 / 2, 5 / 6, 2 / 5, 4 / 5])
    np.testing.assert_allclose(mislabelling_likelihood(probs, labels), [5 / 6])


def test_contributions_by_hand():
    weights, features = np.array([[1.0, -1.0, 2.0], [3.0, 1.0, -1.0]]), np.array([[1.0, 2.0, 1.0]])
    probs, labels = np.array([[0.9, 0.1]]), np.array([[0, 1]])
    np.testing.assert_array_equal(contribution_matrix(weights, features[0]), [[1, -2, 2], [3, 2, -1]])
    # Leads of class 0 over class 1: -2, -4, 3.
    q_p, q_t = pair_contributions(conflicting_pairs(probs, labels), weights, features)
    assert (q_p.tolist(), q_t.tolist()) == ([3], [6])
    np.testing.assert_allclose(conflict_informativeness(probs, labels, weights, features), [np.sqrt(18)])
    assert feature_mislabelling_likelihood(probs, labels, weights, features) == [0]  # (3 - 6) / 6, cut at 0
    # A bias of 5 for class 0 is one more feature that leads by 5: (8 - 6) / 8.
    bias = np.array([5.0, 0.0])
    np.testing.assert_allclose(feature_mislabelling_likelihood(probs, labels, weights, features, bias=bias), [0.25])
    np.testing.assert_allclose(conflict_informativeness(probs, labels, weights, features, bias=bias), [np.sqrt(48)])


def test_images_without_conflict_are_clean_and_rank_last():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.5], [0.0, 0.0]])
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    weights, features = np.eye(2), np.ones((4, 2))
    np.testing.assert_allclose(mislabelling_likelihood(probs, labels), [0, 0, 1 / 6, 0])
    scores = conflict_informativeness(probs, labels, weights, features)
    assert scores.tolist() == [-np.inf] * 4  # the third conflicts, but its D1 is below the threshold
    assert conflict_informativeness(probs, labels, weights, features, threshold=0.1).tolist()[2] == 1
    agreeing = conflict_informativeness(probs[:1], labels[:1], weights, features[:1])
    assert agreeing.tolist() == [-np.inf]


def test_torch_agrees_with_numpy():
    problem = random_problem(values=(-1, 0, 1))
    tensors = tuple(torch.from_numpy(array) for array in problem)
    for score, number in (
        (mislabelling_likelihood, 2), (feature_mislabelling_likelihood, 4), (conflict_informativeness, 4),
    ):  # fmt: skip
        result = score(*tensors[:number])
        assert isinstance(result, torch.Tensor)
        np.testing.assert_allclose(result.numpy(), score(*problem[:number]), atol=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch):
    problem = random_problem()
    expected = conflict_informativeness(*problem)
    monkeypatch.setattr(mislabelling, "BLOCK", 1)
    np.testing.assert_array_equal(conflict_informativeness(*problem), expected)


def test_bins_by_hand():
    likelihood = np.array([0.0, 0.09, 0.1, 0.3, 0.6, 0.7, 0.95, 1.0])
    wrong = np.array([0, 1, 0, 0, 1, 1, 1, 0])
    bins = count_by_likelihood(likelihood, wrong)
    assert bins.clean.tolist() == [1, 1, 0, 1, 0, 0, 0, 0, 0, 1]
    assert bins.wrong.tolist() == [1, 0, 0, 0, 0, 0, 1, 1, 0, 1]
    np.testing.assert_array_equal(bins.ratio[:4], [1, np.inf, np.nan, np.inf])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mislabelling_likelihood(np.full((2, 3), np.nan), np.zeros((2, 3))), "expected fractions"),
        (lambda: mislabelling_likelihood(np.full((2, 3), 1.1), np.zeros((2, 3))), "expected fractions"),
        (lambda: mislabelling_likelihood(np.zeros((2, 3)), np.zeros((2, 4))), r"found \(2, 4\) and \(2, 3\); expected"),
        (lambda: mislabelling_likelihood(np.zeros((2, 3)), np.full((2, 3), 2)), "1, 0 or -1"),
        (lambda: conflict_informativeness(*random_problem()[:3], np.zeros((40, 9))), "weights"),
        (lambda: conflict_informativeness(*random_problem(), threshold=50), "threshold: found 50; expected"),
        (lambda: contribution_matrix(np.zeros((3, 2)), np.zeros(3)), r"features: found \(3, 2\) and \(3,\)"),
        (lambda: count_by_likelihood(np.array([1.2]), np.array([0])), "expected fractions"),
        (lambda: count_by_likelihood(np.zeros(2), np.zeros(3)), "one length"),
    ],
)
def test_unusable_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
