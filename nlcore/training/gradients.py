"""Losses as training takes them: something that fills the gradients of a model's weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

VECTOR = 64  # numbers; of every kind of processor that torch has kernels for, the longest, twice


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


def whole_vectors(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """A batch filled up with rows of unknown labels, without loss or gradient, until `VECTOR` divides its cells.

    A processor computes a sigmoid in vectors, and the few cells that are left over at the end of a tensor in another
    way, with other last digits. Which cells these are would depend on how many heads share the pass; so none are left.

    >>> [tuple(part.shape) for part in whole_vectors(torch.zeros(2, 79, 80), torch.zeros(2, 79, 81))]
    [(2, 80, 80), (2, 80, 81)]
    """
    missing = -logits.shape[-2] % (VECTOR // math.gcd(VECTOR, logits.shape[-1]))
    if missing == 0:
        return logits, targets
    rows = (0, 0, 0, missing)
    return functional.pad(logits, rows), functional.pad(targets, rows, value=-1)
