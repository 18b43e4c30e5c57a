"""What all classifiers of the study share: the protocol's fields, and training one model on some rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from nlcore.devices import resolve_device
from nlcore.generators import torch_generator
from nlcore.papers.galc_slr.data import Division, Layout, Source, divide, load_source, source_fingerprint
from nlcore.runs import Spec
from nlcore.training import ASL_RECIPE, FeatureBatches, ImageBatches, Recipe, predict, shuffled, train
from nlcore.training.models import image_model, linear_head, mlp_head, normalisation

HEADS = {"linear": linear_head, "mlp": mlp_head}
TRAINING_IMAGES = {"embedded": 2078, "folder": 2078, "coco2014": 65268}  # for estimates of cost
# Images per second of one training step. Heads: one core, measured. Backbones: one recent GPU, an assumption that
# benchmarks/training.py replaces by a measurement.
IMAGES_PER_SECOND = {"linear": 115_000, "mlp": 30_000, "mobilenetv2_100": 2_500, "tresnet_m": 1_000}


class Protocol(Spec):
    """Fields of every run. Where the data lies and which device computes are not part of what a run *is*."""

    layout: Layout
    model: str  # linear, mlp, or a model of timm
    image_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    average_decay: float | None  # of the weights' moving average, evaluated beside the plain weights
    noise: int  # percent of the labels
    gold: int  # percent of the training images
    seed: int
    on_bad_image: str = "fail"
    deterministic: bool = False
    data_root: str | None = Field(default=None, exclude=True)
    weights: str | None = Field(default=None, exclude=True)
    device: str = Field(default="auto", exclude=True)

    def shared(self) -> dict:
        """The fields of `Protocol` by name, to make another run on the same data."""
        return {name: getattr(self, name) for name in Protocol.model_fields}

    def data_fingerprint(self) -> str:
        return source_fingerprint(self.layout, self.data_root, self.weights)

    def source(self) -> Source:
        return load_source(self.layout, self.data_root, self.image_size, self.on_bad_image)

    def division(self) -> Division:
        return divide(self.source(), gold=self.gold / 100, noise=self.noise / 100, seed=self.seed)

    def training_seconds(self) -> float:
        """About how long one training takes."""
        images = TRAINING_IMAGES[self.layout] * self.epochs
        return images / IMAGES_PER_SECOND.get(self.model, 1_000) + 0.2


class Fit:
    """One model of the protocol, with the fetches it trains on and predicts from.

    `targets` are (N, K), or (N, K + 1) where the loss takes one more column.
    """

    def __init__(self, protocol: Protocol, source: Source, targets: np.ndarray):
        self.protocol, self.device = protocol, resolve_device(protocol.device)
        names = ("galc_slr", protocol.seed)
        self.order = torch_generator(*names, "order")
        self.augmentation = torch_generator(*names, "augmentation")
        classes, weights = source.targets.shape[1], torch_generator(*names, "weights")
        if protocol.model in HEADS:
            model = HEADS[protocol.model](source.inputs.shape[1], classes, generator=weights)
            self.fetch = self.still = FeatureBatches(source.inputs, targets, device=self.device)
        else:
            model = image_model(
                protocol.model,
                classes,
                generator=weights,
                weights=protocol.weights,
                deterministic=protocol.deterministic,
            )
            mean, std = normalisation(model)
            options = {"device": self.device, "mean": mean, "std": std}
            self.fetch = ImageBatches(source.inputs, targets, generator=self.augmentation, **options)
            self.still = ImageBatches(source.inputs, targets, **options)
        self.model = model.to(self.device)

    def train(
        self,
        rows: np.ndarray,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        evaluate: Callable[[nn.Module, int], dict] | None = None,
        evaluate_every: int = 1,
    ) -> list[dict]:
        """All epochs on `rows`, with `loss(logits, targets)`; returns the history of evaluations."""
        protocol = self.protocol
        recipe = make_recipe(protocol, evaluate_every)
        sampler = shuffled(torch.as_tensor(rows), protocol.batch_size, generator=self.order)
        result = train(
            self.model,
            recipe,
            sampler=sampler,
            fetch=self.fetch,
            loss=lambda model, batch: loss(model(batch[0]), batch[1]),
            evaluate=evaluate,
            generators=[self.order, self.augmentation],
        )
        return result.history

    def logits(self, rows: np.ndarray, model: nn.Module | None = None) -> np.ndarray:
        """(n, K) float32 for `rows`, without augmentation."""
        found = predict(
            model or self.model, self.still, torch.as_tensor(rows), bfloat16=self.protocol.model not in HEADS
        )
        return found.logits.cpu().numpy()


def make_recipe(protocol: Protocol, evaluate_every: int) -> Recipe:
    """ASL's published recipe with the protocol's epochs, all of which run (paper 4, 4.1)."""
    return replace(
        ASL_RECIPE,
        epochs=protocol.epochs,
        schedule_epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        learning_rate=protocol.learning_rate,
        average_decay=protocol.average_decay,
        evaluate_every=evaluate_every,
        channels_last=protocol.model not in HEADS,
        deterministic=protocol.deterministic,
    )
