"""Which rows an index means, for things that are indexed like an array and are none."""

from __future__ import annotations

from typing import Any

import numpy as np


def row_numbers(index: Any, length: int) -> np.ndarray:
    """The rows from 0 to `length` - 1 that NumPy would take for `index`: a number or numbers of any shape (negative
    ones count from the end), a slice, or a mask (`length`,). Numbers keep their shape.

    Raises:
        IndexError: a row that is not there, a mask of another length, or what is no index at all.

    >>> row_numbers([-1, 0], 9_000_000).tolist()
    [8999999, 0]
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(length))
    index = np.asarray(index)
    if index.dtype == bool:
        return np.arange(length)[index]
    if index.size and index.dtype.kind not in "iu":
        raise IndexError(f"rows by {index.dtype}, expected whole numbers, a slice or a mask")
    if index.size and not -length <= index.min() <= index.max() < length:
        raise IndexError(f"rows {index.min()} to {index.max()}, of {length}")
    return np.where(index < 0, index + length, index).astype(np.int64)
