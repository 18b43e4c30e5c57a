"""Open Images as a source: sparse labels, the photographs that are there, what its name depends on."""

import shutil

import numpy as np
import pytest

from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.training import SparseLabels
from tests.data.openimages_files import write_open_images


def source(root, **fields):
    return Source(data="openimages", model="test_resnet", size=32, weights="random", root=str(root), **fields)


def test_labels_stay_sparse_and_cells_that_nobody_looked_at_are_unknown(tmp_path):
    images = source(write_open_images(tmp_path / "oi")).load()
    assert isinstance(images.targets, SparseLabels) and isinstance(images.machine, SparseLabels)
    assert images.targets.shape == images.machine.shape == (80, 3)
    assert set(images.machine[:].ravel()) == {0, 1}
    judged = images.targets[np.concatenate([images.test, images.verified])]
    assert [(judged == value).sum(axis=1).tolist() for value in (1, 0, -1)] == [[1] * 40] * 3
    assert (images.targets[images.train] == -1).all()


def test_the_parts_are_the_papers_and_hold_only_photographs_that_are_there(tmp_path):
    root = write_open_images(tmp_path / "oi")
    whole = source(root).load()
    assert [len(part) for part in (whole.train, whole.verified, whole.test)] == [40, 10, 30]
    assert whole.inputs[whole.test[:2]].shape == (2, 32, 32, 3)
    (root / "images" / f"{1:016x}.jpg").unlink()
    (root / "images" / f"{10_000:016x}.jpg").unlink()
    less = source(root, min_labels=0).load()  # another source: what was read is kept for a process
    assert len(less.targets) == len(less.machine) == len(less.inputs) == 78
    assert len(less.train) == 39
    assert np.array_equal(less.inputs[0], whole.inputs[1])
    assert less.credit(0) == whole.credit(1) == "Open Images 0000000000000002"


def test_a_limit_holds_for_each_part(tmp_path):
    images = source(write_open_images(tmp_path / "oi"), limit=7).load()
    assert [len(part) for part in (images.train, images.verified, images.test)] == [7, 7, 7]


def test_its_name_follows_the_content_and_not_the_place(tmp_path):
    root = write_open_images(tmp_path / "oi")
    before = source(root).fingerprint()
    assert source(shutil.copytree(root, tmp_path / "moved")).fingerprint() == before
    human = root / "human_ann_2016_08" / "validation" / "labels.csv"
    human.write_text(human.read_text().replace(",0.0", ",1.0", 1))
    changed = source(root).fingerprint()
    (root / "images" / f"{1:016x}.jpg").unlink()
    assert len({before, changed, source(root).fingerprint()}) == 3


def test_about_how_many_images_there_are_is_known_without_reading_the_lists(tmp_path):
    train, test = source(write_open_images(tmp_path / "oi", train=400, validation=200, pictures=False)).sizes()
    assert train == pytest.approx(400, abs=2) and test == pytest.approx(150, abs=2)
    assert source(tmp_path / "oi", limit=20).sizes() == (20, 20)


def test_a_folder_that_is_not_there_or_not_whole_is_told(tmp_path):
    with pytest.raises(InputError, match="open_images_root: not given"):
        Source(data="openimages", model="test_resnet").load()
    root = write_open_images(tmp_path / "oi", pictures=False)
    with pytest.raises(InputError, match="none of 80 photographs is there"):
        source(root).load()
    (root / "dict.csv").unlink()
    with pytest.raises(InputError, match=r"without dict\.csv"):
        source(root).fingerprint()
