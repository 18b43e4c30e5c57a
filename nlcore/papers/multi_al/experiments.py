"""The paper's experiments as runs: active learning, plain ASL, the initial classifier, and what D1 and D2 tell apart.

A run trains the members of a stack side by side, one per seed; on images it is one seed at a time. A seed decides the
division, the noise, the first weights and the order of the images, whatever the strategy: results are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.noise import swap_labels
from nlcore.papers.image_task import Task, TaskData, finish_recipe, load_task, make_learner
from nlcore.runs import Result, Spec
from nlcore.scorers.mislabelling import (
    conflict_informativeness,
    count_by_likelihood,
    feature_mislabelling_likelihood,
    mislabelling_likelihood,
)
from nlcore.scorers.selection import select_highest
from nlcore.scorers.uncertainty import uncertainty_entropy
from nlcore.training import Recipe
from nlcore.training.active import Budget, PoolView, SafeMode, Strategy, named, run_active_learning
from nlcore.training.learners import Learner, map_on

PAPER = "multi_al"
BINS = 10
Start = Literal["imagenet", "clean_coco"]


class Protocol(BaseModel):
    """Section 5.1, and what it leaves open. The defaults are the paper's; a profile states what it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_aside: float = 0.1  # share of the training images that no pool draws from; the initial set is taken from it
    pool_share: float = 0.4  # share of the rest that is the pool
    test_share: float = 0.4
    initial: int = 100
    budget: int = 500
    batch: int = 50
    safe_step: int = 25
    threshold: float = 0.5  # t1
    epochs: int = 20  # of every training
    longer_epochs: int = 40  # of Fig. 6
    whole_epochs: int = 41  # of plain ASL: the public script stops there
    whole_schedule_epochs: int = 80
    pretraining_epochs: int = 20  # on clean labels of all training images, for the start "clean_coco"
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    evaluate_every: int = 5


@dataclass(frozen=True)
class Division:
    """Who is what, for every seed of a run: rows (M, n); the test images are the same for all."""

    initial: np.ndarray
    pool: np.ndarray
    test: np.ndarray


def divide(data: TaskData, protocol: Protocol, seeds: Sequence[int]) -> Division:
    """Set a share aside, take the initial images from it, and the pool from the rest.

    Raises:
        InputError: too few images were set aside for the initial set.
    """
    initial, pool = [], []
    for seed in seeds:
        rows = generator(PAPER, "division", seed).permutation(data.train)
        aside = round(protocol.set_aside * len(rows))
        if aside < protocol.initial:
            raise InputError(f"{aside} images set aside: too few for {protocol.initial} initial ones")
        initial.append(rows[: protocol.initial])
        pool.append(np.sort(rows[aside:][: round(protocol.pool_share * (len(rows) - aside))]))
    tested = generator(PAPER, "test").permutation(data.test)[: round(protocol.test_share * len(data.test))]
    return Division(np.stack(initial), np.stack(pool), np.sort(tested))


def noisy_labels(data: TaskData, pool: np.ndarray, noise: float, seeds: Sequence[int]) -> np.ndarray:
    """(M, N, K): the true labels, of which a fraction `noise` is swapped among the images of each pool."""
    given = np.repeat(data.targets[None], len(seeds), axis=0)
    for member, seed in enumerate(seeds):
        rows = pool[member]
        given[member, rows] = swap_labels(data.targets[rows], noise, generator(PAPER, "noise", noise, seed))
    return given


def by_random(view: PoolView, number: int) -> np.ndarray:
    """Any images."""
    return view.rng.permutation(len(view.rows))[:number]


def by_entropy(view: PoolView, number: int) -> np.ndarray:
    """Eq. 9: those the classifier is least sure about."""
    return select_highest(uncertainty_entropy(view.probabilities), number)


def by_conflict(threshold: float) -> Strategy:
    """Eq. 7, CBIM: those whose features pull both ways; pairs of D1 above `threshold` only."""

    def choose(view: PoolView, number: int) -> np.ndarray:
        inputs = view.probabilities, view.labels, view.weights, view.features
        return select_highest(conflict_informativeness(*inputs, threshold=threshold), number)

    return choose


# Name -> (how the strategy is made, whether Safe mode is on). Multi-AL is entropy with Safe mode.
STRATEGIES: dict[str, tuple[Callable[[Protocol], Strategy], bool]] = {
    "multi_al_safe": (lambda protocol: by_entropy, True),
    "multi_al": (lambda protocol: by_entropy, False),
    "random": (lambda protocol: by_random, False),
    "random_safe": (lambda protocol: by_random, True),
    "cbim": (lambda protocol: by_conflict(protocol.threshold), False),
}


