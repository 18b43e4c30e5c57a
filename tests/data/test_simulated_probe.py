"""The distance of drawn features from real ones, as classifiers see it: less where both are of the same kind."""

import numpy as np
import pytest

from nlcore.data.simulated_fit import Settings
from nlcore.data.simulated_probe import NOISES, REFERENCE, distance_to_real, noise_curves
from nlcore.generators import generator

IMAGES, CLASSES, WIDTH = 600, 5, 12


def world(*, scenes: bool):
    """Images whose residuals are one of a few scenes that go with their labels, or Gaussian."""
    draws = generator("world")
    targets = (draws.random((IMAGES, CLASSES)) < 0.3).astype(np.int8)
    targets[~targets.any(axis=1), 0] = 1
    vectors = draws.normal(0, 0.7, (CLASSES, WIDTH))
    shown = draws.normal(0, 1.0, (CLASSES, CLASSES, WIDTH))[targets.argmax(axis=1), targets.sum(axis=1) % CLASSES]
    residuals = 2 * shown + draws.normal(0, 0.7, (IMAGES, WIDTH)) if scenes else draws.normal(0, 1.5, (IMAGES, WIDTH))
    return (targets @ vectors + residuals).astype(np.float32), targets


def test_curves_fall_with_noise_and_few_images_know_less():
    features, targets = world(scenes=False)
    found = noise_curves(features[:400], targets[:400], features[400:], targets[400:], generator=generator("noise"))
    for name in (REFERENCE, "ridge of 0.1", "kernel"):
        assert len(found[name]) == len(NOISES) and found[name][0] > found[name][-1] + 5
    assert found["few images"][0] < found[REFERENCE][0]


def test_features_that_say_all_are_learnt_to_the_end():
    _, targets = world(scenes=False)
    known, asked = targets[:400], targets[400:]
    found = noise_curves(1.0 * known, known, 1.0 * asked, asked, generator=generator("noise"))
    assert found[REFERENCE][0] == pytest.approx(100, abs=0.01)


def test_the_distance_prefers_donors_where_residuals_go_with_labels():
    images = world(scenes=True)
    near, far = (
        distance_to_real(*images, form, generator=generator("d"))[0] for form in (Settings(), Settings(fresh=1.0))
    )
    assert near < far


def test_the_scale_is_near_one_where_the_model_is_right():
    far, scale = distance_to_real(*world(scenes=False), Settings(fresh=1.0), generator=generator("d"))
    assert far < 4 and 0.7 < scale < 1.4
