"""One training in several processes, each on a GPU (or a core) of its own: data-parallel, with one process's results.

Every process runs the same program from the same generators: it has every batch's indices, draws the augmentation of
the whole batch, and computes the loss from the logits of the whole batch. What is divided is the work on images: each
process reads its share of a batch, takes it through the network and back, and has the others' logits from them. So a
loss means the same, whatever it does with a batch; batch normalisation takes its statistics over the whole batch, and
torch's DistributedDataParallel adds up the gradients. What is left is the rounding of sums in another order.

Outside a `member` block all functions here give back what they are given.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional
from torch.nn.modules._functions import SyncBatchNorm  # what torch.nn.SyncBatchNorm calls, which is a module
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from nlcore.devices import resolve_device
from nlcore.training.batches import ImageBatches


@dataclass(frozen=True)
class Team:
    """The processes of a training, of which this one is number `rank`; number 0 leads: it alone writes."""

    rank: int
    size: int

    def share(self, count: int) -> slice:
        """Which of `count` rows are this process's: shares are of one size, but for the last ones.

        >>> [Team(rank, 3).share(7) for rank in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 7, None)]
        """
        rows = -(-count // self.size)
        return slice(min(self.rank * rows, count), min((self.rank + 1) * rows, count))

    def gather(self, own: Tensor, count: int) -> Tensor:
        """All `count` rows, from the share of each process."""
        rows = -(-count // self.size)
        padded = functional.pad(own, (0, 0) * (own.ndim - 1) + (0, rows - len(own))).contiguous()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.cat(parts)[:count]


_team: ContextVar[Team | None] = ContextVar("team", default=None)


@contextmanager
def member(rank: int, size: int, *, store: dist.Store, device: str) -> Iterator[None]:
    """Make this process number `rank` of the `size` that train together in the `with` block.

    store: through which they find each other. device: of their networks, as a person names it; GPUs talk by NCCL, cores
    by Gloo.
    """
    backend = "nccl" if resolve_device(device).type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    token = _team.set(Team(rank, size))
    try:
        yield
    finally:
        _team.reset(token)
        dist.destroy_process_group()


def leads() -> bool:
    """Whether this process is the one that writes: alone, or number 0 of its team."""
    team = _team.get()
    return team is None or team.rank == 0


# Training: the whole batch's indices and targets, and the whole batch's logits. --------------------------------------


def spread(model: nn.Module) -> nn.Module:
    """The same function of a whole batch (B, ...) to logits (B, K), for training `model`, computed share by share."""
    team = _team.get()
    return model if team is None else _Spread(model, team)


def own_images(fetch: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """The same fetch of whole batches, which reads only this process's share of the images: the others are black.

    Augmentation draws for all of them, so that each image is augmented as it would be in one process.
    """
    team = _team.get()
    if team is None or not isinstance(fetch, ImageBatches) or fetch.resident:
        return fetch
    fetch = copy.copy(fetch)
    fetch.images = _OwnImages(fetch.images, team)
    return fetch


class _OwnImages:
    """Images by the indices of a whole batch."""

    def __init__(self, images: Any, team: Team) -> None:
        self.images, self.team = images, team

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        share = self.team.share(len(rows))
        found = np.zeros((len(rows), *self.images.shape[1:]), np.uint8)
        found[share] = self.images[rows[share]]
        return found


class _Spread(nn.Module):
    """The model on this process's share of a batch, and everybody's logits."""

    def __init__(self, model: nn.Module, team: Team) -> None:
        super().__init__()
        self.replica, self.team = DistributedDataParallel(model), team

    def forward(self, inputs: Tensor) -> Tensor:
        with _WholeBatchStatistics(self.team):
            own = self.replica(inputs[self.team.share(len(inputs))])
        return _WholeBatch.apply(own, len(inputs), self.team)


class _WholeBatch(torch.autograd.Function):
    """Everybody's rows; back goes the gradient of one's own, times the team's size: the replicas' mean is a sum."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, count: int, team: Team) -> Tensor:
        ctx.team, ctx.count = team, count
        return team.gather(own, count)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.team.share(ctx.count)] * ctx.team.size, None, None


class _WholeBatchStatistics(TorchFunctionMode):
    """While entered, batch normalisation that trains takes mean and variance over all shares, in whatever module."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is functional.batch_norm:
            return self._normalised(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def _normalised(
        self,
        inputs: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """`torch.nn.functional.batch_norm`."""
        if not training:
            return functional.batch_norm(inputs, mean, variance, weight, bias, False, momentum, eps)
        if inputs.is_cuda:
            settings = eps, momentum, dist.group.WORLD, self.team.size
            return SyncBatchNorm.apply(inputs, weight, bias, mean, variance, *settings)
        return _batch_norm(inputs, mean, variance, weight, bias, momentum, eps)


def _batch_norm(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_variance: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch normalisation over all shares by its formula: torch has none that works on a CPU."""
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    by_channel = lambda values: values.view(-1, *(1,) * (inputs.ndim - 2))
    count = _Sum.apply(inputs.new_tensor(inputs.numel() / inputs.shape[1]))
    mean = _Sum.apply(inputs.sum(axes)) / count
    centred = inputs - by_channel(mean)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    if running_mean is not None:
        running_mean.lerp_(mean.detach(), momentum)
        running_variance.lerp_((variance * count / (count - 1)).detach(), momentum)
    scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
    outputs = centred * by_channel(scale)
    return outputs if bias is None else outputs + by_channel(bias)


class _Sum(torch.autograd.Function):
    """The sum over the processes; each has a part in everybody's, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return _summed(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(own: Tensor) -> Tensor:
    total = own.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


# Prediction: rows are divided, and what is found about them is put together. ------------------------------------------


def own_rows(indices: Tensor) -> Tensor:
    """This process's share of samples (..., N)."""
    team = _team.get()
    return indices if team is None else indices[..., team.share(indices.shape[-1])]


def joined(parts: Sequence[Tensor], count: int) -> Tensor:
    """(..., N, K) of all `count` samples, from the parts (..., n, K) that each process found of its share of them."""
    team, found = _team.get(), torch.cat(list(parts), dim=-2)
    return found if team is None else team.gather(found.movedim(-2, 0), count).movedim(0, -2)
