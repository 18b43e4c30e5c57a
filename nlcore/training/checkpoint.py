"""Checkpoints: the state of one training between two epochs, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from nlcore.training.recipe import Recipe
from nlcore.training.result import TrainingResult
from nlcore.training.state_file import Generator, read_state, write_state


def save_checkpoint(path: Path, run: TrainingResult, recipe: Recipe, generators: Sequence[Generator]) -> None:
    """Writes all that the rest of the training depends on. Raises InputError if the file cannot be written."""
    state = {
        "recipe": asdict(recipe),
        "position": [run.epoch, run.step, run.steps_per_epoch, run.finished],
        "history": run.history,
        "best": None if run.best is None else [run.best.metric.tolist(), run.best.stale.tolist()],
    }
    write_state(path, _named_tensors(run), state, generators)


def load_checkpoint(path: Path, run: TrainingResult, recipe: Recipe, generators: Sequence[Generator]) -> None:
    """Puts a saved state into `run`, its models and the generators; without an intact file all stays as it is.

    Raises InputError if the state is of another recipe, model or set of generators.
    """
    saved = read_state(path)
    if saved is None:
        return
    saved.require_same(saved.state["recipe"], asdict(recipe), what="recipe")
    saved.put_back(_named_tensors(run), generators)
    run.epoch, run.step, run.steps_per_epoch, run.finished = saved.state["position"]
    run.history = saved.state["history"]
    if run.best is not None:
        run.best.metric, run.best.stale = (np.array(values) for values in saved.state["best"])


def _named_tensors(run: TrainingResult) -> dict[str, Tensor]:
    """Every tensor of the run's state by name: models, best weights, optimiser."""
    named: dict[str, Tensor] = {}
    models: dict[str, nn.Module | None] = {"model": run.model, "average": run.average}
    for part, model in models.items():
        named |= {} if model is None else {f"{part}/{name}": t for name, t in model.state_dict().items()}
    if run.best is not None:
        named |= {f"best/{i}": tensor for i, tensor in enumerate(run.best.tensors)}
    for i, parameter in enumerate(run.optimiser.parameters):
        named |= {f"optimiser/{i}/{name}": tensor for name, tensor in run.optimiser.state[parameter].items()}
    return named
