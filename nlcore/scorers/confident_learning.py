r"""Confident Learning for multi-label data: which single annotations are probably wrong.

"Identifying Incorrect Annotations in Multi-Label Classification Data" (paper 3), section 3: every class is a binary
problem of its own (does it apply or not?), Confident Learning (Northcutt et al., 2021) finds the wrong annotations of
each, and an image is flagged if any of its annotations is. The rules are those of cleanlab's `prune_by_noise_rate`, and
the flags are the same as cleanlab's. In one class, with p the probability that it applies and 1 - p that it does not:

1. The *confident threshold* of "applies" is the mean p over the images annotated so; likewise 1 - p for "does not".
2. An image whose probability reaches a threshold is counted into the *confident joint* C[given, likely true].
3. C is scaled to the numbers of annotations that were given, and rounded.
4. The C[given, other] annotations that the model contradicts most, by (probability of the other - of the given), are
   flagged, as far as the model does contradict them.

Arrays in here are (2, K, N), classes before images: index 0 is "does not apply", 1 is "applies". Unknown annotations
belong to neither, so they are not counted and never flagged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import array_api_compat
import numpy as np

from nlcore.errors import InputError
from nlcore.scorers.blocks import Array, block_size, check_arrays, checked_block, release_pages, row_blocks

TOLERANCE = 1e-6  # cleanlab compares probabilities up to this difference
IMPOSSIBLE_THRESHOLD = 2.0  # of an annotation that nobody gave: no probability reaches it
TINY = 1e-100  # instead of zero, where a class has no known annotation
READ_BYTES = 1 << 26  # a memory map is read, and let go of, in pieces of this size


class LabelIssues(NamedTuple):
    """Flags of `find_label_issues`, both of the kind of array that the probabilities are."""

    per_class: Array  # (N, K) bool: this annotation is probably wrong
    any_class: Array  # (N,) bool: some annotation of this image is


def find_label_issues(
    labels: Array, probs: Array, *, block_bytes: int | None = None, out: Array | None = None
) -> LabelIssues:
    """Flag the annotations that Confident Learning holds to be wrong, and the images that have one.

    Section 3 of paper 3, computed in float64. Of equal contradictions at the cut, those are flagged that NumPy's sort
    puts first, as in cleanlab. A class without two kinds of annotation, which cleanlab does not accept, has no flags.

    Args:
        labels: (N, K) of 1, 0 and -1 (unknown: never flagged).
        probs: (N, K) probabilities in [0, 1], best out of sample. Both are NumPy arrays or memory maps, or both torch
            tensors on one device.
        block_bytes: bytes of input worked on at a time, a block of classes, with a few vectors of N numbers beside it;
            by default a sixteenth of the input, from 8 to 256 MB. On disk, each block reads from every row once: if the
            arrays have many times the size of a block, store them class by class (`order="F"`), so that a block is one
            contiguous read.
        out: (N, K) bool, where to put the flags, e.g. a memory map, if they are too many for memory.

    Returns:
        `per_class` (N, K), which is `out` if that is given, and `any_class` (N,).

    Raises:
        InputError: values out of range, or shapes and types that do not fit; nothing is written into `out` then.

    >>> import numpy as np
    >>> labels = np.array([[1], [1], [1], [0], [0], [0]])
    >>> probs = np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.1]])
    >>> find_label_issues(labels, probs).any_class
    array([False, False,  True, False, False, False])
    """
    check_arrays(labels, probs)
    for rows in row_blocks(probs):  # all of it before the first flag is written
        checked_block(labels, probs, rows)
        release_pages(labels)
        release_pages(probs)
    xp = array_api_compat.array_namespace(probs)
    device = array_api_compat.device(probs)
    flags = _check_out(out, probs) if out is not None else xp.empty(probs.shape, dtype=xp.bool, device=device)
    any_class = xp.zeros(probs.shape[0], dtype=xp.bool, device=device)
    for classes in _class_blocks(probs, block_bytes):
        block = _flag_classes(_read(labels, classes, xp.int8), _read(probs, classes, probs.dtype))
        _write(flags, classes, block)
        any_class |= xp.any(block, axis=0)
    return LabelIssues(flags, any_class)


def _check_out(out: Array, probs: Array) -> Array:
    xp = array_api_compat.array_namespace(probs)
    same_kind = array_api_compat.is_numpy_array(out) == array_api_compat.is_numpy_array(probs)
    if not same_kind or tuple(out.shape) != tuple(probs.shape) or out.dtype != xp.bool:
        found = f"{type(out).__name__} of {getattr(out, 'dtype', 'no type')} and shape {tuple(np.shape(out))}"
        expected = f"a boolean array of shape {tuple(probs.shape)}, of the input's kind"
        raise InputError(f"out: found {found}; expected {expected}")
    return out


# Blocks of classes ----------------------------------------------------------------------------------------------------


def _class_blocks(probs: Array, block_bytes: int | None) -> Iterator[slice]:
    images, classes = probs.shape
    class_bytes = images * (probs.dtype.itemsize + 1)  # one more for the label
    default = min(max(classes * class_bytes // 16, 1 << 23), 1 << 28)
    size = default if block_bytes is None else block_size(probs, block_bytes)
    step = max(1, size // class_bytes)
    return (slice(start, min(start + step, classes)) for start in range(0, classes, step))


def _read(array: Array, classes: slice, dtype: object) -> Array:
    """Some columns of `array` (N, K) as contiguous rows, shape (classes, N)."""
    xp = array_api_compat.array_namespace(array)
    shape = (classes.stop - classes.start, array.shape[0])
    columns = xp.empty(shape, dtype=dtype, device=array_api_compat.device(array))
    for rows in row_blocks(array, block_bytes=READ_BYTES):
        columns[:, rows] = array[rows, classes].T
        release_pages(array)
    return columns


def _write(flags: Array, classes: slice, block: Array) -> None:
    for rows in row_blocks(flags, block_bytes=READ_BYTES):
        flags[rows, classes] = block[:, rows].T
        release_pages(flags)


def _flag_classes(labels: Array, probs: Array) -> Array:
    """Flags (K, N) of labels and probabilities (K, N), as many classes at a time as the cache holds."""
    xp = array_api_compat.array_namespace(probs)
    blocks = row_blocks(probs)
    return xp.concat([_flag_annotations(labels[rows, :], probs[rows, :]) for rows in blocks])


# Confident Learning ---------------------------------------------------------------------------------------------------


def _flag_annotations(labels: Array, probs: Array) -> Array:
    """Flags (K, N) of labels and probabilities (K, N): the four steps of the module's description."""
    xp = array_api_compat.array_namespace(probs)
    probs = xp.astype(probs, xp.float64)
    given = xp.stack([labels == 0, labels == 1])
    prob = xp.stack([1 - probs, probs])
    given_counts = xp.sum(given, axis=2, dtype=xp.int64)
    likely = _likely_true(prob, _confident_thresholds(given, prob, given_counts))
    joint = _calibrate(_count_joint(given, likely), _to_numpy(given_counts).T)
    return _prune(given, prob, joint, 0) | _prune(given, prob, joint, 1)


