"""Section 5.2: wrong tags of real images, found with held-out predictions of a classifier trained on those tags.

The paper's data are CelebA, whose images must be had from its authors. Offline the same protocol runs on the embedded
COCO images with a linear head on their features: once on the labels as given, to look at what is flagged, and on copies
into which errors were injected, where Lift@k is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.model_selection import KFold
from torch import nn

from nlcore.data.network import Batches, for_source, make_batches, make_network
from nlcore.data.source import Images, Source
from nlcore.generators import generator, torch_generator
from nlcore.losses import binary_cross_entropy_gradient
from nlcore.papers.cleanlab_ema.protocol import PAPER, TAGGING_FOLDS, WRONG_SHARE, Kind, Protocol
from nlcore.papers.work import training_work
from nlcore.runs import Result, Spec, Work, checkpoint_file, once
from nlcore.training import Recipe, closed_form, predict, shuffled, train

CROSS_ENTROPY = closed_form(binary_cross_entropy_gradient)


class HeldOutTags(Spec):
    """Probabilities for one of the four folds, from a classifier trained on the other three.

    Arrays: `rows` (n,) of the fold, and `probabilities` (n, K). With `injected` a seed, the classifier is trained on
    labels with injected errors of one kind (`tagging_labels`); with None, on the labels as they are given.
    """

    source: Source
    protocol: Protocol
    fold: int
    injected: int | None
    kind: Kind = "swapped"

    def data_fingerprint(self) -> str:
        return once(Source.fingerprint, self.source)

    def work(self) -> Work:
        tagged = sum(once(Source.sizes, self.source))
        held_out = tagged / TAGGING_FOLDS
        return training_work(self.source, self.protocol.epochs * (tagged - held_out), held_out)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Section 5.2: hold one of four folds out, fine-tune on the tags of the others, predict what was held out."""
        images, names = self.source.load(), (self.injected or 0, self.fold)
        rows, given = tagged_rows(images), tagging_labels(images, self.injected, self.kind)
        held_out = rows[folds(len(rows))[self.fold]]
        first = torch_generator(PAPER, "tagging weights", *names)
        model = make_network(self.source, images.inputs, given.shape[1], generator=first)
        fetch = make_batches(self.source, images.inputs, given, network=model)
        order = torch_generator(PAPER, "tagging order", *names)
        self._fine_tune(model, fetch, np.setdiff1d(rows, held_out), order)
        found = predict(model, fetch, torch.from_numpy(held_out), bfloat16=self._recipe().bfloat16)
        return Result(arrays={"rows": held_out, "probabilities": found.probabilities.cpu().numpy().astype(np.float64)})

    def _fine_tune(self, model: nn.Module, fetch: Batches, training: np.ndarray, order: torch.Generator) -> None:
        """One output per tag, all trained together: Adam on the binary cross-entropy; images are not augmented.

        A killed training goes on from its last checkpoint.
        """
        train(
            model,
            self._recipe(),
            sampler=shuffled(torch.from_numpy(training), self.protocol.batch_size, generator=order),
            fetch=fetch,
            loss=lambda network, batch: CROSS_ENTROPY(network(batch[0]), batch[1]),
            generators=[order],
            checkpoint=checkpoint_file(),
        )

    def _recipe(self) -> Recipe:
        return for_source(self.source, Recipe(**self.protocol.model_dump()))


def folds(count: int) -> list[np.ndarray]:
    """Positions (n,) of each fold among `count` images."""
    divided = KFold(TAGGING_FOLDS, shuffle=True, random_state=0).split(np.zeros(count))
    return [held_out for _, held_out in divided]


def tagged_rows(images: Images) -> np.ndarray:
    """Rows (n,) of the images with at least one of the tags: the paper takes no others."""
    return np.union1d(images.train, images.test)


def tagging_labels(images: Images, injected: int | None, kind: Kind = "swapped") -> np.ndarray:
    """(N, K) labels as given, or with errors injected into those of the tagged images, by the seed `injected`.

    The seed decides which images have one, whatever its kind.
    """
    if injected is None:
        return images.targets
    rows, labels = tagged_rows(images), images.targets.copy()
    labels[rows] = inject_errors(images.targets[rows], generator(PAPER, "injected", injected), kind=kind)
    return labels


def inject_errors(
    targets: np.ndarray, rng: np.random.Generator, *, share: float = WRONG_SHARE, kind: Kind = "swapped"
) -> np.ndarray:
    """A copy of (N, K) targets in which exactly `share` of the images with a label have one wrong.

    kind: one label is swapped for another, or removed, or another is added.

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
    if kind != "added":
        wrong[rows, lost] = 0
    if kind != "removed":
        wrong[rows, gained] = 1
    return wrong
