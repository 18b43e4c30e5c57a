"""The paper's images (4.1): multi-label ones to train and test on, single-label ones for the regulators; gold, silver.

Images with fewer than two labels are removed from both parts; the removed single-label training images are the
trusted single-label set. The training part is divided into gold (trusted) and silver images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from nlcore.data.source import Images, Source
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.noise import flip_symmetric
from nlcore.papers.galc_slr.protocol import PAPER


@dataclass(frozen=True)
class Examples:
    """N inputs, features (N, D) or images (N, S, S, 3), with targets (N, K); the other arrays are rows of them."""

    inputs: Any
    targets: np.ndarray
    train: np.ndarray  # two labels or more
    test: np.ndarray  # two labels or more
    single: np.ndarray  # one label each: the trusted single-label set
    class_names: tuple[str, ...]

    @property
    def single_classes(self) -> np.ndarray:
        """(m,) the class of every single-label input."""
        return self.targets[self.single].argmax(axis=1)


@dataclass(frozen=True)
class GoldAndSilver:
    """Gold and silver rows of the training images, and the targets (N, K) of all images after noise.

    The gold rows of `noisy` are what those images were labelled with before someone verified them: the plain baseline
    trains on them, and nothing else uses them but the estimate that counts.
    """

    gold: np.ndarray
    silver: np.ndarray
    noisy: np.ndarray

    @property
    def both(self) -> np.ndarray:
        """All training rows, in their order."""
        return np.sort(np.concatenate([self.gold, self.silver]))


def load_examples(source: Source) -> Examples:
    """A source's images as the paper uses them; kept for the runs of a process that follow each other.

    Raises:
        InputError: the source cannot be read, or no training or no test image has two labels.
    """
    return _load(source, source.fingerprint())


@lru_cache(maxsize=1)  # by content too, as the source itself
def _load(source: Source, content: str) -> Examples:
    return collect(source.load())


def collect(images: Images) -> Examples:
    """See `load_examples`. Few images of the embedded set have a single label: its crops of single objects join them.

    Raises:
        InputError: no training or no test image has two labels.
    """
    inputs, targets, labels = images.inputs, images.targets, images.targets.sum(axis=1)
    single = images.train[labels[images.train] == 1]
    train, test = (rows[labels[rows] >= 2] for rows in (images.train, images.test))
    if not (len(train) and len(test)):
        raise InputError(f"images: {len(train)} for training and {len(test)} for tests have two labels; expected some")
    if images.crops is not None:
        single = np.concatenate([single, len(inputs) + np.arange(len(images.crops.classes))])
        inputs = np.concatenate([inputs, images.crops.features])
        targets = np.concatenate([targets, np.eye(targets.shape[1], dtype=np.int8)[images.crops.classes]])
    return Examples(inputs, targets, train, test, single, images.class_names)


def divide(examples: Examples, *, gold: float, noise: float, seed: int) -> GoldAndSilver:
    """A fraction `gold` of the training images is trusted; a fraction `noise` of all labels is flipped in each part.

    With the same seed a smaller gold set is part of a larger one.

    Raises:
        InputError: the gold or the silver set would be empty.
    """
    order = generator(PAPER, "gold", seed).permutation(examples.train)
    count = int(gold * len(order) + 1e-9)  # 6,526 of 65,268, as in the paper
    if not 0 < count < len(order):
        raise InputError(f"gold {gold:g}: {count} of {len(order)} images; expected some gold and some silver")
    rows = {"gold": np.sort(order[:count]), "silver": np.sort(order[count:])}
    noisy = examples.targets.copy()
    for name, part in rows.items():
        noisy[part] = flip_symmetric(examples.targets[part], noise, generator(PAPER, "noise", name, seed, noise))
    return GoldAndSilver(rows["gold"], rows["silver"], noisy)


def capped(classes: np.ndarray, cap: int | None, seed: int) -> np.ndarray:
    """Which of m single-label images (m,) are kept: at most `cap` of each class, drawn at random; None keeps all."""
    if cap is None:
        return np.arange(len(classes))
    order = generator(PAPER, "cap", seed).permutation(len(classes))
    kept = [order[classes[order] == k][:cap] for k in np.unique(classes)]
    return np.sort(np.concatenate(kept)) if kept else np.arange(0)
