"""Section 5.2: wrong tags of real images, found with held-out predictions of a classifier trained on those tags.

The paper's data are CelebA, whose images must be had from its authors. Offline the same protocol runs on the embedded
COCO images with a linear head on their features: once on the labels as given, to look at what is flagged, and on copies
into which errors were injected, where Lift@k is known exactly.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.model_selection import KFold

from nlcore.data.celeba import TAGS, celeba
from nlcore.data.embedded_set import embedded
from nlcore.data.image_cache import fingerprint_files, image_cache
from nlcore.data.image_set import ImageSet
from nlcore.generators import generator, torch_generator
from nlcore.losses import masked_binary_cross_entropy
from nlcore.runs import Result, Spec, Work
from nlcore.training import FeatureBatches, ImageBatches, Recipe, predict, shuffled, train
from nlcore.training.models import image_model, linear_head, normalisation

FOLDS = 4
WRONG_SHARE = 0.15  # of the images, as the authors estimate for CelebA


class HeldOutTags(Spec):
    """Probabilities for one of the four folds, from a classifier trained on the other three.

    Arrays: `probabilities` (rows of the fold, K) and `rows`. With `injected` a seed, the classifier is trained on
    labels with injected errors (`tagging_labels`); with None, on the labels as they are given. `folder` is where the
    images lie; the result depends on what is in them and not on the path.
    """

    source: Literal["embedded", "celeba"]
    fold: int
    injected: int | None
    model: str  # "linear" on the embedded features, or a timm model on images
    size: int = 224
    epochs: int
    batch_size: int
    learning_rate: float
    device: str = "cpu"
    folder: str | None = Field(default=None, exclude=True)
    weights: str | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"

    def data_fingerprint(self) -> str:
        if self.source == "embedded":
            return embedded().fingerprint
        return fingerprint_files(celeba_images(self.folder).paths, size=self.size)

    def work(self) -> Work:
        return Work(type(self).__name__, 1.5 if self.source == "embedded" else 3600.0)

    def compute(self, inputs: Sequence[Result]) -> Result:
        given = tagging_labels(self.source, self.folder, self.injected)
        known = tagged_rows(self.source, self.folder)
        held_out = known[_folds(len(known))[self.fold]]
        training = np.setdiff1d(known, held_out)
        model, fetch, fetch_plain = self._task(given)
        draws = torch_generator("cleanlab_ema", "tagging order", self.injected or 0, self.fold)
        train(
            model,
            Recipe(epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate, bfloat16=True),
            sampler=shuffled(torch.from_numpy(training), self.batch_size, generator=draws),
            fetch=fetch,
            loss=lambda network, batch: masked_binary_cross_entropy(network(batch[0]), batch[1]),
            generators=[draws],
        )
        found = predict(model, fetch_plain, torch.from_numpy(held_out)).probabilities
        return Result(arrays={"rows": held_out, "probabilities": found.cpu().numpy().astype(np.float64)})

    def _task(self, given: np.ndarray):
        """The classifier, and how it gets its batches for training and for prediction."""
        device = torch.device(self.device)
        first = torch_generator("cleanlab_ema", "tagging weights", self.injected or 0, self.fold)
        if self.source == "embedded":
            features = embedded().features
            fetch = FeatureBatches(features, given, device=device)
            return linear_head(features.shape[1], given.shape[1], generator=first).to(device), fetch, fetch
        images = celeba_images(self.folder)
        cache = image_cache(images.paths, cache_folder(), size=self.size, on_bad_image=self.on_bad_image)
        model = image_model(self.model, given.shape[1], generator=first, weights=self.weights).to(device)
        mean, std = normalisation(model)
        fetch = ImageBatches(cache.images, given, device=device, mean=mean, std=std)
        return model, fetch, fetch


def tagging_labels(source: str, folder: str | None, injected: int | None) -> np.ndarray:
    """(N, K) labels as given, or with one label of `WRONG_SHARE` of the images swapped for one the image lacks."""
    targets = embedded().targets if source == "embedded" else celeba_images(folder).targets
    return targets if injected is None else inject_errors(targets, generator("cleanlab_ema", "injected", injected))


def inject_errors(targets: np.ndarray, rng: np.random.Generator, *, share: float = WRONG_SHARE) -> np.ndarray:
    """A copy of (N, K) targets in which exactly `share` of the images with a label have one swapped for another.

    >>> wrong = inject_errors(np.eye(20, dtype=np.int8), np.random.default_rng(0))
    >>> int((wrong != np.eye(20)).any(axis=1).sum())
    3
    """
    labelled = np.flatnonzero(targets.any(axis=1) & ~targets.all(axis=1))
    rows = rng.choice(labelled, size=round(share * len(labelled)), replace=False)
    draws = rng.random((len(rows), targets.shape[1]))
    lost = np.where(targets[rows] == 1, draws, -1).argmax(axis=1)
    gained = np.where(targets[rows] == 0, draws, -1).argmax(axis=1)
    wrong = targets.copy()
    wrong[rows, lost], wrong[rows, gained] = 0, 1
    return wrong


def tagged_rows(source: str, folder: str | None) -> np.ndarray:
    """Rows that have at least one of the tags, as the paper takes them."""
    targets = embedded().targets if source == "embedded" else celeba_images(folder).targets
    return np.flatnonzero(targets.any(axis=1))


@lru_cache(maxsize=1)
def celeba_images(folder: str) -> ImageSet:
    """CelebA's images with at least one of the seven tags."""
    return celeba(folder, tags=TAGS, check_files=False)


def cache_folder() -> Path:
    """Where decoded images are kept: $NLCORE_CACHE, or `.nlcore/images` in the checkout."""
    return Path(os.environ.get("NLCORE_CACHE", Path(__file__).resolve().parents[3] / ".nlcore" / "images"))


def _folds(count: int) -> list[np.ndarray]:
    return [held_out for _, held_out in KFold(FOLDS, shuffle=True, random_state=0).split(np.zeros(count))]
