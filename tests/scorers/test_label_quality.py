"""Label quality scores: literals worked out by hand from Eqs. 1-11, cleanlab as the oracle, and unusable input."""

import math

import numpy as np
import pytest
import torch
from cleanlab.internal.multilabel_scorer import exponential_moving_average as cleanlab_ema
from cleanlab.internal.multilabel_scorer import get_label_quality_scores as cleanlab_inner
from cleanlab.internal.multilabel_scorer import softmin as cleanlab_softmin
from cleanlab.internal.multilabel_utils import onehot2int
from cleanlab.multilabel_classification import get_label_quality_scores as cleanlab_public
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nlcore.errors import InputError
from nlcore.scorers import POOLINGS, label_quality_scores
from nlcore.scorers.label_quality import self_confidence

E = math.e
NAN = float("nan")

# Few distinct values, so that ties are common; and all values.
probabilities = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))
score_arrays = arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=probabilities)


@st.composite
def labelled(draw, unknown=True):
    """(labels, probs) of one shape, with or without unknown labels."""
    probs = draw(score_arrays)
    return draw(arrays(np.int8, probs.shape, elements=st.sampled_from([-1, 0, 1] if unknown else [0, 1]))), probs


# By hand --------------------------------------------------------------------------------------------------------------


def test_self_confidence_is_the_probability_of_the_label_as_given():
    labels = np.array([[1, 0, -1], [0, 1, 1]])
    probs = np.array([[0.75, 0.75, 0.75], [0.0, 1.0, 0.25]])
    np.testing.assert_array_equal(self_confidence(labels, probs), [[0.75, 0.25, NAN], [1.0, 1.0, 0.25]])


# Scores 0.5, 0.2, 0.9, 0.4; in increasing order 0.2, 0.4, 0.5, 0.9.
FOUR = [
    ("min", {}, 0.2),
    ("max", {}, 0.9),
    ("mean", {}, 0.5),
    ("median", {}, 0.45),
    ("ema", {}, 0.8 * 0.2 + 0.2 * (0.8 * 0.4 + 0.2 * (0.8 * 0.5 + 0.2 * 0.9))),
    ("ema", {"alpha": 0.5}, 0.5 * 0.2 + 0.25 * 0.4 + 0.125 * 0.5 + 0.125 * 0.9),
    ("ema", {"alpha": 1}, 0.2),
    ("softmin", {"temperature": 1 / math.log(2)}, (0.2 * 2**0.8 + 0.4 * 2**0.6 + 0.5 * 2**0.5 + 0.9 * 2**0.1)
     / (2**0.8 + 2**0.6 + 2**0.5 + 2**0.1)),
    ("softmin", {"temperature": 1e-6}, 0.2),
    ("log", {}, math.log(0.2 * 0.4 * 0.5 * 0.9) / 4),
    ("log", {"epsilon": 0.1}, math.log(0.3 * 0.5 * 0.6 * 1.0) / 4),
    ("cumulative", {}, 0.3),
    ("cumulative", {"k": 3}, 1.1 / 3),
    ("cumulative", {"k": 9}, 0.5),
    ("weighted_cumulative", {}, 0.2 + 0.3 / E + (1.1 / 3) / E**2 + 0.5 / E**3),
    ("sma", {}, (0.3 + 0.45 + 0.7) / 3),
    ("sma", {"period": 1}, 0.5),
    ("sma", {"period": 3}, (1.1 / 3 + 0.6) / 2),
    ("sma", {"period": 9}, 0.5),
]  # fmt: skip

# The third class is unknown: 0.2, 0.4, 0.5 remain.
THREE = [
    ("min", {}, 0.2),
    ("max", {}, 0.5),
    ("mean", {}, 1.1 / 3),
    ("median", {}, 0.4),
    ("ema", {}, 0.8 * 0.2 + 0.2 * (0.8 * 0.4 + 0.2 * 0.5)),
    ("softmin", {"temperature": 1 / math.log(2)}, (0.2 * 2**0.8 + 0.4 * 2**0.6 + 0.5 * 2**0.5)
     / (2**0.8 + 2**0.6 + 2**0.5)),
    ("log", {}, math.log(0.2 * 0.4 * 0.5) / 3),
    ("cumulative", {}, 0.3),
    ("cumulative", {"k": 4}, 1.1 / 3),
    ("weighted_cumulative", {}, 0.2 + 0.3 / E + (1.1 / 3) / E**2),
    ("sma", {}, (0.3 + 0.45) / 2),
    ("sma", {"period": 4}, 1.1 / 3),
]  # fmt: skip


