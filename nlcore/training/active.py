"""Active learning, shared by papers 1 and 2: a classifier, a pool with bad labels, an oracle, and a budget.

The classifier is trained on a few clean images. Then, again and again: it looks at the pool, a strategy chooses a
batch, the oracle relabels it, it leaves the pool, and the classifier goes on training on everything that was
relabelled. In Safe mode (paper 1) a growing number of pool images that look clean train along with their labels.

One loop serves single models and stacks: arrays of M members carry a leading member axis, and M = 1 is a single model.
Everything that differs between papers is a function given as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlcore.errors import InputError
from nlcore.scorers.mislabelling import mislabelling_likelihood
from nlcore.scorers.selection import select_lowest
from nlcore.training import Predictions
from nlcore.training.active_checkpoint import ActiveCheckpoint
from nlcore.training.active_state import ActiveHistory, ActiveState
from nlcore.training.learners import Evaluate, Learner


@dataclass(frozen=True)
class Budget:
    """How many images the oracle relabels, `batch` at a time.

    Raises:
        InputError: a number that is not positive, or a total that is no multiple of the batch.
    """

    total: int
    batch: int

    def __post_init__(self) -> None:
        if self.batch < 1 or self.total < self.batch:
            raise InputError(
                f"budget {self.total}: too small for batches of {self.batch}; expected at least one batch of one image"
            )
        if self.total % self.batch:
            raise InputError(f"budget {self.total}: no multiple of the batch of {self.batch}; expected whole batches")

    @property
    def iterations(self) -> int:
        """How often the oracle is asked."""
        return self.total // self.batch


class Look:
    """One pass of the classifier over `rows` (M, P), each member's own, made only if somebody looks.

    Features of heads are had anew, of the members that are asked for them: those of all would fill the memory.
    """

    def __init__(self, learner: Learner, rows: np.ndarray) -> None:
        self.learner, self.rows = learner, np.sort(rows, axis=1)

    @cached_property
    def predictions(self) -> Predictions:
        """Logits (M, P, K), and of an image network features, computed at the first use."""
        return self.learner.predict(self.rows, features=not self.learner.stacked)

    def probabilities(self, member: int, rows: np.ndarray) -> np.ndarray:
        """(len(rows), K) sigmoids of one member."""
        return torch.sigmoid(self.predictions.logits[member]).numpy()[np.searchsorted(self.rows[member], rows)]

    def features(self, member: int, rows: np.ndarray) -> np.ndarray:
        """(len(rows), D) input of its last layer."""
        if self.learner.stacked:
            return self.learner.features_of(member, rows)
        return self.predictions.features.numpy()[np.searchsorted(self.rows[member], rows)]


@dataclass(frozen=True)
class PoolView:
    """What one member sees of its pool of P images when it has to choose."""

    rows: np.ndarray  # (P,) image rows
    labels: np.ndarray  # (P, K) as given: noisy, or with -1 for unknown
    iteration: int  # counted from 1
    rng: np.random.Generator
    look: Look
    member: int = 0

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(P, K) sigmoids of the classifier as it is now."""
        return self.look.probabilities(self.member, self.rows)

    @cached_property
    def features(self) -> np.ndarray:
        """(P, D) input of the last layer."""
        return self.look.features(self.member, self.rows)

    @property
    def weights(self) -> np.ndarray:
        """(K, D) of the last layer."""
        return self.look.learner.last_weights()[self.member]


Strategy = Callable[[PoolView, int], np.ndarray]  # (pool, number) -> that many positions in the pool


@dataclass(frozen=True)
class SafeMode:
    """Paper 1, 3.2 and 5.1: in iteration i, `step` * i pool images of the lowest D1 train with their given labels.

    They stay in the pool. By default they are chosen anew each time; `kept` adds `step` new ones to those of before.
    below: only images of a lower D1 are chosen, so that there may be fewer; None: any.
    """

    step: int = 25
    kept: bool = False
    below: float | None = None

    def choose(self, view: PoolView, before: np.ndarray) -> np.ndarray:
        """Rows that train along in this iteration; `before` are those of the last one."""
        likelihood = mislabelling_likelihood(view.probabilities, view.labels)
        staying = np.intersect1d(before, view.rows) if self.kept else view.rows[:0]
        new = np.isin(view.rows, staying, invert=True)
        places = np.flatnonzero(new if self.below is None else new & (likelihood < self.below))
        lowest = select_lowest(likelihood[places], min(self.step * view.iteration - len(staying), len(places)))
        return np.concatenate([staying, view.rows[places[lowest]]])


def named(name: str, known: Mapping[str, Any], *, what: str = "strategy") -> Any:
    """The entry of that name.

    Raises:
        InputError: there is none; names those there are.
    """
    if name not in known:
        raise InputError(f"{what} {name!r}: unknown; expected one of {', '.join(known)}")
    return known[name]


