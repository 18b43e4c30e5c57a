"""Confident Learning: one class worked out by hand, and cleanlab as the oracle."""

import warnings

import numpy as np
import pytest
import torch
from cleanlab.internal.multilabel_utils import onehot2int
from cleanlab.multilabel_classification.filter import find_label_issues as cleanlab_images
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from hypothesis import given, settings
from hypothesis import strategies as st

from nlcore.errors import InputError
from nlcore.scorers import find_label_issues


def cleanlab_flags(labels, probs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with a single annotation of a kind
        return find_multilabel_issues_per_class(onehot2int(labels), probs, n_jobs=1)


def make_data(shape, seed, *, prevalence=0.3, decimals=None):
    """Labels (N, K) with both kinds in every class, and probabilities that mostly agree; rounded, they have ties."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(shape) < prevalence).astype(int)
    labels[0], labels[1] = 1, 0
    probs = 0.4 * labels + 0.6 * generator.random(shape)
    probs = np.where(generator.random(shape) < 0.15, 1 - probs, probs)
    return labels, probs if decimals is None else probs.round(decimals)


# Thresholds: applies (0.9 + 0.8 + 0.1) / 3 = 0.6, does not (0.8 + 0.9 + 0.9 + 0.3) / 4 = 0.725. Images 2 and 6 are
# confidently annotated wrong, C = [[3, 1], [1, 2]]: one flag of each kind.
HAND_LABELS = np.array([[1], [1], [1], [0], [0], [0], [0]])
HAND_PROBS = np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.1], [0.7]])


def test_by_hand():
    issues = find_label_issues(HAND_LABELS, HAND_PROBS)
    assert np.flatnonzero(issues.per_class[:, 0]).tolist() == [2, 6]
    assert issues.any_class.tolist() == issues.per_class[:, 0].tolist()


def test_an_unconfident_contradiction_is_not_counted():
    probs = HAND_PROBS.copy()
    probs[6] = 0.55  # contradicts its label, but below the threshold 0.6: C = [[3, 0], [1, 2]]
    assert np.flatnonzero(find_label_issues(HAND_LABELS, probs).any_class).tolist() == [2]


@pytest.mark.parametrize("shape", [(2, 2), (20, 2), (100, 7), (3000, 3), (60, 120)])
@pytest.mark.parametrize("prevalence", [0.01, 0.3, 0.95])
@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
def test_flags_equal_cleanlab(shape, prevalence, decimals):
    labels, probs = make_data(shape, seed=7, prevalence=prevalence, decimals=decimals)
    issues = find_label_issues(labels, probs)
    expected = cleanlab_flags(labels, probs)
    np.testing.assert_array_equal(issues.per_class, expected)
    np.testing.assert_array_equal(issues.any_class, expected.any(axis=1))


@settings(max_examples=200)
@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 10**6), st.sampled_from([None, 3, 1, 0]))
def test_flags_equal_cleanlab_on_any_data(images, classes, seed, decimals):
    generator = np.random.default_rng(seed)
    labels = (generator.random((images, classes)) < generator.random(classes)).astype(int)
    labels[0], labels[1] = 1, 0
    probs = generator.random((images, classes)) ** generator.uniform(0.2, 4)
    probs = probs if decimals is None else probs.round(decimals)
    np.testing.assert_array_equal(find_label_issues(labels, probs).per_class, cleanlab_flags(labels, probs))


def test_the_random_data_has_flags_of_both_kinds_and_ties_at_the_cut():
    labels, probs = make_data((3000, 3), seed=7, decimals=1)
    flags = find_label_issues(labels, probs).per_class
    assert flags[labels == 1].any() and flags[labels == 0].any()
    ties = [
        np.intersect1d(probs[flags[:, k] & (labels[:, k] == kind), k], probs[~flags[:, k] & (labels[:, k] == kind), k])
        for k in range(3)
        for kind in (0, 1)
    ]
    assert any(tie.size for tie in ties)


def test_union_equals_cleanlab():
    labels, probs = make_data((400, 6), seed=3)
    np.testing.assert_array_equal(
        find_label_issues(labels, probs).any_class, cleanlab_images(onehot2int(labels), probs, n_jobs=1)
    )


def test_unknown_annotations_are_neither_flagged_nor_counted():
    labels, probs = make_data((300, 4), seed=1)
    labels[np.random.default_rng(2).random(labels.shape) < 0.4] = -1
    issues = find_label_issues(labels, probs)
    assert issues.per_class.any() and not issues.per_class[labels == -1].any()
    for k in range(4):
        known = labels[:, k] >= 0
        # A second class without errors, since cleanlab takes no single one.
        pair = np.stack([labels[known, k]] * 2, axis=1), np.stack([probs[known, k], 1.0 * labels[known, k]], axis=1)
        np.testing.assert_array_equal(issues.per_class[known, k], cleanlab_flags(*pair)[:, 0])


def test_a_class_without_two_kinds_of_annotation_has_no_flags():
    labels, probs = make_data((50, 4), seed=1)
    expected = find_label_issues(labels, probs).per_class
    labels[:, 0], labels[:, 1], labels[:, 2] = 0, 1, -1
    flags = find_label_issues(labels, probs).per_class
    assert not flags[:, :3].any() and flags[:, 3].any()
    np.testing.assert_array_equal(flags[:, 3], expected[:, 3])


@pytest.mark.parametrize("kind", [0, 1])
def test_the_only_annotation_of_a_kind_is_never_flagged(kind):
    labels = np.full((20, 2), 1 - kind)
    labels[3] = kind
    probs = np.where(labels == 1, 0.9, 0.1)
    probs[3] = 0.9 if kind == 0 else 0.1
    assert not find_label_issues(labels, probs).per_class[3].any()
    np.testing.assert_array_equal(find_label_issues(labels, probs).per_class, cleanlab_flags(labels, probs))


@pytest.mark.parametrize("decimals", [None, 1])
def test_torch_equals_numpy(decimals):
    labels, probs = make_data((500, 5), seed=5, decimals=decimals)
    labels[4:9] = -1
    issues = find_label_issues(torch.tensor(labels), torch.tensor(probs))
    expected = find_label_issues(labels, probs)
    assert isinstance(issues.per_class, torch.Tensor) and issues.per_class.dtype == torch.bool
    np.testing.assert_array_equal(issues.per_class.numpy(), expected.per_class)
    np.testing.assert_array_equal(issues.any_class.numpy(), expected.any_class)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("decimals", [None, 1])
def test_cuda_equals_numpy(decimals):
    labels, probs = make_data((500, 5), seed=5, decimals=decimals)
    issues = find_label_issues(torch.tensor(labels).cuda(), torch.tensor(probs).cuda())
    assert issues.per_class.is_cuda and issues.any_class.is_cuda
    np.testing.assert_array_equal(issues.per_class.cpu().numpy(), find_label_issues(labels, probs).per_class)


@pytest.mark.parametrize("given_type", [np.float16, np.float32])
def test_lower_precision_is_computed_in_float64(given_type):
    labels, probs = make_data((500, 5), seed=5)
    probs = probs.astype(given_type)
    expected = cleanlab_flags(labels, probs.astype(float))
    np.testing.assert_array_equal(find_label_issues(labels, probs).per_class, expected)
    tensors = torch.tensor(labels), torch.tensor(probs)
    np.testing.assert_array_equal(find_label_issues(*tensors).per_class.numpy(), expected)


@pytest.mark.parametrize("block_bytes", [1, 5000, 10**9])
def test_block_size_does_not_matter(block_bytes):
    labels, probs = make_data((200, 11), seed=8)
    expected = find_label_issues(labels, probs)
    issues = find_label_issues(labels, probs, block_bytes=block_bytes)
    np.testing.assert_array_equal(issues.per_class, expected.per_class)
    np.testing.assert_array_equal(issues.any_class, expected.any_class)


def test_out_takes_the_flags():
    labels, probs = make_data((200, 11), seed=8)
    out = np.ones(labels.shape, dtype=bool)
    assert find_label_issues(labels, probs, out=out).per_class is out
    np.testing.assert_array_equal(out, find_label_issues(labels, probs).per_class)


@pytest.mark.parametrize("out", [np.zeros((7, 2), dtype=bool), np.zeros((7, 1)), torch.zeros((7, 1), dtype=torch.bool)])
def test_an_unfit_out_is_one_clear_line(out):
    with pytest.raises(InputError, match=r"^out: found .*; expected a boolean array of shape \(7, 1\)"):
        find_label_issues(HAND_LABELS, HAND_PROBS, out=out)


def test_bad_values_are_found_before_a_flag_is_written():
    labels, probs = make_data((200, 11), seed=8)
    probs[199, 10] = np.nan
    out = np.ones(labels.shape, dtype=bool)
    with pytest.raises(InputError, match=r"^probs\[199, 10\]: found nan; expected a probability in \[0, 1\]$"):
        find_label_issues(labels, probs, out=out, block_bytes=1)
    assert out.all()


@pytest.mark.parametrize("block_bytes", [0, -5, 1.5, True])
def test_bad_block_bytes(block_bytes):
    with pytest.raises(InputError, match=r"^block_bytes: found .*; expected a whole number of at least 1"):
        find_label_issues(HAND_LABELS, HAND_PROBS, block_bytes=block_bytes)
