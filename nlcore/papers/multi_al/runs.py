"""The paper's experiments as runs: active learning, plain ASL, the initial classifier, and what D1 and D2 tell apart.

A run trains the members of a stack side by side, one per seed, and several runs share a pass; on images it is one seed
at a time. A seed decides the division, the noise, the first weights and the order of the images, whatever the strategy:
results are paired.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
from pydantic import model_validator
from torch import nn

from nlcore.data.division import ActiveSplit
from nlcore.data.network import for_source, make_learner
from nlcore.data.source import Images, Source
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.losses import asymmetric_gradient
from nlcore.noise import swap_labels
from nlcore.papers.multi_al.protocol import BINS, PAPER, Beside, Protocol, Start
from nlcore.papers.multi_al.strategies import STRATEGIES
from nlcore.papers.together import SharedPass, by_evaluation, fastest_stack, given_labels, results_of, seeds_of
from nlcore.papers.work import training_work
from nlcore.runs import Result, Spec, Work, checkpoint_file, once, scratch_folder
from nlcore.scorers.mislabelling import (
    count_by_likelihood,
    feature_mislabelling_likelihood,
    mislabelling_likelihood,
)
from nlcore.training import Recipe
from nlcore.training.active import Budget, SafeMode, named, run_active_learning
from nlcore.training.learners import Learner, map_on, moved_maps
from nlcore.training.mixup import with_mixup


def divide(images: Images, protocol: Protocol, seeds: Sequence[int]) -> ActiveSplit:
    """Set a share aside, take the initial images from it, and the pool from the rest.

    Raises:
        InputError: too few images were set aside for the initial set.
    """
    initial, pool = [], []
    for seed in seeds:
        rows = generator(PAPER, "division", seed).permutation(images.train)
        aside = int(protocol.set_aside * len(rows) + 1e-9)  # 6,526 of 65,268, which leaves a pool of 23,497
        if aside < protocol.initial:
            raise InputError(f"set_aside {protocol.set_aside}: {aside} images; expected {protocol.initial} or more")
        initial.append(rows[: protocol.initial])
        pool.append(np.sort(rows[aside:][: round(protocol.pool_share * (len(rows) - aside))]))
    tested = generator(PAPER, "test").permutation(images.test)[: round(protocol.test_share * len(images.test))]
    return ActiveSplit(np.stack(initial), np.stack(pool), np.sort(tested))


def noisy_labels(images: Images, pool: np.ndarray, noise: float, seeds: Sequence[int]) -> np.ndarray:
    """(M, N, K): the true labels, of which a fraction `noise` is swapped among the images of each pool."""
    given = np.repeat(images.targets[None], len(seeds), axis=0)
    for member, seed in enumerate(seeds):
        rows = pool[member]
        given[member, rows] = swap_labels(images.targets[rows], noise, generator(PAPER, "noise", noise, seed))
    return given


class MultiALRun(Spec):
    """What all runs of this paper share."""

    source: Source
    protocol: Protocol
    seeds: tuple[int, ...]

    def data_fingerprint(self) -> str:
        return once(Source.fingerprint, self.source)

    def most_together(self) -> int:
        """With a bound on the D1 of Safe images each run has other numbers of them, and other steps."""
        return fastest_stack(self) if self.protocol.safe_below is None else 1

    def recipe(self, epochs: int, **changes: Any) -> Recipe:
        """The paper's: Adam, a schedule from the learning rate down to a hundredth of it."""
        protocol = self.protocol
        settings = {
            "epochs": epochs,
            "batch_size": protocol.batch_size,
            "learning_rate": protocol.learning_rate,
            "weight_decay": protocol.weight_decay,
            "schedule": "linear",
            "evaluate_every": epochs,
        }
        return for_source(self.source, Recipe(**settings | changes))

    @staticmethod
    def learner(specs: Sequence[MultiALRun], epochs: int, start: Start = "imagenet") -> Learner:
        """A fresh learner with one member per run and seed.

        With `clean_coco` it has been trained on clean labels of all training images before.
        """
        first, seeds = specs[0], seeds_of(specs)
        learner = make_learner(first.source, first.recipe(epochs), paper=PAPER, seeds=seeds)
        if start == "clean_coco":
            images = first.source.load()
            rows, targets = (np.repeat(one[None], len(seeds), axis=0) for one in (images.train, images.targets))
            recipe = first.recipe(first.protocol.pretraining_epochs)
            learner.fit(rows, targets, recipe=recipe, checkpoint=checkpoint_file("pretraining"))
        return learner

    @staticmethod
    def labelled(specs: Sequence[ActiveLearningRun | WholeSetRun]) -> tuple[ActiveSplit, np.ndarray]:
        """The division, and the labels (M, N, K) that each run's noise leaves; members as in `learner`."""
        first, images = specs[0], specs[0].source.load()
        split = divide(images, first.protocol, seeds_of(specs))
        return split, given_labels(specs, split.pool, partial(noisy_labels, images))

    def pool_size(self) -> int:
        """About how many images a pool holds."""
        return round(self.protocol.pool_share * (1 - self.protocol.set_aside) * self.source.sizes()[0])

    def test_size(self) -> int:
        """About how many images are tested on."""
        return round(self.protocol.test_share * self.source.sizes()[1])

    def work_of(self, trained: float, looked_at: float) -> Work:
        """To train every seed on so many images and to predict so many."""
        return training_work(self.source, len(self.seeds) * trained, len(self.seeds) * looked_at)


