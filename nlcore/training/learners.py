"""A learner: a model together with all that it takes to train it on some images and to predict others.

Heads on frozen features (a stack of M members, trained in one batched pass) and a single image model (M = 1) look alike
from outside: rows are (M, n), targets (M, N, K), logits (M, n, K).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.generators import torch_generator
from nlcore.losses import asymmetric_gradient
from nlcore.metrics import AveragePrecision
from nlcore.metrics.resampling import MOVED, map_influence, moved
from nlcore.training import FeatureBatches, ImageBatches, Predictions, Recipe, predict, shuffled, stacked, train
from nlcore.training.batches import Sampler, placed
from nlcore.training.gradients import Differentiable, closed_form, whole_vectors
from nlcore.training.models import StackedLinear, last_layer, linear_head, mlp_head, stack_heads, unstack_heads

Loss = Callable[[Tensor, Tensor], Differentiable]  # (logits, targets), both (..., B, K)
Evaluate = Callable[["Learner", nn.Module], dict[str, np.ndarray]]
ASYMMETRIC: Loss = closed_form(asymmetric_gradient)


@dataclass
class ByEpoch:
    """A loss that changes from epoch to epoch: `make(epoch)`, epochs counted from 0."""

    make: Callable[[int], Loss]

    def followed_by(self, sampler: Sampler) -> Sampler:
        """The sampler, whose every epoch also begins one of the loss: so a training that goes on finds its own."""

        def sample(epoch: int) -> Sequence[Tensor]:
            self.now = self.make(epoch)
            return sampler(epoch)

        return sample

    def __call__(self, logits: Tensor, targets: Tensor) -> Differentiable:
        """The loss of this epoch."""
        return self.now(logits, targets)


HEADS = {"linear": linear_head, "mlp": mlp_head}


@dataclass
class Learner:
    """M members; `batches(targets, training)` makes the fetch, `orders` shuffle each member's images."""

    model: nn.Module
    recipe: Recipe
    batches: Callable[[np.ndarray, bool], Any]
    orders: Sequence[torch.Generator]
    others: Sequence[torch.Generator] = ()  # that a fetch draws from
    loss: Loss = ASYMMETRIC

    @property
    def members(self) -> int:
        """M."""
        return len(self.orders)

    @property
    def stacked(self) -> bool:
        """Whether the model itself has a member axis."""
        return isinstance(last_layer(self.model), StackedLinear)

    @property
    def generators(self) -> list[torch.Generator]:
        """All that its training draws from."""
        return [*self.orders, *self.others]

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        evaluate: Evaluate | None = None,
        recipe: Recipe | None = None,
        checkpoint: Path | None = None,
    ) -> list[dict[str, Any]]:
        """Train on from the present weights, on images `rows` (M, n) with `targets` (M, N, K); returns the history.

        `checkpoint` is a file of this one training, as for `train`: a second `fit` needs another.
        """
        recipe = recipe or self.recipe
        samplers = [
            shuffled(torch.from_numpy(np.ascontiguousarray(own)), recipe.batch_size, generator=order)
            for own, order in zip(rows, self.orders, strict=True)
        ]
        sampler = stacked(samplers) if self.stacked else samplers[0]
        return train(
            self.model,
            recipe,
            sampler=self.loss.followed_by(sampler) if isinstance(self.loss, ByEpoch) else sampler,
            fetch=self.batches(targets if self.stacked else targets[0], True),
            loss=self._loss,
            evaluate=evaluate and (lambda model, epoch: evaluate(self, model)),
            generators=self.generators,
            checkpoint=checkpoint,
        ).history

    def _loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Differentiable:
        """A member's gradient does not depend on how many others there are."""
        logits, targets = model(batch[0]), batch[1]
        return self.loss(*whole_vectors(logits, targets)) if self.stacked else self.loss(logits, targets)

    def predict(self, rows: np.ndarray, *, model: nn.Module | None = None, features: bool = False) -> Predictions:
        """Logits (M, n, K) of images `rows`, on the CPU; features (n, D), or (M, n, D) where members differ.

        rows: (n,), the same for all members, or (M, n), each member's own.
        """
        rows = rows if self.stacked or rows.ndim == 1 else rows[0]
        found = self._look(model or self.model, rows, features=features)
        logits = found.logits if self.stacked else found.logits[None]
        return Predictions(logits.cpu(), None if found.features is None else found.features.cpu())

    def features_of(self, member: int, rows: np.ndarray) -> np.ndarray:
        """(n, D), the inputs of one head's last layer, of images `rows` (n,)."""
        head = unstack_heads(self.model)[member]
        return self._look(head, rows, features=True).features.cpu().numpy()

    def _look(self, model: nn.Module, rows: np.ndarray, *, features: bool) -> Predictions:
        empty = np.zeros((int(rows.max()) + 1, 1), np.int8)
        return predict(
            model,
            self.batches(empty, False),
            torch.from_numpy(np.ascontiguousarray(rows)),
            features=features,
            bfloat16=self.recipe.bfloat16,
        )

    def last_weights(self) -> np.ndarray:
        """(M, K, D) of the last layer: w in paper 1's Eq. 3."""
        weight = last_layer(self.model).weight.detach().float().cpu()
        return (weight.transpose(1, 2) if self.stacked else weight[None]).numpy()


