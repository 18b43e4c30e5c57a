"""Which images the expert relabels: the paper's strategies and its baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nlcore.papers.multi_al.protocol import Protocol
from nlcore.scorers.mislabelling import conflict_informativeness
from nlcore.scorers.selection import select_highest
from nlcore.scorers.uncertainty import uncertainty_entropy
from nlcore.training.active import PoolView, Strategy


def by_random(view: PoolView, number: int) -> np.ndarray:
    """Any images, each as likely: `number` places in the view's rows."""
    return view.rng.permutation(len(view.rows))[:number]


def by_entropy(view: PoolView, number: int) -> np.ndarray:
    """Eq. 9: the places of the `number` images that the classifier is least sure about, from probabilities (n, K)."""
    return select_highest(uncertainty_entropy(view.probabilities), number)


def by_conflict(threshold: float) -> Strategy:
    """Eq. 7, CBIM: those whose features pull both ways; pairs of D1 above `threshold` (t1, in [0, 1]) only."""

    def choose(view: PoolView, number: int) -> np.ndarray:
        inputs = view.probabilities, view.labels, view.weights, view.features
        return select_highest(conflict_informativeness(*inputs, threshold=threshold), number)

    return choose


@dataclass(frozen=True)
class Way:
    """How a strategy is made, whether Safe mode is on, and whether any of it looks at the labels the pool was given.

    Where nothing does, the noise cannot change what is trained: relabelled images carry their true labels.
    """

    make: Callable[[Protocol], Strategy]
    safe: bool
    sees_given_labels: bool


# Multi-AL is entropy with Safe mode.
STRATEGIES: dict[str, Way] = {
    "multi_al_safe": Way(lambda protocol: by_entropy, safe=True, sees_given_labels=True),
    "multi_al": Way(lambda protocol: by_entropy, safe=False, sees_given_labels=False),
    "random": Way(lambda protocol: by_random, safe=False, sees_given_labels=False),
    "random_safe": Way(lambda protocol: by_random, safe=True, sees_given_labels=True),
    "cbim": Way(lambda protocol: by_conflict(protocol.threshold), safe=False, sees_given_labels=True),
}
