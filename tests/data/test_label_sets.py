"""The label sets of COCO train2014 against what the papers and other files say of the same images."""

from __future__ import annotations

import numpy as np
import pytest

from nlcore.data.coco import COCO_CATEGORIES
from nlcore.data.embedded_set import embedded
from nlcore.data.label_sets import FILE, LabelSets, label_sets
from nlcore.errors import InputError
from nlcore.papers.galc_slr import PAPER


@pytest.fixture(scope="module")
def labels():
    return label_sets().targets.sum(axis=1)


def test_shapes_and_types():
    sets = label_sets()
    assert sets.image_ids.shape == (82_081,) and sets.image_ids.dtype == np.int64
    assert sets.targets.shape == (82_081, 80) and sets.targets.dtype == np.int8
    assert set(np.unique(sets.targets)) == {0, 1}
    assert (np.diff(sets.image_ids) > 0).all()
    assert sets.class_names == tuple(COCO_CATEGORIES.values())
    assert len(sets.fingerprint) == 64 and FILE.stat().st_size < 400_000


def test_they_are_read_once():
    assert label_sets() is label_sets()


def test_counts_are_those_that_the_papers_print(labels):
    said = PAPER.contract.published()["text"]
    assert len(labels) == 82_081 and labels.min() == 1 and labels.max() == 18 and labels.sum() == 241_035
    assert (labels >= 2).sum() == said["train"] == 65_268
    single = label_sets().targets[labels == 1].sum(axis=0)
    told = said["single_label_images"]
    assert (round(single.mean(), 1), single.max()) == (told["per_class_mean"], told["per_class_max"]) == (210.2, 1234)
    assert np.minimum(single, 50).sum() == told["cap_50"] == 2_824
    assert np.minimum(single, 10).sum() == told["cap_10"] == 721


def test_class_frequencies_are_those_of_the_readme():
    images = dict(zip(label_sets().class_names, label_sets().targets.sum(axis=0).tolist(), strict=True))
    assert min(images, key=images.get) == "hair drier" and images["hair drier"] == 128
    assert round(images["person"] / 82_081, 2) == 0.55


def test_images_of_the_embedded_set_have_the_same_labels():
    """Image ids are COCO's: train2017 holds train2014's and most of val2014's images under their old ids."""
    ours, sets = embedded(), label_sets()
    shared, here, there = np.intersect1d(sets.image_ids, ours.coco_ids, return_indices=True)
    assert len(shared) == 196
    np.testing.assert_array_equal(sets.targets[here], ours.targets[there])


def test_columns_by_name():
    targets = np.array([[1, 0, 1], [0, 1, 1]], np.int8)
    sets = LabelSets(np.array([3, 7]), targets, ("dog", "cat", "cup"), "")
    assert sets.of_classes(("cup", "dog")).tolist() == [[1, 1], [1, 0]]
    with pytest.raises(InputError, match="class 'mug': not known; expected"):
        sets.of_classes(("cup", "mug"))


@pytest.mark.parametrize(
    "arrays, found",
    [
        ({"image_ids": np.arange(2)}, "cannot be read"),
        ({"image_ids": np.arange(2), "targets": np.zeros((2, 80), np.uint8)}, r"shape \(2, 80\)"),
        ({"image_ids": np.arange(2), "targets": np.zeros((3, 10), np.uint8)}, r"shape \(3, 10\)"),
        ({"image_ids": np.arange(2), "targets": np.zeros((2, 10), np.int8)}, "int8"),
    ],
)
def test_files_of_another_form_are_refused(arrays, found, tmp_path):
    np.savez(tmp_path / "labels.npz", **arrays)
    with pytest.raises(InputError, match=found):
        label_sets(tmp_path / "labels.npz")


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        label_sets(tmp_path / "absent.npz")
    (tmp_path / "labels.npz").write_text("no archive")
    with pytest.raises(InputError, match="cannot be read"):
        label_sets(tmp_path / "labels.npz")


def test_a_small_file_is_read(tmp_path):
    targets = np.eye(80, dtype=np.uint8)[[3, 79]]
    np.savez(tmp_path / "labels.npz", image_ids=np.array([4, 9], np.int32), targets=np.packbits(targets, axis=1))
    found = label_sets(tmp_path / "labels.npz")
    np.testing.assert_array_equal(found.targets, targets)
    assert found.image_ids.tolist() == [4, 9] and found.fingerprint != label_sets().fingerprint
