"""What draws of the test images do to a metric: against counting each image anew in every draw."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from nlcore.metrics import average_precision_all, mean_average_precision, mean_class_f1, overall_f1
from nlcore.metrics.resampling import (
    average_precision_influence,
    f1_influence,
    image_draws,
    mean_influence,
    moved,
)

STEP = 1e-6


def judged(images=60, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((images, classes)) < 0.3).astype(np.int8)
    scores = np.round(rng.normal(size=targets.shape) + targets, 1)  # ties among them
    return targets, scores


def test_it_is_the_derivative_by_an_images_weight():
    targets, scores = judged()
    found = average_precision_influence(targets, scores)
    for k in range(targets.shape[1]):
        before = average_precision_score(targets[:, k], scores[:, k])
        for image in range(0, len(targets), 7):
            weights = np.ones(len(targets))
            weights[image] += STEP
            after = average_precision_score(targets[:, k], scores[:, k], sample_weight=weights)
            np.testing.assert_allclose(found[image, k], (after - before) / STEP, atol=1e-5)


def test_unknown_cells_have_none_and_a_class_without_positives_is_left_out():
    targets, scores = judged()
    targets[:20, 0], targets[:, 1] = -1, 0
    found = average_precision_influence(targets, scores)
    assert (found[:20, 0] == 0).all()
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[20:, :1], average_precision_influence(targets[20:, :1], scores[20:, :1]))
    np.testing.assert_allclose(mean_influence(found), found[:, [0, 2, 3]].mean(axis=1))
    assert (mean_influence(average_precision_influence(np.zeros_like(targets), scores)) == 0).all()


def test_the_spread_over_the_draws_is_that_of_the_bootstrap():
    """mAP, CF1 and OF1 of each draw computed anew, from the images as often as they were drawn."""
    targets, scores = judged(images=1500, seed=1)
    probabilities = 1 / (1 + np.exp(-scores))
    metrics = {
        "map": (mean_influence(average_precision_influence(targets, scores)), mean_average_precision, scores),
        "cf1": (f1_influence(targets, probabilities, threshold=0.6)[0],
                lambda *pair: mean_class_f1(*pair, threshold=0.6), probabilities),
        "of1": (f1_influence(targets, probabilities, threshold=0.6)[1],
                lambda *pair: overall_f1(*pair, threshold=0.6), probabilities),
    }  # fmt: skip
    again = [np.repeat(np.arange(len(targets)), drawn) for drawn in image_draws(len(targets))]
    for name, (influence, metric, said) in metrics.items():
        by_draw = np.array([metric(targets[rows], said[rows]) for rows in again]) - metric(targets, said)
        assert np.corrcoef(by_draw, moved(influence))[0, 1] > 0.99, name
        np.testing.assert_allclose(moved(influence).std(), by_draw.std(), rtol=0.05, err_msg=name)


def test_all_cells_of_an_image_are_drawn_together():
    targets, scores = judged(images=800, seed=2)
    cells = average_precision_influence(targets.reshape(-1, 1), scores.reshape(-1, 1))
    found = moved(cells.reshape(targets.shape).sum(axis=1))
    again = [np.repeat(np.arange(len(targets)), drawn) for drawn in image_draws(len(targets))]
    by_draw = np.array([average_precision_all(targets[rows], scores[rows]) for rows in again])
    np.testing.assert_allclose(found.std(), by_draw.std(), rtol=0.08)


def test_the_draws_are_the_same_for_all_metrics_of_as_many_images():
    influence = np.random.default_rng(3).normal(size=50)
    np.testing.assert_array_equal(moved(influence), moved(influence.copy()))
    np.testing.assert_allclose(moved(np.full(50, 0.2)), 0, atol=1e-6)  # as many images in every draw
    assert image_draws(50).shape == (200, 50)


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"targets and scores: found shapes \(2, 1\) and \(3, 1\); expected both"):
        average_precision_influence(np.zeros((2, 1)), np.zeros((3, 1)))
