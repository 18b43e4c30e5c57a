"""The answers of notebook 05 against the functions that they speak of."""

import pytest
import torch

from nlcore.papers.teacher_student.heads import CleaningNetwork, VeitModel, cleaning_loss, teacher_labels
from nlcore.training.models import linear_head
from tests.notebooks_answers.reading import answer, artefact, examples


def test_1_a_lower_threshold_only_adds_labels():
    _, told = answer(5, 1)
    assert [line.count("1.0") for line in told.splitlines()] == [3, 2, 1]
    logits = torch.randn(200, 56, generator=torch.Generator().manual_seed(0))
    at = {threshold: teacher_labels(logits, threshold=threshold) for threshold in (0.2, 0.4, 0.6)}
    assert (at[0.2] >= at[0.4]).all() and (at[0.4] >= at[0.6]).all()
    added = artefact("teacher_student", "corrections").set_index("what")
    wrongly, rightly = (
        added.loc["label rightly absent, teacher adds it"],
        added.loc["true label missing, teacher adds it"],
    )
    assert wrongly.of > 10 * rightly.of and wrongly.cells > rightly.cells


def test_2_two_relu_units_say_exactly_one():
    names, _ = answer(5, 2)
    assert names["relu_units"].tolist() == examples(5)["wanted"].tolist()


def test_3_without_a_constant_both_agree_on_nothing():
    names, told = answer(5, 3)
    assert names["c"].grad.item() == pytest.approx(torch.tensor(0.6 / 0.4).log().item(), abs=1e-6)
    assert names["p"].grad.item() > 0 and told.startswith("by c: 0.405")
    grid = torch.linspace(0, 1, 101, dtype=torch.float64)
    c, p = torch.meshgrid(grid, grid, indexing="ij")
    loss = -torch.xlogy(c, p) - torch.xlogy(1 - c, 1 - p)
    assert (loss >= 0).all()
    assert sorted(map(tuple, (loss == 0).nonzero().tolist())) == [(0, 0), (100, 100)]
    assert (loss[1:-1].argmin(dim=1) == torch.arange(1, 100)).all()  # a constant c: the best p is c


def test_4_noisy_labels_and_their_errors_follow_from_the_features():
    names, told = answer(5, 4)
    assert names["learnt"]["noisy"] > names["learnt"]["clean"] + 0.02
    assert names["errors"] > 0.8 and len(told.splitlines()) == 3


def test_5_l1_removes_what_is_right_in_two_cases_of_five():
    _, told = answer(5, 5)
    assert told == "best by L1: 0.01, by cross-entropy: 0.40\n"
    generator = torch.Generator().manual_seed(0)
    cleaner = CleaningNetwork(1, 1, embedding=2, generator=generator)
    model = VeitModel(cleaner, linear_head(1, 1, generator=generator), 1)
    inputs, clean = torch.tensor([[0.0, 1.0]] * 5), torch.tensor([[1.0], [1], [0], [0], [0]])  # features, noisy label
    for _ in range(200):
        cleaning_loss(model, (inputs, clean)).backward()
        for parameter in cleaner.parameters():
            parameter.data -= 0.05 * parameter.grad
            parameter.grad = None
    assert cleaner(inputs[:, :1], inputs[:, 1:]).max() < 0.1
