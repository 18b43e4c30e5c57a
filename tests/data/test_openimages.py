"""Open Images V1 from small files in the release's format."""

import os
import tarfile

import numpy as np
import pytest

from nlcore.data.download import CATALOGUE, unpack_tar
from nlcore.data.openimages import open_images, open_images_fingerprint
from nlcore.data.openimages_csv import hexadecimal, read_class_names, read_image_ids, read_labels
from nlcore.errors import InputError
from tests.data.openimages_files import CLASSES, write_open_images
from tests.shared_data import shared_data


@pytest.fixture
def root(tmp_path):
    return write_open_images(tmp_path / "oi", pictures=False)


def rewrite(path, change):
    path.write_text(change(path.read_text()))


def test_a_folder_gives_sparse_labels_and_the_papers_split(root):
    data = open_images(root)
    assert data.machine.shape == data.human.shape == (80, 3)
    assert data.class_names == tuple(CLASSES.values())
    assert data.is_validation.sum() == 40
    assert data.verified.sum() == 10
    assert not data.verified[~data.is_validation].any()
    assert (data.machine[:].sum(axis=1) == 1).all() and data.machine.default == 0
    assert not data.present.any()
    assert [f"{i:016x}" for i in data.image_ids[[0, 40]]] == ["0000000000000001", f"{10_000:016x}"]


def test_a_persons_no_is_kept_apart_from_what_nobody_was_asked(root):
    human, validation = open_images(root).human, open_images(root).is_validation
    assert (human[~validation] == -1).all()
    for value in (-1, 0, 1):
        assert ((human[validation] == value).sum(axis=1) == 1).all()
    shown = human[validation].argmax(axis=1)
    assert (human[validation][np.arange(40), (shown + 1) % 3] == 0).all()


def test_photographs_that_are_not_there_are_left_out_and_counted(tmp_path):
    root = write_open_images(tmp_path / "oi")
    data = open_images(root, images=True)
    assert data.present.all() and sum(data.absent.values()) == 0
    gone = [2, 5, int(np.flatnonzero(data.verified)[0]), int(np.flatnonzero(data.is_validation & ~data.verified)[3])]
    for row in gone:
        data.paths[row].unlink()
    (root / "images" / "ab").mkdir()
    data.paths[7].rename(root / "images" / "ab" / data.paths[7].name)  # a folder for some, as downloaders make them
    for other in ("readme.txt", "00000000000000zz.jpg", "1.jpg", "00000000000000FF.jpg", "0000000000abcdef.jpg"):
        (root / "images" / other).touch()
    again = open_images(root, images=True)
    assert np.flatnonzero(~again.present).tolist() == sorted(gone)
    assert again.absent == {"training": 2, "verified": 1, "test": 1}
    assert again.paths[7] == root / "images" / "ab" / "0000000000000008.jpg"
    assert all(path.is_file() for path in again.paths[again.present])
    assert again.paths[2] == data.paths[2]
    assert (again.verified == data.verified).all()


def test_a_folder_is_listed_once_and_no_photograph_is_looked_at(tmp_path, monkeypatch):
    root = write_open_images(tmp_path / "oi")
    listed, scandir, stat = [], os.scandir, os.stat

    def stat_of_no_photograph(path, *options, **named):
        assert not str(path).endswith(".jpg")
        return stat(path, *options, **named)

    monkeypatch.setattr("os.scandir", lambda path: listed.append(str(path)) or scandir(path))
    monkeypatch.setattr("os.stat", stat_of_no_photograph)
    open_images(root, images=True)
    assert listed == [str(root / "images")]


@pytest.mark.parametrize("images", ["empty", "absent"])
def test_a_folder_without_photographs_is_told(root, images):
    if images == "absent":
        (root / "images").rmdir()
    with pytest.raises(InputError, match=r"images: none of 80 photographs is there; expected <ImageID>\.jpg"):
        open_images(root, images=True)


def test_the_trainable_classes_are_those_with_enough_images_in_either_set(tmp_path):
    root = write_open_images(tmp_path / "oi", train=300, validation=300, pictures=False, listed=False)
    for split, label, left in (("train", "/m/01", 19), ("validation", "/m/02", 49)):  # one image too few
        path = root / "machine_ann_2016_08" / split / "labels.csv"
        path.write_text(thinned(path.read_text(), label, left))
    assert open_images(root, classes="all").class_ids == tuple(CLASSES)
    data = open_images(root)
    assert data.class_ids == ("/m/03",) and data.class_names == ("Blue thing",)
    whole = open_images(root, classes="all")
    np.testing.assert_array_equal(data.machine[:], whole.machine[:][:, [2]])
    np.testing.assert_array_equal(data.human[:], whole.human[:][:, [2]])
    (root / "classes-trainable.txt").write_text("/m/03\n/m/01\n/m/03\n")
    listed = open_images(root)
    assert listed.class_ids == ("/m/03", "/m/01")
    np.testing.assert_array_equal(listed.human[:], whole.human[:][:, [2, 0]])
    with pytest.raises(InputError, match="classes: found 'some'; expected 'trainable' or 'all'"):
        open_images(root, classes="some")


