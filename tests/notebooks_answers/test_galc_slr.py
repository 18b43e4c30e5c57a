"""The answers of notebook 04 against the functions that they speak of."""

import numpy as np
import pytest

from nlcore.correction import galc_slr_matrix
from tests.notebooks_answers.reading import answer, artefact, examples


@pytest.fixture
def example():
    """The names of the notebook's early sections."""
    return examples(4)


def repaired(example, outputs):
    softmax = outputs / outputs.sum(axis=1, keepdims=True)
    return galc_slr_matrix(example["Y"], outputs, softmax, np.arange(4), example["C"]).matrix


def test_1_the_diagonal_grows_and_companions_shrink(example):
    Y, C = example["Y"], example["C"]
    change = repaired(example, 0.9 * Y @ C) - C
    together = (Y.T @ Y > 0) & ~np.eye(4, dtype=bool)
    assert (np.diag(change) > 0.01).all()
    assert (change[together] < -0.005).all()
    assert change[~together & ~np.eye(4, dtype=bool)] == pytest.approx(0)
    one_other = 1.9 * C[0] - 0.1 * C[1]
    assert one_other.sum() == pytest.approx(1.8)
    assert repaired({"Y": Y[:1], "C": C}, 0.9 * Y[:1] @ C)[0] == pytest.approx(one_other / 1.8)


def test_1_an_image_alone_gives_the_row_back(example):
    alone = {"Y": example["Y"][-1:], "C": example["C"]}
    assert repaired(alone, 0.9 * alone["Y"] @ alone["C"])[0] == pytest.approx(alone["C"][0])


def test_1_an_inflated_sigmoid_makes_rows_flat(example):
    Y, C = example["Y"], example["C"]
    matrix = repaired(example, 0.9 * Y @ C + 0.1)
    assert (np.diag(matrix) < np.diag(repaired(example, 0.9 * Y @ C)) - 0.05).all()
    assert (np.ptp(matrix, axis=1) < np.ptp(C, axis=1)).all()
    assert answer(4, 1)[1].count("[[") == 2


def test_2_symmetric_noise_cannot_exceed_one_and_another_matrix_can(example):
    C, rng = example["C"], np.random.default_rng(0)
    assert C.sum(axis=0) == pytest.approx(1)
    assert (rng.random((1000, 4)) @ C).max() <= 1 and np.ones(4) @ C == pytest.approx(1)
    names, told = answer(4, 2)
    matrix, g = names["to_cup"], names["three"]
    assert matrix.sum(axis=1) == pytest.approx(1) and matrix.sum(axis=0).max() > 1
    assert (g @ matrix).max() == pytest.approx(1.8) and told.startswith("C'g: ")
    noisy_or = lambda g: 1 - np.prod(1 - g[:, None] * matrix, axis=0)
    for one in np.eye(4):
        assert noisy_or(one) == pytest.approx(one @ matrix)
    assert max(noisy_or(g).max() for g in rng.random((1000, 4))) <= 1 and noisy_or(g).max() == pytest.approx(1)


def test_3_a_row_of_glc_is_mixed_with_its_companions(example):
    C, mixed = example["C"], answer(4, 3)[0]["mixed_rows"]
    cat, dog, cup, car = C
    assert mixed[1] == pytest.approx(dog / 2 + cat / 4 + car / 4)
    assert mixed[0] == pytest.approx(2 * cat / 3 + dog / 6 + cup / 6)
    errors = abs(mixed - C).max(axis=1)
    assert (errors > 0.1).all() and errors.argmin() == 0


def test_4_uncorrected_silver_labels_are_useful_up_to_50_percent():
    means = artefact("galc_slr", "fig_5a").groupby(["noise", "series"]).value.mean().unstack()
    gain = means["asl + clean gold"] - means["gold only"]
    assert (gain[gain.index <= 50] > 1).all() and abs(gain[60]) < 1.5
    plain = means["asl"] - means["gold only"]
    assert plain[40] > 3 and abs(plain[50]) < 2.5 and plain[60] < -2
    assert means["true matrix"][60] > means["gold only"][60] + 3
    assert {"asl", "asl + clean gold", "gold only", "true matrix"} <= set(artefact("galc_slr", "fig_5a").series)