def head_learner(
    features: np.ndarray,
    classes: int,
    recipe: Recipe,
    *,
    head: str,
    names: Sequence[tuple],
    device: torch.device,
    loss: Loss = ASYMMETRIC,
) -> Learner:
    """A stack of heads on `features` (N, D), one per entry of `names`, from which its generators are made."""
    heads = [HEADS[head](features.shape[1], classes, generator=torch_generator(*name, "weights")) for name in names]
    table = torch.as_tensor(features).to(device, torch.float32)
    return Learner(
        stack_heads(heads).to(device),
        recipe,
        lambda targets, training: FeatureBatches(table, targets, device=device),
        [torch_generator(*name, "order") for name in names],
        loss=loss,
    )


def image_learner(
    model: nn.Module,
    images: np.ndarray,
    recipe: Recipe,
    *,
    name: tuple,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    loss: Loss = ASYMMETRIC,
) -> Learner:
    """A single image model on the decoded cache `images` (N, H, W, 3), augmented as ASL does while it trains."""
    augmentation = torch_generator(*name, "augmentation")
    nothing = np.zeros((len(images), 1), np.int8)
    fetch = ImageBatches(images, nothing, device=device, generator=augmentation, mean=mean, std=std)

    def batches(targets: np.ndarray, training: bool) -> ImageBatches:
        mine = copy.copy(fetch)  # shares the images, which may be resident on the device
        mine.targets = placed(targets, device)
        mine.generator = augmentation if training else None
        return mine

    return Learner(model.to(device), recipe, batches, [torch_generator(*name, "order")], [augmentation], loss)


MAPS = ("map", "map_without_person")  # what `map_on` says


def moved_maps(learner: Learner, rows: np.ndarray, targets: np.ndarray, *, person: int = 0) -> dict[str, np.ndarray]:
    """By how much draws of the images `rows` (n,) move what `map_on` says of the learner as it is: (M, draws) each."""
    logits = learner.predict(rows).logits.numpy()
    members = [map_influence(targets[rows], scores, without=[person]) for scores in logits]
    return {name + MOVED: np.stack([moved(own[name]) for own in members]) for name in MAPS}


def map_on(rows: np.ndarray, targets: np.ndarray, *, person: int = 0) -> Evaluate:
    """mAP over images `rows` with `targets` (N, K), with and without `person`: fractions, per member.

    rows: (n,), the same for all members, or (M, n), each member's own.
    """
    # What follows from the targets is found once; members with the same images share it.
    ranked = [AveragePrecision(truth) for truth in (targets[rows] if rows.ndim == 2 else targets[rows][None])]

    def evaluate(learner: Learner, model: nn.Module) -> dict[str, np.ndarray]:
        logits = learner.predict(rows, model=model).logits.numpy()
        # One after the other: a sum over all of them would round a member's as the others' places in it have it.
        own = ranked if rows.ndim == 2 else ranked * len(logits)
        values = np.stack([of(scores) for of, scores in zip(own, logits, strict=True)])  # NaN without a positive image
        others = np.delete(values, person, axis=1)
        return {"map": np.nanmean(values, axis=1), "map_without_person": np.nanmean(others, axis=1)}

    return evaluate
