"""Losses as training takes them: something that fills the gradients of a model's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Differentiable(Protocol):
    """The value of a loss as a scalar tensor, or `OutputGradients`."""

    def backward(self) -> None:
        """Add the gradients of the weights to what they hold."""


class OutputGradients:
    """Outputs of a model, each with the gradient of the loss by it, from which automatic differentiation goes on.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> OutputGradients((3 * weight, torch.tensor([1.0, 2.0]))).backward()
    >>> weight.grad
    tensor([3., 6.])
    """

    def __init__(self, *pairs: tuple[Tensor, Tensor]) -> None:
        self.pairs = pairs

    def backward(self) -> None:
        """As of a loss with these gradients; an output that no trained weight has a part in is left out."""
        trained = [(output, gradient) for output, gradient in self.pairs if output.requires_grad]
        outputs, gradients = zip(*((output, gradient.to(output.dtype)) for output, gradient in trained), strict=True)
        torch.autograd.backward(outputs, gradients)


def closed_form(gradient: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], OutputGradients]:
    """A loss (logits, targets) from its gradient by the logits, such as `nlcore.losses.asymmetric_gradient`."""
    return lambda logits, targets: OutputGradients((logits, gradient(logits.detach(), targets)))
