"""What the paper fixes, and what it leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from nlcore.report.contract import Contract

PAPER = "cleanlab_ema"  # the first name of every generator
CONTRACT = Contract(__package__)
Group = Literal["small", "large"]  # of datasets, Table S1
Classifier = Literal["logistic_regression", "random_forest", "joint_random_forest"]
Kind = Literal["swapped", "removed", "added"]  # of errors that are injected into tags
FOLDS = 5  # of the benchmark's held-out predictions (section 5.1)
TAGGING_FOLDS = 4  # of those for tags of real images (section 5.2)
WRONG_SHARE = 0.15  # of the images, as the authors estimate for CelebA
REVIEWED = 100  # images that the authors looked at, of the lowest and at random


class Protocol(BaseModel):
    """How section 5.2 trains: Adam on binary cross-entropy. The paper gives no numbers; a profile states what differs.

    The learning rate stays as it is throughout a training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-4
