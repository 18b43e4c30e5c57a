"""The paper's experiments as runs: Algorithm 1 with every measure, and ASL on the whole partly labelled set.

A run trains the members of a stack side by side, one per seed. A seed decides the division, the noise, the first
weights, the order of the images and how ties are broken, whatever the measure: results are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.losses import asymmetric_loss, asymmetric_loss_raw
from nlcore.noise import hide_labels
from nlcore.papers.image_task import Task, TaskData, finish_recipe, load_task, make_learner
from nlcore.runs import Result, Spec, Work
from nlcore.scorers.missing_ratio import relabelling_cost, select_batch
from nlcore.scorers.uncertainty import prediction_entropy
from nlcore.training import Recipe
from nlcore.training.active import Budget, PoolView, Strategy, named, run_active_learning
from nlcore.training.learners import Learner, map_on

PAPER = "missing_label_al"
Reading = Literal["raw", "negative", "masked"]

# Name -> (measure of `select_batch`, whether entropy is combined with it).
MEASURES = {
    "random": ("random", False),
    "medium": ("medium", False),
    "hard": ("hard", False),
    "hard_medium": ("hard+medium", False),
    "entropy": ("entropy", True),
    "medium_entropy": ("medium", True),
    "hard_entropy": ("hard", True),
    "hard_medium_entropy": ("hard+medium", True),
}


class Protocol(BaseModel):
    """Sections 3.3 and 4. The defaults are the paper's; a profile states what it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clean_share: float = 0.1  # of all images, clean from the start
    budget: int = 500
    batch: int = 50
    epochs: int = 20  # of every training
    whole_epochs: int = 41  # of plain ASL: the public script stops there
    whole_schedule_epochs: int = 80
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Division:
    """Rows (M, n) of every seed; the test images are the same for all."""

    clean: np.ndarray
    pool: np.ndarray
    test: np.ndarray


def divide(data: TaskData, protocol: Protocol, seeds: Sequence[int]) -> Division:
    """A clean part, and a pool of all other training images.

    Raises:
        InputError: no image is left for one of them.
    """
    number = round(protocol.clean_share * (len(data.train) + len(data.test)))
    if not 0 < number < len(data.train):
        raise InputError(f"clean_share {protocol.clean_share}: {number} of {len(data.train)} training images")
    orders = [generator(PAPER, "division", seed).permutation(data.train) for seed in seeds]
    clean, pool = ([np.sort(rows[part]) for rows in orders] for part in (slice(number), slice(number, None)))
    return Division(np.stack(clean), np.stack(pool), data.test)


def partial_labels(data: TaskData, pool: np.ndarray, noise: float, seeds: Sequence[int]) -> np.ndarray:
    """(M, N, K): the true labels, of which a fraction `noise` of the cells of each pool is -1."""
    given = np.repeat(data.targets[None].astype(np.int8), len(seeds), axis=0)
    for member, seed in enumerate(seeds):
        rows = pool[member]
        given[member, rows] = hide_labels(data.targets[rows], noise, generator(PAPER, "noise", noise, seed))
    return given


def strategy_of(measure: str, *, combination: str = "ties", hard_share: float = 0.1) -> Strategy:
    """A measure as a strategy of the active-learning loop.

    Raises:
        InputError: no measure of that name.
    """
    ratio, with_entropy = named(measure, MEASURES, what="measure")

    def choose(view: PoolView, number: int) -> np.ndarray:
        entropy = prediction_entropy(view.probabilities) if with_entropy else None
        options = {"combination": combination, "hard_share": hard_share, "rng": view.rng}
        return select_batch(view.labels, number, measure=ratio, entropy=entropy, **options)

    return choose


class MissingLabelRun(Spec):
    """What all runs of this paper share."""

    task: Task
    protocol: Protocol
    seeds: tuple[int, ...]
    noise: float

    def data_fingerprint(self) -> str:
        return self.task.fingerprint()

    def recipe(self, epochs: int, **changes) -> Recipe:
        """ASL's recipe with the paper's batch of 16; the schedule falls to a hundredth within a training."""
        protocol = self.protocol
        settings = {
            "epochs": epochs,
            "batch_size": protocol.batch_size,
            "learning_rate": protocol.learning_rate,
            "weight_decay": protocol.weight_decay,
            "schedule": "linear",
        }
        return finish_recipe(self.task, settings | changes)

    def learner(self, **options) -> Learner:
        return make_learner(self.task, self.recipe(self.protocol.epochs), paper=PAPER, seeds=self.seeds, **options)


class MeasureRun(MissingLabelRun):
    """Algorithm 1 with one measure at one noise level.

    Arrays: `map` and `map_without_person` (M, trainings, epochs) in percent; `cost` (M, trainings), cells relabelled.
    """

    measure: str
    hard_share: float = 0.1
    combination: Literal["ties", "product"] = "ties"

    def work(self) -> Work:
        protocol = self.protocol
        each = [300 + i * protocol.batch for i in range(protocol.budget // protocol.batch + 1)]
        return Work(type(self).__name__, len(self.seeds) * self.task.seconds(int(1.5 * protocol.epochs * sum(each))))

    def compute(self, inputs: Sequence[Result]) -> Result:
        strategy = strategy_of(self.measure, combination=self.combination, hard_share=self.hard_share)
        data, protocol = load_task(self.task), self.protocol
        division = divide(data, protocol, self.seeds)
        history = run_active_learning(
            self.learner(),
            given=partial_labels(data, division.pool, self.noise, self.seeds),
            true=data.targets,
            initial=division.clean,
            pool=division.pool,
            budget=Budget(protocol.budget, protocol.batch),
            strategy=strategy,
            rngs=[generator(PAPER, "strategy", seed) for seed in self.seeds],
            evaluate=map_on(division.test, data.targets),
            cost=relabelling_cost,
        )
        return Result(arrays={**history.metrics, "cost": history.cost})


class WholeSetRun(MissingLabelRun):
    """Plain ASL on the whole partly labelled pool, in one reading of what becomes of -1.

    raw: -1 goes into the loss as it is; negative: unknown counts as absent; masked: unknown costs nothing.
    Arrays `map` and `map_without_person`: (M, epochs), in percent.
    """

    reading: Reading

    def work(self) -> Work:
        each = self.task.seconds(int(1.5 * self.protocol.whole_epochs * 1850))
        return Work(type(self).__name__, len(self.seeds) * each)

    def compute(self, inputs: Sequence[Result]) -> Result:
        data, protocol = load_task(self.task), self.protocol
        division = divide(data, protocol, self.seeds)
        given = partial_labels(data, division.pool, self.noise, self.seeds)
        if self.reading == "negative":
            given = np.maximum(given, 0)
        settings = {"schedule": "one_cycle", "schedule_epochs": protocol.whole_schedule_epochs, "evaluate_every": 5}
        learner = self.learner(loss=partial(asymmetric_loss_raw if self.reading == "raw" else asymmetric_loss))
        history = learner.fit(
            division.pool,
            given,
            evaluate=map_on(division.test, data.targets),
            recipe=self.recipe(protocol.whole_epochs, **settings),
        )
        names = [name for name in history[0] if name != "epoch"]
        return Result(arrays={name: np.array([row[name] for row in history]).T for name in names})
