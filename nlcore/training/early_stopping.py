"""Early stopping for single models and, member by member, for stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.training.models import member_count


class BestWeights:
    """Keeps the weights of the best (highest) metric so far, for each member of a stack by itself.

    A member stops counting once `patience` evaluations have brought it nothing better, exactly as if it had been
    trained alone; the run is finished when all have. A NaN is never better.
    """

    def __init__(self, models: Sequence[nn.Module], patience: int) -> None:
        self.models, self.patience = models, patience
        members = member_count(models[0])
        self.stacked = members is not None
        self.metric = np.full(members or 1, -np.inf)
        self.stale = np.zeros(members or 1, dtype=np.int64)
        self.tensors = [tensor.detach().clone() for tensor in self._current()]

    def _current(self) -> list[Tensor]:
        return [tensor for model in self.models for tensor in model.state_dict().values()]

    @torch.no_grad()
    def update(self, metric: Any) -> bool:
        """Takes one evaluation (a number, or one per member) and returns whether to stop."""
        values = np.broadcast_to(np.asarray(metric, dtype=np.float64), self.metric.shape)
        better = (values > self.metric) & (self.stale < self.patience)
        self.metric[better] = values[better]
        self.stale = np.where(better, 0, self.stale + 1)
        for kept, current in zip(self.tensors, self._current(), strict=True):
            if self.stacked:
                kept[torch.from_numpy(better).to(kept.device)] = current[torch.from_numpy(better).to(kept.device)]
            elif better[0]:
                kept.copy_(current)
        return bool((self.stale >= self.patience).all())

    @torch.no_grad()
    def restore(self) -> None:
        """Puts the best weights back into the models."""
        for kept, current in zip(self.tensors, self._current(), strict=True):
            current.copy_(kept)