def _confident_thresholds(given: Array, prob: Array, given_counts: Array) -> Array:
    """Mean probability of the annotations as given, shape (2, K)."""
    xp = array_api_compat.array_namespace(prob)
    mean = xp.sum(xp.where(given, prob, 0.0), axis=2) / xp.clip(given_counts, min=1)
    return xp.where(given_counts == 0, IMPOSSIBLE_THRESHOLD, xp.clip(mean, min=2 * TOLERANCE))


def _likely_true(prob: Array, thresholds: Array) -> Array:
    """Which annotation is confidently true, shape (2, K, N): one, the more probable of two, or none."""
    xp = array_api_compat.array_namespace(prob)
    confident = prob >= thresholds[:, :, None] - TOLERANCE
    applies = confident[1] & (~confident[0] | (prob[1] > prob[0]))
    return xp.stack([confident[0] & ~applies, applies])


def _count_joint(given: Array, likely: Array) -> np.ndarray:
    """The confident joint C[k, given, likely true], shape (K, 2, 2); on its diagonal at least 1."""
    xp = array_api_compat.array_namespace(given)
    counts = [[xp.sum(given[i] & likely[j], axis=1, dtype=xp.int64) for j in (0, 1)] for i in (0, 1)]
    joint = np.array([[_to_numpy(count) for count in row] for row in counts])
    return np.maximum(np.moveaxis(joint, 2, 0), np.eye(2, dtype=int))


