"""Noise: exact counts, what a swap may never do, and corruption matrices against counting by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nlcore.errors import InputError
from nlcore.noise import (
    empirical_corruption_matrix,
    flip_symmetric,
    hide_labels,
    swap_labels,
    true_corruption_matrix,
)

TARGETS = hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 1))
RATES = st.floats(0, 1)


def sparse_targets(images=4000, classes=10, seed=0):
    targets = (np.random.default_rng(seed).random((images, classes)) < 0.2).astype(np.int8)
    return targets[targets.sum(axis=1) > 0]


def room_for_swaps(targets):
    """The most swaps that are possible: image by image, as many as it has labels and absent classes."""
    return sum(min(row.sum(), len(row) - row.sum()) for row in targets.astype(int))


@given(TARGETS, RATES, st.integers(0, 1000))
def test_swaps_are_exact_and_leave_the_true_classes(targets, rate, seed):
    before, swaps = targets.copy(), round(rate * int(targets.sum()))
    assume(swaps <= room_for_swaps(targets))
    noisy = swap_labels(targets, rate, np.random.default_rng(seed))
    np.testing.assert_array_equal(targets, before)
    assert noisy.dtype == targets.dtype and set(np.unique(noisy)) <= {0, 1}
    np.testing.assert_array_equal(noisy.sum(axis=1), targets.sum(axis=1))
    # Had a swap gone back to a true class, or two to the same class, fewer labels would differ.
    assert ((targets == 1) & (noisy == 0)).sum() == swaps == ((targets == 0) & (noisy == 1)).sum()


@given(TARGETS, RATES, st.integers(0, 1000))
def test_swaps_without_room_are_refused(targets, rate, seed):
    swaps = round(rate * int(targets.sum()))
    assume(swaps > room_for_swaps(targets))
    with pytest.raises(InputError, match=f"absent classes for {room_for_swaps(targets)} swaps; expected {swaps}$"):
        swap_labels(targets, rate, np.random.default_rng(seed))


def test_new_classes_are_uniform_over_the_absent_ones():
    targets = np.tile(np.array([1, 0, 1, 0, 0, 0], np.int8), (30_000, 1))
    noisy = swap_labels(targets, 0.5, np.random.default_rng(0))
    assert noisy[:, [0, 2]].sum() == 30_000
    share = noisy[:, [1, 3, 4, 5]].sum(axis=0) / 30_000
    np.testing.assert_allclose(share, 0.25, atol=0.01)  # four standard deviations
    lost = (targets > noisy).sum(axis=1)
    np.testing.assert_allclose(np.bincount(lost) / 30_000, [0.25, 0.5, 0.25], atol=0.012)


def test_share_of_clean_images_is_the_papers():
    """Paper 1 leaves 22.4 % and 8.5 % of the images clean at 40 and 60 %: what swapping labels, not images, gives."""
    rng = np.random.default_rng(0)
    number = rng.choice([2, 3, 4, 5, 6], size=20_000, p=[0.42, 0.26, 0.16, 0.1, 0.06])  # labels per COCO image
    targets = np.arange(80) < number[:, None]
    for rate, low, high in ((0.4, 0.19, 0.25), (0.6, 0.07, 0.1)):
        clean = (swap_labels(targets, rate, rng) == targets).all(axis=1).mean()
        assert low < clean < high


def test_symmetric_flip_is_the_swap():
    targets = sparse_targets()
    flipped = flip_symmetric(targets, 0.3, np.random.default_rng(1))
    np.testing.assert_array_equal(flipped, swap_labels(targets, 0.3, np.random.default_rng(1)))


@given(TARGETS, RATES, st.integers(0, 1000))
def test_hidden_cells_are_exact_and_the_rest_stays(targets, rate, seed):
    partial = hide_labels(targets, rate, np.random.default_rng(seed))
    assert (partial == -1).sum() == round(rate * targets.size)
    known = partial >= 0
    np.testing.assert_array_equal(partial[known], targets[known])


def test_hiding_costs_what_the_paper_says():
    """500 of COCO's images at 20 %: about 8,000 cells to relabel (paper 2)."""
    partial = hide_labels(np.zeros((4000, 80), bool), 0.2, np.random.default_rng(0))
    assert partial.dtype == np.int8
    assert (partial[:500] == -1).sum() == pytest.approx(8000, rel=0.02)
    assert (hide_labels(np.zeros((3, 2), np.uint8), 1.0, np.random.default_rng(0)) == -1).all()


def test_printed_corruption_matrix():
    matrix = true_corruption_matrix(4, 0.3)
    np.testing.assert_allclose(matrix, 0.1 + 0.6 * np.eye(4))
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_counted_corruption_matrix_by_hand():
    clean = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 0, 0]])
    noisy = np.array([[0, 0, 1, 1, 0], [1, 0, 0, 0, 0], [0, 1, 0, 1, 0]])
    # Image 0 lost {0, 1} and gained {2, 3}: half a label each way. Image 2 turned 2 into 3. Nobody has 3 or 4.
    expected = [[0.5, 0, 0.25, 0.25, 0], [0, 0.5, 0.25, 0.25, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(empirical_corruption_matrix(clean, noisy), expected)


def test_counted_matrix_meets_the_printed_one_on_single_label_images():
    clean = np.eye(5, dtype=np.int8)[np.random.default_rng(0).integers(5, size=50_000)]
    noisy = flip_symmetric(clean, 0.4, np.random.default_rng(1))
    np.testing.assert_allclose(empirical_corruption_matrix(clean, noisy), true_corruption_matrix(5, 0.4), atol=0.015)
    np.testing.assert_array_equal(empirical_corruption_matrix(clean, clean), np.eye(5))


@pytest.mark.parametrize("noise", [swap_labels, flip_symmetric, hide_labels])
@pytest.mark.parametrize(
    ("targets", "rate", "message"),
    [
        (np.eye(3), 40, r"noise rate: found 40; expected a fraction between 0 and 1"),
        (np.eye(3), 1.1, r"noise rate: found 1.1; expected a fraction between 0 and 1"),
        (np.eye(3), -0.1, "noise rate"),
        (np.eye(3), float("nan"), "noise rate"),
        (np.eye(3), "0.4", "noise rate: found '0.4'"),
        (np.eye(3) * 2, 0.1, "targets: .*expected 0 or 1"),
        (-np.eye(3), 0.1, "targets: .*expected 0 or 1"),
        (np.full((2, 2), np.nan), 0.1, "targets: .*expected 0 or 1"),
        (np.ones(3), 0.1, r"\(images, classes\)"),
    ],
)
def test_unusable_noise_is_one_clear_line(noise, targets, rate, message):
    with pytest.raises(InputError, match=message):
        noise(targets, rate, np.random.default_rng(0))


def test_unusable_matrices_are_one_clear_line():
    with pytest.raises(InputError, match="number of labels has changed"):
        empirical_corruption_matrix(np.eye(3), np.ones((3, 3)))
    with pytest.raises(InputError, match=r"noisy targets: found shape \(4, 4\); expected \(3, 3\)"):
        empirical_corruption_matrix(np.eye(3), np.eye(4))
    with pytest.raises(InputError, match="classes: found 1; expected at least two"):
        true_corruption_matrix(1, 0.2)
    with pytest.raises(InputError, match="noise rate: found 40; expected a fraction"):
        true_corruption_matrix(3, 40)