def thinned(text, label, left):
    """A label file with only `left` rows of one label."""
    rows = text.splitlines()
    extra = [row for row in rows if f",{label}," in row][left:]
    return "\n".join(row for row in rows if row not in extra) + "\n"


def test_without_a_trainable_class_the_rule_is_told(tmp_path):
    root = write_open_images(tmp_path / "oi", pictures=False, listed=False)
    with pytest.raises(InputError, match="none has 20 training and 50 validation images; expected the whole release"):
        open_images(root)


def test_an_empty_list_of_classes_is_told(root):
    (root / "classes-trainable.txt").write_text("\n")
    with pytest.raises(InputError, match=r"classes-trainable\.txt: empty; expected a machine id on each line"):
        open_images(root)
    assert len(open_images(root, classes="all").class_ids) == 3


def test_machine_labels_count_from_the_confidence_asked_for(root):
    assert open_images(root, at_least=0.81).machine.nbytes < open_images(root, at_least=0.8).machine.nbytes
    assert not open_images(root, at_least=0.81).machine[:].any()


def test_the_fingerprint_follows_what_is_read_and_not_where_it_lies(tmp_path):
    root = write_open_images(tmp_path / "oi")
    seen = {open_images_fingerprint(root)}
    root = root.rename(tmp_path / "moved")
    assert open_images_fingerprint(root) in seen
    changes = {
        "human_ann_2016_08/validation/labels.csv": lambda text: text.replace("1.0", "0.0", 1),
        "images_2016_08/train/images.csv": lambda text: text.replace("//x", "//xy", 1),
        "classes-trainable.txt": lambda text: text + "\n",
    }
    for name, change in changes.items():
        rewrite(root / name, change)
        seen.add(open_images_fingerprint(root))
    next((root / "images").iterdir()).unlink()
    seen.add(open_images_fingerprint(root))
    assert len(seen) == 5
    assert open_images_fingerprint(root, images=False) not in seen


def test_missing_files_are_all_named(root):
    (root / "dict.csv").unlink()
    (root / "human_ann_2016_08" / "validation" / "labels.csv").unlink()
    with pytest.raises(InputError, match=r"without dict.csv, human_ann_2016_08/validation/labels.csv"):
        open_images(root)


COLUMNS = "expected ImageID,Source,LabelName,Confidence"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("0000000000000001,machine,/m/01", COLUMNS),
        ("0000000000000001,machine,/m/01,0.9,0", COLUMNS),
        ("0000000000000001,machine,/m/01,high", COLUMNS),
        ("0000000000000001,machine,/m/01,nan", COLUMNS),
        ("0000000000000001,machine,/m/01,", COLUMNS),
        ("xyz,machine,/m/01,0.9", "image id 'xyz'; expected 16 hexadecimal digits"),
        ("0000000000000001ff,machine,/m/01,0.9", "image id '0000000000000001ff'; expected 16"),
        ("é,machine,/m/01,0.9", "image id 'é'; expected 16"),
        (",machine,/m/01,0.9", "image id ''; expected 16"),
        ("00000000000000ff,machine,/m/01,0.9", "image 00000000000000ff is not in the image list; expected one that is"),
    ],
)
def test_a_malformed_row_is_told_with_its_line(root, row, problem):
    rewrite(root / "machine_ann_2016_08" / "train" / "labels.csv", lambda text: text + row + "\n")
    with pytest.raises(InputError, match=f"labels.csv, line 42: .*{problem}"):
        open_images(root)


def test_rows_that_are_all_too_long_are_told(tmp_path):
    path = write_labels(tmp_path, ["1,machine,/m/01,0.9,7"])
    with pytest.raises(InputError, match=f"labels.csv, line 2: .*{COLUMNS}"):
        read_labels(path, np.array([1], np.uint64), {"/m/01": 0})


