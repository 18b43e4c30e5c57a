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
    trained alone; the run is finished when all have. A NaN is never better. Paper 5 stops so on AP_all (4.2).

    Args:
        models: what is kept together: the model first, then the average of its weights if there is one.
        patience: evaluations without a better value, at least 1.

    >>> model = torch.nn.Linear(1, 1)
    >>> best = BestWeights([model], patience=2)
    >>> [best.update(metric) for metric in (0.5, 0.4, 0.3)], best.metric
    ([False, False, True], array([0.5]))
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
        """Takes one evaluation, of the weights as they are now, and returns whether to stop.

        Args:
            metric: a number, or (M,) of a stack's members, the higher the better.
        """
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
        """Puts the best weights back into the models, member by member; the first ones where no metric was better."""
        for kept, current in zip(self.tensors, self._current(), strict=True):
            current.copy_(kept)
