"""The CSV files of Open Images V1, read in chunks into arrays: gigabytes of text, of which nothing stays as text.

Pandas' C parser reads; what it or the checks stumble on is looked for a second time, row by row, to name the line.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nlcore.errors import InputError
from nlcore.training.targets import SparseLabels

ROWS = 1 << 18  # read at a time
_Fault = tuple[str, str]  # what was found in a row, and what was expected
LABEL_COLUMNS = {"ImageID": "str", "Source": "category", "LabelName": "category", "Confidence": "float64"}
_END, _NO_DIGIT = 16, 17  # what follows the last digit of an id; what is none
_DIGITS = np.full(256, _NO_DIGIT, np.uint8)
_DIGITS[0] = _END
for _value, _letters in enumerate(zip("0123456789abcdef", "0123456789ABCDEF", strict=True)):
    _DIGITS[[ord(letter) for letter in _letters]] = _value


def read_class_names(path: str | Path) -> dict[str, str]:
    """The release's dict.csv: machine id -> English name, in the file's order.

    Raises:
        InputError: a row that is not two fields, the first a machine id; with its line number.
    """
    names = {}
    for number, row in _rows(Path(path)):
        if len(row) != 2 or not row[0].startswith("/"):
            raise InputError(f"{path}, line {number}: {row}; expected a machine id and a name")
        names[row[0]] = row[1]
    return names


def read_image_ids(path: str | Path) -> np.ndarray:
    """The ImageID column of an image list as (n,) uint64, in the file's order.

    Raises:
        InputError: an id that is no hexadecimal number, with its line number; an id that is listed twice.
    """
    path = Path(path)
    with _telling_the_line(path, lambda row: _id_fault(row[0])):
        chunks = _chunks(path, usecols=[0], dtype=str, encoding_errors="replace")
        ids = np.concatenate([np.empty(0, np.uint64), *(hexadecimal(chunk.iloc[:, 0].to_numpy()) for chunk in chunks)])
    in_order = np.sort(ids)
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if len(twice):
        raise InputError(f"{path}: image {int(twice[0]):016x} is listed twice; expected every image once")
    return ids


@dataclass(frozen=True)
class _Wanted:
    """Which labels are kept, and how ids become rows."""

    order: np.ndarray  # the rows by ascending id
    ids: np.ndarray  # (n,) uint64, ascending
    columns: dict[str, int]
    at_least: float
    verified: bool


def read_labels(
    path: str | Path, image_ids: np.ndarray, columns: dict[str, int], *, at_least: float = 0.5, verified: bool = False
) -> SparseLabels:
    """A label file as (n, K), K = len(columns): what a machine said, or what people `verified`.

    `image_ids` (n,) sets the rows, `columns` (machine id -> column) the classes; labels of other classes are left out.
    Machine labels are 1 where the confidence is `at_least` so large, else 0. Verified labels are 1 or 0 where a person
    said yes or no (confidence 1 or 0), and -1 where nobody looked.

    Raises:
        InputError: a malformed row, or an image that is not listed, with the line number.
    """
    order = np.argsort(image_ids)
    wanted = _Wanted(order.astype(np.int32), image_ids[order], columns, at_least, verified)
    with _telling_the_line(Path(path), lambda row: _label_fault(row, wanted)):
        chunks = _chunks(Path(path), names=list(LABEL_COLUMNS), dtype=LABEL_COLUMNS)
        cells = [_cells(chunk, wanted) for chunk in chunks]
    rows, places, values = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    del cells  # hundreds of megabytes that were copied
    shape = len(image_ids), len(columns)
    return SparseLabels.from_cells(rows, places, values, shape, default=-1 if verified else 0)


def hexadecimal(ids: np.ndarray) -> np.ndarray:
    """Numbers (n,) uint64 from `ids` (n,), texts or bytes of 1 to 16 hexadecimal digits.

    Raises:
        ValueError: one of them is something else.

    >>> hexadecimal(np.array(["ff", "10"])).tolist()
    [255, 16]
    """
    text = np.asarray(ids).astype("S")  # UnicodeEncodeError, a ValueError, for what is not ASCII
    if text.dtype.itemsize > 16:
        raise ValueError("more than 16 digits")
    digits = _DIGITS[text.view(np.uint8).reshape(len(text), text.dtype.itemsize)]
    if (digits == _NO_DIGIT).any() or (digits[:, 0] == _END).any():
        raise ValueError("no hexadecimal number")
    numbers = np.zeros(len(text), np.uint64)
    for digit in digits.T:
        numbers = np.where(digit == _END, numbers, (numbers << np.uint64(4)) | digit)
    return numbers


def _chunks(path: Path, **options: object) -> Iterator[pd.DataFrame]:
    """ROWS rows of a CSV file at a time; a row with too few or too many fields is an error."""
    _check_header(path)
    with pd.read_csv(path, header=0, index_col=False, na_filter=False, chunksize=ROWS, **options) as reader:
        yield from reader


def _cells(chunk: pd.DataFrame, wanted: _Wanted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the labels of a chunk that are wanted."""
    label = chunk["LabelName"].cat
    column = np.array([wanted.columns.get(name, -1) for name in label.categories], np.int32)[label.codes]
    confidence = chunk["Confidence"].to_numpy()
    kept = column >= 0
    if wanted.verified:
        if not np.isin(confidence[kept], (0, 1)).all():
            raise ValueError("neither yes nor no")
    else:
        kept &= confidence >= wanted.at_least
    values = confidence[kept].astype(np.int8) if wanted.verified else np.ones(kept.sum(), np.int8)
    return _find(hexadecimal(chunk["ImageID"].to_numpy()[kept]), wanted), column[kept], values


