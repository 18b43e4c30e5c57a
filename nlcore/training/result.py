"""What a training has come to: what its loop changes, a checkpoint keeps, and the caller gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from nlcore.training.early_stopping import BestWeights
from nlcore.training.optimiser import FusedAdam


@dataclass
class TrainingResult:
    """What a run has come to: everything a checkpoint holds, and everything the caller gets back.

    `model` is the trained model and `average` the one with averaged weights (None without `average_decay`). `history`
    has one row per evaluation: {"epoch": ..., metric: ..., "average_" + metric: ...}, epochs counted from 1.
    """

    model: nn.Module
    average: nn.Module | None
    optimiser: FusedAdam
    best: BestWeights | None = None
    epoch: int = 0
    step: int = 0
    steps_per_epoch: int = 0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