@pytest.mark.parametrize(("pooling", "options", "expected"), FOUR)
def test_pooling_by_hand(pooling, options, expected):
    scores = label_quality_scores(np.ones((1, 4)), np.array([[0.5, 0.2, 0.9, 0.4]]), pooling=pooling, **options)
    np.testing.assert_allclose(scores, [expected], rtol=0, atol=5e-8 if pooling == "log" else 1e-12)


@pytest.mark.parametrize(("pooling", "options", "expected"), THREE)
def test_unknown_labels_are_left_out_of_their_row_only(pooling, options, expected):
    labels = np.array([[1, 1, -1, 1], [1, 1, 1, 1], [-1, -1, -1, -1]])
    scores = label_quality_scores(labels, np.array([[0.5, 0.2, 0.9, 0.4]] * 3), pooling=pooling, **options)
    complete = label_quality_scores(np.ones((1, 4)), np.array([[0.5, 0.2, 0.9, 0.4]]), pooling=pooling, **options)
    tolerance = 1e-7 if pooling == "log" else 1e-12
    np.testing.assert_allclose(scores, [expected, complete[0], NAN], rtol=0, atol=tolerance)


def test_all_poolings_are_tested_by_hand():
    assert {name for name, _, _ in FOUR} == {name for name, _, _ in THREE} == set(POOLINGS)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_class(pooling):
    scores = label_quality_scores(np.array([[1], [0], [-1]]), np.array([[0.75], [0.75], [0.5]]), pooling=pooling)
    expected = np.log([0.75, 0.25, NAN]) if pooling == "log" else np.array([0.75, 0.25, NAN])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=5e-8)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equal_scores(pooling):
    scores = label_quality_scores(np.ones((1, 3)), np.full((1, 3), 0.5), pooling=pooling)
    total_weight = {"weighted_cumulative": 1 + 1 / E + 1 / E**2}.get(pooling, 1)
    expected = math.log(0.5) if pooling == "log" else 0.5 * total_weight
    np.testing.assert_allclose(scores, [expected], rtol=0, atol=5e-8)


def test_an_image_without_known_label_ranks_last():
    labels = np.array([[-1, -1], [1, 1], [1, 0]])
    assert label_quality_scores(labels, np.full((3, 2), 0.9)).argsort().tolist() == [2, 1, 0]


# Against cleanlab -----------------------------------------------------------------------------------------------------


@given(labelled(unknown=False), st.floats(0.001, 1))
def test_ema_equals_cleanlab(data, alpha):
    labels, probs = data
    expected = cleanlab_ema(self_confidence(labels, probs), alpha=alpha)
    np.testing.assert_allclose(label_quality_scores(labels, probs, alpha=alpha), expected, rtol=0, atol=1e-12)


@given(labelled(unknown=False), st.floats(0.01, 100))
def test_softmin_equals_cleanlab(data, temperature):
    labels, probs = data
    expected = cleanlab_softmin(self_confidence(labels, probs), temperature=temperature)
    scores = label_quality_scores(labels, probs, pooling="softmin", temperature=temperature)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(500, 2), (300, 37), (40, 400)])
def test_whole_path_equals_cleanlab(shape):
    generator = np.random.default_rng(0)
    labels, probs = (generator.random(shape) < 0.3).astype(int), generator.random(shape)
    scores = label_quality_scores(labels, probs)
    np.testing.assert_allclose(scores, cleanlab_public(onehot2int(labels), probs), rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores, cleanlab_inner(labels, probs), rtol=0, atol=1e-12)


@given(labelled(), st.sampled_from(sorted(POOLINGS)))
def test_a_row_scores_as_if_its_unknown_classes_did_not_exist(data, pooling):
    labels, probs = data
    scores = label_quality_scores(labels, probs, pooling=pooling)
    for row, (label, prob) in enumerate(zip(labels, probs, strict=True)):
        known = label >= 0
        if known.any():
            alone = label_quality_scores(label[None, known], prob[None, known], pooling=pooling)
            np.testing.assert_allclose(scores[row], alone[0], rtol=0, atol=1e-12)
        else:
            assert np.isnan(scores[row])


# Array kinds, types and blocks ----------------------------------------------------------------------------------------


