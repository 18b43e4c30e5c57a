"""Step 1 (3.3): the silver classifier f, trained on the noisy labels of the silver images.

Trained once per noise level and seed; what it says about all training and single-label images is kept, so that every
estimate of the corruption matrix starts from the same record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from nlcore.losses import asymmetric_loss, masked_binary_cross_entropy
from nlcore.papers.galc_slr.fitting import Fit, Protocol
from nlcore.runs import Result, Work

SilverLoss = Literal["asl", "bce"]


class SilverClassifier(Protocol):
    """Arrays in float16: `gold` (n, K), `silver` (n, K) and `single` (m, K), the logits of these images."""

    silver_loss: SilverLoss = "asl"

    def work(self) -> Work:
        return Work(type(self).__name__, self.training_seconds())

    def compute(self, inputs: Sequence[Result]) -> Result:
        source, division = self.source(), self.division()
        fit = Fit(self, source, division.noisy)
        fit.train(division.silver, self.loss)
        rows = {"gold": division.gold, "silver": division.silver, "single": source.single}
        return Result(arrays={name: fit.logits(part).astype(np.float16) for name, part in rows.items() if len(part)})

    def loss(self, logits, targets):
        """Summed over the batch, as in ASL's code; BCE is the option."""
        if self.silver_loss == "asl":
            return asymmetric_loss(logits, targets)
        return masked_binary_cross_entropy(logits, targets, reduction="none").sum()
