"""The paper's experiments as runs: Algorithm 1 with every measure, and ASL on the whole partly labelled set.

A run trains the members of a stack side by side, one per seed, and several runs share a pass; on images it is one seed
at a time. A seed decides the division, the noise, the first weights, the order of the images and how ties are broken,
whatever the measure: results are paired.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
from pydantic import model_validator

from nlcore.data.division import ActiveSplit
from nlcore.data.network import for_source, make_learner
from nlcore.data.source import Images, Source
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.losses import asymmetric_loss_raw, large_loss_gradient
from nlcore.metrics.resampling import MOVED
from nlcore.noise import hide_labels
from nlcore.papers.missing_label_al.measures import MEASURES, Choice, Combination, canonical, strategy_of
from nlcore.papers.missing_label_al.protocol import (
    DEFAULT_SHARE,
    LARGE_LOSS_STEP,
    PAPER,
    Baseline,
    Beside,
    Protocol,
    UnknownAs,
)
from nlcore.papers.together import SharedPass, by_evaluation, fastest_stack, given_labels, results_of, seeds_of
from nlcore.papers.work import training_work
from nlcore.runs import Result, Spec, Work, checkpoint_file, once, scratch_folder
from nlcore.scorers.missing_ratio import relabelling_cost
from nlcore.training import Recipe
from nlcore.training.active import Budget, Strategy, run_active_learning
from nlcore.training.gradients import closed_form
from nlcore.training.learners import ASYMMETRIC, MAPS, ByEpoch, Learner, Loss, map_on, moved_maps


def divide(images: Images, protocol: Protocol, seeds: Sequence[int]) -> ActiveSplit:
    """A clean part, and a pool of all other training images.

    Raises:
        InputError: no image is left for one of them.
    """
    number = round(protocol.clean_share * (len(images.train) + len(images.test)))
    if not 0 < number < len(images.train):
        raise InputError(
            f"clean_share {protocol.clean_share}: {number} images; expected 1 to {len(images.train) - 1}, "
            "so that some training images are left for the pool"
        )
    orders = [generator(PAPER, "division", seed).permutation(images.train) for seed in seeds]
    clean, pool = ([np.sort(rows[part]) for rows in orders] for part in (slice(number), slice(number, None)))
    return ActiveSplit(np.stack(clean), np.stack(pool), images.test)


def partial_labels(images: Images, pool: np.ndarray, noise: float, seeds: Sequence[int]) -> np.ndarray:
    """(M, N, K): the true labels, of which a fraction `noise` of the cells of each pool (M, P) is -1."""
    given = np.repeat(images.targets[None].astype(np.int8), len(seeds), axis=0)
    for member, seed in enumerate(seeds):
        rows = pool[member]
        given[member, rows] = hide_labels(images.targets[rows], noise, generator(PAPER, "noise", noise, seed))
    return given


class MissingLabelRun(SharedPass, Spec):
    """What all runs of this paper share."""

    source: Source
    protocol: Protocol
    seeds: tuple[int, ...]

    def data_fingerprint(self) -> str:
        return once(Source.fingerprint, self.source)

    def most_together(self) -> int:
        return fastest_stack(self)

    def recipe(self, epochs: int, **changes: Any) -> Recipe:
        """ASL's recipe with the paper's batch of 16; the schedule falls to a hundredth within a training."""
        protocol = self.protocol
        settings = {
            "epochs": epochs,
            "batch_size": protocol.batch_size,
            "learning_rate": protocol.learning_rate,
            "weight_decay": protocol.weight_decay,
            "schedule": "linear",
        }
        return for_source(self.source, Recipe(**settings | changes))

    @classmethod
    def learner(cls, specs: Sequence[MissingLabelRun], **options: Any) -> Learner:
        """A fresh learner with one member per run and seed; `options` as for `make_learner`."""
        first, seeds = specs[0], seeds_of(specs)
        recipe = first.recipe(first.protocol.epochs)
        return make_learner(first.source, recipe, paper=PAPER, seeds=seeds, **options)

    @staticmethod
    def labelled(specs: Sequence[MissingLabelRun]) -> tuple[ActiveSplit, np.ndarray]:
        """The division, and the labels (M, N, K) that each run's noise leaves; members as in `learner`."""
        first, images = specs[0], specs[0].source.load()
        split = divide(images, first.protocol, seeds_of(specs))
        return split, given_labels(specs, split.pool, partial(partial_labels, images))

    def clean_size(self) -> int:
        """About how many images are clean from the start."""
        return round(self.protocol.clean_share * sum(self.source.sizes()))

    def pool_size(self) -> int:
        """About how many images a pool holds."""
        return self.source.sizes()[0] - self.clean_size()

    def work_of(self, trained: float, looked_at: float) -> Work:
        """To train every seed on so many images and to predict so many."""
        return training_work(self.source, len(self.seeds) * trained, len(self.seeds) * looked_at)