@given(labelled(), st.sampled_from(sorted(POOLINGS)))
def test_torch_equals_numpy(data, pooling):
    labels, probs = data
    scores = label_quality_scores(torch.from_numpy(labels), torch.from_numpy(probs), pooling=pooling)
    assert isinstance(scores, torch.Tensor) and scores.dtype == torch.float64
    expected = label_quality_scores(labels, probs, pooling=pooling)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("pooling", POOLINGS)
def test_cuda_equals_numpy(pooling):
    generator = np.random.default_rng(0)
    labels, probs = generator.integers(-1, 2, (300, 7)), generator.random((300, 7))
    scores = label_quality_scores(torch.tensor(labels).cuda(), torch.tensor(probs).cuda(), pooling=pooling)
    assert scores.is_cuda
    expected = label_quality_scores(labels, probs, pooling=pooling)
    np.testing.assert_allclose(scores.cpu().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("given_type", "score_type"), [("float16", "float32"), ("float32", "float32")])
def test_single_precision(pooling, given_type, score_type):
    generator = np.random.default_rng(0)
    labels, probs = generator.integers(-1, 2, (50, 9)), generator.random((50, 9)).astype(given_type)
    expected = label_quality_scores(labels, probs.astype(float), pooling=pooling)
    for scores in (
        label_quality_scores(labels, probs, pooling=pooling),
        label_quality_scores(torch.tensor(labels), torch.tensor(probs), pooling=pooling).numpy(),
    ):
        assert scores.dtype == score_type
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("score_type", [np.float32, np.float64])
def test_softmin_at_the_lowest_temperature_is_the_minimum(score_type):
    probs = np.array([[0.5, 0.25, 1.0], [0.25, 0.25, 0.5]], dtype=score_type)
    scores = label_quality_scores(np.ones((2, 3)), probs, pooling="softmin", temperature=1e-300)
    np.testing.assert_array_equal(scores, [0.25, 0.25])


@pytest.mark.parametrize("label_type", [bool, np.uint8, np.int64, np.float32])
def test_label_types(label_type):
    labels = np.array([[True, False], [False, True]]).astype(label_type)
    np.testing.assert_allclose(label_quality_scores(labels, np.full((2, 2), 0.25), pooling="max"), [0.75, 0.75])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("block_bytes", [1, 100, 10_000_000])
def test_block_size_does_not_matter(pooling, block_bytes):
    generator = np.random.default_rng(0)
    labels, probs = generator.integers(-1, 2, (31, 5)), generator.random((31, 5))
    labels[:10] = 1  # whole blocks without unknown labels, and blocks with some
    scores = label_quality_scores(labels, probs, pooling=pooling, block_bytes=block_bytes)
    np.testing.assert_allclose(scores, label_quality_scores(labels, probs, pooling=pooling), rtol=0, atol=1e-15)


def test_threads_do_not_matter():
    generator = np.random.default_rng(0)
    labels, probs = generator.integers(-1, 2, (1000, 5)), generator.random((1000, 5))
    scores = label_quality_scores(labels, probs, block_bytes=200)
    np.testing.assert_array_equal(label_quality_scores(labels, probs, block_bytes=200, threads=4), scores)


def test_of_several_bad_values_the_first_is_named_whatever_the_threads():
    probs = changed(changed(PROBS, 1, 1, 7), 3, 2, 8)
    with pytest.raises(InputError, match=r"probs\[1, 1\]: found 7.0; expected"):
        label_quality_scores(LABELS, probs, block_bytes=1, threads=4)


# Unusable input -------------------------------------------------------------------------------------------------------

LABELS, PROBS = np.zeros((4, 3), dtype=int), np.full((4, 3), 0.5)
MIXED_KINDS = "labels and probs: found a Tensor and a ndarray; expected both NumPy arrays or both torch tensors"


def changed(array, row, column, value):
    array = array.astype(float)
    array[row, column] = value
    return array


