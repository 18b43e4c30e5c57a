"""Checked input in blocks of rows: what lets a scorer work on arrays that do not fit into memory.

Labels and probabilities are (N, K) NumPy arrays, NumPy memory maps, or torch tensors on any device.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import array_api_compat
import numpy as np

from nlcore.errors import InputError

Array = Any  # a NumPy array or a torch tensor, by the Python array API standard

CACHE_BYTES = 1 << 21  # on a CPU a block and its temporaries should stay in the cache: larger blocks run slower
ACCELERATOR_BYTES = 1 << 28  # on an accelerator small blocks cost more in kernel launches than they save


def row_blocks(array: Array, *, block_bytes: int | None = None) -> Iterator[slice]:
    """Slices that cut the rows of `array` (N, K) into blocks of about `block_bytes` (at least one row).

    The default size suits the device. Raises InputError if `block_bytes` is not a positive integer.

    >>> list(row_blocks(np.zeros((5, 2)), block_bytes=32))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count, row_bytes = array.shape[0], array.shape[1] * array.dtype.itemsize
    step = max(1, block_size(array, block_bytes) // row_bytes)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def block_size(array: Array, block_bytes: int | None) -> int:
    """`block_bytes` once checked, or where it is None the size that suits the device of `array`."""
    if block_bytes is None:
        return CACHE_BYTES if str(array_api_compat.device(array)) == "cpu" else ACCELERATOR_BYTES
    require(is_count(block_bytes), "block_bytes", block_bytes, "a whole number of at least 1")
    return block_bytes


def is_count(value: object) -> bool:
    """Whether `value` is a whole number of at least 1 (True is none)."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def require(valid: bool, name: str, value: object, expected: str) -> None:
    """Raise InputError unless the value of an option is valid."""
    if not valid:
        raise InputError(f"{name} is {value!r}: expected {expected}")


def checked_block(labels: Array, probs: Array, rows: slice) -> tuple[Array, Array]:
    """(labels[rows], probs[rows]) once their values are checked; half-precision probabilities become float32.

    Raises InputError as `check_values` does.
    """
    label_block, prob_block = labels[rows, :], probs[rows, :]
    if probs.dtype.itemsize < 4:
        xp = array_api_compat.array_namespace(probs)
        prob_block = xp.astype(prob_block, xp.float32)
    check_values(label_block, prob_block, first_row=rows.start)
    return label_block, prob_block


def check_arrays(labels: Array, probs: Array) -> None:
    """Check kind, shape and type of labels and probabilities; no value is read.

    Raises InputError unless both are (N, K) with N and K at least 1, both of NumPy or both torch tensors on one
    device, and the probabilities are floating-point numbers.
    """
    for name, array in (("labels", labels), ("probs", probs)):
        if not (array_api_compat.is_numpy_array(array) or array_api_compat.is_torch_array(array)):
            raise InputError(f"{name} is of type {type(array).__name__}: expected a NumPy array or a torch tensor")
        if len(array.shape) != 2 or 0 in array.shape:
            raise InputError(f"{name} has shape {tuple(array.shape)}: expected (N, K) with at least one row and column")
    if tuple(labels.shape) != tuple(probs.shape):
        raise InputError(f"labels have shape {tuple(labels.shape)} and probs {tuple(probs.shape)}: expected the same")
    if array_api_compat.is_numpy_array(labels) != array_api_compat.is_numpy_array(probs):
        kinds = f"labels are a {type(labels).__name__} and probs a {type(probs).__name__}"
        raise InputError(f"{kinds}: expected both NumPy arrays or both torch tensors")
    devices = array_api_compat.device(labels), array_api_compat.device(probs)
    if devices[0] != devices[1]:
        raise InputError(f"labels are on {devices[0]} and probs on {devices[1]}: expected one device")
    if not array_api_compat.array_namespace(probs).isdtype(probs.dtype, "real floating"):
        raise InputError(f"probs are of type {probs.dtype}: expected floating-point numbers")


def check_values(labels: Array, probs: Array, *, first_row: int = 0) -> None:
    """Check the values of a block of rows, the first of which is row `first_row` of the whole.

    Raises InputError naming the first probability that is outside [0, 1] or NaN, or the first label that is not
    1, 0 or -1.
    """
    xp = array_api_compat.array_namespace(labels, probs)
    if not (xp.min(probs) >= 0 and xp.max(probs) <= 1):  # a NaN makes both NaN, and fails both comparisons
        _raise_first("probs", probs, ~((probs >= 0) & (probs <= 1)), first_row, "a probability in [0, 1]")
    if xp.isdtype(labels.dtype, "bool"):
        return
    # For integers the two ends of the range suffice, and cost a fraction of three comparisons.
    if xp.isdtype(labels.dtype, "integral") and xp.min(labels) >= -1 and xp.max(labels) <= 1:
        return
    wrong = (labels != 0) & (labels != 1) & (labels != -1)
    if xp.any(wrong):
        _raise_first("labels", labels, wrong, first_row, "1, 0, or -1 for unknown")


def _raise_first(name: str, array: Array, wrong: Array, first_row: int, expected: str) -> None:
    xp = array_api_compat.array_namespace(array)
    rows, columns = xp.nonzero(wrong)
    row, column = int(rows[0]), int(columns[0])
    value = array[row, column].item()
    raise InputError(f"{name}[{first_row + row}, {column}] is {value}: expected {expected}")


def release_pages(array: Array) -> None:
    """Let go of the pages a memory map has read; without effect on any other array.

    The pages stay in the system's file cache, but no longer count as this process's memory. A copy-on-write map is
    left alone, since its changed pages exist nowhere else.
    """
    if not isinstance(array, np.memmap) or array.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
