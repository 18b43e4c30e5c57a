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
