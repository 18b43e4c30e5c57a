"""galc_slr: what labels alone decide, on sets counted by hand and at the paper's size."""

import numpy as np
import pytest

from nlcore.errors import InputError
from nlcore.noise import empirical_corruption_matrix, flip_symmetric, true_corruption_matrix
from nlcore.papers.galc_slr.counts import exact_lines, expected_corruption_matrix, gold_images, paper_sized
from nlcore.papers.galc_slr.examples import Examples, divide


@pytest.fixture(scope="module")
def lines():
    return {(line["quantity"], line["at"]): line for line in exact_lines([0.0, 0.2, 0.4])}


def test_on_single_label_images_the_expected_matrix_is_the_printed_one():
    targets = np.eye(5, dtype=np.int8)
    np.testing.assert_allclose(expected_corruption_matrix(targets, 0.4), true_corruption_matrix(5, 0.4))


def test_the_expected_matrix_by_hand():
    """Class 0 stands with 1 in one image of two, class 3 nowhere."""
    found = expected_corruption_matrix(np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]), 0.6)
    third = 0.6 / 3
    rows = [[0.4, third / 2, 0.15 + third / 2, 0.15 + third / 2], [0, 0.4, 0.3, 0.3], [third, third, 0.4, third]]
    np.testing.assert_allclose(found, [*rows, [0, 0, 0, 1]])
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_expected_matrix_is_the_mean_of_counted_ones():
    targets = (np.random.default_rng(0).random((300, 12)) < 0.2).astype(np.int8)
    draws = [flip_symmetric(targets, 0.4, np.random.default_rng(seed)) for seed in range(400)]
    counted = np.mean([empirical_corruption_matrix(targets, noisy) for noisy in draws], axis=0)
    np.testing.assert_allclose(expected_corruption_matrix(targets, 0.4), counted, atol=0.012)


def test_the_expected_matrix_is_linear_in_the_noise():
    targets = (np.random.default_rng(1).random((50, 6)) < 0.3).astype(np.int8)
    whole = expected_corruption_matrix(targets, 1.0)
    np.testing.assert_allclose(expected_corruption_matrix(targets, 0.3), 0.7 * np.eye(6) + 0.3 * whole)
    with pytest.raises(InputError, match="noise rate"):
        expected_corruption_matrix(targets, 40)


def test_gold_rows_are_those_of_the_runs():
    targets = np.ones((40, 3), np.int8) * [1, 1, 0]
    examples = Examples(None, targets, np.arange(40), np.arange(0), np.arange(0), ("a", "b", "c"))
    found = gold_images(examples, 0.2)
    assert [len(rows) for rows in found] == [8] * 5
    np.testing.assert_array_equal(found[3], divide(examples, gold=0.2, noise=0.4, seed=3).gold)


def test_sets_are_the_papers():
    examples = paper_sized()
    assert (len(examples.train), len(examples.single), len(examples.test)) == (65_268, 16_813, 0)
    assert np.bincount(examples.single_classes).max() == 1_234


def test_every_published_count_comes_out(lines):
    said = {key: line for key, line in lines.items() if line["published"] is not None}
    assert len(said) == 8
    assert {key: line["ours"] for key, line in said.items()} == {key: line["published"] for key, line in said.items()}


def test_gold_images_of_a_class(lines):
    assert lines["gold images of a class: mean", "10 % gold"]["ours"] == 280.3
    few = [lines["gold images of a class: fewest", f"{share} % gold"] for share in (10, 5)]
    assert few[0]["high"] < 20 and few[1]["high"] <= few[0]["high"]
    assert few[1]["low"] >= 1  # no class is without a gold image
    assert lines["classes that the cap leaves as they are", "at most 50 of a class"]["ours"] == 36


def test_matrices_at_each_noise(lines):
    assert not any(at == "0 %" for _, at in lines)
    error = "error of the printed matrix, off the diagonal:"
    at = lambda noise: [lines[f"{error} {which}", noise]["ours"] for which in ("mean", "largest")]
    np.testing.assert_allclose(at("40 %"), np.multiply(2, at("20 %")), rtol=0.005)
    assert at("40 %")[0] < 0.1 * lines["off the diagonal: as printed", "40 %"]["ours"]
    counted = lines["error of the matrix counted on gold: off the diagonal", "40 %"]
    assert counted["draws"] == 3 and counted["low"] > at("40 %")[0]
