"""teacher_student: what labels alone decide, on sets counted by hand and at the paper's size."""

import numpy as np
import pytest

from nlcore.papers.teacher_student.counts import class_labels, exact_lines, least_missing, positives

SHARES = (0.05, 0.1, 0.5)


@pytest.fixture(scope="module")
def lines():
    return {(line["quantity"], line["at"]): line for line in exact_lines(SHARES)}


def test_images_without_one_of_the_classes_are_left_out():
    labels = class_labels()
    assert labels.shape == (69_770, 56) and labels.any(axis=1).all()


def test_positives_of_a_share():
    labels = np.eye(4, dtype=np.int8)[np.arange(200) % 4]
    assert positives(labels, 200, 1.0, seed=0).tolist() == [50] * 4
    assert positives(labels, 100, 0.5, seed=0).sum() == 50  # a label in each image, so images are counted
    assert (positives(labels, 100, 0.1, seed=0) <= positives(labels, 100, 0.5, seed=0)).all()
    assert positives(labels, 100, 0.0, seed=0).tolist() == [0] * 4
    assert positives(labels, 100, 0.5, seed=0).tolist() != positives(labels, 100, 0.5, seed=1).tolist()


def test_least_missing():
    assert least_missing(100, 80, 1.0) == pytest.approx(0.2)
    assert least_missing(100, 120, 1.0) == 0  # more labels than there are true ones need not miss any


def test_table_1_comes_near(lines):
    line = lines["clean annotations", ""]
    assert (line["published"], line["ours"]) == (150_854, 150_792)
    assert lines["images with one of the classes", ""]["published"] == 68_213


def test_the_papers_missing_labels_contradict_its_table(lines):
    for right, share in (("100", 0.2405), ("91.5", 0.3051)):
        line = lines["true labels missing, at least", f"{right} % of the noisy right"]
        assert line["ours"] == share and line["published"] == 0.131


def test_verified_images_of_a_class_at_each_share(lines):
    for share, size in zip(("5", "10", "50"), (3_411, 6_821, 34_106), strict=True):
        at = f"{share} % clean"
        assert lines["verified images", at]["ours"] == size
        mean = lines["verified images of a class: mean", at]
        assert mean["low"] <= mean["ours"] <= mean["high"] and mean["draws"] == 10
        assert mean["ours"] == pytest.approx(mean["published"], rel=0.03)
        assert lines["classes without a verified image", at]["high"] == 0
    assert lines["verified images of a class: fewest", "5 % clean"]["high"] < 10
