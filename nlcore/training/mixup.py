"""Mixup (Zhang et al., ICLR 2018): training on mixtures of two images, and of what they would each have cost.

x = lambda x_i + (1 - lambda) x_j costs lambda L(x, y_i) + (1 - lambda) L(x, y_j), lambda ~ Beta(alpha, alpha). Heads on
frozen features mix features; networks mix images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nlcore.training.gradients import closed_form
from nlcore.training.learners import Learner

Fetch = Callable[[Tensor], tuple[Tensor, Tensor]]
ALPHA = 1.0  # of Beta(alpha, alpha): a uniform share, as mixup's own experiments on small images have it


@dataclass(frozen=True)
class MixedBatches:
    """What `fetch` gives for an index batch (..., B), each image mixed with another one of its batch.

    Every member of a stack (M, B) draws one lambda per batch, and the partners, from its own generator; members that
    see the same batch (B,) share one. Targets are (..., B, 2 K + 1): an image's own labels, its partner's, and lambda.
    """

    fetch: Fetch
    rngs: Sequence[np.random.Generator]
    alpha: float = ALPHA

    @property
    def prefetch(self) -> int:
        """As of `fetch`."""
        return getattr(self.fetch, "prefetch", 0)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        members = indices.reshape(-1, indices.shape[-1])
        shares = torch.tensor([rng.beta(self.alpha, self.alpha) for rng in self.rngs], dtype=torch.float32)
        orders = np.stack([rng.permutation(members.shape[1]) for rng in self.rngs])
        partners = members.gather(1, torch.from_numpy(orders).to(members.device)).view(indices.shape)
        (inputs, own), (others, their) = self.fetch(indices), self.fetch(partners)
        mixed = torch.lerp(others, inputs, _beside(shares, indices, inputs))
        column = _beside(shares, indices, own).expand(*own.shape[:-1], 1)
        return mixed, torch.cat([own, their, column], dim=-1)


def mixed_gradient(gradient: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The gradient of a mixture's loss by its logits, from that of a loss; targets as `MixedBatches` gives them.

    >>> by_target = mixed_gradient(lambda logits, targets: targets)
    >>> by_target(torch.zeros(1, 1), torch.tensor([[1.0, 0.0, 0.25]]))
    tensor([[0.2500]])
    """

    def of_mixture(logits: Tensor, targets: Tensor) -> Tensor:
        own, their, share = targets.split([logits.shape[-1], logits.shape[-1], 1], dim=-1)
        return torch.lerp(gradient(logits, their), gradient(logits, own), share)

    return of_mixture


def with_mixup(
    learner: Learner,
    rngs: Sequence[np.random.Generator],
    gradient: Callable[[Tensor, Tensor], Tensor],
    *,
    alpha: float = ALPHA,
) -> Learner:
    """A learner that trains on mixtures, by a loss's `gradient`; it predicts single images as before.

    Args:
        learner: of M members, which have their fresh weights.
        rngs: M generators.
        gradient: of the loss by the logits, such as `nlcore.losses.asymmetric_gradient`.
        alpha: of Beta(alpha, alpha), above 0: the larger, the nearer every lambda is to a half.
    """

    def batches(targets: np.ndarray, training: bool) -> Fetch:
        fetch = learner.batches(targets, training)
        return MixedBatches(fetch, rngs, alpha) if training else fetch

    mixing = {"batches": batches, "others": [*learner.others, *rngs], "loss": closed_form(mixed_gradient(gradient))}
    return replace(learner, **mixing)


def _beside(shares: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    """The members' shares (M,) in the shape in which they multiply `values`, (M, B, ...) or (B, ...)."""
    shape = (len(shares) if indices.ndim == 2 else 1, *(1,) * (values.ndim - 1))
    return shares.to(values.device).view(shape)