def test_a_human_label_is_yes_or_no(tmp_path):
    path = write_labels(tmp_path, ["1,human,/m/01,1.0", "2,human,/m/01,0.7", "2,human,/m/02,0.5"])
    with pytest.raises(InputError, match=r"line 3: confidence 0\.7 of a human label; expected 0 or 1"):
        read_labels(path, np.array([1, 2], np.uint64), {"/m/01": 0}, verified=True)
    assert read_labels(path, np.array([1, 2], np.uint64), {"/m/01": 0})[:].tolist() == [[1], [1]]


def test_a_dictionary_row_a_header_and_an_image_list_are_checked(tmp_path):
    (tmp_path / "dict.csv").write_text('"/m/01","a"\n"b"\n')
    with pytest.raises(InputError, match="line 2"):
        read_class_names(tmp_path / "dict.csv")
    path = tmp_path / "images.csv"
    path.write_text("Id\n1\n")
    with pytest.raises(InputError, match=r"line 1: found \['Id'\]; expected a header that begins with ImageID"):
        read_image_ids(path)
    path.write_text("ImageID,Title\n1,a\nx,b\n")
    with pytest.raises(InputError, match=r"images\.csv, line 3: image id 'x'; expected 16 hexadecimal digits"):
        read_image_ids(path)
    path.write_text("ImageID,Title\n1,a\n2,b\n01,c\n")
    with pytest.raises(InputError, match="image 0000000000000001 is listed twice"):
        read_image_ids(path)


def test_titles_of_images_may_hold_anything(tmp_path):
    path = tmp_path / "images.csv"
    titles = ['"commas, and ""quotes"""', '"two\nlines"', "ümläut", "more,fields,than,the,header", ""]
    path.write_text("ImageID,Title\n" + "".join(f"{i:016x},{title}\n" for i, title in enumerate(titles)))
    assert read_image_ids(path).tolist() == [0, 1, 2, 3, 4]


def test_ids_are_hexadecimal_numbers_of_64_bits():
    written = np.array(["0", "ffffffffffffffff", "00aBc", "000060e3121c7305"], object)
    assert hexadecimal(written).tolist() == [int(text, 16) for text in written]
    assert hexadecimal(np.array([], object)).tolist() == []
    for wrong in ("", "g", "1 ", "-1", "0x1", "00000000000000001"):
        with pytest.raises(ValueError):
            hexadecimal(np.array(["1", wrong], object))


def test_doubtful_and_other_classes_labels_are_left_out_and_twice_is_once(tmp_path):
    rows = ["1,machine,/m/01,0.9", "1,machine,/m/01,0.8", "1,machine,/m/02,0.4", "2,machine,/m/09,0.9"]
    path = write_labels(tmp_path, rows)
    labels = read_labels(path, np.array([2, 1], np.uint64), {"/m/01": 0, "/m/02": 1})
    assert labels[:].tolist() == [[0, 0], [1, 0]]


def test_a_file_is_the_same_in_one_chunk_or_in_many(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [f"{rng.integers(20):x},machine,/m/{rng.integers(9)},0.{rng.integers(3, 9)}" for _ in range(300)]
    path, ids = write_labels(tmp_path, rows), np.arange(20, dtype=np.uint64)
    columns = {f"/m/{k}": k for k in range(7)}
    wanted = np.zeros((20, 7), np.int8)
    for row in rows:
        image, _, label, confidence = row.split(",")
        if label in columns and float(confidence) >= 0.5:
            wanted[int(image, 16), columns[label]] = 1
    for size in (7, 100, 1000):
        monkeypatch.setattr("nlcore.data.openimages_csv.ROWS", size)
        np.testing.assert_array_equal(read_labels(path, ids, columns)[:], wanted)


def test_files_without_a_label_are_no_labels(tmp_path):
    path = write_labels(tmp_path, [])
    assert read_labels(path, np.array([1], np.uint64), {"/m/01": 0}, verified=True)[:].tolist() == [[-1]]


def write_labels(folder, rows):
    path = folder / "labels.csv"
    path.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *rows]) + "\n", encoding="utf-8")
    return path


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


def test_an_archive_that_reaches_outside_of_its_folder_is_refused_whole(tmp_path):
    (tmp_path / "fine.txt").write_text("fine")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "fine.txt", arcname="fine.txt")
        archive.add(tmp_path / "fine.txt", arcname="../escaped.txt")
    (tmp_path / "unpacked").mkdir()
    with pytest.raises(InputError, match=r"^bad.tar.gz: a file: found .*escaped.txt'?; expected one that lands in"):
        unpack_tar(tmp_path / "bad.tar.gz", tmp_path / "unpacked")
    assert not (tmp_path / "escaped.txt").exists() and not any((tmp_path / "unpacked").iterdir())
