"""The network of a source: made, fed, and put together with its images as something that can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.data.source import Source
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.generators import torch_generator
from nlcore.training import FeatureBatches, ImageBatches, Recipe
from nlcore.training.augmentation import augment
from nlcore.training.batches import Augmentation
from nlcore.training.learners import ASYMMETRIC, HEADS, Learner, Loss, head_learner, image_learner
from nlcore.training.models import image_model, normalisation

Batches = FeatureBatches | ImageBatches


def make_network(
    source: Source, inputs: Any, classes: int, *, generator: torch.Generator, **head_options: Any
) -> nn.Module:
    """A source's network as it is before any training: from its inputs to (B, classes) logits, on its device.

    inputs: the images' features (N, D), from which a head's width follows. head_options: of `nlcore.training.models`'
    heads, such as `hidden`.

    Raises:
        InputError: an unknown model, or weights that cannot be had or do not fit.
    """
    device = resolve_device(source.device)
    if not source.on_images:
        return HEADS[source.model](inputs.shape[1], classes, generator=generator, **head_options).to(device)
    weights, fixed = source.weights_file or source.weights, source.deterministic
    model = image_model(source.model, classes, generator=generator, weights=weights, deterministic=fixed)
    return model.to(device)


def make_batches(
    source: Source,
    inputs: Any,
    targets: np.ndarray | Tensor,
    *,
    network: nn.Module,
    generator: torch.Generator | None = None,
    augmentation: Augmentation = augment,
) -> Batches:
    """What fetches batches of a source's inputs with `targets` (N, K); images are augmented if a generator is given."""
    device = resolve_device(source.device)
    if not source.on_images:
        return FeatureBatches(inputs, targets, device=device)
    mean, std = normalisation(network)
    return ImageBatches(
        inputs, targets, device=device, generator=generator, augmentation=augmentation, mean=mean, std=std
    )


def make_learner(
    source: Source, recipe: Recipe, *, paper: str, seeds: Sequence[int], loss: Loss = ASYMMETRIC
) -> Learner:
    """A learner with one member per seed: a stack of heads, or one image network.

    Raises:
        InputError: several seeds for an image network.
    """
    images, device = source.load(), resolve_device(source.device)
    classes, names = images.targets.shape[1], [(paper, seed) for seed in seeds]
    if not source.on_images:
        return head_learner(images.inputs, classes, recipe, head=source.model, names=names, device=device, loss=loss)
    if len(seeds) != 1:
        raise InputError(f"seeds {list(seeds)}: an image network is trained for one at a time; expected one")
    network = make_network(source, images.inputs, classes, generator=torch_generator(*names[0], "weights"))
    mean, std = normalisation(network)
    return image_learner(network, images.inputs, recipe, name=names[0], mean=mean, std=std, device=device, loss=loss)


def for_source(source: Source, recipe: Recipe) -> Recipe:
    """A recipe with what follows from the source: precision and memory layout for images, determinism."""
    on_gpu = {"bfloat16": True, "channels_last": True} if source.on_images else {}
    return replace(recipe, **on_gpu, deterministic=source.deterministic)
