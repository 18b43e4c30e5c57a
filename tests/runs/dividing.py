"""A run that several processes can do together: a small network of timm's on pictures, with all that a training has."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from nlcore.errors import InputError
from nlcore.generators import torch_generator
from nlcore.losses import asymmetric_gradient
from nlcore.metrics import mean_average_precision
from nlcore.runs import Result, Spec, Work, checkpoint_file
from nlcore.training import ImageBatches, Recipe, closed_form, predict, shuffled, train
from nlcore.training.distributed import leads
from nlcore.training.models import image_model

CPU = torch.device("cpu")
IMAGES, TRAINED, CLASSES = 90, 66, 4
RNG = np.random.default_rng(0)
TARGETS = (RNG.random((IMAGES, CLASSES)) < 0.4).astype(np.int8)
PICTURES = RNG.integers(0, 60, (IMAGES, 32, 32, 3), dtype=np.uint8)
for corner in range(CLASSES):  # a bright square where the class is
    y, x = 16 * (corner // 2), 16 * (corner % 2)
    PICTURES[TARGETS[:, corner] == 1, y : y + 16, x : x + 16] += np.uint8(150)
GIVEN = np.where(RNG.random(TARGETS.shape) < 0.2, -1, TARGETS)  # a loss's mean is over what is known of a whole batch
LOSS = closed_form(asymmetric_gradient)


class Trained(Spec):
    """Value `map` of each epoch; arrays `logits` and `features` of what was held out.

    The network computes in double precision: what is left of a difference is then no rounding. Batches are of 16
    images, the last one of two. ends: (process, epoch, how) of those that end, once, at the evaluation after an epoch,
    killed or with an error. marks: a folder that remembers each process's evaluations.
    """

    epochs: int = 4
    marks: str = ""
    ends: tuple[tuple[Literal["first", "other"], int, Literal["killed", "failed"]], ...] = ()

    def work(self) -> Work:
        return Work("train pictures", self.epochs * TRAINED, divisible=True)

    def compute(self, inputs: Sequence[Result]) -> Result:
        draws, flips = torch_generator("order"), torch_generator("augmentation")
        model = image_model("test_resnet", CLASSES, generator=torch_generator("weights"), weights="random")
        model.double().register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
        plain, held_out = ImageBatches(PICTURES, GIVEN, device=CPU), torch.arange(TRAINED, IMAGES)
        recipe = Recipe(
            epochs=self.epochs, batch_size=16, learning_rate=1e-3, weight_decay=1e-4, schedule="one_cycle",
            average_decay=0.8, stop_metric="map", patience=self.epochs, channels_last=True,
        )  # fmt: skip

        def evaluate(model, epoch):
            self.mark(epoch)
            logits = predict(model, plain, held_out).logits.numpy()
            return {"map": mean_average_precision(TARGETS[TRAINED:], logits)}

        run = train(
            model,
            recipe,
            sampler=shuffled(torch.arange(TRAINED), 16, generator=draws),
            fetch=ImageBatches(PICTURES, GIVEN, device=CPU, generator=flips),
            loss=lambda model, batch: LOSS(model(batch[0]), batch[1]),
            evaluate=evaluate,
            generators=[draws, flips],
            checkpoint=checkpoint_file(),
        )
        found = predict(run.average, plain, held_out, features=True)
        arrays = {"logits": found.logits.numpy(), "features": found.features.numpy()}
        return Result({"map": [row["map"] for row in run.history]}, arrays)

    def mark(self, epoch: int) -> None:
        """Note the epoch in a line of this process's file; end if it is time to."""
        if not self.marks:
            return
        own = Path(self.marks) / ("first" if leads() else "other")
        before = own.read_text().split() if own.exists() else []
        own.write_text("\n".join([*before, str(epoch)]))
        if str(epoch) in before:
            return
        if (own.name, epoch, "killed") in self.ends:
            os.kill(os.getpid(), signal.SIGKILL)
        if (own.name, epoch, "failed") in self.ends:
            raise InputError("image 7: unreadable; expected one that decodes")
