"""Batches of features whose labels are put together as a method asks for: by index, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nlcore.papers.teacher_student.scoring import Targets
from nlcore.training import FeatureBatches

Fetch = Callable[[Tensor], tuple[Tensor, Tensor]]


class MappedFeatures:
    """Fetches (features, targets) by index from features (N, D) that are mapped from a file, in half precision."""

    def __init__(self, features: np.memmap, targets: Targets, *, device: torch.device) -> None:
        self.features, self.device = features, device
        self.labels = labels_only(targets, device=device)
        self.prefetch = 2 if device.type == "cuda" else 0  # batches that are read ahead

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.from_numpy(self.features[indices.cpu().numpy()])
        return features.to(self.device).float(), self.labels(indices)


class FlippedFeatures:
    """Fetches (features, targets) by index from features (n, D) of images and (3, m, D) of the first m's mirror images.

    These are left to right, upside down, and both. One of the four is drawn for each image of a batch; all of a batch
    are among the first m.
    """

    def __init__(
        self,
        features: np.ndarray,
        mirrored: np.ndarray,
        targets: Targets,
        *,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.generator, self.images, self.mirrored = generator, len(features), mirrored.shape[1]
        self.rows = torch.from_numpy(np.concatenate([features, *mirrored])).to(device)
        self.labels = labels_only(targets, device=device)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        left_to_right, upside_down = drawn_flips(len(indices), self.generator)
        copy = left_to_right.long() + 2 * upside_down.long()
        places = indices.cpu() + torch.where(copy > 0, self.images + (copy - 1) * self.mirrored, 0)
        return self.rows.index_select(0, places.to(self.rows.device)), self.labels(indices)


def drawn_flips(images: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which of the images (B,) are mirrored left to right, and which upside down, each with probability 1/2."""
    left_to_right, upside_down = (torch.rand(images, generator=generator) < 0.5 for _ in range(2))
    return left_to_right, upside_down


def labels_only(targets: Targets, *, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Index batch (B,) -> labels (B, K) float32 on the device."""
    batches = FeatureBatches(torch.empty(len(targets), 0), targets, device=device)
    return lambda indices: batches(indices)[1]


def clean_where_verified(fetch: Fetch, noisy: Callable[[Tensor], Tensor], verified: Tensor, *, images: int) -> Fetch:
    """What `fetch` gives, with its clean labels only for the images `verified` (v,); the others' labels are noisy."""
    trusted = torch.zeros(images, dtype=torch.bool)
    trusted[verified] = True

    def mixed(indices: Tensor) -> tuple[Tensor, Tensor]:
        features, clean = fetch(indices)
        return features, torch.where(trusted[indices].to(clean.device).unsqueeze(1), clean, noisy(indices))

    return mixed


def with_noisy_labels(fetch: Fetch, noisy: Callable[[Tensor], Tensor]) -> Fetch:
    """The inputs of `fetch` (B, D) with the noisy labels beside them, (B, D + K): what Veit et al.'s cleaner takes."""

    def joined(indices: Tensor) -> tuple[Tensor, Tensor]:
        features, clean = fetch(indices)
        return torch.cat([features, noisy(indices)], dim=1), clean

    return joined
