"""Batches of features whose labels are put together as a method asks for: by index, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nlcore.training import FeatureBatches

Fetch = Callable[[Tensor], tuple[Tensor, Tensor]]


def labels_only(targets: Tensor, *, device: torch.device) -> Callable[[Tensor], Tensor]:
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
