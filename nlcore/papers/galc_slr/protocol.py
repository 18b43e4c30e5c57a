"""What the paper fixes, and what it leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from nlcore.report.contract import Contract

PAPER = "galc_slr"  # the first name of every generator
CONTRACT = Contract(__package__)
# What Table 1 compares, and our own baselines beside it. Each is a row of `methods.WAYS`.
METHODS = ("asl", "galc_slr as written", "galc_slr", "glc", "true matrix", "gold only", "asl + clean gold")
CALIBRATED = "galc_slr, calibrated"  # our repair: ASL's bias is taken out of the silver classifier before the estimate
# What a reviewer of today asks of a baseline that sees no gold label: plain ASL on mixtures of two images, and plain
# ASL reweighted by how often each label was added or lost, which is estimated from the noisy labels alone.
MIXUP, T_ESTIMATOR = "asl + mixup", "asl + T-estimator"
WITHOUT_GOLD = (MIXUP, T_ESTIMATOR)
VARIANTS = ("galc_slr", "galc_slr as written")  # of the paper's algorithm: repaired, and as it is printed
THRESHOLDS = (0.8, 0.5)  # of CF1 and OF1; the paper gives none
SilverLoss = Literal["asl", "bce"]
EstimateOn = Literal["gold", "silver"]
# Readings of the algorithm that a run may take, at their default: the silver classifier's loss, at most so many
# single-label images of a class (None: all), and the images that the matrix is estimated on.
DEFAULTS = {"silver_loss": "asl", "cap": None, "estimate_on": "gold"}


class Protocol(BaseModel):
    """Section 4.1. The defaults are the paper's; a profile states what it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = 80  # all of them
    batch_size: int = 128
    learning_rate: float = 1e-4
    average_decay: float | None = 0.9997  # of the weights' moving average, evaluated beside the plain weights
    gold: float = 0.1  # share of the training images that is trusted; Fig. 6b also shows less
    ablation_noise: float = 0.4  # of Figs. 4 and 6 and of every other reading; there mAP is measured after every epoch
    follow_epochs: bool = True  # measure it there at all: what no figure draws takes as long as the training of a head
    reading: str = ""  # in words, what is changed here to ask whether a verdict hangs on it; "": the profile's own