def _calibrate(joint: np.ndarray, given_counts: np.ndarray) -> np.ndarray:
    """Scale C so that row i adds up to the number of annotations i, (K, 2), and round it to whole numbers.

    The order of the operations is cleanlab's: counts such as 2.5 are frequent, and the last bit decides them.
    """
    scaled = joint / joint.sum(axis=2, keepdims=True) * given_counts[:, :, None]
    total = scaled[:, 0, 0] + scaled[:, 1, 0] + scaled[:, 0, 1] + scaled[:, 1, 1]
    scaled = scaled / np.maximum(total, TINY)[:, None, None] * given_counts.sum(axis=1)[:, None, None]
    rounded = np.round(scaled)
    # Rounding may leave a row one above or below its total: the entry that was rounded furthest gives way.
    missing = np.round(scaled.sum(axis=2)) - rounded.sum(axis=2)
    remainder = scaled - rounded
    second = (remainder[:, :, 1] >= remainder[:, :, 0]) == (missing > 0)
    rounded += np.stack([missing * ~second, missing * second], axis=2)
    return rounded.astype(int)


def _prune(given: Array, prob: Array, joint: np.ndarray, annotation: int) -> Array:
    """Flags (K, N) among those annotated 0 ("does not apply") or 1: the most contradicted, as many as C holds wrong."""
    xp = array_api_compat.array_namespace(prob)
    other = 1 - annotation
    kept = joint[:, annotation, annotation]
    number = np.maximum(joint[:, annotation, other] - np.maximum(1 - kept, 0), 0)  # at least one stays
    number = np.where(joint[:, annotation].sum(axis=1) <= 1, 0, number)
    if annotation == 0:
        contradicted = given[0] & (prob[1] > prob[0] + TOLERANCE)
    else:
        contradicted = given[1] & (prob[0] >= prob[1] + TOLERANCE)  # an even chance counts as "does not apply"
    excess = _to_numpy(xp.sum(contradicted, axis=1, dtype=xp.int64)) > number
    for k in np.flatnonzero(excess):
        margin = prob[other, k, :] - prob[annotation, k, :]
        contradicted[k, :] = _largest(margin, contradicted[k, :], given[annotation, k, :], int(number[k]))
    return contradicted


def _largest(margin: Array, candidates: Array, given: Array, number: int) -> Array:
    """The `number` candidates of largest margin, (N,) bool; there are more candidates than that."""
    xp = array_api_compat.array_namespace(margin)
    if number == 0:
        return xp.zeros_like(candidates)
    ranked = xp.sort(margin[candidates], descending=True, stable=False)
    if ranked[number] < ranked[number - 1]:
        return candidates & (margin >= ranked[number - 1])
    # A tie at the cut. Who is flagged is then arbitrary; cleanlab leaves it to NumPy's sort, and so do we.
    order = np.argsort(-_to_numpy(margin[given]))
    rows = np.flatnonzero(_to_numpy(given))[order[:number]]
    flags = np.zeros(margin.shape[0], dtype=bool)
    flags[rows] = True
    return xp.asarray(flags, device=array_api_compat.device(margin))


def _to_numpy(array: Array) -> np.ndarray:
    return np.asarray(array_api_compat.to_device(array, "cpu"))
