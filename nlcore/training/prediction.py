"""Probabilities, logits and last-layer features of a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlcore.devices import bfloat16_autocast, explain_out_of_memory
from nlcore.training.batches import fetch_all
from nlcore.training.distributed import joined, own_rows
from nlcore.training.models import last_layer


@dataclass(frozen=True)
class Predictions:
    """What a model says about N samples, in the order they were asked for; float32, on the model's device."""

    logits: Tensor  # (N, K), or (M, N, K) of a stack of M heads
    features: Tensor | None = None  # (N, D), the last layer's input, if asked for; of a stack (M, N, D), or one for all

    @property
    def probabilities(self) -> Tensor:
        """sigmoid(logits), of the same shape, in [0, 1]."""
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
    """Runs `model` over some samples, in evaluation mode, and puts its mode back as it was.

    Args:
        model: from a batch of inputs to (B, K) logits, or (M, B, K) of a stack.
        fetch: indices -> (inputs, ...), a training fetch; build it without a generator, so that it does not augment.
        indices: (N,) samples, or (M, N) of a stack, in the order wanted.
        batch_size: samples in a pass; fewer where `fetch.at_once` says so.
        features: whether to keep the input of the last layer too.
        bfloat16: autocast, on a GPU only; the results are float32 all the same.

    Returns:
        Logits, and features if asked for; no gradient leads through them, but they can be trained on.

    Raises:
        InputError: the GPU's memory is too small for the batch size.

    >>> inputs = torch.tensor([[1.0], [2.0], [3.0]])
    >>> model = torch.nn.Linear(1, 1).requires_grad_(False)
    >>> seen = predict(model, lambda rows: (inputs[rows],), torch.tensor([2, 0]), features=True)
    >>> seen.features.tolist(), torch.equal(seen.logits, model(inputs[[2, 0]]))
    ([[3.0], [1.0]], True)
    """
    batch_size = min(batch_size, getattr(fetch, "at_once", batch_size))
    autocast = bfloat16_autocast(next(model.parameters()).device, bfloat16)
    logits, seen, was_training = [], [], model.training
    hook = last_layer(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) if features else None
    model.eval()
    try:
        with explain_out_of_memory(batch_size), torch.inference_mode(), autocast:
            for batch in fetch_all(fetch, own_rows(indices).split(batch_size, dim=-1)):
                logits.append(model(batch[0]).float())
    finally:
        model.train(was_training)
        if hook is not None:
            hook.remove()
    # Joined along the samples, the axis before the last; outside of inference mode, so that they can be trained on.
    count = indices.shape[-1]
    return Predictions(joined(logits, count), joined(seen, count).float() if features else None)
