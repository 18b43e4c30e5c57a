"""What the paper fixes, and what it leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from nlcore.report.contract import Contract

PAPER = "multi_al"  # the first name of every generator
CONTRACT = Contract(__package__)
MIN_LABELS = 2  # images with a single label are removed
BINS = 10  # of D1 and D2, in Tables 1 to 3
SURFACE_NOISE = 0.4  # at which methods are also run at other rates and lengths
TABLE_NOISES = (0.4, 0.6)  # fractions of swapped labels in Tables 1 to 3
Start = Literal["imagenet", "clean_coco"]  # what the first classifier was pre-trained on
# What plain ASL is given beside the noisy pool, so that it sees as much of the truth as the method: nothing; the clean
# initial images; these and true labels for as many images of the pool as the expert relabels, drawn at random.
Beside = Literal["nothing", "initial", "relabelled"]


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
    safe_below: float | None = None  # the D1 below which an image may be Safe (3.2: D1 < t1); None: any
    threshold: float = 0.5  # t1
    epochs: int = 20  # of every training
    longer_epochs: int = 40  # of Fig. 6
    whole_epochs: int = 41  # of plain ASL: the public script stops there
    whole_schedule_epochs: int = 80
    pretraining_epochs: int = 20  # on clean labels of all training images, for the start "clean_coco"
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    reading: str = ""  # in words, what is changed here to ask whether a verdict hangs on it; "": the profile's own
