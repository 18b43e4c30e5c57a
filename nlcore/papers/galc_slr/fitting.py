"""Training classifiers on some rows of the examples, by the published recipe of ASL, and asking them about others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.data.network import for_source, make_batches, make_network
from nlcore.data.source import Source
from nlcore.devices import resolve_device
from nlcore.generators import torch_generator
from nlcore.papers.galc_slr.examples import Examples
from nlcore.papers.galc_slr.protocol import PAPER, Protocol
from nlcore.runs.scratch import checkpoint_file
from nlcore.training import ASL_RECIPE, Recipe, predict, shuffled, train
from nlcore.training.gradients import whole_vectors
from nlcore.training.mixup import MixedBatches
from nlcore.training.models import stack_heads


class Fit:
    """M classifiers of a source's network, with the fetches they train on and predict from.

    `targets` are (M, N, K), or (M, N, K + 1) where the loss takes one more column. The seed decides the first weights,
    the order of the images and their augmentation, whatever the method: results are paired, and heads see the same
    batches. An image network is trained by itself: M = 1, and nothing it takes or gives has the first axis.
    """

    def __init__(
        self, source: Source, protocol: Protocol, seed: int, examples: Examples, targets: Sequence[np.ndarray]
    ) -> None:
        self.source, self.protocol, self.device = source, protocol, resolve_device(source.device)
        self.order = torch_generator(PAPER, seed, "order")
        self.augmentation = torch_generator(PAPER, seed, "augmentation")
        weights = torch_generator(PAPER, seed, "weights")
        self.model = make_network(source, examples.inputs, examples.targets.shape[1], generator=weights)
        if not source.on_images:
            self.model = stack_heads([self.model] * len(targets))
        options = {"network": self.model, "generator": self.augmentation}
        self.fetch = make_batches(source, examples.inputs, self.of_members(targets), **options)
        self.still = copy.copy(self.fetch)  # the same images in the same memory, not augmented
        self.still.generator = None
        self.others: list[np.random.Generator] = []  # what else a batch is drawn from

    def mix(self, rng: np.random.Generator) -> None:
        """Train on mixtures of two images (`nlcore.training.mixup`); all members see the same ones."""
        self.fetch, self.others = MixedBatches(self.fetch, [rng]), [rng]

    def of_members(self, arrays: Sequence[Any]) -> Any:
        """One array per member as the model takes them: (M, ...), or of an image network its own."""
        return arrays[0] if self.source.on_images else np.stack(arrays)

    def train(
        self,
        rows: np.ndarray,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        evaluate: Callable[[nn.Module, int], dict] | None = None,
        evaluate_every: int = 1,
        epochs: int | None = None,
    ) -> list[dict]:
        """All epochs on `rows`, or the first `epochs` of them; returns the history of evaluations.

        The loss is `loss(logits, targets)`, (M, B, K) both. A training on images that was killed goes on from its
        checkpoint.
        """
        sampler = shuffled(torch.as_tensor(rows), self.protocol.batch_size, generator=self.order)
        recipe = make_recipe(self.source, self.protocol, evaluate_every)
        result = train(
            self.model,
            replace(recipe, epochs=epochs or recipe.epochs),
            sampler=sampler,
            fetch=self.fetch,
            loss=lambda model, batch: loss(*whole_vectors(model(batch[0]), batch[1])),
            evaluate=evaluate,
            generators=[self.order, self.augmentation, *self.others],
            checkpoint=checkpoint_file() if self.source.on_images else None,
        )
        return result.history

    def logits(self, rows: np.ndarray, model: nn.Module | None = None) -> np.ndarray:
        """(M, n, K) float32 for `rows`, without augmentation."""
        found = predict(model or self.model, self.still, torch.as_tensor(rows), bfloat16=self.source.on_images)
        logits = found.logits.cpu().numpy()
        return logits[None] if self.source.on_images else logits


def make_recipe(source: Source, protocol: Protocol, evaluate_every: int) -> Recipe:
    """ASL's published recipe with the protocol's epochs, all of which run (paper 4, 4.1)."""
    recipe = replace(
        ASL_RECIPE,
        epochs=protocol.epochs,
        schedule_epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        learning_rate=protocol.learning_rate,
        average_decay=protocol.average_decay,
        evaluate_every=evaluate_every,
        bfloat16=False,  # for images only, as `for_source` says
        channels_last=False,
    )
    return for_source(source, recipe)
