"""multi_al: what labels alone decide, on sets counted by hand and at the paper's size."""

import itertools

import numpy as np
import pytest

from nlcore.errors import InputError
from nlcore.noise import swap_labels
from nlcore.papers.multi_al.counts import exact_lines, untouched_chances


@pytest.fixture(scope="module")
def lines():
    return {(line["quantity"], line["at"]): line for line in exact_lines([0.2, 0.4, 0.6])}


def test_chances_are_those_of_all_ways_to_draw_the_labels():
    labels, swaps = np.array([2, 1, 3]), 3
    owner = np.repeat(np.arange(3), labels)
    ways = [set(owner[list(drawn)]) for drawn in itertools.combinations(range(6), swaps)]
    expected = [np.mean([image not in touched for touched in ways]) for image in range(3)]
    np.testing.assert_allclose(untouched_chances(labels, swaps / 6), expected)


def test_no_noise_spares_all_and_full_noise_none():
    labels = np.array([1, 4, 0])
    assert untouched_chances(labels, 0.0).tolist() == [1, 1, 1]
    assert untouched_chances(labels, 1.0).tolist() == [0, 0, 1]  # an image without a label has none to lose
    assert untouched_chances(np.zeros(2, int), 0.5).tolist() == [1, 1]
    with pytest.raises(InputError, match="noise rate"):
        untouched_chances(labels, 40)


def test_the_expectation_is_the_mean_of_draws():
    targets = (np.random.default_rng(0).random((60, 12)) < 0.2).astype(np.int8)
    expected = untouched_chances(targets.sum(axis=1), 0.4).sum()
    draws = [
        (swap_labels(targets, 0.4, np.random.default_rng(seed)) == targets).all(axis=1).sum() for seed in range(400)
    ]
    assert expected == pytest.approx(np.mean(draws), abs=4 * np.std(draws) / 20)


def test_the_division_is_the_papers(lines):
    ours = {quantity: line["ours"] for (quantity, at), line in lines.items() if not at}
    assert ours["labelled images"] == 82_081
    assert ours["images with a single label, removed"] == 16_813
    assert ours["images with two labels or more"] == 65_268
    pool = lines["images in the pool", ""]
    assert pool["published"] == pool["ours"] == 23_497


@pytest.mark.parametrize("at, number, share", [("40 %", 5_254, 22.36), ("60 %", 1_990, 8.469)])
def test_the_published_clean_images_are_what_draws_give(lines, at, number, share):
    line = lines["clean images in the pool", at]
    deviation = (line["high"] - line["low"]) / 2.326  # the expected range of five draws is 2.326 of their deviations
    assert line["published"] == number and line["draws"] == 5
    assert abs(number - line["ours"]) < 3 * deviation
    assert line["ours"] == pytest.approx(number, rel=0.03)
    assert lines["clean images, % of the pool", at]["published"] == share


def test_what_was_not_published_is_blank(lines):
    line = lines["clean images in the pool", "20 %"]
    assert line["published"] is None and line["low"] <= line["ours"] <= line["high"]
    assert lines["clean : wrong in the whole pool", "20 %"]["ours"] == pytest.approx(0.976, abs=0.01)
