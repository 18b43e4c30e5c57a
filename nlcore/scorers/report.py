r"""A report on one's own labels: images by label quality, the annotations in doubt, and what is wrong with each class.

"Identifying Incorrect Annotations in Multi-Label Classification Data" (paper 3): the label quality scores of section 4
rank the images, the Confident Learning of section 3 says which annotations are in doubt, and its confident joint how
many of a class are wrong. Where cleanlab has the same number it is equal, and a docstring says which.

Labels are (N, K) of 1, 0 and -1, probabilities (N, K) in [0, 1], best out of sample: NumPy arrays, memory maps, or
pandas DataFrames, whose index and columns are taken for ids and class names. An unknown annotation (-1) is never in
doubt and leaves every count. Arrays are read in blocks; what grows with N in memory is what is returned.

`label_report` makes everything at once, as `run_all.py score` does; the other functions make a table each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from nlcore.errors import InputError, require
from nlcore.scorers.annotations import (
    Annotations,
    Matrix,
    Watch,
    as_annotations,
    as_array,
    check_all_values,
    located,
    unwatched,
)
from nlcore.scorers.blocks import check_arrays, is_count, release_pages, row_blocks

# The steps of Confident Learning are private to their module, whose source is part of the keys of finished runs.
from nlcore.scorers.confident_learning import (
    _calibrate,
    _class_blocks,
    _confident_thresholds,
    _count_joint,
    _likely_true,
    _prune,
    _read,
    _write,
)
from nlcore.scorers.label_quality import POOLINGS, label_quality_scores

EXTRA, MISSING = "extra", "missing"  # an annotated tag that does not apply; one that applies and is not annotated


class DoubtedCells(NamedTuple):
    """The D annotations in doubt, in the order of rows and columns."""

    image: np.ndarray  # (D,) row
    tag: np.ndarray  # (D,) column
    given: np.ndarray  # (D,) bool: annotated as applying


class LabelReport(NamedTuple):
    """Everything that `label_report` finds; each table has its worst rows first."""

    images: pd.DataFrame  # as `rank_images` returns it
    doubts: pd.DataFrame  # as `doubted_annotations`
    classes: pd.DataFrame  # as `class_report`
    swapped: pd.DataFrame  # as `swapped_tags`
    totals: dict[str, Any]  # counts of images, classes and annotations, health, and the range of scores: all of it JSON
    scores: np.ndarray  # (N,) label quality, in the order of the labels
    flags: np.ndarray  # (N, K) bool, likewise: the annotations in doubt


def label_report(
    labels: Matrix,
    probs: Matrix,
    *,
    ids: Sequence[Any] | None = None,
    classes: Sequence[str] | None = None,
    pooling: str = "ema",
    top: int | None = None,
    confused: int = 5,
    delimiter: str = ";",
    out: np.ndarray | None = None,
    watch: Watch = unwatched,
) -> LabelReport:
    """All that `run_all.py score` tells of one's own labels, as tables: sections 3 and 4 of paper 3.

    Args:
        labels: (N, K) of 1, 0 and -1 (unknown), an array, or a DataFrame with images as index and classes as columns.
        probs: (N, K) probabilities in [0, 1] of a model that was not trained on the image; of two DataFrames rows are
            matched by index and columns by name, whatever their order.
        ids, classes: names of arrays, as for `as_annotations`.
        pooling: how one score is made of an image's K: a key of `nlcore.scorers.POOLINGS`.
        top: how many images, and how many annotations in doubt, the worst; all where None.
        confused: how many classes to name that a class is confused with, at most.
        delimiter: what stands between two tags.
        out: (N, K) bool, where to put the flags, e.g. a memory map, if they are too many for memory.
        watch: sees the blocks of rows and classes go by.

    Raises:
        InputError: values out of range, with the image and the class; or shapes, types, names or options that do not
            fit.

    >>> labels = pd.DataFrame({"cat": [1, 1, 1, 0, 0, 0]}, index=list("abcdef"))
    >>> probs = pd.DataFrame({"cat": [0.1, 0.2, 0.1, 0.1, 0.8, 0.9]}, index=list("fedcba"))
    >>> report = label_report(labels, probs)
    >>> report.doubts
      image  tag  given  probability  suggested direction  score
    0     c  cat      1          0.1          0     extra    0.1
    >>> report.totals["health"]
    0.8333333333333334
    """
    require(top is None or is_count(top), "top", top, "a whole number of at least 1")
    require(confused == 0 or is_count(confused), "confused", confused, "a whole number of at least 0")
    require(isinstance(pooling, str) and pooling in POOLINGS, "pooling", pooling, f"one of {', '.join(POOLINGS)}")
    data = as_annotations(labels, probs, ids=ids, classes=classes)
    flags, joints = _flags_and_joints(data, out, watch)
    scores = _scores(data, pooling, watch)
    cells = doubted_cells(data, flags)
    pairs = _swaps(cells, data.probs.shape)
    table = _class_table(data, cells, joints, pairs, confused)
    return LabelReport(
        images=_ranked(data, flags, scores, top, delimiter),
        doubts=_doubts(data, cells, None, top),
        classes=table,
        swapped=_swapped(pairs, data.classes),
        totals=_totals(table, scores, count_images(data.labels, flags)),
        scores=scores,
        flags=flags,
    )


def flag_annotations(
    labels: Matrix, probs: Matrix, *, out: np.ndarray | None = None, watch: Watch = unwatched
) -> np.ndarray:
    """Which annotations are in doubt, shape (N, K) bool: those of `find_label_issues`.

    Equal to cleanlab's `multilabel_classification.filter.find_multilabel_issues_per_class`.

    Args:
        labels, probs: as for `as_annotations`.
        out: (N, K) bool, where to put the flags, e.g. a memory map, if they are too many for memory.
        watch: sees the blocks of classes go by.

    Returns:
        The flags, in the order of rows and columns of `labels`; `out` if that is given.

    Raises:
        InputError: values out of range, or shapes and types that do not fit.

    >>> labels = np.array([[1], [1], [1], [0], [0], [0]])
    >>> flag_annotations(labels, np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.1]])).ravel()
    array([False, False,  True, False, False, False])
    """
    return _flags_and_joints(as_annotations(labels, probs), out, watch)[0]


def score_images(labels: Matrix, probs: Matrix, *, pooling: str = "ema", watch: Watch = unwatched) -> np.ndarray:
    """Label quality of every image, shape (N,): `label_quality_scores`, while somebody may look on.

    Args:
        labels, probs: as for `as_annotations`.
        pooling: a key of `nlcore.scorers.POOLINGS`.
        watch: sees the blocks of rows go by.

    Returns:
        The scores, in the order of `labels`; NaN without a known annotation.

    Raises:
        InputError: values out of range, or shapes, types, names or options that do not fit.

    >>> score_images(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.2], [0.8, 0.6]])).round(2)
    array([0.82, 0.28])
    """
    return _scores(as_annotations(labels, probs), pooling, watch)


def rank_images(
    labels: Matrix,
    probs: Matrix,
    *,
    flags: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    ids: Sequence[Any] | None = None,
    classes: Sequence[str] | None = None,
    pooling: str = "ema",
    top: int | None = None,
    delimiter: str = ";",
    watch: Watch = unwatched,
) -> pd.DataFrame:
    """Images by label quality, the worst first: the scores of section 4 of paper 3 (Eqs. 1 to 11).

    With "ema" and every label known, the scores are those of cleanlab's `get_label_quality_scores` with its default
    aggregator, and the images with a doubted tag stand in the order of cleanlab's `find_label_issues` with
    `return_indices_ranked_by="self_confidence"`.

    Args:
        labels, probs, ids, classes: as for `as_annotations`.
        flags: (N, K) bool, from `flag_annotations`; computed where None.
        scores: (N,), from `score_images`; computed where None.
        pooling: a key of `nlcore.scorers.POOLINGS`; without effect where scores are given.
        top: how many images, the worst; all where None.
        delimiter: what stands between two tags.
        watch: sees the blocks of rows go by.

    Returns:
        A row per image: image (its id), score (label quality in [0, 1], NaN without a known annotation and then last;
        below 0 or above 1 for the poolings that say so), doubted (number of tags in doubt), given (its tags, joined).
        Equal scores are in the order of the input.

    Raises:
        InputError: values out of range, or shapes, types, names or options that do not fit.

    >>> rank_images(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.2], [0.8, 0.6]]), classes=["cat", "dog"])
       image  score  doubted given
    0      1   0.28        0   dog
    1      0   0.82        0   cat
    """
    require(top is None or is_count(top), "top", top, "a whole number of at least 1")
    data = as_annotations(labels, probs, ids=ids, classes=classes)
    flags = _flags_of(data, flags)
    scores = _scores(data, pooling, watch) if scores is None else scores
    _check_scores(scores, data)
    return _ranked(data, flags, scores, top, delimiter)


def doubted_annotations(
    labels: Matrix,
    probs: Matrix,
    *,
    flags: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    ids: Sequence[Any] | None = None,
    classes: Sequence[str] | None = None,
    top: int | None = None,
) -> pd.DataFrame:
    """The annotations in doubt with what the model says of them, the worst first (section 3 and Eq. 1 of paper 3).

    The rows of a class are the `label_issues_list` of cleanlab's `find_multilabel_issues_per_class` with
    `return_indices_ranked_by="self_confidence"`, in its order but for equal scores.

    Args:
        labels, probs, ids, classes: as for `as_annotations`.
        flags: (N, K) bool, from `flag_annotations`; computed where None.
        scores: (N,) of images, from `score_images`. With them the table is in the order in which a person would open
            the images, the worst image first, as in `rank_images`, and the rows of an image stand together.
        top: how many annotations, the first ones; all where None.

    Returns:
        A row per annotation in doubt: image (its id), tag, given (1 or 0), probability (that the tag applies),
        suggested (the other of 1 and 0), direction ("extra": the tag is given and should not be; "missing"), score (the
        self-confidence of the annotation, in [0, 1]: by which they are ordered), and with `scores` image_score (by
        which they are ordered first).

    Raises:
        InputError: values out of range, or shapes, types, names or options that do not fit.

    >>> labels = np.array([[1], [1], [1], [0], [0], [0]])
    >>> probs = np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.1]])
    >>> doubted_annotations(labels, probs, classes=["cat"])
       image  tag  given  probability  suggested direction  score
    0      2  cat      1          0.1          0     extra    0.1
    """
    require(top is None or is_count(top), "top", top, "a whole number of at least 1")
    data = as_annotations(labels, probs, ids=ids, classes=classes)
    if scores is not None:
        _check_scores(scores, data)
    return _doubts(data, doubted_cells(data, _flags_of(data, flags)), scores, top)


def class_report(
    labels: Matrix,
    probs: Matrix,
    *,
    flags: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    confused: int = 3,
    watch: Watch = unwatched,
) -> pd.DataFrame:
    """What is wrong with each class, the worst first: annotations in doubt, estimated noise, and what it is taken for.

    Equal to cleanlab where every label is known. Of `rank_classes_by_multilabel_quality`: "Label Issues" are
    doubted_extra, "Inverse Label Issues" doubted_missing, "Label Quality Score" health; "Num Examples" of
    `common_multilabel_issues` are the two numbers of doubted ones. Both noises are the shares off the diagonal of
    `cleanlab.count.compute_confident_joint(..., multi_label=True)`. Confused classes have no counterpart.

    Args:
        labels, probs, classes: as for `as_annotations`.
        flags: (N, K) bool, from `flag_annotations`; computed where None.
        confused: how many classes to name that it is confused with, at most.
        watch: sees the blocks of classes go by.

    Returns:
        A row per class, by rising health: tag; annotated, not_annotated and unknown (images with 1, 0 and -1);
        doubted_extra and doubted_missing (those of them in doubt); noise_in_annotated and noise_in_not_annotated
        (estimated share of wrong ones among them, in [0, 1], NaN where there are none); health (1 - doubted_extra /
        known annotations, as cleanlab has it: a rare class hardly falls below 1; NaN where none is known);
        confused_with ("dog (3); fox (1)": as in `swapped_tags`, either way, with the number of images).

    Raises:
        InputError: values out of range, or shapes, types, names or options that do not fit.

    >>> labels = np.array([[1], [1], [1], [0], [0], [0]])
    >>> probs = np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.1]])
    >>> class_report(labels, probs, classes=["cat"])[["tag", "doubted_extra", "noise_in_annotated", "health"]].round(3)
       tag  doubted_extra  noise_in_annotated  health
    0  cat              1               0.333   0.833
    """
    require(confused == 0 or is_count(confused), "confused", confused, "a whole number of at least 0")
    data = as_annotations(labels, probs, classes=classes)
    if flags is None:
        flags, joints = _flags_and_joints(data, None, watch)
    else:
        _check_flags(flags, data)
        joints = confident_joints(data.labels, data.probs, watch=watch)
    cells = doubted_cells(data, flags)
    return _class_table(data, cells, joints, _swaps(cells, data.probs.shape), confused)


def swapped_tags(
    labels: Matrix,
    probs: Matrix,
    *,
    flags: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Pairs of classes of which one was probably annotated for the other, the most frequent first.

    A pair is counted in an image where the one is in doubt as extra and the other as missing.

    Args:
        labels, probs, classes: as for `as_annotations`.
        flags: (N, K) bool, from `flag_annotations`; computed where None.

    Returns:
        A row per pair that occurs: given (the extra tag), suggested (the missing one), images (how many).

    Raises:
        InputError: values out of range, or shapes, types or names that do not fit.

    >>> labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]])
    >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.1, 0.7]])
    >>> swapped_tags(labels, probs, classes=["cat", "dog"])
      given suggested  images
    0   cat       dog       1
    """
    data = as_annotations(labels, probs, classes=classes)
    return _swapped(_swaps(doubted_cells(data, _flags_of(data, flags)), data.probs.shape), data.classes)


