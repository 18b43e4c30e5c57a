"""Open Images V1 (release 2016_08): machine labels of 9 million images and human labels of 167,057, as sparse matrices.

Expected below one folder, under the release's own names (github.com/openimages/dataset):

    dict.csv                           "machine id","English name"
    images_2016_08/train/images.csv    ImageID,OriginalURL,...     (and .../validation/images.csv)
    machine_ann_2016_08/train/labels.csv, .../validation/labels.csv
                                       ImageID,Source,LabelName,Confidence   (Confidence from 0 to 1)
    human_ann_2016_08/validation/labels.csv                              (Confidence 0 or 1)
    classes-trainable.txt              one machine id per line: the classes used (optional: those that occur)
    images/<ImageID>.jpg               the photographs, for training

Rows are streamed: of an image only its id (8 bytes, they are 64-bit hexadecimal numbers) and of a label only its place
(two int32) are kept.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from nlcore import generators
from nlcore.errors import InputError

VERIFIED_SHARE = 0.25  # of the validation images (paper 5, Section 4.1, after Veit et al.)
CHUNK = 1 << 20  # labels that are buffered as Python objects before they become arrays


@dataclass(frozen=True)
class OpenImages:
    """n images, those with human labels last. Rows of all arrays are the same images."""

    image_ids: np.ndarray  # (n,) uint64
    is_validation: np.ndarray  # (n,) bool: the others are training images
    verified: np.ndarray  # (n,) bool: the quarter of the validation images whose human labels may be used
    machine: sparse.csr_array  # (n, K) int8, 1 where a machine gave the label
    human: sparse.csr_array  # (n, K) int8, 1 where a person confirmed it; empty rows for training images
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    paths: tuple[Path, ...]  # empty unless asked for

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        matrices = [a for m in (self.machine, self.human) for a in (m.data, m.indices, m.indptr)]
        return sum(array.nbytes for array in (self.image_ids, self.is_validation, self.verified, *matrices))


def read_class_names(path: str | Path) -> dict[str, str]:
    """dict.csv: machine id -> English name. InputError with the line number for anything but two fields."""
    names = {}
    for number, row in _rows(Path(path)):
        if len(row) != 2 or not row[0].startswith("/"):
            raise InputError(f"{path}, line {number}: {row}, expected a machine id and a name")
        names[row[0]] = row[1]
    return names


def read_image_ids(path: str | Path) -> np.ndarray:
    """The ImageID column of an image list as (n,) uint64, in the file's order."""
    found = (_number(row[0], path, number) for number, row in _rows(Path(path), header="ImageID"))
    return np.fromiter(found, dtype=np.uint64)


def read_labels(
    path: str | Path, image_ids: np.ndarray, columns: dict[str, int], *, at_least: float = 0.5
) -> sparse.csr_array:
    """A label file as (n, K) int8: 1 where a label of `columns` has a confidence of `at_least`.

    `image_ids` (n,) sets the rows. Labels of other classes are left out.

    Raises:
        InputError: a malformed row or an image that is not listed, with the line number.
    """
    order = np.argsort(image_ids)
    in_order = image_ids[order]
    rows, places = [], []
    for lines, ids, classes in _label_chunks(Path(path), columns, at_least):
        place = np.searchsorted(in_order, ids)
        unknown = (place == len(in_order)) | (in_order[np.minimum(place, len(in_order) - 1)] != ids)
        if unknown.any():
            first = int(np.argmax(unknown))
            raise InputError(f"{path}, line {lines[first]}: image {int(ids[first]):016x} is not in the image list")
        rows.append(order[place].astype(np.int32))
        places.append(classes)
    return _matrix(rows, places, (len(image_ids), len(columns)))


