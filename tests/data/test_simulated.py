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


def made(*, visibility=(0.0, 0.0), noise=0.5, fresh=1.0, residuals=None, donors=None, kinship=20.0):
    return FeatureGenerator(
        origin=np.float32([1, 1, 0, 0]),
        vectors=VECTORS,
        visibility=np.float32(visibility),
        residuals=np.zeros((1, 4), np.float32) if residuals is None else np.float32(residuals),
        donors=np.array([[1, 0]] if donors is None else donors),
        noise=noise * np.eye(4, dtype=np.float32),
        kinship=kinship,
        fresh=fresh,
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


RESIDUALS = [[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 0, 0, 5]]
DONORS = [[1, 0], [1, 1], [0, 1], [0, 1]]


def residuals_of(targets, maker, **options):
    """Which of the RESIDUALS each image got."""
    targets = np.asarray(targets)
    return (drawn(targets, maker, **options) - maker.origin - targets @ VECTORS).argmax(axis=1)


def test_an_image_has_the_residual_of_a_donor_with_its_labels():
    maker = made(fresh=0.0, residuals=RESIDUALS, donors=DONORS)
    found = residuals_of(np.repeat([[1, 0], [1, 1], [0, 1]], 1000, axis=0), maker).reshape(3, 1000)
    assert (found[0] == 0).all() and (found[1] == 1).all()
    assert set(found[2]) == {2, 3} and np.bincount(found[2])[2] == pytest.approx(500, abs=80)


def test_kinship_says_how_much_likelier_a_donor_of_the_same_labels_is():
    maker = made(fresh=0.0, residuals=RESIDUALS[:3], donors=[[1, 0], [0, 1], [0, 1]], kinship=np.log(6))
    found = np.bincount(residuals_of(np.tile([[1, 0]], (8000, 1)), maker)) / 8000
    np.testing.assert_allclose(found, [6 / 8, 1 / 8, 1 / 8], atol=0.02)


def test_a_barred_donor_is_not_taken():
    maker = made(fresh=0.0, residuals=RESIDUALS, donors=DONORS)
    barred = np.tile([2, 3, -1], 200)
    found = residuals_of(np.tile([[0, 1]], (600, 1)), maker, barred=barred)
    assert (found[barred == 2] == 3).all() and (found[barred == 3] == 2).all()
    assert set(found[barred == -1]) == {2, 3}


def test_halves_of_the_donors_share_none():
    maker = made(fresh=0.0, residuals=RESIDUALS, donors=DONORS, kinship=0.0)
    targets = np.tile([[0, 1]], (500, 1))
    halves = [set(residuals_of(targets, maker.of_donors(slice(half, None, 2)))) for half in (0, 1)]
    assert halves == [{0, 2}, {1, 3}]


def test_fresh_residuals_take_the_place_of_as_much_variance():
    rows = generator("residuals").normal(size=(500, 4)) * 0.5
    targets = np.tile([[0, 0]], (20000, 1))
    for fresh in (0.0, 0.6, 1.0):
        found = drawn(targets, made(residuals=rows, donors=np.zeros((500, 2)), fresh=fresh))
        np.testing.assert_allclose(found.std(axis=0), 0.5, atol=0.03)


def test_the_same_names_draw_the_same_features_in_whole_chunks():
    targets = np.tile([[1, 0], [0, 1]], (CHUNK, 1))
    maker = made(visibility=(0.5, 0.5), fresh=0.5, residuals=RESIDUALS, donors=DONORS)
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
    with pytest.raises(InputError, match=r"^clean mAP 0.6: found 0.5.*; expected within 1e-09 of it after"):
        calibrate_scale(score, 0.6, tolerance=1e-9, steps=2)
    for wanted in (0.9, 0.1):
        with pytest.raises(InputError, match=f"^clean mAP {wanted}: no scale of the noise reaches it; expected 0.200"):
            calibrate_scale(score, wanted)