def _find(ids: np.ndarray, wanted: _Wanted) -> np.ndarray:
    """The rows of images, looked up once for all the labels of one image that follow each other."""
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))[: len(ids)]
    place = locate(ids[first], wanted.ids)
    if (place < 0).any():
        raise ValueError("an image that is not in the list")
    return np.repeat(wanted.order[place], np.diff(np.append(first, len(ids))))


def locate(ids: np.ndarray, in_order: np.ndarray) -> np.ndarray:
    """Where each of `ids` (m,) stands in the ascending `in_order` (n,): (m,) int64, -1 where it does not."""
    if not len(in_order):
        return np.full(len(ids), -1)
    place = np.minimum(np.searchsorted(in_order, ids), len(in_order) - 1)
    return np.where(in_order[place] == ids, place, -1)


@contextmanager
def _telling_the_line(path: Path, fault: Callable[[list[str]], _Fault | None]) -> Iterator[None]:
    """Turns what goes wrong inside into an InputError for the first row of the file in which `fault` finds one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are all too long
            yield
    except InputError:
        raise
    except (ValueError, pd.errors.ParserWarning) as error:
        for number, row in _rows(path, header=True):
            if complaint := row and fault(row):
                found, wanted = complaint
                raise InputError(f"{path}, line {number}: {found}; expected {wanted}") from None
        raise InputError(f"{path}: {' '.join(str(error).split())}; expected a CSV file of the release") from error


def _label_fault(row: list[str], wanted: _Wanted) -> _Fault | None:
    """What is wrong with a row of a label file, or None."""
    try:
        image, _, label, confidence = row
        value = float(confidence)
        if value != value:
            raise ValueError
    except ValueError:
        return f"{row}", "ImageID,Source,LabelName,Confidence"
    if label not in wanted.columns or (not wanted.verified and value < wanted.at_least):
        return None
    if wanted.verified and value not in (0, 1):
        return f"confidence {confidence} of a human label", "0 or 1"
    if complaint := _id_fault(image):
        return complaint
    number = np.array([int(image, 16)], np.uint64)
    if locate(number, wanted.ids)[0] < 0:
        return f"image {int(number[0]):016x} is not in the image list", "one that is"
    return None


def _id_fault(image_id: str) -> _Fault | None:
    """What is wrong with an id, or None."""
    try:
        hexadecimal(np.array([image_id]))
    except ValueError:
        return f"image id {image_id!r}", "16 hexadecimal digits"
    return None


def _check_header(path: Path) -> None:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        first = next(csv.reader(file), [])
    if not first or first[0] != "ImageID":
        raise InputError(f"{path}, line 1: found {first[:1]}; expected a header that begins with ImageID")


def _rows(path: Path, *, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a CSV file, after its header."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(file)
        if header:
            next(reader, None)
        for row in reader:
            yield reader.line_num, row
