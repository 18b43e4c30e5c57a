"""Measures of one's own: a number for every image of the pool; those with the highest are completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import model_validator

from nlcore.papers.missing_label_al.runs import MeasureRun, MissingLabelRun, WholeSetRun
from nlcore.papers.missing_label_al.words import ASL_SERIES, MAP, SERIES
from nlcore.papers.own import OwnMethod, OwnRun, Role
from nlcore.papers.small_pool import small_pool
from nlcore.report.draws import DRAW, MOVED, in_draws
from nlcore.report.words import percent
from nlcore.runs import Spec, Work
from nlcore.scorers.missing_ratio import select_batch
from nlcore.training.active import PoolView, Strategy

if TYPE_CHECKING:
    from nlcore.papers.missing_label_al.study import Study

BESIDE = SERIES | ASL_SERIES


def are_numbers(found: Any, view: PoolView) -> bool:
    """Whether these are a number for every image of a pool."""
    values = np.asarray(found, float)
    return values.shape == (len(view.rows),) and not np.isnan(values).any()


ROLE = Role(
    kind="measure",
    takes="view",
    gives="a number for each image of view.rows, the highest to be completed first",
    example=lambda: (small_pool(-1),),
    fits=are_numbers,
)


class OwnMeasureRun(OwnRun, MeasureRun):
    """A measure of one's own at one noise level; `measure` is its name. Arrays as of the paper's."""

    noise: float

    @model_validator(mode="after")
    def _one_spec_for_one_result(self) -> OwnMeasureRun:
        """It stands for no other measure."""
        return self

    def work(self) -> Work:
        shared = {name: getattr(self, name) for name in MissingLabelRun.model_fields}
        return MeasureRun(**shared, noise=None, measure="entropy").work()

    def strategy(self) -> Strategy:
        """The highest first; ties at random, by the same draws as the paper's measures."""

        def choose(view: PoolView, number: int) -> np.ndarray:
            values = np.asarray(ROLE.call(self.own, view), float)
            return select_batch(view.labels, number, measure="entropy", entropy=values, rng=view.rng)

        return choose

    def _check_alike(self, given: np.ndarray, pool: np.ndarray) -> None:
        """It stands for no other measure."""


def beside(spec: Spec, method: OwnMethod) -> OwnMeasureRun | None:
    """The run that goes with plain ASL on a partly labelled pool, in one of its readings; none with any other."""
    plain = isinstance(spec, WholeSetRun) and (spec.beside, spec.loss, spec.unknown_as) == ("nothing", "asl", "raw")
    if not (plain and spec.noise > 0):
        return None
    shared = {name: getattr(spec, name) for name in MissingLabelRun.model_fields}
    return OwnMeasureRun(**shared, noise=spec.noise, measure=method.function, own=method)


def compared(study: Study) -> pd.DataFrame:
    """Final mAP of every measure and of plain ASL, by noise: what a measure of one's own is held against."""
    asl = study.whole[study.whole.noise > 0].rename(columns={"unknown_as": "measure"})
    runs = in_draws(pd.concat([study.final(), asl]), "map", "map" + MOVED)
    rows = runs[["measure", "noise", "seed", DRAW, "map"]].rename(columns={"measure": "method", "map": "value"})
    return rows.assign(metric=MAP, at=[f"{percent(noise)} %" for noise in rows.noise])
