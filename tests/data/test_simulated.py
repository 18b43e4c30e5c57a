"""Simulated features: what is drawn has the statistics that were asked for, and the same ones each time."""

import numpy as np
import pytest

from nlcore.data.simulated import (
    CHUNK,
    FeatureGenerator,
    calibrate_scale,
    choose_label_sets,
    require_every_class,
)
from nlcore.errors import InputError
from nlcore.generators import generator

VECTORS = np.float32([[3, 0, 0, 0], [0, -2, 1, 0]])


def made(*, visibility=(0.0, 0.0), freedom=np.inf, noise=0.5):
    return FeatureGenerator(
        origin=np.float32([1, 1, 0, 0]),
        vectors=VECTORS,
        noise=noise * np.eye(4, dtype=np.float32),
        visibility=np.float32(visibility),
        freedom=freedom,
    )


def drawn(targets, maker, **options):
    return maker.draw(np.asarray(targets), generator=generator("test"), **options)


def test_features_are_the_sum_of_their_labels_vectors_and_noise():
    targets = np.repeat([[1, 0], [1, 1], [0, 0]], 4000, axis=0)
    found = drawn(targets, made()).reshape(3, 4000, 4)
    expected = [[4, 1, 0, 0], [4, -1, 1, 0], [1, 1, 0, 0]]
    np.testing.assert_allclose(found.mean(axis=1), expected, atol=0.05)
    np.testing.assert_allclose(found.std(axis=1), 0.5, atol=0.03)
    assert found.dtype == np.float32


def test_the_scale_multiplies_the_noise_alone():
    targets = np.tile([[1, 0], [0, 1]], (50, 1))
    means = made().origin + targets @ VECTORS
    small, large = (drawn(targets, made(), scale=scale) - means for scale in (1.0, 3.0))
    np.testing.assert_allclose(large, 3 * small, rtol=1e-3, atol=1e-4)


def test_visibility_spreads_a_class_along_its_vector_about_the_same_mean():
    found = drawn(np.tile([[1, 0]], (20000, 1)), made(visibility=(0.8, 0.3), noise=0.001))
    along = (found[:, 0] - 1) / 3
    assert along.mean() == pytest.approx(1, abs=0.03)
    assert along.std() == pytest.approx(0.8, abs=0.03)
    assert along.min() > -0.01  # an object may be hidden, and is never less than absent
    np.testing.assert_allclose(found[:, 1], 1, atol=0.01)


def test_heavy_tails_keep_the_variance_and_make_some_images_odd():
    targets = np.zeros((20000, 2), int)
    plain, heavy = (drawn(targets, made(freedom=freedom)) - made().origin for freedom in (np.inf, 6.0))
    assert heavy.std() == pytest.approx(plain.std(), rel=0.05)
    lengths = [(found**2).sum(axis=1) for found in (plain, heavy)]
    assert np.quantile(lengths[1], 0.999) > 1.5 * np.quantile(lengths[0], 0.999)


def test_the_same_names_draw_the_same_features_in_whole_chunks():
    targets = np.tile([[1, 0], [0, 1]], (CHUNK, 1))
    maker = made(visibility=(0.5, 0.5), freedom=8.0)
    first, again = (drawn(targets, maker) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:CHUNK], drawn(targets[:CHUNK], maker))
    assert not np.array_equal(first[:CHUNK], first[CHUNK:])


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"^targets: found \(3, 5\); expected \(images, 2\)"):
        drawn(np.zeros((3, 5)), made())
    for scale in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match=r"^scale: found .*; expected a number above 0"):
            drawn(np.zeros((3, 2)), made(), scale=scale)


def test_label_sets_are_taken_once_each_and_no_more_than_there_are():
    targets = np.eye(10, dtype=np.int8)
    assert choose_label_sets(targets, None, generator("a")).tolist() == list(range(10))
    chosen = choose_label_sets(targets, 6, generator("a"))
    assert len(set(chosen.tolist())) == 6 and (np.diff(chosen) > 0).all()
    with pytest.raises(InputError, match=r"^images: found 11; expected at most 10, the label sets there are"):
        choose_label_sets(targets, 11, generator("a"))


def test_a_class_without_an_image_is_refused_by_name():
    targets = np.array([[1, 0, 1], [1, 0, 0]])
    with pytest.raises(InputError, match=r"^class 'cat': in none of 2 label sets; expected one or more"):
        require_every_class(targets, ("dog", "cat", "bird"))
    require_every_class(targets[:, [0, 2]], ("dog", "bird"))


def test_the_scale_is_found_between_two_others_and_an_unreachable_score_refused():
    asked = []

    def score(scale):
        asked.append(scale)
        return 1 / (1 + scale)

    found = calibrate_scale(score, 0.6, tolerance=0.001)
    assert score(found) == pytest.approx(0.6, abs=0.001)
    assert all(0.25 <= scale <= 4 for scale in asked)
    for wanted in (0.9, 0.1):
        with pytest.raises(InputError, match=f"^clean mAP {wanted}: no scale of the noise reaches it; expected 0.200"):
            calibrate_scale(score, wanted)