@pytest.mark.parametrize(
    ("labels", "probs", "options", "message"),
    [
        (LABELS, changed(PROBS, 2, 1, NAN), {}, "probs[2, 1]: found nan; expected a probability in [0, 1]"),
        (LABELS, changed(PROBS, 3, 0, 1.5), {}, "probs[3, 0]: found 1.5; expected a probability in [0, 1]"),
        (LABELS, changed(PROBS, 0, 2, -0.25), {}, "probs[0, 2]: found -0.25; expected a probability in [0, 1]"),
        (changed(LABELS, 3, 2, 2).astype(int), PROBS, {}, "labels[3, 2]: found 2; expected 1, 0, or -1 for unknown"),
        (changed(LABELS, 1, 2, 0.5), PROBS, {}, "labels[1, 2]: found 0.5; expected 1, 0, or -1 for unknown"),
        (changed(LABELS, 1, 1, NAN), PROBS, {}, "labels[1, 1]: found nan; expected 1, 0, or -1 for unknown"),
        (LABELS, PROBS[:2], {}, "shape of labels: found (4, 3); expected (2, 3), that of probs"),
        (LABELS[0], PROBS[0], {}, "shape of labels: found (3,); expected (N, K) with at least one row and column"),
        (LABELS[:0], PROBS[:0], {}, "shape of labels: found (0, 3); expected (N, K) with at least one row and column"),
        (LABELS, PROBS[:, :0], {}, "shape of probs: found (4, 0); expected (N, K) with at least one row and column"),
        ([[1]], PROBS, {}, "labels: found a list; expected a NumPy array or a torch tensor"),
        (LABELS, LABELS, {}, "probs: found the type int64; expected floating-point numbers"),
        (torch.tensor(LABELS), PROBS, {}, MIXED_KINDS),
        (LABELS, PROBS, {"block_bytes": 0}, "block_bytes: found 0; expected a whole number of at least 1"),
        (LABELS, PROBS, {"threads": 0}, "threads: found 0; expected a whole number of at least 1"),
        (LABELS, PROBS, {"pooling": "sum"}, f"pooling: found 'sum'; expected one of {', '.join(POOLINGS)}"),
        (LABELS, PROBS, {"pooling": ["min"]}, f"pooling: found ['min']; expected one of {', '.join(POOLINGS)}"),
        (LABELS, PROBS, {"k": 2}, "option of pooling 'ema': found 'k'; expected only alpha"),
        (LABELS, PROBS, {"pooling": "min", "alpha": 0.8}, "option of pooling 'min': found 'alpha'; expected none"),
        (LABELS, PROBS, {"alpha": 0}, "alpha: found 0; expected a number above 0 and at most 1"),
        (LABELS, PROBS, {"alpha": 1.1}, "alpha: found 1.1; expected a number above 0 and at most 1"),
        (LABELS, PROBS, {"alpha": NAN}, "alpha: found nan; expected a number above 0 and at most 1"),
        (LABELS, PROBS, {"alpha": "0.8"}, "alpha: found '0.8'; expected a number above 0 and at most 1"),
        (LABELS, PROBS, {"pooling": "softmin", "temperature": 0},
         "temperature: found 0; expected a finite number above 0"),
        (LABELS, PROBS, {"pooling": "log", "epsilon": -1}, "epsilon: found -1; expected a finite number above 0"),
        (LABELS, PROBS, {"pooling": "cumulative", "k": 0}, "k: found 0; expected a whole number of at least 1"),
        (LABELS, PROBS, {"pooling": "cumulative", "k": 1.5}, "k: found 1.5; expected a whole number of at least 1"),
        (LABELS, PROBS, {"pooling": "sma", "period": True},
         "period: found True; expected a whole number of at least 1"),
    ],
)  # fmt: skip
def test_unusable_input_is_one_clear_line(labels, probs, options, message):
    with pytest.raises(InputError) as error:
        label_quality_scores(labels, probs, **options)
    assert str(error.value) == message


def test_the_row_of_a_bad_value_is_counted_from_the_start_of_the_array():
    with pytest.raises(InputError, match=r"probs\[3, 2\]: found 7.0; expected"):
        label_quality_scores(LABELS, changed(PROBS, 3, 2, 7), block_bytes=1)


def test_bad_values_in_tensors():
    with pytest.raises(InputError, match=r"probs\[1, 0\]: found nan; expected"):
        label_quality_scores(torch.tensor(LABELS), torch.tensor(changed(PROBS, 1, 0, NAN)))
    with pytest.raises(InputError, match=r"labels\[1, 0\]: found -2; expected"):
        label_quality_scores(torch.tensor(changed(LABELS, 1, 0, -2).astype(int)), torch.tensor(PROBS))


def test_self_confidence_checks_its_input():
    with pytest.raises(InputError, match=r"probs\[1, 0\]: found 2.0; expected"):
        self_confidence(LABELS, changed(PROBS, 1, 0, 2))