def label_health(labels: Matrix, flags: np.ndarray) -> float:
    """Share of images without an annotation in doubt, in [0, 1], among those with a known one; NaN where none has.

    cleanlab's `overall_multilabel_health_score`, where every label is known.

    Args:
        labels: (N, K) of 1, 0 and -1.
        flags: (N, K) bool, from `flag_annotations`.

    Raises:
        InputError: two arrays of different shapes.

    >>> label_health(np.array([[1, 0], [0, -1], [-1, -1]]), np.array([[True, False], [False, False], [False, False]]))
    0.5
    """
    known, doubted = count_images(labels, flags)
    return 1.0 - doubted / known if known else float("nan")


def count_images(labels: Matrix, flags: np.ndarray) -> tuple[int, int]:
    """How many images have a known annotation, and how many of these one in doubt.

    Args:
        labels: (N, K) of 1, 0 and -1.
        flags: (N, K) bool, from `flag_annotations`.

    Raises:
        InputError: two arrays of different shapes.

    >>> count_images(np.array([[1, 0], [0, -1], [-1, -1]]), np.array([[True, False], [False, False], [False, False]]))
    (2, 1)
    """
    labels = as_array(labels)
    require(np.shape(flags) == labels.shape, "shape of flags", np.shape(flags), f"{labels.shape}, that of labels")
    known = doubted = 0
    for rows in row_blocks(labels):
        known += int((labels[rows] != -1).any(axis=1).sum())
        doubted += int(np.asarray(flags[rows]).any(axis=1).sum())
        release_pages(labels)
        release_pages(flags)
    return known, doubted