class ActiveLearningRun(SharedPass, MultiALRun):
    """One strategy, from the initial classifier to the end of the budget.

    `noise` is None for the strategies that never look at the labels the pool was given: they are the same at every
    level. Arrays: `map` and `map_without_person` (M, trainings, evaluations), fractions; `chosen` (M, iterations,
    batch), rows in the order of choice; `safe` (M, number), rows of all iterations' Safe images one after the other,
    and `safe_sizes` (iterations,), how many each iteration had. `..._moved` (M, draws): by how much draws of the test
    images move these metrics of the last model.
    """

    noise: float | None
    strategy: str
    start: Start = "imagenet"
    safe_kept: bool = False

    @model_validator(mode="after")
    def _one_spec_for_one_result(self) -> ActiveLearningRun:
        if (self.noise is None) == named(self.strategy, STRATEGIES).sees_given_labels:
            looks = "looks" if self.noise is None else "never looks"
            expected = "a fraction" if self.noise is None else "None"
            raise InputError(f"noise {self.noise}: {self.strategy} {looks} at the given labels; expected {expected}")
        if self.protocol.safe_below is not None and len(self.seeds) > 1:
            raise InputError(f"seeds {self.seeds}: Safe has a bound, its images differ in number; expected one seed")
        return self

    def work(self) -> Work:
        protocol, iterations = self.protocol, self.protocol.budget // self.protocol.batch
        safe = protocol.safe_step if named(self.strategy, STRATEGIES).safe else 0
        trained = protocol.epochs * sum(protocol.initial + i * (protocol.batch + safe) for i in range(iterations + 1))
        if self.start == "clean_coco":
            trained += protocol.pretraining_epochs * self.source.sizes()[0]
        return self.work_of(trained, (iterations + 1) * self.test_size() + iterations * self.pool_size())

    def steps(self) -> tuple[Hashable, ...]:
        """In Safe mode there are more images; another start is another training before."""
        safe = named(self.strategy, STRATEGIES).safe
        return self.start, safe, safe and self.safe_kept

    @classmethod
    def compute_together(cls, specs: Sequence[ActiveLearningRun], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """Multi-AL and its baselines (Section 3, Fig. 3).

        1. Divide into clean initial images, pool and test images; swap a fraction `noise` of the pool's labels.
        2. Train with ASL on the initial images.
        3. Let the strategy choose a batch from the pool: by entropy (Eqs. 8 and 9), by conflict informativeness (Eqs. 3
           to 7), or at random. The expert gives it its true labels, and it leaves the pool.
        4. In Safe mode, pick from what is left the images of the lowest D1 (Eqs. 1 and 2); their number grows.
        5. Train on from where the weights are, on all that is relabelled and on the Safe images with the labels they
           have. Back to 3 until the budget is spent.

        mAP on the test images is taken at the end of each training.
        """
        first, ways = specs[0], [named(spec.strategy, STRATEGIES) for spec in specs]
        protocol, truth = first.protocol, first.source.load().targets
        split, given = cls.labelled(specs)
        learner = cls.learner(specs, protocol.epochs, first.start)
        history = run_active_learning(
            learner,
            given=given,
            true=truth,
            initial=split.initial,
            pool=split.pool,
            budget=Budget(protocol.budget, protocol.batch),
            strategies=[way.make(protocol) for way, spec in zip(ways, specs, strict=True) for _ in spec.seeds],
            rngs=[generator(PAPER, "strategy", seed) for seed in seeds_of(specs)],
            evaluate=map_on(split.test, truth),
            safe=SafeMode(protocol.safe_step, first.safe_kept, protocol.safe_below) if ways[0].safe else None,
            checkpoint=scratch_folder(),
        )
        moved = moved_maps(learner, split.test, truth)
        arrays = {**history.metrics, **moved, "chosen": history.chosen.astype(np.int32)}
        return [_with_sizes(own, history.safe) for own in results_of(specs, arrays | _safe_rows(history.safe))]


class WholeSetRun(SharedPass, MultiALRun):
    """Plain ASL on the whole noisy pool, by its own recipe, at one noise level; 0 is the clean reference.

    `beside` names clean images that it is given with the pool, `mixup` whether it trains on mixtures of two images.
    Arrays `map` and `map_without_person`: (M, epochs), fractions; and where the clean initial images are not trained
    on, `held_out`: mAP on these, by which a training could be stopped without looking at the test images. `..._moved`
    as of `ActiveLearningRun`.
    """

    noise: float
    start: Start = "imagenet"
    beside: Beside = "nothing"
    mixup: bool = False

    @model_validator(mode="after")
    def _one_change_at_a_time(self) -> WholeSetRun:
        if (self.start != "imagenet") + (self.beside != "nothing") + self.mixup > 1:
            found = f"start {self.start!r}, beside {self.beside!r}, mixup {self.mixup}"
            raise InputError(f"baseline: {found}; expected at most one to be changed")
        return self

    def work(self) -> Work:
        epochs = self.protocol.whole_epochs
        looked_at = self.test_size() + self.protocol.initial * (self.beside == "nothing")
        return self.work_of(epochs * self.pool_size(), epochs * looked_at)

    def steps(self) -> tuple[Hashable, ...]:
        """Another start is another training before; clean images beside the pool and mixtures are other steps."""
        return self.start, self.beside != "nothing", self.mixup

    @classmethod
    def compute_together(cls, specs: Sequence[WholeSetRun], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """The baseline of Figs. 2 and 10.

        1. Divide, and swap a fraction `noise` of the pool's labels, as for the strategies of the same seed. Where the
           baseline is given clean images beside the pool, add them.
        2. Train with ASL on all of these; mAP on the test images is taken every epoch. The learning rate follows one
           cycle over `whole_schedule_epochs`, left after `whole_epochs`: the public ASL script stops before its cycle
           ends.
        """
        first, truth = specs[0], specs[0].source.load().targets
        split, given = cls.labelled(specs)
        learner = cls.learner(specs, first.protocol.epochs, first.start)
        if first.mixup:
            rngs = [generator(PAPER, "mixup", seed) for seed in seeds_of(specs)]
            learner = with_mixup(learner, rngs, asymmetric_gradient)
        recipe = first.recipe(
            first.protocol.whole_epochs,
            schedule="one_cycle",
            schedule_epochs=first.protocol.whole_schedule_epochs,
            evaluate_every=1,
        )
        on_test, on_initial = map_on(split.test, truth), map_on(split.initial, truth)

        def evaluate(learner: Learner, model: nn.Module) -> dict[str, np.ndarray]:
            held_out = {"held_out": on_initial(learner, model)["map"]} if first.beside == "nothing" else {}
            return {**on_test(learner, model), **held_out}

        history = learner.fit(
            *cls._with_clean_images(specs, split, given, truth),
            evaluate=evaluate,
            recipe=recipe,
            checkpoint=checkpoint_file(),
        )
        return results_of(specs, by_evaluation(history) | moved_maps(learner, split.test, truth))

    @staticmethod
    def _with_clean_images(
        specs: Sequence[WholeSetRun], split: ActiveSplit, given: np.ndarray, truth: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows (M, n) that each member trains on, and its labels (M, N, K), in place."""
        beside = [spec.beside for spec in specs for _ in spec.seeds]
        budget = specs[0].protocol.budget
        for member, seed in enumerate(seeds_of(specs)):
            if beside[member] == "relabelled":
                rows = generator(PAPER, "relabelled", seed).permutation(split.pool[member])[:budget]
                given[member, rows] = truth[rows]
        rows = split.pool if beside[0] == "nothing" else np.concatenate([split.initial, split.pool], axis=1)
        return rows, given


class InitialRun(MultiALRun):
    """Fig. 6: the classifier on the clean initial images, trained longer than it will be.

    Arrays `train` and `validation`: (M, epochs) mAP, fractions.
    """

    def work(self) -> Work:
        trained = self.protocol.initial * self.protocol.longer_epochs
        return self.work_of(trained, trained + self.protocol.longer_epochs * self.test_size())

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Fig. 6.

        1. Divide as for the strategies of the same seed.
        2. Train with ASL on the initial images, for longer than a strategy does. mAP on these and on the test images is
           taken every epoch.
        """
        images, protocol = self.source.load(), self.protocol
        split = divide(images, protocol, self.seeds)
        targets = np.repeat(images.targets[None], len(self.seeds), axis=0)
        on_test, on_train = map_on(split.test, images.targets), map_on(split.initial, images.targets)

        def evaluate(learner: Learner, model: nn.Module) -> dict[str, np.ndarray]:
            return {"train": on_train(learner, model)["map"], "validation": on_test(learner, model)["map"]}

        learner = self.learner([self], protocol.epochs)
        recipe = self.recipe(protocol.longer_epochs, evaluate_every=1)
        fitting = {"evaluate": evaluate, "recipe": recipe, "checkpoint": checkpoint_file()}
        return Result(arrays=by_evaluation(learner.fit(split.initial, targets, **fitting)))


class LikelihoodRun(MultiALRun):
    """Tables 1 to 3: clean and wrong pool images by D1 and by D2, after the initial training.

    Arrays `d1_clean`, `d1_wrong`, `d2_clean`, `d2_wrong`: (M, bins). Of one image of the first seed that has a picture
    and two or more conflicts: `example_row`, `example_given` and `example_probabilities` (K,), and `example_features`
    (D,) and `example_weights` (K, D) of the last layer.
    """

    noise: float
    start: Start = "imagenet"

    def work(self) -> Work:
        before = self.protocol.pretraining_epochs * self.source.sizes()[0] if self.start == "clean_coco" else 0
        return self.work_of(before + self.protocol.initial * self.protocol.epochs, self.pool_size())

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Tables 1 to 3, and the image of Figs. 1, 4 and 5.

        1. Divide, swap a fraction `noise` of the pool's labels, and train with ASL on the initial images, as for the
           strategies of the same seed.
        2. Predict the pool; give each of its images D1 (Eqs. 1 and 2) and D2 (Eqs. 3 to 5 and 11).
        3. Count, by interval of each, the images whose labels are all true and the others.
        """
        images, protocol = self.source.load(), self.protocol
        split = divide(images, protocol, self.seeds)
        given = noisy_labels(images, split.pool, self.noise, self.seeds)
        learner = self.learner([self], protocol.epochs, self.start)
        learner.fit(split.initial, given, checkpoint=checkpoint_file())
        arrays: dict[str, list] = {f"{name}_{kind}": [] for name in ("d1", "d2") for kind in ("clean", "wrong")}
        for member, rows in enumerate(split.pool):
            found = learner.predict(rows, features=True)
            features = (found.features if found.features.ndim == 2 else found.features[member]).numpy()
            probabilities, labels = found.probabilities[member].numpy(), given[member, rows]
            weights, wrong = learner.last_weights()[member], (labels != images.targets[rows]).any(axis=1)
            likelihoods = {
                "d1": mislabelling_likelihood(probabilities, labels),
                "d2": feature_mislabelling_likelihood(probabilities, labels, weights, features),
            }
            for name, likelihood in likelihoods.items():
                counts = count_by_likelihood(likelihood, wrong, bins=BINS)
                arrays[f"{name}_clean"].append(counts.clean)
                arrays[f"{name}_wrong"].append(counts.wrong)
            if member == 0:
                example = _example(images, rows, labels, probabilities, features, weights)
        return Result(arrays={name: np.array(counts) for name, counts in arrays.items()} | example)


def _example(images: Images, rows, labels, probabilities, features, weights) -> dict[str, np.ndarray]:
    """A swapped image that can be shown, the first with two lost labels (or one, or any)."""
    lost = (images.targets[rows] > labels).sum(axis=1) * np.isin(rows, list(images.pictures))
    place = int(np.argmax((lost >= 2) * 2 + (lost == 1)))
    return {
        "example_row": np.array([rows[place]]),
        "example_given": labels[place],
        "example_probabilities": probabilities[place],
        "example_features": features[place],
        "example_weights": weights.copy(),
    }


def _safe_rows(safe: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Array `safe` of `ActiveLearningRun`, of all members; none without Safe mode."""
    return {"safe": np.concatenate(safe, axis=1).astype(np.int32)} if any(rows.size for rows in safe) else {}


def _with_sizes(result: Result, safe: Sequence[np.ndarray]) -> Result:
    """With `safe_sizes`, where there is a `safe`."""
    sizes = {"safe_sizes": np.array([rows.shape[1] for rows in safe])} if "safe" in result.arrays else {}
    return Result(arrays={**result.arrays, **sizes})
