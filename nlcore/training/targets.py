"""Labels that are too many to be dense: 9 million images x 6,000 classes, of which a person or a machine says a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcore.errors import InputError
from nlcore.rows import row_numbers

PARTS = ("indptr", "indices", "values", "form")


@dataclass(frozen=True, eq=False)
class SparseLabels:
    """Labels (n, K) of 1, 0 and -1 = unknown, of which only the cells that differ from `default` are stored.

    Machine labels have default 0: what the machine did not say is not there. Labels that people verified have default
    -1: a verified negative is a stored 0, and a cell nobody looked at is unknown. Indexing by rows gives them dense, as
    it would for an array: `labels[[4, 2]]` is (2, K) int8.

    The stored cells of row i are `indptr[i]` to `indptr[i + 1]`, in order of their columns (SciPy's CSR form; SciPy
    itself knows no default but 0 and adds up what it should replace).

    >>> labels = SparseLabels.from_cells([0, 1], [2, 0], [1, 0], (2, 3), default=-1)
    >>> labels[:].tolist()
    [[-1, -1, 1], [0, -1, -1]]
    """

    indptr: np.ndarray  # (n + 1,) int64
    indices: np.ndarray  # (m,) int32: columns
    values: np.ndarray  # (m,) int8
    classes: int
    default: int = 0

    @classmethod
    def from_cells(
        cls, rows: Any, columns: Any, values: Any, shape: tuple[int, int], *, default: int = 0
    ) -> SparseLabels:
        """From m cells: rows, columns and values (m,) in any order. Of a cell given twice the larger value holds.

        Raises:
            InputError: a cell outside of `shape` (n, K), or a value that is not 1, 0 or -1.
        """
        rows, columns, values = (
            np.asarray(given, None if len(given) else np.int64) for given in (rows, columns, values)
        )
        _check_cells(rows, columns, values, shape, default)
        # Place and value in one number: sorted by it, a cell's copies stand together, the largest value last.
        key = rows.astype(np.int64)
        key *= shape[1]
        key += columns
        key <<= 2
        key += values + 1
        key.sort()
        last = np.append(key[1:] >> 2 != key[:-1] >> 2, True)[: len(key)]
        key = key[last & (key & 3 != default + 1)]
        found = (key & 3).astype(np.int8) - np.int8(1)
        key >>= 2
        row = key // max(shape[1], 1)
        key -= row * shape[1]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
        return cls(indptr, key.astype(np.int32), found, shape[1], default)

    @classmethod
    def from_dense(cls, labels: np.ndarray, *, default: int = 0) -> SparseLabels:
        """From labels (n, K) of 1, 0 and -1.

        Raises:
            InputError: a value that is not 1, 0 or -1.
        """
        rows, columns = np.nonzero(labels != default)
        return cls.from_cells(rows, columns, labels[rows, columns], labels.shape, default=default)

    @classmethod
    def stack(cls, parts: Sequence[SparseLabels]) -> SparseLabels:
        """The rows of all `parts`, one below the other.

        Raises:
            ValueError: they do not all have the same classes and the same default.
        """
        if len({(part.classes, part.default) for part in parts}) != 1:
            raise ValueError("parts differ in their classes or in their default")
        starts = np.cumsum([0, *(len(part.indices) for part in parts)])
        indptr = [part.indptr[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
        joined = [np.concatenate([getattr(part, name) for part in parts]) for name in ("indices", "values")]
        return cls(np.concatenate([*indptr, starts[-1:]]), *joined, parts[0].classes, parts[0].default)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, K), as of the dense array."""
        return len(self.indptr) - 1, self.classes

    @property
    def nbytes(self) -> int:
        """Memory of the three arrays, in bytes."""
        return self.indptr.nbytes + self.indices.nbytes + self.values.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of an index (number, numbers of any shape, slice or mask), dense: (..., K) int8."""
        rows = row_numbers(rows, len(self))
        row, column, value = self.cells(rows)
        dense = np.full((rows.size, self.classes), self.default, np.int8)
        dense[row, column] = value
        return dense.reshape(*rows.shape, self.classes)

    def cells(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The stored cells of `rows`, numbers of any shape: place in `rows` (flat), column and value of each."""
        counts, positions = self._positions(row_numbers(rows, len(self)).reshape(-1))
        return np.repeat(np.arange(len(counts)), counts), self.indices[positions], self.values[positions]

    def rows(self, index: Any) -> SparseLabels:
        """The images of `index` (numbers, slice or mask), in that order."""
        counts, positions = self._positions(row_numbers(index, len(self)))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return SparseLabels(indptr, self.indices[positions], self.values[positions], self.classes, self.default)

    def columns(self, chosen: np.ndarray) -> SparseLabels:
        """The classes of a mask (K,), in their order."""
        kept = chosen[self.indices]
        new = (np.cumsum(chosen) - 1).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(kept)])[self.indptr]
        return SparseLabels(indptr, new[self.indices[kept]], self.values[kept], int(chosen.sum()), self.default)

    def count(self, value: int) -> np.ndarray:
        """How often each class has the stored `value`: (K,) int64."""
        return np.bincount(self.indices[self.values == value], minlength=self.classes)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Everything as plain arrays, under names that begin with `name`: what a run's record can hold."""
        form = np.array([self.classes, self.default], np.int64)
        return dict(zip(_keys(name), (self.indptr, self.indices, self.values, form), strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], name: str) -> SparseLabels:
        """What `arrays(name)` wrote.

        Raises:
            InputError: one of the arrays is not there.
        """
        missing = [key for key in _keys(name) if key not in arrays]
        if missing:
            raise InputError(f"sparse labels {name}: no array {missing[0]}; expected {', '.join(_keys(name))}")
        indptr, indices, values, form = (arrays[key] for key in _keys(name))
        return cls(indptr, indices, values, int(form[0]), int(form[1]))

    def _positions(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many cells each of `rows` (b,) has stored, and where they lie, one row after the other."""
        start = self.indptr[rows]
        counts = self.indptr[rows + 1] - start
        before = np.cumsum(counts) - counts
        return counts, np.repeat(start - before, counts) + np.arange(counts.sum())


def _keys(name: str) -> list[str]:
    return [f"{name}_{part}" for part in PARTS]


def _check_cells(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int], default: int
) -> None:
    bounds = (("row", rows, 0, shape[0] - 1), ("column", columns, 0, shape[1] - 1), ("value", values, -1, 1))
    for what, numbers, low, high in (*bounds, ("default", np.array([default]), -1, 1)):
        if len(numbers) and (numbers.min() < low or numbers.max() > high):
            wrong = numbers[(numbers < low) | (numbers > high)][0]
            raise InputError(f"sparse labels: found {what} {wrong}; expected {low} to {high}")
