"""What a trained model says of some images, and the metrics of it, for dense labels and for sparse ones.

Of sparse labels (Open Images) only the cells that somebody verified are looked at, in the order in which they are
stored: 125,000 images x 6,000 classes would take 3 GB for each method, and 99.8 % of it counts in no metric.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.metrics import average_precision_all, mean_average_precision, per_class_average_precision
from nlcore.metrics.resampling import MOVED, average_precision_influence, moved
from nlcore.training import SparseLabels, predict

BATCH = 256  # images that are predicted together
CHUNK = 16 * BATCH  # images whose predictions are held at once, where they are too many for all

Targets = Tensor | SparseLabels
Fetch = Callable[[Tensor], tuple[Any, ...]]


def logits_of(model: nn.Module, fetch: Fetch, truth: Targets, rows: Tensor, *, bfloat16: bool = False) -> Tensor:
    """Logits on the CPU, of images `rows` (m,): all cells (m, K), or those (c,) that sparse labels `truth` know."""
    options = {"batch_size": BATCH, "bfloat16": bfloat16}
    if isinstance(truth, Tensor):
        return predict(model, fetch, rows, **options).logits.cpu()
    found = []
    for some in rows.split(CHUNK):
        logits = predict(model, fetch, some, **options).logits
        image, column, _ = (torch.from_numpy(part).to(logits.device) for part in truth.cells(some.numpy()))
        found.append(logits[image, column].cpu())
    return torch.cat(found)


def ap_all(truth: Targets, rows: Tensor, scores: np.ndarray) -> float:
    """AP_all: the average precision of all known cells in one ranking. `scores` are of the cells of `logits_of`."""
    if isinstance(truth, Tensor):
        return float(average_precision_all(truth[rows].numpy(), scores))
    _, _, value = truth.cells(rows.numpy())
    return float(average_precision_all(value[:, None], scores[:, None]))


def mean_ap(truth: Targets, rows: Tensor, scores: np.ndarray) -> float:
    """mAP (Eq. 5): the mean over the classes with a positive of their average precision over the known cells."""
    if isinstance(truth, Tensor):
        return float(mean_average_precision(truth[rows].numpy(), scores))
    _, column, value = truth.cells(rows.numpy())
    classes = _with_a_positive(column, value)
    found = [per_class_average_precision(value[own, None], scores[own, None])[0] for own in classes]
    return float(np.mean(found)) if found else float("nan")


def moved_scores(truth: Targets, rows: Tensor, scores: np.ndarray) -> dict[str, np.ndarray]:
    """By how much mAP and AP_all are moved in draws of the images `rows`: (draws,) each, fractions."""
    if isinstance(truth, Tensor):
        image, column = np.indices(scores.shape).reshape(2, -1)
        value, scores = truth[rows].numpy().ravel(), scores.ravel()
    else:
        image, column, value = truth.cells(rows.numpy())

    def of_images(cells: np.ndarray) -> np.ndarray:
        influence = average_precision_influence(value[cells, None], scores[cells, None])[:, 0]
        return np.bincount(image[cells], influence, minlength=len(rows))

    classes, by_class = _with_a_positive(column, value), np.zeros(len(rows))
    for cells in classes:  # one after the other: all classes of all images would not fit the memory
        by_class += of_images(cells) / len(classes)
    return {"mAP" + MOVED: moved(by_class), "AP_all" + MOVED: moved(of_images(np.arange(len(value))))}


def _with_a_positive(column: np.ndarray, value: np.ndarray) -> list[np.ndarray]:
    """The places of each class's cells, of the classes that have a positive one."""
    order = np.argsort(column, kind="stable")
    classes = np.split(order, np.flatnonzero(np.diff(column[order])) + 1)
    return [own for own in classes if (value[own] == 1).any()]
