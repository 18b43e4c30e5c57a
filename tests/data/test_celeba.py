from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nlcore.data.celeba import TAGS, celeba
from nlcore.errors import InputError

HEADER = ["Bald", *reversed(TAGS)]  # another order and one more tag than the paper uses
ROWS = {"000001.jpg": {"Smiling"}, "000002.jpg": {"Bald"}, "000007.jpg": {"No_Beard", "Eyeglasses", "Bald"}}


@pytest.fixture
def root(tmp_path):
    lines = [f"{name}  " + " ".join("1" if tag in tags else "-1" for tag in HEADER) for name, tags in ROWS.items()]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join([str(len(ROWS)), " ".join(HEADER), *lines]) + "\n")
    (tmp_path / "img_align_celeba").mkdir()
    for name in ROWS:
        Image.new("RGB", (4, 4)).save(tmp_path / "img_align_celeba" / name)
    return tmp_path


def complaint(root) -> str:
    with pytest.raises(InputError) as caught:
        celeba(root)
    return str(caught.value)


def test_images_with_one_of_the_seven_tags(root):
    images = celeba(root)
    assert images.class_names == TAGS and len(TAGS) == 7
    assert images.image_ids.tolist() == [1, 7] and [p.name for p in images.paths] == ["000001.jpg", "000007.jpg"]
    assert np.array_equal(images.targets, [[0, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1, 0]])


def test_what_is_missing_is_named(root):
    (root / "img_align_celeba" / "000007.jpg").unlink()
    assert "1 of 2 images missing, as 000007.jpg" in complaint(root)
    (root / "list_attr_celeba.txt").unlink()
    assert "list_attr_celeba.txt: no such file" in complaint(root)
    assert "no such folder" in complaint(root / "nowhere")


def test_broken_lists(root):
    path = root / "list_attr_celeba.txt"
    whole = path.read_text()
    path.write_text(whole[:-4])
    assert "expected a numbered image and 8 values" in complaint(root)
    path.write_text("9" + whole[1:])
    assert "found 3 images; expected '9', as line 1 says" in complaint(root)
    path.write_text("<html>too many downloads</html>")
    assert "expected CelebA's attribute list" in complaint(root)
