"""Runs that each train one member per seed, side by side in one pass: the first run's seeds, then the next one's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from nlcore.runs import Result

# Heads of a kind in one stack that take a processor least time for a step of each, as measured by
# `benchmarks/heads.py --ways ours`.
FASTEST_STACK = {"linear": 40, "mlp": 10}


class Together:
    """What a `Spec` becomes whose runs are computed together (`compute_together`), and one alone as a pass of one."""

    def compute(self, inputs: Sequence[Result]) -> Result:
        """See `compute_together`."""
        return self.compute_together([self], [inputs])[0]


class SharedPass(Together):
    """What a `Spec` with the fields `source`, `protocol` and `seeds` becomes whose heads train beside other runs'.

    Heads see images of their own, but as many of them in the same steps. On images a run has its pass to itself.
    """

    def steps(self) -> tuple[Hashable, ...]:
        """What else decides how the steps of a run go, besides its source, protocol and seeds."""
        return ()

    def shared_pass(self) -> Hashable | None:
        """See `Spec.shared_pass`."""
        return None if self.source.on_images else (self.source, self.protocol, self.seeds, *self.steps())


def fastest_stack(spec: SharedPass) -> int:
    """So many runs like this one are the stack of heads that a processor likes best; a GPU takes all at once."""
    heads = FASTEST_STACK.get(spec.source.model, 1)
    return spec.MEMBERS if spec.device_name() == "cuda" else max(1, heads // len(spec.seeds))


def seeds_of(specs: Sequence[SharedPass]) -> list[int]:
    """The seed of every member (M,)."""
    return [seed for spec in specs for seed in spec.seeds]


def given_labels(
    specs: Sequence[SharedPass], pool: np.ndarray, spoil: Callable[[np.ndarray, float, Sequence[int]], np.ndarray]
) -> np.ndarray:
    """(M, N, K): what each run's noise leaves of the labels of its members' pools (M, P).

    spoil: (pools, noise, seeds) of one run to its labels. A run without noise of its own (None) has 0.
    """
    pools = np.split(pool, len(specs))
    return np.concatenate([spoil(own, spec.noise or 0.0, spec.seeds) for spec, own in zip(specs, pools, strict=True)])


def by_evaluation(history: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Metric -> (M, evaluations), from a training's history."""
    return {name: np.array([row[name] for row in history]).T for name in history[0] if name != "epoch"}


def results_of(specs: Sequence[SharedPass], arrays: Mapping[str, np.ndarray]) -> list[Result]:
    """Each run's share of arrays (M, ...)."""
    parts = {name: np.split(array, len(specs)) for name, array in arrays.items()}
    return [Result(arrays={name: own[place].copy() for name, own in parts.items()}) for place in range(len(specs))]
