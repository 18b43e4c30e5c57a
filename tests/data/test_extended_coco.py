"""The class map, and noisy labels from it."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from nlcore.data.coco import COCO_CATEGORIES
from nlcore.data.embedded_set import embedded
from nlcore.data.extended_coco import (
    CLASS_MAP,
    COLUMNS,
    build_noisy_labels,
    class_statistics,
    count_labels,
    extend,
    label_quality,
    map_predictions,
    read_class_map,
)
from nlcore.errors import InputError
from nlcore.torchvision_compat import ensure_torchvision


def test_every_row_is_an_imagenet_class_and_a_coco_class_and_all_56_are_reached():
    ensure_torchvision()
    from timm.data import ImageNetInfo

    known = ImageNetInfo()
    with CLASS_MAP.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        index = int(row["imagenet_index"])
        assert row["synset"] == known.index_to_label_name(index)
        assert row["imagenet_name"] == known.index_to_description(index).split(",")[0]
        assert row["coco_class"] in COCO_CATEGORIES.values()
    assert len({row["imagenet_index"] for row in rows}) == len(rows)
    by_meaning = {row["coco_class"] for row in rows if row["relation"] != "practice"}
    assert by_meaning == set(read_class_map().class_names)
    assert len(by_meaning) == 56


def test_all_birds_are_birds_and_the_bird_called_kite_is_no_toy():
    class_map = read_class_map()
    bird = class_map.class_names.index("bird")
    assert (class_map.to_class == bird).sum() == 59
    assert class_map.to_class[21] == bird
    assert "kite" not in class_map.class_names


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("7,n01514668,cock,bird", "found 4 fields; expected 5"),
        ("x,n01514668,cock,bird,kind", "found ImageNet index 'x'"),
        ("1000,n01514668,cock,bird,kind", "found ImageNet index '1000'"),
        ("7,n01514668,cock,fowl,kind", "found 'fowl'; expected a class of COCO"),
        ("7,n01514668,cock,bird,guess", "found relation 'guess'"),
        ("8,n01514859,hen,bird,kind", "ImageNet class 8 is mapped twice"),
    ],
)
def test_a_malformed_row_is_told_with_its_line(tmp_path, row, problem):
    path = tmp_path / "map.csv"
    path.write_text(",".join(COLUMNS) + "\n8,n01514859,hen,bird,kind\n" + row + "\n")
    with pytest.raises(InputError, match=f"map.csv, line 3: {problem}"):
        read_class_map(path)


def test_another_header_and_no_file_are_told(tmp_path):
    with pytest.raises(InputError, match="no such file; expected a class map"):
        read_class_map(tmp_path / "none.csv")
    (tmp_path / "map.csv").write_text("a,b\n")
    with pytest.raises(InputError, match="line 1: found other columns; expected imagenet_index"):
        read_class_map(tmp_path / "map.csv")


def test_predictions_of_one_class_count_once_and_others_are_ignored():
    class_map = read_class_map()
    labels = map_predictions(np.array([[207, 208, 852, 999], [0, 1, 2, 3]]), class_map)
    names = [class_map.class_names[k] for k in np.flatnonzero(labels[0])]
    assert names == ["dog", "sports ball"]
    assert labels[1].sum() == 0


def test_no_class_in_common_and_no_noisy_label_are_told():
    class_map = read_class_map()
    with pytest.raises(InputError, match=r"classes of the data set: .*\(tumour, ...\); expected some of bicycle"):
        extend(np.ones((2, 1)), ["tumour"], np.ones((2, 56), np.int8), class_map)
    with pytest.raises(InputError, match="images with a noisy label: found 0; expected some, of 2"):
        extend(np.ones((2, 1)), ["dog"], np.zeros((2, 56), np.int8), class_map)


def test_the_embedded_set_has_about_as_many_noisy_labels_as_the_paper():
    data, class_map = embedded(), read_class_map()
    extended = extend(data.targets, data.class_names, map_predictions(data.top_classes, class_map), class_map)
    assert extended.noisy.any(axis=1).all()
    assert len(extended.rows) == 2717
    assert count_labels(extended.noisy)["labels per image"] == pytest.approx(1.74, abs=0.01)
    frame = class_statistics(extended)
    assert frame["clean"].is_monotonic_decreasing
    assert frame["noisy"].sum() == extended.noisy.sum()


def test_quality_counts_right_and_missing_labels():
    clean, noisy = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 1]])
    found = label_quality(clean, noisy)
    assert found["noisy_labels_right"] == pytest.approx(1 / 3)
    assert found["true_labels_missing"] == pytest.approx(1 / 2)


def test_any_classifier_makes_noisy_labels_from_images_in_its_own_size_and_one_of_other_classes_is_refused(tmp_path):
    paths = [tmp_path / f"{place}.png" for place in range(3)]
    for path in paths:
        Image.new("RGB", (70, 50)).save(path)
    sizes = []

    def classifier(classes):
        model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, classes))
        model.pretrained_cfg = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "input_size": (3, 299, 299)}
        model.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape)))
        return model

    model = classifier(1000)
    with torch.no_grad():
        model[-1].bias[[207, 852]] += 100
    labels = build_noisy_labels(paths, model, top=2)
    assert [read_class_map().class_names[k] for k in np.flatnonzero(labels[0])] == ["dog", "sports ball"]
    assert labels.shape == (3, 56) and sizes == [(3, 3, 299, 299)]
    with pytest.raises(InputError, match="predicts 10 classes; expected ImageNet's 1000"):
        build_noisy_labels(paths, classifier(10))
    paths[1].write_bytes(b"no image")
    with pytest.raises(InputError, match=r"unreadable image: .*1\.png"):
        build_noisy_labels(paths, model)
