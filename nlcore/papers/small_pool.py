"""A pool of a few images, on which papers 1 and 2 try out what chooses from pools."""

from __future__ import annotations

import numpy as np

from nlcore.devices import resolve_device
from nlcore.generators import generator
from nlcore.training import Recipe
from nlcore.training.active import Look, PoolView
from nlcore.training.learners import head_learner


def small_pool(lowest: int) -> PoolView:
    """12 images with 5 features and 3 classes, as an untrained head sees them; labels from `lowest` (0, or -1) to 1."""
    draws, rows = generator("small pool"), np.arange(12)
    features = draws.normal(size=(len(rows), 5)).astype(np.float32)
    options = {"head": "linear", "names": [("small pool",)], "device": resolve_device("cpu")}
    learner = head_learner(features, 3, Recipe(epochs=1, batch_size=4), **options)
    labels = draws.integers(lowest, 2, size=(len(rows), 3)).astype(np.int8)
    return PoolView(rows, labels, 1, draws, Look(learner, rows[None]))
