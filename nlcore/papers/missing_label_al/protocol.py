"""What the paper fixes, and what it leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from nlcore.report.contract import Contract

PAPER = "missing_label_al"  # the first name of every generator
CONTRACT = Contract(__package__)
MIN_LABELS = 1  # images without a label are removed
CLASSES = 80  # of COCO
SPLIT_NOISE = 0.4  # fraction of missing labels at which Fig. 7 splits Hard+Medium
DEFAULT_SHARE = 0.1  # "the first 10 %" of Hard+Medium are Hard

# What plain ASL makes of a label that is -1. raw: it goes into the loss as it is; negative: it counts as absent;
# masked: it costs nothing.
UnknownAs = Literal["raw", "negative", "masked"]
UNKNOWN_AS: tuple[UnknownAs, ...] = ("raw", "negative", "masked")
# Whether a baseline is given the clean images that the method starts from.
Beside = Literal["nothing", "initial"]
# Baselines of today: the asymmetric loss, or cross-entropy from which the largest losses of unknown labels are left out
# (rejected), or counted as present (corrected). LL-R and LL-Ct of Kim et al., CVPR 2022.
Baseline = Literal["asl", "ll-r", "ll-ct"]
LARGE_LOSS_STEP = 0.002  # by how much that share grows in an epoch, as published


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
    # The noise up to which no image lacks more than half of its labels, so that Hard and Medium rank alike. With 80
    # classes, an image does at 20 % with a chance of 1 in 10 million or less (Chernoff: 0.8 to the 80th power).
    alike_up_to: float = 0.2
