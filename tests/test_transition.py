"""The T-estimator on labels whose noise is known."""

import numpy as np
import pytest
import torch

from nlcore.errors import InputError
from nlcore.transition import counted_rates, easily_learnt, importance_weights, transition_estimate

ADDED, LOST = 0.03, 0.3
IMAGES, CLASSES = 20_000, 10


def world(seed):
    """True labels that go together, noisy ones, and what a good classifier says."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(IMAGES, 3)) @ rng.normal(size=(3, CLASSES))
    score = common + rng.normal(size=(IMAGES, CLASSES))
    truth = (score > 1.2).astype(np.int8)
    draws = rng.random(truth.shape)
    labels = np.where(truth == 1, draws > LOST, draws < ADDED).astype(np.int8)
    said = 1 / (1 + np.exp(-1.5 * (score - 1.2) + rng.normal(size=score.shape)))
    return truth, labels, said, -np.log(np.abs(1 - labels - said))


def estimated(labels, said, losses):
    return transition_estimate(labels, said, losses, rng=np.random.default_rng(0))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_finds_the_rates_of_noise_from_noisy_labels_alone(seed):
    truth, labels, said, losses = world(seed)
    found = estimated(labels, said, losses)
    assert found.by_dual_t == ()
    assert np.abs(found.added - ADDED).mean() < 0.01
    assert np.abs(found.lost - LOST).mean() < 0.06
    np.testing.assert_allclose(counted_rates(truth, labels).mean(axis=1), [ADDED, LOST], atol=0.01)


def test_told_the_truth_about_some_images_it_is_nearer_still():
    """What the pairs of labels rest on: images chosen whatever their other labels are."""
    truth, labels, said, losses = world(0)
    losses = np.where(truth == labels, 0.1, 3.0) + 0.01 * np.random.default_rng(1).normal(size=labels.shape)
    found = estimated(labels, said, losses)
    assert np.abs(found.added - ADDED).mean() < 0.005
    assert np.abs(found.lost - LOST).mean() < 0.02


def test_without_noise_there_is_none():
    truth, _, said, _ = world(0)
    found = estimated(truth, said, 0.1 + 0.01 * np.random.default_rng(1).normal(size=truth.shape))
    assert np.abs(found.added).mean() < 0.01 and np.abs(found.lost).mean() < 0.05


def test_a_class_of_few_images_is_decided_by_the_classifiers_own_predictions():
    """Dual-T: an image that surely has the class is predicted; what is predicted has the label in so many cases."""
    _, labels, said, losses = world(0)
    labels, said = labels[:400].copy(), said[:400].copy()
    labels[:, 0], said[:, 0] = 0, 0.02
    labels[:20, 0], said[:40, 0] = 1, 0.9  # of 40 predicted images 20 have the label, of 360 others none
    found = estimated(labels, said, losses[:400])
    assert 0 in found.by_dual_t
    assert found.lost[0] == pytest.approx(1 - 0.9 * 0.5)
    assert found.added[0] == pytest.approx(0.02 * 0.5)


def test_a_label_nobody_has_or_all_have_is_no_error():
    _, labels, said, losses = world(0)
    labels[:, 0], labels[:, 1] = 0, 1
    found = estimated(labels, said, losses)
    assert found.by_dual_t == (0, 1)
    assert np.isfinite(found.added).all() and np.isfinite(found.lost).all()


def test_images_are_selected_label_by_label_from_both_sides():
    labels = np.repeat([1, 0], 10)[:, None]
    losses = np.where(np.arange(20)[:, None] % 10 < 3, 2.0, 0.1) + np.linspace(0, 0.01, 20)[:, None]
    chosen = easily_learnt(labels, losses, rng=np.random.default_rng(0))
    assert chosen.ravel().tolist() == ([False] * 3 + [True] * 7) * 2


def test_weights_turn_the_expected_loss_of_noisy_labels_into_that_of_clean_ones():
    """Over the noisy labels of an image of which the classifier is right, any loss is as it were over the true ones."""
    p, added, lost = torch.tensor([[0.3]]), torch.tensor([0.1]), torch.tensor([0.4])
    given = 0.3 * 0.6 + 0.7 * 0.1
    loss = {1: 2.5, 0: 0.7}
    weights = {y: importance_weights(p, torch.tensor([[y]]), added, lost).item() for y in (0, 1)}
    expected = given * weights[1] * loss[1] + (1 - given) * weights[0] * loss[0]
    assert expected == pytest.approx(0.3 * loss[1] + 0.7 * loss[0])


@pytest.mark.parametrize("wrong", ["probabilities", "losses", "labels"])
def test_what_does_not_fit_is_named(wrong):
    _, labels, said, losses = world(0)
    arrays = {"labels": labels, "probabilities": said, "losses": losses}
    arrays[wrong] = arrays[wrong] + 2 if wrong == "labels" else arrays[wrong][:, :3]
    with pytest.raises(InputError, match=wrong):
        transition_estimate(*arrays.values(), rng=np.random.default_rng(0))
