"""How to train: optimiser, schedule, duration, averaging of weights, precision. Data only, so that it can be hashed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from nlcore.errors import InputError
from nlcore.training.models import decaying_parameters
from nlcore.training.optimiser import FusedAdam, fused_rmsprop


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train. `ASL_RECIPE` is the published one of ASL; derive others with `dataclasses.replace`.

    Schedules, as factors on the learning rate (`schedule_at`): "one_cycle" rises over `warm_up` of the steps and falls
    to nearly 0 (Adam's first beta cycles with it, as in torch's OneCycleLR); "linear" falls to `final_factor` at the
    last step; "step" multiplies by `step_factor` every `step_epochs` epochs; "constant". The first two are laid out for
    `schedule_epochs` (default: `epochs`), and training stops after `epochs`. Factors are fractions in [0, 1].

    >>> from dataclasses import replace
    >>> short = replace(ASL_RECIPE, epochs=20, schedule_epochs=None)
    >>> short.learning_rate, short.schedule
    (0.0001, 'one_cycle')
    """

    epochs: int
    batch_size: int  # named in messages; the sampler makes the batches
    optimiser: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = 1e-4
    learning_rates: tuple[tuple[str, float], ...] = ()  # (start of the parameters' names, rate): the first match counts
    weight_decay: float = 0.0  # coupled L2, on parameters of more than one dimension only
    schedule: Literal["one_cycle", "linear", "step", "constant"] = "constant"
    schedule_epochs: int | None = None
    warm_up: float = 0.2
    final_factor: float = 0.01
    step_epochs: int = 2
    step_factor: float = 0.9
    average_decay: float | None = None  # of the weights' exponential moving average, per step, without warm-up
    evaluate_every: int = 1  # epochs; the last epoch is always evaluated
    stop_metric: str | None = None  # early stopping: the weights of the best evaluation are kept
    patience: int = 1  # evaluations without a better value, then it stops
    bfloat16: bool = False  # autocast; on a GPU only, the CPU computes in float32
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False  # identical bytes on a GPU too, and slower


ASL_RECIPE = Recipe(
    epochs=41,
    schedule_epochs=80,
    batch_size=128,
    learning_rate=1e-4,
    weight_decay=1e-4,
    schedule="one_cycle",
    warm_up=0.2,
    average_decay=0.9997,
    bfloat16=True,
    channels_last=True,
)


def schedule_at(recipe: Recipe, step: int, steps_per_epoch: int) -> tuple[float, float | None]:
    """What a recipe's schedule says about one step.

    Args:
        recipe: whose `schedule`, and the fields that belong to it, count.
        step: counted from 0 over all epochs.
        steps_per_epoch: batches in an epoch.

    Returns:
        (factor on the learning rate, Adam's first beta or None to leave it).

    >>> halving = Recipe(epochs=4, batch_size=1, schedule="step", step_epochs=2, step_factor=0.5)
    >>> [schedule_at(halving, step, steps_per_epoch=1) for step in range(4)]
    [(1.0, None), (1.0, None), (0.5, None), (0.5, None)]
    """
    last = max((recipe.schedule_epochs or recipe.epochs) * steps_per_epoch - 1, 1)
    if recipe.schedule == "linear":
        return 1 + min(step / last, 1) * (recipe.final_factor - 1), None
    if recipe.schedule == "step":
        return recipe.step_factor ** (step // steps_per_epoch // recipe.step_epochs), None
    if recipe.schedule == "one_cycle":
        return _one_cycle(step, last, recipe.warm_up)
    return 1.0, None


def _one_cycle(step: int, last: int, warm_up: float) -> tuple[float, float]:
    """torch's OneCycleLR with its defaults: from 1/25 up to 1 and down to 1/250,000 by cosines; beta 0.95-0.85-0.95."""
    peak = warm_up * (last + 1) - 1
    if step <= peak and peak > 0:
        return _cosine(1 / 25, 1.0, step / peak), _cosine(0.95, 0.85, step / peak)
    done = min((step - max(peak, 0)) / (last - max(peak, 0)), 1.0)
    return _cosine(1.0, 1 / 250_000, done), _cosine(0.85, 0.95, done)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def make_optimiser(model: nn.Module, recipe: Recipe) -> FusedAdam:
    """Adam or RMSProp over the trained parameters, in groups of one learning rate (`base_rate`) and one decay each.

    Args:
        model: parameters that need no gradient are left out; matrices decay, vectors do not (`decaying_parameters`).
        recipe: `optimiser`, `learning_rate`, `learning_rates` by the start of the names, `weight_decay`.

    Raises:
        InputError: the model has no parameter to train.

    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    >>> groups = make_optimiser(model, ASL_RECIPE).param_groups
    >>> [(group["base_rate"], group["weight_decay"]) for group in groups]  # of the weight, and of the bias
    [(0.0001, 0.0001), (0.0001, 0.0)]
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter, decays in decaying_parameters(model):
        rate = next((rate for start, rate in recipe.learning_rates if name.startswith(start)), recipe.learning_rate)
        groups.setdefault((rate, recipe.weight_decay if decays else 0.0), []).append(parameter)
    if not groups:
        raise InputError(f"{type(model).__name__}: no parameter to train; expected one that needs a gradient")
    settings = [
        {"params": parameters, "lr": rate, "base_rate": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    return FusedAdam(settings) if recipe.optimiser == "adam" else fused_rmsprop(settings)


def set_schedule(optimiser: FusedAdam, factor: float, first_beta: float | None) -> None:
    """Puts one step's values of `schedule_at` into the optimiser, which `make_optimiser` has made.

    Args:
        optimiser: every group's rate becomes its `base_rate` times the factor.
        factor: on the learning rate.
        first_beta: Adam's; None leaves it, and RMSProp's stays 0.
    """
    for group in optimiser.param_groups:
        group["lr"] = group["base_rate"] * factor
        if first_beta is not None and group["betas"][0]:
            group["betas"] = (first_beta, group["betas"][1])