def run_active_learning(
    learner: Learner,
    *,
    given: np.ndarray,
    true: np.ndarray,
    initial: np.ndarray,
    pool: np.ndarray,
    budget: Budget,
    strategies: Sequence[Strategy],
    rngs: Sequence[np.random.Generator],
    evaluate: Evaluate,
    safe: SafeMode | None = None,
    at_end: Callable[[Learner], np.ndarray] | None = None,
    checkpoint: Path | None = None,
) -> ActiveHistory:
    """Train, choose, ask, train on: 1 + I trainings, the weights going on from each to the next.

    Args:
        learner: M members, trained in place.
        given: (M, N, K) labels of all N images as each member is given them.
        true: (N, K) what the oracle knows; it labels a whole image.
        initial: (M, n) rows of the clean images at the start.
        pool: (M, P) rows to choose from.
        budget: what the oracle may be asked.
        strategies: M of them; each chooses a batch from its member's pool.
        rngs: M generators for the strategies.
        evaluate: metrics during training, one value per member.
        safe: Safe mode, or None.
        at_end: what to keep of the learner after every training, (M, ...); None: nothing.
        checkpoint: a folder of this run alone, in which a long run keeps where it is; a run that finds a state there
            goes on from it to the same result (bit for bit on the CPU). Whoever gave the folder removes it. None: an
            interrupted run begins again.

    Raises:
        InputError: the pool is smaller than the budget, or pool and initial set overlap; `checkpoint` holds another
            run's state, or cannot be written.
    """
    _check(pool, initial, budget)
    state = ActiveState(given.copy(), initial.copy(), pool.copy())
    saved = ActiveCheckpoint(checkpoint, learner, rngs, {"budget": [budget.total, budget.batch]})
    saved.restore(state)
    state.reveal(state.labelled, true)

    def train() -> None:
        file = saved.training(state.iteration)
        state.histories.append(learner.fit(state.training_rows, state.targets, evaluate=evaluate, checkpoint=file))
        if at_end is not None:
            state.ends.append(at_end(learner))

    train()  # the initial training, or the one that was interrupted
    for iteration in range(state.iteration + 1, budget.iterations + 1):
        look = Look(learner, state.pool)
        positions = _choose(strategies, _views(state, look, iteration, rngs), budget.batch)
        _ask(state, positions, true)
        left = _views(state, look, iteration, rngs)  # what is left in the pool, by the same look at it
        state.safes.append(state.aside if safe is None else _set_aside(safe, left, state.aside))
        saved.keep(state)
        train()
    return state.history()


def _check(pool: np.ndarray, initial: np.ndarray, budget: Budget) -> None:
    if pool.shape[1] < budget.total:
        raise InputError(
            f"pool of {pool.shape[1]} images: smaller than the budget; expected at least {budget.total} to relabel"
        )
    if any(np.isin(rows, clean).any() for rows, clean in zip(pool, initial, strict=True)):
        raise InputError("pool: holds images of the initial set; expected none in both")


def _views(state: ActiveState, look: Look, iteration: int, rngs: Sequence[np.random.Generator]) -> list[PoolView]:
    """What each member sees of its pool as it is now; they share one look."""
    return [PoolView(rows, state.targets[m, rows], iteration, rngs[m], look, m) for m, rows in enumerate(state.pool)]


def _choose(strategies: Sequence[Strategy], views: Sequence[PoolView], number: int) -> np.ndarray:
    """(M, number) positions in the pools."""
    return np.stack([np.asarray(choose(view, number)) for choose, view in zip(strategies, views, strict=True)])


def _ask(state: ActiveState, positions: np.ndarray, true: np.ndarray) -> None:
    """The oracle relabels the chosen images, and they leave the pool for the labelled ones."""
    batch = np.take_along_axis(state.pool, positions, axis=1)  # (M, batch)
    state.pool = np.stack([np.delete(rows, taken) for rows, taken in zip(state.pool, positions, strict=True)])
    state.reveal(batch, true)
    state.labelled = np.concatenate([state.labelled, batch], axis=1)
    state.chosen.append(batch)


def _set_aside(safe: SafeMode, views: Sequence[PoolView], before: np.ndarray) -> np.ndarray:
    """(M, number) rows of the pools that train along; `before` (M, ...) are those of the last iteration.

    Raises:
        InputError: members have other numbers of them, and cannot train side by side.
    """
    chosen = [safe.choose(view, own) for view, own in zip(views, before, strict=True)]
    numbers = [len(rows) for rows in chosen]
    if len(set(numbers)) > 1:
        raise InputError(f"members: found {numbers} Safe images below D1 = {safe.below}; expected one member alone")
    return np.stack(chosen)
