from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from nlcore.data.coco import COCO_CATEGORIES, coco, coco_folder
from nlcore.errors import InputError
from tests.coco_drawing import annotation, draw_coco


@pytest.fixture
def root(tmp_path):
    draw_coco(tmp_path, images=8, unlabelled=2, seed=1)
    return tmp_path


def edit(root, change) -> None:
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def complaint(root) -> str:
    """The one line that `coco` raises."""
    with pytest.raises(InputError) as caught:
        coco(root, year=2017, split="train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_targets_follow_the_annotations_and_images_without_any_are_dropped(root):
    images = coco(root, year=2017, split="train")
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    assert images.image_ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert images.targets.shape == (6, 80) and images.targets.dtype == np.int8
    pairs = {(a["image_id"], COCO_CATEGORIES[a["category_id"]]) for a in content["annotations"]}
    rows, columns = np.nonzero(images.targets)
    assert {(images.image_ids[i], images.class_names[k]) for i, k in zip(rows, columns, strict=True)} == pairs
    assert all(Image.open(path).size == (80, 64) for path in images.paths)


def test_the_80_classes_are_the_official_ones_in_order():
    """Spot checks against the published list: its ends and the ids after its gaps."""
    ids = list(COCO_CATEGORIES)
    assert len(ids) == 80 and ids == sorted(ids)
    absent = sorted(set(range(1, 91)) - set(ids))
    assert absent == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    spots = {1: "person", 13: "stop sign", 27: "backpack", 46: "wine glass", 70: "toilet", 84: "book", 90: "toothbrush"}
    assert {k: COCO_CATEGORIES[k] for k in spots} == spots


def test_min_labels_counts_classes_not_annotations(root):
    def twins(content):
        content["annotations"] = [annotation(1, 1, 18, [0, 0, 9, 9]), annotation(2, 1, 18, [9, 9, 9, 9])]
        content["annotations"] += [annotation(3, 2, 18, [0, 0, 9, 9]), annotation(4, 2, 17, [9, 9, 9, 9])]

    edit(root, twins)
    assert coco(root, year=2017, split="train", min_labels=2).image_ids.tolist() == [2]
    assert len(coco(root, year=2017, split="train", min_labels=0)) == 8


def test_a_crowd_region_counts(root):
    edit(root, lambda content: content.update(annotations=[annotation(1, 3, 1, [0, 0, 9, 9], iscrowd=1)]))
    images = coco(root, year=2017, split="train")
    assert images.image_ids.tolist() == [3] and images.targets[0].nonzero()[0].tolist() == [0]


def test_any_folder_has_its_own_classes(tmp_path):
    path = draw_coco(tmp_path, classes=3, all_categories=False)
    images = coco_folder(path, tmp_path / "train2017")
    assert images.class_names == ("person", "bicycle", "car") and images.targets.shape == (24, 3)


def test_select_keeps_rows_together(root):
    images = coco(root, year=2017, split="train")
    chosen = images.select(np.array([4, 0]))
    assert chosen.image_ids.tolist() == [5, 1]
    assert [p.name for p in chosen.paths] == ["000000000005.jpg", "000000000001.jpg"]
    assert np.array_equal(chosen.targets, images.targets[[4, 0]])


def test_pycocotools_prints_nothing(root, capsys):
    coco(root, year=2017, split="train")
    assert capsys.readouterr().out == ""


def test_no_such_folder(tmp_path):
    assert "no such folder" in complaint(tmp_path / "nowhere")


def test_no_annotations(root):
    (root / "annotations" / "instances_train2017.json").unlink()
    assert "instances_train2017.json: no such file" in complaint(root)


def test_no_images_folder(root):
    (root / "train2017").rename(root / "elsewhere")
    assert re.search("train2017: no such folder", complaint(root))


def test_truncated_json(root):
    path = root / "annotations" / "instances_train2017.json"
    path.write_bytes(path.read_bytes()[:-100])
    assert "not valid JSON" in complaint(root)


@pytest.mark.parametrize("content", ["[]", '{"images": [], "annotations": 3, "categories": []}', "{}"])
def test_json_that_is_not_coco(root, content):
    (root / "annotations" / "instances_train2017.json").write_text(content)
    assert "; expected a COCO instances file" in complaint(root)


@pytest.mark.parametrize(
    ("entries", "field"),
    [("annotations", "image_id"), ("annotations", "category_id"), ("annotations", "id"), ("images", "file_name"),
     ("images", "id"), ("categories", "name")],
)  # fmt: skip
def test_entries_without_their_fields(root, entries, field):
    edit(root, lambda content: content[entries][0].pop(field))
    assert f"an entry has no '{field}'" in complaint(root)


def test_ids_that_are_no_ids(root):
    edit(root, lambda content: content["images"][0].update(id=[1]))
    assert "; expected a COCO instances file" in complaint(root)


def test_annotations_of_images_that_the_file_does_not_list(root):
    edit(root, lambda content: content["images"].pop(0))
    assert re.search("name 1 absent images, the first with id 1", complaint(root))


def test_images_that_are_not_in_the_folder(root):
    (root / "train2017" / "000000000004.jpg").unlink()
    assert "1 of 6 annotated images missing, as 000000000004.jpg" in complaint(root)
    assert len(coco(root, year=2017, split="train", check_files=False)) == 6


def test_unknown_category_ids(root):
    edit(root, lambda content: content["annotations"].append(annotation(999, 1, 12, [0, 0, 9, 9])))
    assert "unknown category ids 12 (1 in all)" in complaint(root)


def test_categories_under_other_names(root):
    edit(root, lambda content: content["categories"][0].update(name="circle"))
    assert "found 'circle' as category 1; expected 'person'" in complaint(root)


def test_no_annotation_at_all(root):
    edit(root, lambda content: content.update(annotations=[]))
    assert "no image with enough classes; expected some with 1 or more" in complaint(root)
