from __future__ import annotations

import json

import numpy as np
from PIL import Image

from tests.coco_drawing import draw_coco


def files(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        draw_coco(tmp_path / name, images=5, seed=seed)
    assert files(tmp_path / "one") == files(tmp_path / "two") != files(tmp_path / "other")


def test_a_box_holds_the_colour_of_its_class(tmp_path):
    """Class 0 is a red ellipse: the middle of its box is red, up to the JPEG's losses."""
    content = json.loads(draw_coco(tmp_path, images=6, classes=1).read_text())
    assert len(content["annotations"]) == 6
    for image, entry in zip(content["images"], content["annotations"], strict=True):
        x, y, width, height = entry["bbox"]
        pixels = np.asarray(Image.open(tmp_path / "train2017" / image["file_name"]))
        red, green, blue = pixels[y + height // 2, x + width // 2].tolist()
        assert red > 200 and green < 60 and blue < 60
