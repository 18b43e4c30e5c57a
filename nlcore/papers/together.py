"""Runs that each train one member per seed, side by side in one pass: the first run's seeds, then the next one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nlcore.runs import Result


class Seeded(Protocol):
    """A run with several seeds; runs that share a pass have the same ones."""

    seeds: tuple[int, ...]


def seeds_of(specs: Sequence[Seeded]) -> list[int]:
    """The seed of every member (M,)."""
    return [seed for spec in specs for seed in spec.seeds]


def by_evaluation(history: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Metric -> (M, evaluations), from a training's history."""
    return {name: np.array([row[name] for row in history]).T for name in history[0] if name != "epoch"}


def results_of(specs: Sequence[Seeded], arrays: Mapping[str, np.ndarray]) -> list[Result]:
    """Each run's share of arrays (M, ...)."""
    parts = {name: np.split(array, len(specs)) for name, array in arrays.items()}
    return [Result(arrays={name: own[place].copy() for name, own in parts.items()}) for place in range(len(specs))]
