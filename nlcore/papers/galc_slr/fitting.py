"""Training one classifier on some rows of the examples, by the published recipe of ASL, and asking it about others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

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


class Fit:
    """One classifier of a source's network, with the fetches it trains on and predicts from.

    `targets` are (N, K), or (N, K + 1) where the loss takes one more column. The seed decides the first weights, the
    order of the images and their augmentation, whatever the method: results are paired.
    """

    def __init__(self, source: Source, protocol: Protocol, seed: int, examples: Examples, targets: np.ndarray) -> None:
        self.source, self.protocol, self.device = source, protocol, resolve_device(source.device)
        self.order = torch_generator(PAPER, seed, "order")
        self.augmentation = torch_generator(PAPER, seed, "augmentation")
        weights = torch_generator(PAPER, seed, "weights")
        self.model = make_network(source, examples.inputs, examples.targets.shape[1], generator=weights)
        options = {"network": self.model, "generator": self.augmentation}
        self.fetch = make_batches(source, examples.inputs, targets, **options)
        self.still = copy.copy(self.fetch)  # the same images in the same memory, not augmented
        self.still.generator = None

    def train(
        self,
        rows: np.ndarray,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        evaluate: Callable[[nn.Module, int], dict] | None = None,
        evaluate_every: int = 1,
    ) -> list[dict]:
        """All epochs on `rows`, with `loss(logits, targets)`; returns the history of evaluations.

        A training on images that was killed goes on from its checkpoint.
        """
        sampler = shuffled(torch.as_tensor(rows), self.protocol.batch_size, generator=self.order)
        result = train(
            self.model,
            make_recipe(self.source, self.protocol, evaluate_every),
            sampler=sampler,
            fetch=self.fetch,
            loss=lambda model, batch: loss(model(batch[0]), batch[1]),
            evaluate=evaluate,
            generators=[self.order, self.augmentation],
            checkpoint=checkpoint_file() if self.source.on_images else None,
        )
        return result.history

    def logits(self, rows: np.ndarray, model: nn.Module | None = None) -> np.ndarray:
        """(n, K) float32 for `rows`, without augmentation."""
        found = predict(model or self.model, self.still, torch.as_tensor(rows), bfloat16=self.source.on_images)
        return found.logits.cpu().numpy()


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