class MultiALRun(Spec):
    """What all runs of this paper share."""

    task: Task
    protocol: Protocol
    seeds: tuple[int, ...]

    def data_fingerprint(self) -> str:
        return self.task.fingerprint()

    def recipe(self, epochs: int, **changes) -> Recipe:
        """The paper's: Adam, a schedule from the learning rate down to a hundredth of it."""
        protocol = self.protocol
        settings = {
            "epochs": epochs,
            "batch_size": protocol.batch_size,
            "learning_rate": protocol.learning_rate,
            "weight_decay": protocol.weight_decay,
            "schedule": "linear",
            "evaluate_every": protocol.evaluate_every,
        }
        return finish_recipe(self.task, settings | changes)

    def learner(self, epochs: int, start: Start = "imagenet") -> Learner:
        """A fresh learner; with `clean_coco` it has been trained on clean labels of all training images before."""
        learner = make_learner(self.task, self.recipe(epochs), paper=PAPER, seeds=self.seeds)
        if start == "clean_coco":
            data = load_task(self.task)
            rows = np.repeat(data.train[None], len(self.seeds), axis=0)
            targets = np.repeat(data.targets[None], len(self.seeds), axis=0)
            learner.fit(rows, targets, recipe=self.recipe(self.protocol.pretraining_epochs))
        return learner

    def trained_seconds(self, images: int) -> float:
        """About how long it takes to train every seed on so many images."""
        return len(self.seeds) * self.task.seconds(images)


class ActiveLearningRun(MultiALRun):
    """One strategy at one noise level.

    Arrays: `map` and `map_without_person` (M, trainings, evaluations) in percent; `chosen_wrong` and `safe_clean`
    (M, iterations), shares of the chosen images that had a wrong label and of the Safe images that had none.
    """

    noise: float
    strategy: str
    start: Start = "imagenet"
    safe_kept: bool = False

    def seconds(self) -> float:
        protocol, iterations = self.protocol, self.protocol.budget // self.protocol.batch
        safe = protocol.safe_step if self.strategy.endswith("_safe") else 0
        each = [protocol.initial + i * (protocol.batch + safe) for i in range(iterations + 1)]
        return self.trained_seconds(protocol.epochs * sum(each) + (50_000 if self.start == "clean_coco" else 0))

    def compute(self, inputs: Sequence[Result]) -> Result:
        make, safe = named(self.strategy, STRATEGIES)
        data, protocol = load_task(self.task), self.protocol
        division = divide(data, protocol, self.seeds)
        given = noisy_labels(data, division.pool, self.noise, self.seeds)
        history = run_active_learning(
            self.learner(protocol.epochs, self.start),
            given=given,
            true=data.targets,
            initial=division.initial,
            pool=division.pool,
            budget=Budget(protocol.budget, protocol.batch),
            strategy=make(protocol),
            rngs=[generator(PAPER, "strategy", seed) for seed in self.seeds],
            evaluate=map_on(division.test, data.targets),
            safe=SafeMode(protocol.safe_step, self.safe_kept) if safe else None,
        )
        wrong = (given != data.targets).any(axis=2)  # (M, N)
        chosen = history.chosen.swapaxes(0, 1)
        shares = {"chosen_wrong": _shares(wrong, chosen), "safe_clean": _shares(~wrong, history.safe)}
        return Result(arrays={**history.metrics, **shares})


class WholeSetRun(MultiALRun):
    """Plain ASL on the whole noisy pool, by its own recipe, at one noise level; 0 is the clean reference.

    Arrays `map` and `map_without_person`: (M, epochs), in percent.
    """

    noise: float
    start: Start = "imagenet"

    def seconds(self) -> float:
        pool = 2000 if self.protocol.pool_share == 1 else 23_497
        return self.trained_seconds(self.protocol.whole_epochs * pool)

    def compute(self, inputs: Sequence[Result]) -> Result:
        data, protocol = load_task(self.task), self.protocol
        division = divide(data, protocol, self.seeds)
        recipe = self.recipe(
            protocol.whole_epochs,
            schedule="one_cycle",
            schedule_epochs=protocol.whole_schedule_epochs,
            evaluate_every=1,
        )
        history = self.learner(protocol.epochs, self.start).fit(
            division.pool,
            noisy_labels(data, division.pool, self.noise, self.seeds),
            evaluate=map_on(division.test, data.targets),
            recipe=recipe,
        )
        return Result(arrays=_by_epoch(history))


