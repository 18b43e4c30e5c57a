"""Open Images V1 from small files in the release's format."""

import tarfile

import numpy as np
import pytest

from nlcore.data.download import CATALOGUE, unpack_tar
from nlcore.data.openimages import open_images, read_class_names, read_image_ids, read_labels
from nlcore.errors import InputError
from tests.data.openimages_files import CLASSES, write_open_images
from tests.shared_data import shared_data


@pytest.fixture
def root(tmp_path):
    return write_open_images(tmp_path / "oi", pictures=False)


def test_a_folder_gives_sparse_labels_and_the_papers_split(root):
    data = open_images(root, images=True)
    assert data.machine.shape == data.human.shape == (80, 3)
    assert data.class_names == tuple(CLASSES.values())
    assert data.is_validation.sum() == 40
    assert data.verified.sum() == 10
    assert not data.verified[~data.is_validation].any()
    assert (data.human.toarray()[~data.is_validation] == 0).all()
    assert (data.human.toarray()[data.is_validation].sum(axis=1) == 1).all()
    assert data.paths[0].name == "0000000000000001.jpg"


def test_missing_files_are_all_named(root):
    (root / "dict.csv").unlink()
    (root / "human_ann_2016_08" / "validation" / "labels.csv").unlink()
    with pytest.raises(InputError, match=r"without dict.csv, human_ann_2016_08/validation/labels.csv"):
        open_images(root)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("0000000000000001,machine,/m/01", "expected ImageID,Source,LabelName,Confidence"),
        ("0000000000000001,machine,/m/01,high", "expected ImageID,Source,LabelName,Confidence"),
        ("xyz,machine,/m/01,0.9", "image id 'xyz'"),
        ("00000000000000ff,machine,/m/01,0.9", "image 00000000000000ff is not in the image list"),
    ],
)
def test_a_malformed_row_is_told_with_its_line(root, row, problem):
    path = root / "machine_ann_2016_08" / "train" / "labels.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(InputError, match=f"labels.csv, line 42: .*{problem}"):
        open_images(root)


def test_a_dictionary_row_and_a_header_are_checked(tmp_path):
    (tmp_path / "dict.csv").write_text('"/m/01","a"\n"b"\n')
    with pytest.raises(InputError, match="line 2"):
        read_class_names(tmp_path / "dict.csv")
    (tmp_path / "images.csv").write_text("Id\n1\n")
    with pytest.raises(InputError, match="line 1: expected a header that begins with ImageID"):
        read_image_ids(tmp_path / "images.csv")


def test_doubtful_and_other_classes_labels_are_left_out_and_twice_is_once(tmp_path):
    path = tmp_path / "labels.csv"
    rows = ["1,machine,/m/01,0.9", "1,machine,/m/01,0.8", "1,machine,/m/02,0.4", "2,machine,/m/09,0.9"]
    path.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *rows]) + "\n")
    labels = read_labels(path, np.array([2, 1], np.uint64), {"/m/01": 0, "/m/02": 1})
    assert labels.toarray().tolist() == [[0, 0], [1, 0]]


def test_nine_million_images_fit_into_eight_gigabytes(tmp_path):
    """Scaled: bytes per image with nine labels each, times nine million, while the labels are being put together.

    The coordinates (8 bytes a label), their sorted copy, and the finished matrix (5 bytes a label, 4 an image).
    """
    images, per_image = 2_000, 9
    rows = [f"{i:x},machine,/m/{(i + j) % 50:02d},0.9" for i in range(images) for j in range(per_image)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *rows]) + "\n")
    columns = {f"/m/{k:02d}": k for k in range(50)}
    labels = read_labels(path, np.arange(images, dtype=np.uint64), columns)
    assert labels.nnz == images * per_image
    assert labels.indices.dtype == labels.indptr.dtype == np.int32
    finished = labels.data.nbytes + labels.indices.nbytes + labels.indptr.nbytes
    while_building = finished + labels.nnz * (
        9 + 8 + 9
    )  # coordinates with values, concatenated pieces, the unsorted matrix
    ids = images * (8 + 8 + 8)  # ids, their order, the sorted copy
    assert (while_building + ids) / images * 9_000_000 < 8e9


@pytest.mark.skipif(shared_data("openimages_v1") is None, reason="the real class list is not here")
def test_the_real_class_list_is_read():
    names = read_class_names(shared_data("openimages_v1") / "dict.csv")
    assert len(names) == 7881
    assert names["/m/0bt9lr"] == "dog"


def test_the_releases_archives_are_in_the_catalogue_and_unpack_where_they_are_read(root, tmp_path):
    assert sum(file.about for file in CATALOGUE["openimages_v1"]) == 1_449_000_000
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(root, arcname=".")
    (tmp_path / "unpacked").mkdir()
    unpack_tar(tmp_path / "all.tar.gz", tmp_path / "unpacked")
    assert open_images(tmp_path / "unpacked").nbytes == open_images(root).nbytes