def confident_joints(labels: np.ndarray, probs: np.ndarray, *, watch: Watch = unwatched) -> np.ndarray:
    """C[k, given, likely true] of every class, shape (K, 2, 2) of whole numbers (section 3 of paper 3).

    Scaled to the annotations that were given: C[k, 1, 0] of the images annotated with k are estimated to be wrong, and
    C[k, 0, 1] of those that are not. Equal to `cleanlab.count.compute_confident_joint(..., multi_label=True)`.

    Args:
        labels: (N, K) of 1, 0 and -1 (unknown: in no count).
        probs: (N, K) in [0, 1].
        watch: sees the blocks of classes go by.

    Raises:
        InputError: shapes and types that do not fit.

    >>> labels = np.array([[1], [1], [1], [0], [0], [0]])
    >>> confident_joints(labels, np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.1]])).tolist()
    [[[3, 0], [1, 2]]]
    """
    check_arrays(labels, probs)
    joints = np.empty((probs.shape[1], 2, 2), dtype=np.int64)
    for classes in watch(list(_class_blocks(probs, None)), "noise of classes"):
        columns = _read(labels, classes, np.int8), _read(probs, classes, probs.dtype)
        parts = [_joint_of(columns[0][rows], columns[1][rows])[2] for rows in row_blocks(columns[1])]
        joints[classes] = np.concatenate(parts)
    return joints


