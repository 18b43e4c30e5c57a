"""How far an active-learning run has come, and what it has come to in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ActiveHistory:
    """What an active-learning run has come to, for M members and I iterations; training 0 is the initial one."""

    metrics: dict[str, np.ndarray]  # name -> (M, I + 1, evaluations of one training)
    ends: np.ndarray | None  # (M, I + 1, ...) what was asked for after every training
    chosen: np.ndarray  # (M, I, batch) image rows, in the order of choice
    safe: tuple[np.ndarray, ...]  # per iteration: (M, number) rows that trained with the labels they had

    def final(self, metric: str) -> np.ndarray:
        """(M,) the metric of the last model."""
        return self.metrics[metric][:, -1, -1]


@dataclass
class ActiveState:
    """How far M members have come: all that the loop changes, but the learner and the generators."""

    targets: np.ndarray  # (M, N, K) labels as given, and the oracle's where it was asked
    labelled: np.ndarray  # (M, n) rows of the clean images
    pool: np.ndarray  # (M, P) rows to choose from
    chosen: list[np.ndarray] = field(default_factory=list)  # (M, batch) rows each, one per iteration
    safes: list[np.ndarray] = field(default_factory=list)  # (M, number) rows each, one per iteration
    ends: list[np.ndarray] = field(default_factory=list)  # (M, ...) each, one per training that is done, if asked for
    histories: list[list[dict[str, Any]]] = field(default_factory=list)  # one per training that is done

    @property
    def iteration(self) -> int:
        """How often the oracle has been asked."""
        return len(self.chosen)

    @property
    def aside(self) -> np.ndarray:
        """(M, number) rows of the pool that train along with the labels they have."""
        return self.safes[-1] if self.safes else np.empty((len(self.pool), 0), int)

    @property
    def training_rows(self) -> np.ndarray:
        """(M, n + number) rows to train on."""
        return np.concatenate([self.labelled, self.aside], axis=1)

    def reveal(self, rows: np.ndarray, true: np.ndarray) -> None:
        """Give the images `rows` (M, n) their `true` (N, K) labels."""
        self.targets[np.arange(len(rows))[:, None], rows] = true[rows]

    def history(self) -> ActiveHistory:
        """What is handed out at the end."""
        ends = np.stack(self.ends, axis=1) if self.ends else None
        return ActiveHistory(_metrics(self.histories), ends, np.stack(self.chosen, axis=1), tuple(self.safes))


def _metrics(histories: list[list[dict[str, Any]]]) -> dict[str, np.ndarray]:
    """Name -> (M, trainings, evaluations), from the rows of every training's history."""
    names = [name for name in histories[0][0] if name != "epoch"]
    return {
        name: np.moveaxis(np.array([[row[name] for row in history] for history in histories]), -1, 0) for name in names
    }
