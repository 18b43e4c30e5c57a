"""Losses of one's own: on all images as noise labelled them, in the place of ASL in the paper's plain baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from nlcore.generators import torch_generator
from nlcore.papers.galc_slr.methods import final_metrics, moved_metrics, of_member
from nlcore.papers.galc_slr.protocol import METHODS, PAPER
from nlcore.papers.galc_slr.runs import GalcSlrRun, GoldClassifier, map_by_member
from nlcore.papers.own import OwnMethod, OwnRun, Role
from nlcore.report.draws import DRAW, MOVED, in_draws
from nlcore.report.words import percent
from nlcore.runs import Result, Spec, Work

if TYPE_CHECKING:
    from nlcore.papers.galc_slr.study import Study

BESIDE = {method: method for method in METHODS}


def small_batch() -> tuple[Tensor, Tensor]:
    """Logits (8, 3), which ask for a gradient, and labels of 1 and 0."""
    draws = torch_generator(PAPER, "small batch")
    return torch.randn(8, 3, generator=draws).requires_grad_(), torch.randint(0, 2, (8, 3), generator=draws).float()


def is_loss(found: Any, logits: Tensor, targets: Tensor) -> bool:
    """Whether this is one finite number that the logits' gradient follows from."""
    return isinstance(found, Tensor) and found.ndim == 0 and found.requires_grad and bool(torch.isfinite(found))


ROLE = Role(
    kind="loss",
    takes="logits, targets",
    gives="one finite number, a tensor without axes with a gradient, from logits and targets (B, K)",
    example=small_batch,
    fits=is_loss,
)


class OwnLossClassifier(OwnRun, GalcSlrRun):
    """A classifier trained with a loss of one's own; values as of `GoldClassifier`."""

    @property
    def plain(self) -> GoldClassifier:
        """The baseline as which it is trained, but for the loss: plain ASL at the same noise."""
        return GoldClassifier(**self.shared(), method="asl")

    def work(self) -> Work:
        return self.plain.work()

    def compute(self, inputs: Sequence[Result]) -> Result:
        """As for plain ASL (`GoldClassifier`): the same images, labels, first weights and batches."""
        plain, examples = self.plain, self.examples()
        fit = self.fit([plain.trusted_and_noisy()])
        truth = examples.targets[examples.test]

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            known = targets[..., -1] >= 0  # a batch may be filled up with rows of unknown labels
            return ROLE.call(self.own, logits[known].float(), targets[known][:, :-1])

        every = 1 if plain.follows_epochs else self.protocol.epochs
        history = fit.train(plain.rows(), loss, evaluate=map_by_member(fit, examples), evaluate_every=every)
        (logits,) = fit.logits(examples.test)
        tested = truth, logits, examples.class_names
        return Result(final_metrics(*tested) | {"history": of_member(history, 0)}, moved_metrics(*tested))


def beside(spec: Spec, method: OwnMethod) -> OwnLossClassifier | None:
    """The run that goes with plain ASL under the profile's own protocol; none with any other."""
    plain = isinstance(spec, GoldClassifier) and spec.method == "asl" and not spec.protocol.reading
    if not plain or spec.gold != spec.protocol.gold:
        return None
    return OwnLossClassifier(**spec.shared(), own=method)


def compared(study: Study) -> pd.DataFrame:
    """mAP of every method of Table 1, by noise: what a loss of one's own is held against."""
    rows = in_draws(study.main, "map", "map" + MOVED).rename(columns={"map": "value"})
    rows = rows[["noise", "method", "seed", DRAW, "value"]]
    return rows.assign(metric="mAP", at=[f"{percent(noise)} %" for noise in rows.noise])
