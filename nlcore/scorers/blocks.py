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

from nlcore.errors import InputError, require

Array = Any  # a NumPy array or a torch tensor, by the Python array API standard

CACHE_BYTES = 1 << 21  # on a CPU a block and its temporaries should stay in the cache: larger blocks run slower
ACCELERATOR_BYTES = 1 << 28  # on an accelerator small blocks cost more in kernel launches than they save


def row_blocks(array: Array, *, block_bytes: int | None = None) -> Iterator[slice]:
    """Slices that cut the rows of `array` (N, K) into blocks of about `block_bytes` (at least one row).

    Args:
        array: (N, K), a NumPy array, a memory map or a torch tensor; none of it is read.
        block_bytes: bytes of `array` in a block; None is the size that suits its device.

    Raises:
        InputError: `block_bytes` is no whole number of at least 1.

    >>> list(row_blocks(np.zeros((5, 2)), block_bytes=32))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count, row_bytes = array.shape[0], array.shape[1] * array.dtype.itemsize
    step = max(1, block_size(array, block_bytes) // row_bytes)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def block_size(array: Array, block_bytes: int | None) -> int:
    """`block_bytes` once checked, or where it is None the size that suits the device of `array`.

    Raises:
        InputError: `block_bytes` is no whole number of at least 1.

    >>> block_size(np.zeros((5, 2)), None) == CACHE_BYTES
    True
    """
    if block_bytes is None:
        return CACHE_BYTES if str(array_api_compat.device(array)) == "cpu" else ACCELERATOR_BYTES
    require(is_count(block_bytes), "block_bytes", block_bytes, "a whole number of at least 1")
    return block_bytes


def is_count(value: object) -> bool:
    """Whether `value` is a whole number of at least 1, of Python or NumPy (True is none).

    >>> is_count(3), is_count(1.0), is_count(True)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def checked_block(labels: Array, probs: Array, rows: slice) -> tuple[Array, Array]:
    """(labels[rows], probs[rows]) once their values are checked; half-precision probabilities become float32.

    Args:
        labels: (N, K) of 1, 0 and -1 (unknown).
        probs: (N, K) in [0, 1]. Kind, shape and type of both are as `check_arrays` wants them.
        rows: one of the slices of `row_blocks`.

    Returns:
        Both blocks, each of shape (number of rows, K).

    Raises:
        InputError: as `check_values`, which names the row as it is counted in the whole array.
    """
    label_block, prob_block = labels[rows, :], probs[rows, :]
    if probs.dtype.itemsize < 4:
        xp = array_api_compat.array_namespace(probs)
        prob_block = xp.astype(prob_block, xp.float32)
    check_values(label_block, prob_block, first_row=rows.start)
    return label_block, prob_block


def check_arrays(labels: Array, probs: Array) -> None:
    """Check kind, shape and type of labels and probabilities; no value is read.

    Args:
        labels: (N, K) of any type that holds 1, 0 and -1.
        probs: (N, K) of floating-point numbers.

    Raises:
        InputError: not both are (N, K) with N and K at least 1, both of NumPy or both torch tensors on one device, or
            the probabilities are no floating-point numbers.

    >>> check_arrays(np.zeros((4, 3)), np.zeros((4, 2)))
    Traceback (most recent call last):
    nlcore.errors.InputError: shape of labels: found (4, 3); expected (4, 2), that of probs
    """
    for name, array in (("labels", labels), ("probs", probs)):
        if not (array_api_compat.is_numpy_array(array) or array_api_compat.is_torch_array(array)):
            raise InputError(f"{name}: found a {type(array).__name__}; expected a NumPy array or a torch tensor")
        if len(array.shape) != 2 or 0 in array.shape:
            found = tuple(array.shape)
            raise InputError(f"shape of {name}: found {found}; expected (N, K) with at least one row and column")
    found, expected = tuple(labels.shape), tuple(probs.shape)
    require(found == expected, "shape of labels", found, f"{expected}, that of probs")
    if array_api_compat.is_numpy_array(labels) != array_api_compat.is_numpy_array(probs):
        kinds = f"found a {type(labels).__name__} and a {type(probs).__name__}"
        raise InputError(f"labels and probs: {kinds}; expected both NumPy arrays or both torch tensors")
    devices = array_api_compat.device(labels), array_api_compat.device(probs)
    if devices[0] != devices[1]:
        raise InputError(f"labels and probs: found on {devices[0]} and {devices[1]}; expected one device")
    if not array_api_compat.array_namespace(probs).isdtype(probs.dtype, "real floating"):
        raise InputError(f"probs: found the type {probs.dtype}; expected floating-point numbers")


def check_values(labels: Array, probs: Array, *, first_row: int = 0) -> None:
    """Check the values of a block of rows.

    Args:
        labels: (n, K); 1, 0 and -1 (unknown) are good, and so is any boolean.
        probs: (n, K); fractions in [0, 1] are good.
        first_row: where the block's first row stands in the whole, for the message.

    Raises:
        InputError: names the first probability that is outside [0, 1] or NaN, or the first label that is not 1, 0, -1.

    >>> check_values(np.array([[1, 0]]), np.array([[0.5, 1.5]]), first_row=100)
    Traceback (most recent call last):
    nlcore.errors.InputError: probs[100, 1]: found 1.5; expected a probability in [0, 1]
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
    raise InputError(f"{name}[{first_row + row}, {column}]: found {value}; expected {expected}")


def release_pages(array: Array) -> None:
    """Let go of the pages a memory map has read; without effect on any other array.

    The pages stay in the system's file cache, but no longer count as this process's memory. A copy-on-write map is
    left alone, since its changed pages exist nowhere else.

    Args:
        array: an array of any kind, or a view of a memory map; its values stay readable.
    """
    if not isinstance(array, np.memmap) or array.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