def count_annotations(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many images each class is annotated in, and how many it is known not to be, both (K,) int64.

    Args:
        labels: (N, K) of 1, 0 and -1.

    >>> count_annotations(np.array([[1, 0], [1, -1]]))
    (array([2, 0]), array([0, 1]))
    """
    counts = np.zeros((2, labels.shape[1]), dtype=np.int64)
    for rows in row_blocks(labels):
        block = labels[rows]
        counts += np.stack([(block == 1).sum(axis=0), (block == 0).sum(axis=0)])
        release_pages(labels)
    return counts[0], counts[1]


def doubted_cells(data: Annotations, flags: np.ndarray) -> DoubtedCells:
    """Where the annotations in doubt are, and which way they were given; D of them, in the order of rows and columns.

    Args:
        data: labels and probabilities (N, K).
        flags: (N, K) bool.

    >>> data = as_annotations(np.array([[1, 0]]), np.array([[0.2, 0.1]]))
    >>> doubted_cells(data, np.array([[True, False]]))
    DoubtedCells(image=array([0], dtype=int32), tag=array([0], dtype=int32), given=array([ True]))
    """
    parts, small = [], np.int32 if max(flags.shape) < 1 << 31 else np.int64  # there may be very many
    for rows in row_blocks(flags):
        image, tag = np.nonzero(flags[rows])
        given = np.asarray(data.labels[rows])[image, tag] == 1
        parts.append(((image + rows.start).astype(small), tag.astype(small), given))
        release_pages(flags)
        release_pages(data.labels)
    return DoubtedCells(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


# Tables ---------------------------------------------------------------------------------------------------------------


def _ranked(data: Annotations, flags: np.ndarray, scores: np.ndarray, top: int | None, delimiter: str) -> pd.DataFrame:
    order = np.argsort(scores, kind="stable")[:top]  # NaN last
    doubted, given = _describe_images(data, flags, order, delimiter)
    return pd.DataFrame({"image": data.ids[order], "score": scores[order], "doubted": doubted, "given": given})


def _doubts(data: Annotations, cells: DoubtedCells, scores: np.ndarray | None, top: int | None) -> pd.DataFrame:
    probability = _values_at(data.probs, cells)
    score = np.where(cells.given, probability, 1 - probability)
    by_image = () if scores is None else (cells.image, scores[cells.image])
    order = np.lexsort((score, *by_image))[:top] if by_image else np.argsort(score, kind="stable")[:top]
    given = cells.given[order]
    table = pd.DataFrame(
        {
            "image": data.ids[cells.image[order]],
            "tag": np.array(data.classes, dtype=object)[cells.tag[order]],
            "given": given.astype(np.int8),
            "probability": probability[order],
            "suggested": (~given).astype(np.int8),
            "direction": np.array([MISSING, EXTRA], dtype=object)[given.astype(np.int8)],
            "score": score[order],
        }
    )
    return table if scores is None else table.assign(image_score=scores[cells.image[order]])


def _class_table(
    data: Annotations, cells: DoubtedCells, joints: np.ndarray, pairs: sparse.coo_array, confused: int
) -> pd.DataFrame:
    annotated, not_annotated = count_annotations(data.labels)
    known = annotated + not_annotated
    extra, missing = (np.bincount(cells.tag[chosen], minlength=len(known)) for chosen in (cells.given, ~cells.given))
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = joints[:, [1, 0], [0, 1]] / joints.sum(axis=2)[:, ::-1]  # (K, 2): among given 1, among given 0
        health = np.where(known > 0, 1 - extra / known, np.nan)
    table = pd.DataFrame(
        {
            "tag": data.classes,
            "annotated": annotated,
            "not_annotated": not_annotated,
            "unknown": len(data.probs) - known,
            "doubted_extra": extra,
            "doubted_missing": missing,
            "noise_in_annotated": noise[:, 0],
            "noise_in_not_annotated": noise[:, 1],
            "health": health,
            "confused_with": _confused_with(pairs, data.classes, confused),
        }
    )
    return table.sort_values("health", kind="stable", ignore_index=True)


def _swapped(pairs: sparse.coo_array, classes: Sequence[str]) -> pd.DataFrame:
    order = np.lexsort((pairs.col, pairs.row, -pairs.data))
    names = np.array(classes, dtype=object)
    return pd.DataFrame(
        {"given": names[pairs.row[order]], "suggested": names[pairs.col[order]], "images": pairs.data[order]}
    )


def _totals(classes: pd.DataFrame, scores: np.ndarray, counts: tuple[int, int]) -> dict[str, Any]:
    """What the tables add up to; `counts` are those of `count_images`."""
    total = {name: int(classes[name].sum()) for name in classes.columns[1:6]}
    known, doubted = counts
    scored = pd.Series(scores[~np.isnan(scores)], dtype=np.float64)
    middle = {"lowest": scored.min(), "median": scored.median(), "highest": scored.max()}
    return {
        "images": len(scores),
        "classes": len(classes),
        "annotations": {
            "given": total["annotated"],
            "not_given": total["not_annotated"],
            "unknown": total["unknown"],
        },
        "doubted": {
            "annotations": total["doubted_extra"] + total["doubted_missing"],
            EXTRA: total["doubted_extra"],
            MISSING: total["doubted_missing"],
            "images": doubted,
        },
        "health": 1.0 - doubted / known if known else None,
        "score": {name: None if np.isnan(value) else float(value) for name, value in middle.items()},
    }


# Numbers --------------------------------------------------------------------------------------------------------------


def _flags_and_joints(data: Annotations, out: np.ndarray | None, watch: Watch) -> tuple[np.ndarray, np.ndarray]:
    """Flags (N, K) as `find_label_issues` sets them, and confident joints (K, 2, 2), of columns that are read once."""
    flags = np.empty(data.probs.shape, dtype=bool) if out is None else out
    _check_flags(flags, data)
    check_all_values(data, watch=watch)
    joints = np.empty((data.probs.shape[1], 2, 2), dtype=np.int64)
    for classes in watch(list(_class_blocks(data.probs, None)), "annotations in doubt"):
        columns = _read(data.labels, classes, np.int8), _read(data.probs, classes, data.probs.dtype)
        blocks = list(row_blocks(columns[1]))  # as many classes at a time as the cache holds
        parts = [_judge(columns[0][rows], columns[1][rows]) for rows in blocks]
        _write(flags, classes, np.concatenate([flagged for flagged, _ in parts]))
        joints[classes] = np.concatenate([joint for _, joint in parts])
    return flags, joints


def _judge(labels: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flags (K, N) and C (K, 2, 2) of labels and probabilities (K, N): the four steps of `confident_learning`."""
    given, prob, joint = _joint_of(labels, probs)
    return _prune(given, prob, joint, 0) | _prune(given, prob, joint, 1), joint


def _scores(data: Annotations, pooling: str, watch: Watch) -> np.ndarray:
    parts = []
    for rows in watch(list(row_blocks(data.probs)), "label quality"):  # the very blocks that it would take itself
        try:
            parts.append(label_quality_scores(data.labels[rows], data.probs[rows], pooling=pooling))
        except InputError as error:
            raise located(error, data, rows.start) from error
    return np.concatenate(parts)


def _flags_of(data: Annotations, flags: np.ndarray | None) -> np.ndarray:
    if flags is None:
        return _flags_and_joints(data, None, unwatched)[0]
    _check_flags(flags, data)
    return flags


def _check_scores(scores: np.ndarray, data: Annotations) -> None:
    require(np.shape(scores) == (len(data.probs),), "shape of scores", np.shape(scores), f"({len(data.probs)},)")


def _check_flags(flags: np.ndarray, data: Annotations) -> None:
    dtype, shape = getattr(flags, "dtype", None), np.shape(flags)
    valid = dtype == np.dtype(bool) and shape == data.probs.shape
    require(valid, "flags", f"{dtype} of shape {shape}", f"booleans of shape {data.probs.shape}")


def _describe_images(
    data: Annotations, flags: np.ndarray, order: np.ndarray, delimiter: str
) -> tuple[np.ndarray, np.ndarray]:
    """Of the images in `order`: how many tags are in doubt, and the tags that are given, joined."""
    images = len(data.probs)
    wanted = np.zeros(images, dtype=bool)
    wanted[order] = True
    doubted, given = np.zeros(images, dtype=np.int64), np.full(images, "", dtype=object)
    for rows in row_blocks(data.probs):  # in the order of the files: a map read in the order of scores would crawl
        chosen = np.flatnonzero(wanted[rows])
        doubted[rows] = flags[rows].sum(axis=1)
        given[chosen + rows.start] = _joined(np.asarray(data.labels[rows])[chosen], data.classes, delimiter)
        release_pages(flags)
        release_pages(data.labels)
    return doubted[order], given[order]


def _joined(labels: np.ndarray, classes: Sequence[str], delimiter: str) -> list[str]:
    image, tag = np.nonzero(labels == 1)
    ends = np.cumsum(np.bincount(image, minlength=len(labels)))
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    names = np.array(classes, dtype=object)[tag].tolist()
    return [delimiter.join(names[a:b]) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


def _values_at(probs: np.ndarray, cells: DoubtedCells) -> np.ndarray:
    """Probabilities (D,) of the annotations in doubt; half precision becomes float32, as everywhere."""
    parts = [np.empty(0, dtype=probs.dtype)]
    for rows in row_blocks(probs):
        bounds = np.array([rows.start, rows.stop], dtype=cells.image.dtype)  # of another type, all images are copied
        first, last = np.searchsorted(cells.image, bounds)
        parts.append(np.asarray(probs[rows])[cells.image[first:last] - rows.start, cells.tag[first:last]])
        release_pages(probs)
    values = np.concatenate(parts)
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def _joint_of(labels: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which annotations are given, their probabilities, both (2, K, N), and C (K, 2, 2): the first three steps."""
    probs = probs.astype(np.float64)
    given, prob = np.stack([labels == 0, labels == 1]), np.stack([1 - probs, probs])
    counts = given.sum(axis=2, dtype=np.int64)
    likely = _likely_true(prob, _confident_thresholds(given, prob, counts))
    return given, prob, _calibrate(_count_joint(given, likely), counts.T)


def _swaps(cells: DoubtedCells, shape: tuple[int, int]) -> sparse.coo_array:
    """[extra, missing] (K, K): in how many images the one is in doubt as extra and the other as missing."""
    one = lambda chosen: sparse.csr_array(
        (np.ones(chosen.sum(), dtype=np.int64), (cells.image[chosen], cells.tag[chosen])), shape=shape
    )
    return (one(cells.given).T @ one(~cells.given)).tocoo()


def _confused_with(pairs: sparse.coo_array, classes: Sequence[str], most: int) -> list[str]:
    """For every class the ones it is swapped with, either way, the most frequent first: "dog (3); fox (1)"."""
    either = (pairs + pairs.T).tocsr()
    told = []
    for k in range(len(classes)):
        others, counts = (part[either.indptr[k] : either.indptr[k + 1]] for part in (either.indices, either.data))
        order = np.lexsort((others, -counts))[:most]
        told.append("; ".join(f"{classes[others[i]]} ({counts[i]})" for i in order))
    return told
