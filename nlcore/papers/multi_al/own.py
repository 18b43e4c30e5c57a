"""Strategies of one's own: they choose what the expert relabels, without Safe mode, where the paper's would."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import model_validator

from nlcore.generators import generator
from nlcore.papers.multi_al.protocol import PAPER
from nlcore.papers.multi_al.runs import ActiveLearningRun, MultiALRun, WholeSetRun
from nlcore.papers.multi_al.words import MAP, SERIES
from nlcore.papers.own import OwnMethod, OwnRun, Role
from nlcore.papers.small_pool import small_pool
from nlcore.papers.together import results_of, seeds_of
from nlcore.report.words import percent
from nlcore.runs import Result, Spec, Work, scratch_folder
from nlcore.training.active import Budget, PoolView, run_active_learning
from nlcore.training.learners import map_on, moved_maps

if TYPE_CHECKING:
    from nlcore.papers.multi_al.study import Study

BESIDE = SERIES | {"asl": "ASL on the noisy pool"}


def are_places(found: Any, view: PoolView, number: int) -> bool:
    """Whether these are so many places in a pool, each once."""
    places = np.asarray(found)
    fits = places.shape == (number,) and np.issubdtype(places.dtype, np.integer)
    return fits and len(np.unique(places)) == number and bool(np.isin(places, np.arange(len(view.rows))).all())


ROLE = Role(
    kind="selection strategy",
    takes="view, number",
    gives="`number` places in view.rows, whole numbers, each once",
    example=lambda: (small_pool(0), 4),
    fits=are_places,
)


class OwnStrategyRun(OwnRun, ActiveLearningRun):
    """A strategy of one's own at one noise level; `strategy` is its name. Arrays as of the paper's, without Safe."""

    noise: float

    @model_validator(mode="after")
    def _one_spec_for_one_result(self) -> OwnStrategyRun:
        """It may look at the given labels: each level is a run."""
        return self

    def work(self) -> Work:
        shared = {name: getattr(self, name) for name in MultiALRun.model_fields}
        return ActiveLearningRun(**shared, noise=None, strategy="random").work()

    def steps(self) -> tuple[()]:
        """Nothing else decides how its steps go."""
        return ()

    @classmethod
    def compute_together(cls, specs: Sequence[OwnStrategyRun], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """As for the paper's strategies (`ActiveLearningRun`): of the same seed all is the same but what is chosen."""
        protocol, truth = specs[0].protocol, specs[0].source.load().targets
        split, given = cls.labelled(specs)
        learner = cls.learner(specs, protocol.epochs)
        history = run_active_learning(
            learner,
            given=given,
            true=truth,
            initial=split.initial,
            pool=split.pool,
            budget=Budget(protocol.budget, protocol.batch),
            strategies=[partial(ROLE.call, spec.own) for spec in specs for _ in spec.seeds],
            rngs=[generator(PAPER, "strategy", seed) for seed in seeds_of(specs)],
            evaluate=map_on(split.test, truth),
            checkpoint=scratch_folder(),
        )
        moved = moved_maps(learner, split.test, truth)
        return results_of(specs, {**history.metrics, **moved, "chosen": history.chosen.astype(np.int32)})


def beside(spec: Spec, method: OwnMethod) -> OwnStrategyRun | None:
    """The run that goes with plain ASL on a noisy pool; none with any other."""
    plain = isinstance(spec, WholeSetRun) and not spec.protocol.reading and not spec.mixup
    if not (plain and spec.noise > 0 and (spec.start, spec.beside) == ("imagenet", "nothing")):
        return None
    shared = {name: getattr(spec, name) for name in MultiALRun.model_fields}
    return OwnStrategyRun(**shared, noise=spec.noise, strategy=method.function, own=method)


def compared(study: Study) -> pd.DataFrame:
    """Final mAP of every strategy and of plain ASL, by noise: what a strategy of one's own is held against."""
    final = study.in_draws().melt(var_name="method", ignore_index=False).reset_index()
    return final.assign(metric=MAP, at=[f"{percent(noise)} %" for noise in final.noise])