class InitialRun(MultiALRun):
    """Fig. 6: the classifier on the clean initial images, trained longer than it will be.

    Arrays `train` and `validation`: (M, epochs) mAP in percent.
    """

    def seconds(self) -> float:
        return self.trained_seconds(self.protocol.initial * self.protocol.longer_epochs)

    def compute(self, inputs: Sequence[Result]) -> Result:
        data, protocol = load_task(self.task), self.protocol
        division = divide(data, protocol, self.seeds)
        targets = np.repeat(data.targets[None], len(self.seeds), axis=0)
        on_test = map_on(division.test, data.targets)
        on_train = [map_on(rows, data.targets) for rows in division.initial]

        def evaluate(learner: Learner, model) -> dict[str, np.ndarray]:
            train = [on_own(learner, model)["map"][member] for member, on_own in enumerate(on_train)]
            return {"train": np.array(train), "validation": on_test(learner, model)["map"]}

        learner = self.learner(protocol.epochs)
        recipe = self.recipe(protocol.longer_epochs, evaluate_every=1)
        return Result(arrays=_by_epoch(learner.fit(division.initial, targets, evaluate=evaluate, recipe=recipe)))


class LikelihoodRun(MultiALRun):
    """Tables 1 to 3: clean and wrong pool images by D1 and by D2, after the initial training.

    Arrays `d1_clean`, `d1_wrong`, `d2_clean`, `d2_wrong`: (M, bins). Of one image of the first seed that has a picture
    and two or more conflicts: `example_row`, `example_given` and `example_probabilities` (K,), and `example_features`
    (D,) and `example_weights` (K, D) of the last layer.
    """

    noise: float

    def seconds(self) -> float:
        return self.trained_seconds(self.protocol.initial * self.protocol.epochs) + len(self.seeds)

    def compute(self, inputs: Sequence[Result]) -> Result:
        data, protocol = load_task(self.task), self.protocol
        division = divide(data, protocol, self.seeds)
        given = noisy_labels(data, division.pool, self.noise, self.seeds)
        learner = self.learner(protocol.epochs)
        learner.fit(division.initial, given)
        arrays: dict[str, list] = {f"{name}_{kind}": [] for name in ("d1", "d2") for kind in ("clean", "wrong")}
        for member, rows in enumerate(division.pool):
            found = learner.predict(rows, features=True)
            features = (found.features if found.features.ndim == 2 else found.features[member]).numpy()
            probabilities, labels = found.probabilities[member].numpy(), given[member, rows]
            weights, wrong = learner.last_weights()[member], (labels != data.targets[rows]).any(axis=1)
            likelihoods = {
                "d1": mislabelling_likelihood(probabilities, labels),
                "d2": feature_mislabelling_likelihood(probabilities, labels, weights, features),
            }
            for name, likelihood in likelihoods.items():
                counts = count_by_likelihood(likelihood, wrong, bins=BINS)
                arrays[f"{name}_clean"].append(counts.clean)
                arrays[f"{name}_wrong"].append(counts.wrong)
            if member == 0:
                example = _example(data, rows, labels, probabilities, features, weights)
        return Result(arrays={name: np.array(counts) for name, counts in arrays.items()} | example)


def _example(data: TaskData, rows, labels, probabilities, features, weights) -> dict[str, np.ndarray]:
    """A swapped image that can be shown, the first with two lost labels (or one, or any)."""
    lost = (data.targets[rows] > labels).sum(axis=1) * np.isin(rows, list(data.pictures))
    place = int(np.argmax((lost >= 2) * 2 + (lost == 1)))
    return {
        "example_row": np.array([rows[place]]),
        "example_given": labels[place],
        "example_probabilities": probabilities[place],
        "example_features": features[place],
        "example_weights": weights.copy(),
    }


def _by_epoch(history: list[dict]) -> dict[str, np.ndarray]:
    """Name -> (M, evaluations)."""
    return {name: np.array([row[name] for row in history]).T for name in history[0] if name != "epoch"}


def _shares(mask: np.ndarray, rows: Sequence[np.ndarray]) -> np.ndarray:
    """(M, iterations): of the rows (M, number) of every iteration, the share inside the member's mask (M, N)."""
    if rows[0].shape[1] == 0:
        return np.empty((len(mask), 0))
    return np.stack([np.take_along_axis(mask, own, axis=1).mean(axis=1) for own in rows], axis=1)
