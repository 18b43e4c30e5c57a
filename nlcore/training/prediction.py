"""Probabilities, logits and last-layer features of a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlcore.devices import bfloat16_autocast, explain_out_of_memory
from nlcore.training.batches import fetch_all
from nlcore.training.models import last_layer


@dataclass(frozen=True)
class Predictions:
    """logits (N, K), or (M, N, K) of a stack; features (N, D), the last layer's input, if asked for."""

    logits: Tensor
    features: Tensor | None = None

    @property
    def probabilities(self) -> Tensor:
        """sigmoid(logits), of the same shape."""
        return torch.sigmoid(self.logits)


def predict(
    model: nn.Module,
    fetch: Callable[[Tensor], tuple[Any, ...]],
    indices: Tensor,
    *,
    batch_size: int = 1024,
    features: bool = False,
    bfloat16: bool = False,
) -> Predictions:
    """Runs `model` over the samples `indices` (N,), or (M, N) of a stack, in order; float32, on the model's device.

    `fetch` is a training fetch (build it without a generator, so that it does not augment). Raises InputError when the
    GPU's memory is too small.
    """
    autocast = bfloat16_autocast(next(model.parameters()).device, bfloat16)
    logits, seen, was_training = [], [], model.training
    hook = last_layer(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) if features else None
    model.eval()
    try:
        with explain_out_of_memory(batch_size), torch.inference_mode(), autocast:
            for batch in fetch_all(fetch, indices.split(batch_size, dim=-1)):
                logits.append(model(batch[0]).float())
    finally:
        model.train(was_training)
        if hook is not None:
            hook.remove()
    # Joined along the samples, the axis before the last; outside of inference mode, so that they can be trained on.
    return Predictions(torch.cat(logits, dim=-2), torch.cat(seen, dim=-2).float() if features else None)