class MeasureRun(MissingLabelRun):
    """Algorithm 1 with one measure at one noise level, as its canonical choice (see `canonical`).

    Arrays: `map` and `map_without_person` (M, trainings, epochs), fractions; `map_moved` and
    `map_without_person_moved` (M, trainings, draws), by how much draws of the test images move these of a training's
    last epoch; `chosen` (M, iterations, batch), rows in the order of choice.
    """

    noise: float | None
    measure: str
    hard_share: float = DEFAULT_SHARE
    combination: Combination = "ties"

    @property
    def choice(self) -> Choice:
        """What decides which images it completes."""
        return Choice(self.measure, self.noise, self.hard_share, self.combination)

    @model_validator(mode="after")
    def _one_spec_for_one_result(self) -> MeasureRun:
        expected = canonical(self.choice, alike_up_to=self.protocol.alike_up_to)
        if self.choice != expected:
            raise InputError(f"{self.choice}: gives what another choice gives; expected that one, {expected}")
        return self

    def work(self) -> Work:
        protocol, iterations = self.protocol, self.protocol.budget // self.protocol.batch
        trained = protocol.epochs * sum(self.clean_size() + i * protocol.batch for i in range(iterations + 1))
        tested = protocol.epochs * (iterations + 1) * self.source.sizes()[1]
        return self.work_of(trained, tested + MEASURES[self.measure].entropy * iterations * self.pool_size())

    @classmethod
    def compute_together(cls, specs: Sequence[MeasureRun], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """Algorithm 1.

        1. Divide into clean images, pool and test images; hide a fraction `noise` of the pool's labels (Section 4).
        2. Train with ASL (Eqs. 1 to 3) on the clean images.
        3. Let the measure choose a batch from the pool: by unknown to known labels (Medium, Eq. 4; Hard, Eq. 5), by
           the entropy of the model's predictions (Eq. 6), by both, or at random.
        4. The expert completes the batch, which leaves the pool; train on from where the weights are, on all that is
           complete. Back to 3 until the budget is spent.

        mAP on the test images is taken after every epoch. Increase per label (Eq. 7) is left to the study.
        """
        first, truth = specs[0], specs[0].source.load().targets
        split, given = cls.labelled(specs)
        for spec, own, pool in zip(specs, *(np.split(part, len(specs)) for part in (given, split.pool)), strict=True):
            spec._check_alike(own, pool)
        learner = cls.learner(specs)
        history = run_active_learning(
            learner,
            given=given,
            true=truth,
            initial=split.initial,
            pool=split.pool,
            budget=Budget(first.protocol.budget, first.protocol.batch),
            strategies=[spec.strategy() for spec in specs for _ in spec.seeds],
            rngs=[generator(PAPER, "strategy", seed) for seed in seeds_of(specs)],
            evaluate=map_on(split.test, truth),
            at_end=lambda learner: np.stack(list(moved_maps(learner, split.test, truth).values()), axis=1),
            checkpoint=scratch_folder(),
        )
        moved = {name + MOVED: history.ends[:, :, place] for place, name in enumerate(MAPS)}
        return results_of(specs, {**history.metrics, **moved, "chosen": history.chosen.astype(np.int32)})

    def strategy(self) -> Strategy:
        """What chooses from a pool."""
        return strategy_of(self.measure, combination=self.combination, hard_share=self.hard_share)

    def _check_alike(self, given: np.ndarray, pool: np.ndarray) -> None:
        """Where this run stands for measures that rank alike: no image of a pool lacks more than half of its labels."""
        if self.noise is None or self.noise > self.protocol.alike_up_to:
            return
        lacking = max(int(relabelling_cost(own[rows]).max()) for own, rows in zip(given, pool, strict=True))
        if 2 * lacking > given.shape[2]:
            raise InputError(
                f"alike_up_to {self.protocol.alike_up_to}: at noise {self.noise} an image lacks {lacking} of its "
                f"{given.shape[2]} labels, so that Hard and Medium differ; expected a bound below {self.noise}"
            )


class WholeSetRun(MissingLabelRun):
    """Plain ASL on the whole partly labelled pool, `unknown_as` saying what becomes of -1; without noise: masked.

    `beside` adds the clean images to the pool; `loss` is another one, which counts what is unknown as absent. Arrays
    `map` and `map_without_person`: (M, evaluations), fractions; `..._moved` (M, draws), of the last model.
    """

    noise: float
    unknown_as: UnknownAs
    beside: Beside = "nothing"
    loss: Baseline = "asl"

    @model_validator(mode="after")
    def _one_spec_for_one_result(self) -> WholeSetRun:
        if self.noise == 0 and self.unknown_as != "masked":
            raise InputError(f"unknown_as {self.unknown_as!r}: nothing is unknown at noise 0; expected 'masked'")
        if self.loss != "asl" and self.unknown_as != "negative":
            raise InputError(f"unknown_as {self.unknown_as!r}: {self.loss} counts it as absent; expected 'negative'")
        return self

    def work(self) -> Work:
        epochs = self.protocol.whole_epochs
        trained = self.pool_size() + self.clean_size() * (self.beside == "initial")
        return self.work_of(epochs * trained, self.source.sizes()[1])

    def steps(self) -> tuple[Hashable, ...]:
        """Each form of the loss goes by itself, and so does a set of another size."""
        return self.unknown_as == "raw", self.beside, self.loss

    @classmethod
    def compute_together(cls, specs: Sequence[WholeSetRun], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """The baseline of Figs. 2 and 6b.

        1. Divide, and hide a fraction `noise` of the pool's labels, as for the measures of the same seed.
        2. Train with ASL (Eqs. 1 to 3) on the whole pool, by its own schedule. Its loss is given -1 as it is (raw), 0
           instead (negative), or no such cell (masked).

        mAP on the test images is taken at the end.
        """
        first, truth = specs[0], specs[0].source.load().targets
        split, given = cls.labelled(specs)
        for spec, own in zip(specs, np.split(given, len(specs)), strict=True):
            if spec.unknown_as == "negative" and spec.loss == "asl":
                np.maximum(own, 0, out=own)
        settings = {
            "schedule": "one_cycle",
            "schedule_epochs": first.protocol.whole_schedule_epochs,
            "evaluate_every": first.protocol.whole_epochs,
        }
        rows = split.pool if first.beside == "nothing" else np.concatenate([split.initial, split.pool], axis=1)
        learner = cls.learner(specs, loss=first.own_loss())
        history = learner.fit(
            rows,
            given,
            evaluate=map_on(split.test, truth),
            recipe=first.recipe(first.protocol.whole_epochs, **settings),
            checkpoint=checkpoint_file(),
        )
        return results_of(specs, by_evaluation(history) | moved_maps(learner, split.test, truth))

    def own_loss(self) -> Loss:
        """What it trains with; the share of large losses grows from epoch to epoch."""
        if self.loss == "asl":
            return asymmetric_loss_raw if self.unknown_as == "raw" else ASYMMETRIC
        corrected = self.loss == "ll-ct"
        return ByEpoch(
            lambda epoch: closed_form(
                partial(large_loss_gradient, share=min(LARGE_LOSS_STEP * epoch, 1.0), corrected=corrected)
            )
        )
