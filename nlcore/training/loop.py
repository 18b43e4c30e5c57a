"""The training loop, its checkpoints and its averaged weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nlcore.devices import bfloat16_autocast, deterministic_algorithms, explain_out_of_memory, without_denormals
from nlcore.training.batches import Sampler, fetch_all
from nlcore.training.checkpoint import load_checkpoint, save_checkpoint
from nlcore.training.distributed import own_images, spread
from nlcore.training.early_stopping import BestWeights
from nlcore.training.gradients import Differentiable
from nlcore.training.recipe import Recipe, make_optimiser, schedule_at, set_schedule
from nlcore.training.result import TrainingResult
from nlcore.training.state_file import Clock, Generator

Batch = tuple[Any, ...]
Metrics = Mapping[str, Any]  # values must be JSON: numbers, or a list of numbers with one per member of a stack


def train(
    model: nn.Module,
    recipe: Recipe,
    *,
    sampler: Sampler,
    fetch: Callable[[Tensor], Batch],
    loss: Callable[[nn.Module, Batch], Differentiable],
    evaluate: Callable[[nn.Module, int], Metrics] | None = None,
    generators: Sequence[Generator] = (),
    checkpoint: Path | None = None,
) -> TrainingResult:
    """Trains `model` in place, on the device it is on, and returns it with its history.

    `loss` gives a scalar, or the gradients by the model's outputs where these have a closed form (`OutputGradients`).

    Calling it again with the result's model goes on from its weights with a fresh optimiser, schedule and average: one
    call is one iteration of active learning. `generators` are all those that the sampler and the fetch draw from.

    With `checkpoint`, the run's state is saved to that file between epochs, once `checkpoint_interval()` seconds have
    passed since it was last, and at the end of a run that took longer than that. A run that finds the file goes on from
    there to the same result as if never interrupted (bit for bit on the CPU); a damaged one is set aside.

    Raises InputError when the GPU's memory is too small, for a checkpoint of another recipe or model, and where it
    cannot be written.
    """
    fixed = deterministic_algorithms(recipe.deterministic)
    with explain_out_of_memory(recipe.batch_size), fixed, without_denormals():
        run = _start(model, recipe)
        clock = Clock()
        if checkpoint is not None:
            load_checkpoint(checkpoint, run, recipe, generators)
        forward, fetch = spread(torch.compile(model) if recipe.compile else model), own_images(fetch)
        averager = Averager(run.model, run.average, recipe.average_decay)
        while run.epoch < recipe.epochs and not run.finished:
            _train_epoch(run, recipe, forward, averager, sampler, fetch, loss)
            if evaluate is not None and (run.epoch % recipe.evaluate_every == 0 or run.epoch == recipe.epochs):
                _evaluate(run, recipe, evaluate)
            ended = run.finished or run.epoch == recipe.epochs
            if checkpoint is not None and clock.due(ended=ended):
                save_checkpoint(checkpoint, run, recipe, generators)
                clock.restart()
        if run.best is not None:
            run.best.restore()
        run.model.eval()
    return run


def _start(model: nn.Module, recipe: Recipe) -> TrainingResult:
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    average = None if recipe.average_decay is None else copy.deepcopy(model).eval().requires_grad_(False)
    best = None
    if recipe.stop_metric is not None:
        best = BestWeights([m for m in (model, average) if m is not None], recipe.patience)
    return TrainingResult(model, average, make_optimiser(model, recipe), best)


def _train_epoch(
    run: TrainingResult,
    recipe: Recipe,
    forward: nn.Module,
    averager: Averager,
    sampler: Sampler,
    fetch: Callable[[Tensor], Batch],
    loss: Callable[[nn.Module, Batch], Differentiable],
) -> None:
    """One pass over the sampler's batches. Nothing in it waits for the device or reads a value back."""
    batches = sampler(run.epoch)
    run.steps_per_epoch = run.steps_per_epoch or len(batches)
    optimiser = run.optimiser
    autocast = bfloat16_autocast(next(run.model.parameters()).device, recipe.bfloat16)
    run.model.train()
    for batch in fetch_all(fetch, batches):
        set_schedule(optimiser, *schedule_at(recipe, run.step, run.steps_per_epoch))
        with autocast:
            value = loss(forward, batch)
        value.backward()
        optimiser.step()
        optimiser.zero_grad()
        averager.update()
        run.step += 1
    run.epoch += 1


@torch.no_grad()
def _evaluate(run: TrainingResult, recipe: Recipe, evaluate: Callable[[nn.Module, int], Metrics]) -> None:
    """Appends the metrics of the plain and of the averaged weights to the history; may finish the run early."""
    row = dict(evaluate(run.model.eval(), run.epoch))
    if run.average is not None:
        row |= {f"average_{name}": value for name, value in evaluate(run.average, run.epoch).items()}
    # Arrays and tensors become lists and numbers: the history goes into the checkpoint as JSON.
    row = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}
    run.history.append({"epoch": run.epoch, **row})
    if run.best is not None:
        run.finished = run.best.update(row[recipe.stop_metric])


class Averager:
    """Exponential moving average of weights and batch statistics: average <- decay average + (1 - decay) model."""

    def __init__(self, model: nn.Module, average: nn.Module | None, decay: float | None) -> None:
        pairs = [] if average is None else zip(_tensors(average), _tensors(model), strict=True)
        floating = [(a, m) for a, m in pairs if a.is_floating_point()]
        self.averages, self.tensors = [a for a, _ in floating], [m for _, m in floating]
        self.weight = 1 - (decay or 0)

    @torch.no_grad()
    def update(self) -> None:
        """One step; counters (of batch normalisation) are left alone, nothing here reads them."""
        if self.averages:
            torch._foreach_lerp_(self.averages, self.tensors, self.weight)


def _tensors(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())
