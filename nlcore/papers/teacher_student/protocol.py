"""What the paper fixes, and what it leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nlcore.report.contract import Contract

PAPER = "teacher_student"  # the first name of every generator
CONTRACT = Contract(__package__)
Activation = Literal["sigmoid", "tanh", "relu", "linear"]
METHODS = (
    "noisy",
    "finetune_whole",
    "finetune_last",
    "finetune_mixed",
    "veit_pretrained",
    "veit_joint",
    "proposed",
    "ground_truth",
)
HEAD_ON_VERIFIED = "head_on_verified"  # ours: the pre-trained student, fine-tuned on V alone, without a teacher
MethodName = Literal[(*METHODS, HEAD_ON_VERIFIED)]


class Protocol(BaseModel):
    """Sections 4.2 and 4.3, where a comment does not say otherwise; the defaults are those for COCO.

    A pass is as many batches as the training part fills once, whatever a stage trains on: 1,066 for COCO.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(512, ge=1)  # units of both heads (not given), and of the network on frozen features
    embedding: int = Field(64, ge=1)  # Veit et al.'s low-dimensional projections (not given)
    batch_size: int = Field(64, ge=1)
    verified_per_batch: int = Field(6, ge=1)  # 1 : 9
    threshold: float = Field(0.4, gt=0, lt=1)  # of the teacher's output
    cleaning_weight: float = 0.1
    classification_weight: float = 1.0
    rate: float = 1e-4  # networks, fine-tuning, pre-training of heads, the method of Veit et al.
    teacher_rate: float = 3e-4
    student_rate: float = 3e-5
    step_epochs: int = 2  # the rate falls by `step_factor` every so many passes
    step_factor: float = 0.9
    passes: int = Field(19, ge=1)  # of networks and of the heads' pre-training: 20,000 batches; of joint training too
    joint_passes: int | None = Field(None, ge=1)  # of joint training, where they are not `passes`
    finetune_passes: int = Field(94, ge=1)  # of the fine-tuned variants: 100,000 batches
    patience: int = 5  # evaluations without a better AP_all, one a pass, then a run stops (not given)
    reading: str = ""  # in words, what is changed here to ask whether a verdict hangs on it; "": the profile's own

    @property
    def of_stages(self) -> Protocol:
        """What labels, networks and pre-trained heads depend on; they are the same however joint training goes on."""
        kept = ("hidden", "batch_size", "rate", "step_epochs", "step_factor", "passes", "patience")
        return Protocol(**{name: getattr(self, name) for name in kept})
