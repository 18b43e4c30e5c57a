"""Labels and probabilities of the same images and classes, brought together and checked.

Labels are (N, K) of 1, 0 and -1 (unknown), probabilities (N, K) in [0, 1]: NumPy arrays, memory maps, or pandas
DataFrames, whose index and columns are taken for ids and class names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nlcore.errors import InputError, require
from nlcore.scorers.blocks import check_arrays, checked_block, release_pages, row_blocks

Matrix = np.ndarray | pd.DataFrame
Watch = Callable[[Iterable[Any], str], Iterable[Any]]  # (blocks, what is done) -> the same blocks, while it looks on

PLACE = re.compile(
    r"(labels|probs)\[(\d+), (\d+)\]: found (.+); expected (.+)"
)  # of a bad value, as `check_values` says it


class Annotations(NamedTuple):
    """Labels and probabilities of the same images and classes, in the same order, and their names."""

    labels: np.ndarray  # (N, K) of 1, 0 and -1
    probs: np.ndarray  # (N, K) in [0, 1]
    ids: pd.Index  # (N,) of images; row numbers, from 0, where they have no other
    classes: tuple[str, ...]  # K names; column numbers where they have no other


def unwatched(blocks: Iterable[Any], what: str) -> Iterable[Any]:
    """The default `watch` of the functions here: nobody looks on.

    Args:
        blocks: what will be worked on, one after the other.
        what: a few words on what is done with them.

    >>> list(unwatched([slice(0, 2)], "scores"))
    [slice(0, 2, None)]
    """
    return blocks


def as_annotations(
    labels: Matrix, probs: Matrix, *, ids: Sequence[Any] | None = None, classes: Sequence[str] | None = None
) -> Annotations:
    """Bring labels and probabilities together: of two DataFrames, rows are matched by index and columns by name.

    A default index (0, 1, ...) is no name: such rows and columns are matched by position, as those of arrays.

    Args:
        labels: (N, K) of 1, 0 and -1 (unknown); values are not read here.
        probs: (N, K) floating-point probabilities in [0, 1].
        ids: N ids of the images, in the order of `labels`; instead of its index.
        classes: K names of the classes, in the order of its columns; where columns have names, the same ones.

    Raises:
        InputError: shapes, types, ids or names that do not fit, or names that are not unique.

    >>> labels = pd.DataFrame({"cat": [1, 0], "dog": [0, 1]}, index=["a.jpg", "b.jpg"])
    >>> probs = pd.DataFrame({"dog": [0.9, 0.2], "cat": [0.1, 0.8]}, index=["b.jpg", "a.jpg"])
    >>> as_annotations(labels, probs).probs
    array([[0.8, 0.2],
           [0.1, 0.9]])
    """
    names = _names(labels, probs, "columns"), _names(probs, labels, "columns")
    indices = _names(labels, probs, "index"), _names(probs, labels, "index")
    rows = _order("ids of probs", indices[1], indices[0])
    columns = _order("classes of probs", names[1], names[0])
    arrays = as_array(labels), as_array(probs)
    probs = arrays[1] if rows is None else arrays[1][rows]
    probs = probs if columns is None else probs[:, columns]
    check_arrays(arrays[0], probs)
    own_classes, own_ids = (_first(pair) for pair in (names, indices))
    classes = _checked_classes(classes, own_classes, probs.shape[1])
    ids = _first((None if ids is None else pd.Index(ids), own_ids, pd.RangeIndex(len(probs))))
    require(len(ids) == len(probs), "number of ids", len(ids), f"{len(probs)}, one for each image")
    return Annotations(arrays[0], probs, ids, classes)


def check_all_values(data: Annotations, *, watch: Watch = unwatched) -> None:
    """Read everything once, so that nothing has to be undone later because of a value.

    Args:
        data: labels and probabilities (N, K).
        watch: sees the blocks of rows go by.

    Raises:
        InputError: names the first label that is not 1, 0 or -1, or the first probability outside [0, 1], by row and
            column, in the order of the labels, and by image and class where these have names.

    >>> check_all_values(as_annotations(np.array([[1, 2]]), np.array([[0.2, 0.1]])))
    Traceback (most recent call last):
    nlcore.errors.InputError: labels[0, 1]: found 2; expected 1, 0, or -1 for unknown
    """
    for rows in watch(list(row_blocks(data.probs)), "checking values"):
        try:
            checked_block(data.labels, data.probs, rows)
        except InputError as error:
            raise located(error, data) from error
        release_pages(data.labels)
        release_pages(data.probs)


def located(error: InputError, data: Annotations, first_row: int = 0) -> InputError:
    """The same error, its row counted in the whole and image and class by name: the arrays may be in another order.

    `check_values` knows no names, and its source is part of the keys of finished runs.
    """
    found = PLACE.fullmatch(str(error))
    if found is None:
        return error
    row, column = int(found[2]) + first_row, int(found[3])
    named = "" if _only_counts(data.ids) else f", image {data.ids[row]!r}"
    named += "" if data.classes[column] == str(column) else f", class {data.classes[column]!r}"
    return InputError(f"{found[1]}[{row}, {column}]{named}: found {found[4]}; expected {found[5]}")


def _names(matrix: Matrix, other: Matrix, axis: str) -> pd.Index | None:
    """The index or the columns of a DataFrame; None of an array, and of a default index, which only counts.

    Beside whole numbers that are no default index it is a name all the same: they may be its rows, shuffled.
    """
    found, beside = (getattr(one, axis) if isinstance(one, pd.DataFrame) else None for one in (matrix, other))
    whole = beside is not None and not _only_counts(beside) and pd.api.types.is_integer_dtype(beside)
    return None if found is None or (_only_counts(found) and not whole) else found


def _only_counts(index: pd.Index) -> bool:
    return isinstance(index, pd.RangeIndex) and (index.start, index.step) == (0, 1)


def _order(what: str, found: pd.Index | None, wanted: pd.Index | None) -> np.ndarray | None:
    """Positions in `found` of what is `wanted`; None where the order is the same or only one side has names."""
    if found is None or wanted is None or found.equals(wanted):
        return None
    for index, whose in ((found, what), (wanted, f"{what.partition(' of ')[0]} of labels")):
        require(index.is_unique, whose, list(index[index.duplicated()][:1]), "each once, to be matched")
    odd, lacking = (list(a.difference(b, sort=False)[:3]) for a, b in ((found, wanted), (wanted, found)))
    others = f" (of which {', '.join(map(repr, lacking))} has no partner)" if lacking else ""
    require(not odd, what, odd, f"those of labels, in any order{others}")
    require(not lacking, what, "all but " + ", ".join(map(str, lacking)), "those of labels, in any order")
    return found.get_indexer(wanted)


def as_array(matrix: Matrix) -> np.ndarray:
    """(N, K) of an array, as it is, or of a DataFrame of numbers, without a copy where its columns are of one type.

    Raises:
        InputError: a column of text.

    >>> as_array(pd.DataFrame({"cat": [1, 0]}))
    array([[1],
           [0]])
    """
    if not isinstance(matrix, pd.DataFrame):
        return matrix
    try:
        array = matrix.to_numpy()
        return matrix.to_numpy(dtype=np.float64, na_value=np.nan) if array.dtype == object else array
    except (TypeError, ValueError) as error:
        raise InputError(f"labels or probs: found text ({error}); expected columns of numbers alone") from error


def _first(found: Iterable[Any]) -> Any:
    return next((one for one in found if one is not None), None)


def _checked_classes(classes: Sequence[str] | None, columns: pd.Index | None, count: int) -> tuple[str, ...]:
    names = tuple(map(str, range(count) if columns is None else columns))
    if classes is not None:
        asked = tuple(map(str, classes))
        require(len(asked) == count, "number of classes", len(asked), f"{count}, one for each column")
        odd = sorted(set(asked) - set(names))[:3] if columns is not None else []
        require(not odd, "classes", odd, "the names that the columns have")
        names = asked if columns is None else names
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    require(not twice, "classes", twice[:3], "each name once")
    return names
