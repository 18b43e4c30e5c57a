"""Fitting the generator: it finds what made the features, and its score prefers the truth."""

import numpy as np
import pytest

from nlcore.data.simulated import FeatureGenerator
from nlcore.data.simulated_fit import Settings, fit_generator, fit_posterior, fit_visibility, held_out_score
from nlcore.errors import InputError
from nlcore.generators import generator

IMAGES, CLASSES, WIDTH = 900, 6, 10
RESIDUALS = generator("residuals").standard_t(8, (2000, WIDTH)) * np.linspace(1.5, 0.3, WIDTH) * np.sqrt(6 / 8)
TRUE = FeatureGenerator(
    origin=np.zeros(WIDTH, np.float32),
    vectors=generator("truth").normal(0, 1.5, (CLASSES, WIDTH)).astype(np.float32),
    visibility=np.float32([0.9, 0.9, 0.9, 0, 0, 0]),
    residuals=RESIDUALS.astype(np.float32),
    donors=np.zeros((2000, CLASSES), np.int8),
    noise=np.zeros((1, WIDTH), np.float32),
    kinship=0.0,
    fresh=0.0,
)
TARGETS = (generator("targets").random((IMAGES, CLASSES)) < 0.3).astype(np.int8)
FEATURES = TRUE.draw(TARGETS, generator=generator("features"))


def fitted(**settings):
    return fit_generator(FEATURES, TARGETS, settings=Settings(**settings), generator=generator("fit"))


def score(settings, features=FEATURES):
    return held_out_score(features, TARGETS, settings, draws=100, generator=generator("score"))


def test_class_vectors_come_near_the_true_ones():
    found = fitted().vectors
    error = np.linalg.norm(found - TRUE.vectors, axis=1) / np.linalg.norm(TRUE.vectors, axis=1)
    assert error.max() < 0.35


def test_drawn_features_have_the_mean_of_the_real_ones_and_their_variance_where_visibility_does_not_vary():
    drawn = fitted().draw(TARGETS, generator=generator("drawn"))
    np.testing.assert_allclose(drawn.mean(axis=0), FEATURES.mean(axis=0), atol=0.25)
    drawn = fitted(visibility=0.0).draw(TARGETS, generator=generator("drawn"))
    np.testing.assert_allclose(drawn.std(axis=0), FEATURES.std(axis=0), rtol=0.1)


def test_donors_are_the_images_and_noise_has_the_covariance_of_what_labels_leave_of_them():
    found = fitted()
    np.testing.assert_array_equal(found.donors, TARGETS)
    left = FEATURES - found.origin - TARGETS @ found.vectors
    np.testing.assert_allclose(found.residuals, left, atol=1e-4)
    np.testing.assert_allclose(found.noise.T @ found.noise, left.T @ left / IMAGES, atol=1e-3)


def test_the_score_prefers_what_made_the_features():
    truth = score(Settings(freedom=8.0))
    assert truth > score(Settings(freedom=np.inf)) + 0.1
    assert truth > score(Settings(freedom=8.0, visibility=0.0)) + 0.1
    assert truth > score(Settings(freedom=8.0, ridge=500.0, strengths=False)) + 0.1


def test_the_score_of_gaussian_features_is_their_density():
    plain = generator("plain").normal(size=(IMAGES, WIDTH))
    settings = Settings(freedom=np.inf, visibility=0.0, ridge=1e6, strengths=False)
    expected = -WIDTH / 2 * (np.log(2 * np.pi) + 1)
    assert score(settings, plain) == pytest.approx(expected, abs=0.15)


def test_visibility_is_found_by_class():
    found = fit_visibility(FEATURES.astype(float), TARGETS, Settings())
    assert found[:3].min() > 0.6 > 0.4 > found[3:].max()
    assert fit_visibility(FEATURES.astype(float), TARGETS, Settings(visibility=0.5)).max() <= 0.5
    assert not fit_visibility(FEATURES.astype(float), TARGETS, Settings(visibility=0.0)).any()


def test_a_plain_class_has_the_greater_strength():
    vectors = TRUE.vectors * np.float32([[4], [1], [1], [1], [1], [0.2]])
    features = FEATURES + TARGETS @ (vectors - TRUE.vectors)
    strength = fit_posterior(features, TARGETS, Settings()).strength
    assert strength.argmax() == 0 and strength.argmin() == 5


def test_it_is_the_same_each_time_and_as_wide_as_the_features():
    first, again = fitted(components=4), fitted(components=4)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert first.vectors.shape == (CLASSES, WIDTH) and first.noise.shape == (4, WIDTH)


def test_what_cannot_be_fitted_is_refused():
    empty = TARGETS.copy()
    empty[:, 2] = 0
    with pytest.raises(InputError, match=r"^classes without an image: found \[2\]; expected none"):
        fit_generator(FEATURES, empty, generator=generator("fit"))
    with pytest.raises(InputError, match=r"^images to fit to: found 2; expected three or more"):
        fit_generator(FEATURES[:2], TARGETS[:2], generator=generator("fit"))


def test_worlds_differ_where_the_images_leave_a_class_open():
    first, other = (
        fit_generator(FEATURES, TARGETS, world=world, generator=generator("fit")).vectors for world in (0, 1)
    )
    assert not np.allclose(first, other)
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] > 0.95
    few = slice(0, 60)
    worlds = [fit_generator(FEATURES[few], TARGETS[few], world=w, generator=generator("fit")).vectors for w in (0, 1)]
    assert np.abs(worlds[0] - worlds[1]).mean() > 1.5 * np.abs(first - other).mean()