def _label_chunks(
    path: Path, columns: dict[str, int], at_least: float
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """(line numbers, image ids, class columns) of so many labels at a time."""
    lines, ids, classes = [], [], []
    for number, row in _rows(path, header="ImageID"):
        try:
            image, _, label, confidence = row
            kept = float(confidence) >= at_least and label in columns
        except ValueError:
            raise InputError(f"{path}, line {number}: {row}, expected ImageID,Source,LabelName,Confidence") from None
        if kept:
            lines.append(number)
            ids.append(_number(image, path, number))
            classes.append(columns[label])
        if len(lines) == CHUNK:
            yield lines, np.array(ids, dtype=np.uint64), np.array(classes, dtype=np.int32)
            lines, ids, classes = [], [], []
    if lines:
        yield lines, np.array(ids, dtype=np.uint64), np.array(classes, dtype=np.int32)


def _matrix(rows: Sequence[np.ndarray], columns: Sequence[np.ndarray], shape: tuple[int, int]) -> sparse.csr_array:
    """CSR from the places of its ones, with int32 indices; a label given twice is one label."""
    row = np.concatenate([np.empty(0, np.int32), *rows])
    column = np.concatenate([np.empty(0, np.int32), *columns])
    matrix = sparse.coo_array((np.ones(len(row), np.int8), (row, column)), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def open_images(root: str | Path, *, images: bool = False) -> OpenImages:
    """All of a folder in the release's layout, divided as in the paper; with `images`, the paths of the photographs.

    Raises:
        InputError: a file is missing (all missing ones are named), or a row is malformed.
    """
    root = Path(root)
    files = {
        "names": root / "dict.csv",
        **{f"{s} list": root / "images_2016_08" / s / "images.csv" for s in ("train", "validation")},
        **{f"{s} machine": root / "machine_ann_2016_08" / s / "labels.csv" for s in ("train", "validation")},
        "human": root / "human_ann_2016_08" / "validation" / "labels.csv",
    }
    absent = [str(file.relative_to(root)) for file in files.values() if not file.is_file()]
    if absent:
        raise InputError(f"{root}: not Open Images V1, without {', '.join(absent)}; see nlcore/data/openimages.py")
    names = read_class_names(files["names"])
    columns = {class_id: place for place, class_id in enumerate(_used_classes(root, names))}
    ids = {split: read_image_ids(files[f"{split} list"]) for split in ("train", "validation")}
    machine = [read_labels(files[f"{split} machine"], ids[split], columns) for split in ids]
    human = read_labels(files["human"], ids["validation"], columns)
    nothing = sparse.csr_array((len(ids["train"]), len(columns)), dtype=np.int8)
    image_ids = np.concatenate(list(ids.values()))
    return OpenImages(
        image_ids=image_ids,
        is_validation=np.repeat([False, True], [len(part) for part in ids.values()]),
        verified=_verified(len(ids["train"]), len(ids["validation"])),
        machine=sparse.vstack(machine, format="csr"),
        human=sparse.vstack([nothing, human], format="csr"),
        class_ids=tuple(columns),
        class_names=tuple(names.get(class_id, class_id) for class_id in columns),
        paths=tuple(root / "images" / f"{int(i):016x}.jpg" for i in image_ids) if images else (),
    )


def _used_classes(root: Path, names: dict[str, str]) -> Sequence[str]:
    trainable = root / "classes-trainable.txt"
    if not trainable.is_file():
        return list(names)
    return [line for line in trainable.read_text(encoding="utf-8").split() if line]


def _verified(training: int, validation: int) -> np.ndarray:
    """(n,) bool: a quarter of the validation images, drawn once."""
    chosen = np.zeros(training + validation, dtype=bool)
    order = generators.generator("open images", "verified").permutation(validation)
    chosen[training + order[: round(VERIFIED_SHARE * validation)]] = True
    return chosen


def _rows(path: Path, *, header: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a CSV file, without its header."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if header is not None:
            first = next(reader, [])
            if not first or first[0] != header:
                raise InputError(f"{path}, line 1: expected a header that begins with {header}")
        for row in reader:
            yield reader.line_num, row


def _number(image_id: str, path: str | Path, line: int) -> int:
    try:
        return int(image_id, 16)
    except ValueError:
        raise InputError(f"{path}, line {line}: image id {image_id!r}, expected 16 hexadecimal digits") from None
