"""Checkpoints: one safetensors file with all tensors of a run, and the rest of its state as JSON in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nlcore.errors import InputError
from nlcore.training.recipe import Recipe

if TYPE_CHECKING:
    from nlcore.training.loop import Generator, TrainingResult

FORMAT = 1


def save_checkpoint(path: Path, run: TrainingResult, recipe: Recipe, generators: Sequence[Generator]) -> None:
    """Writes the file beside its place and renames it into it: a killed run leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in _named_tensors(run).items()}
    tensors |= {
        f"generator/{i}": g.get_state() for i, g in enumerate(generators) if isinstance(g, torch.Generator)
    }
    state = {
        "format": FORMAT,
        "recipe": asdict(recipe),
        "position": [run.epoch, run.step, run.steps_per_epoch, run.finished],
        "history": run.history,
        "best": None if run.best is None else [run.best.metric.tolist(), run.best.stale.tolist()],
        "numpy_generators": {
            str(i): g.bit_generator.state for i, g in enumerate(generators) if isinstance(g, np.random.Generator)
        },
    }
    save_file(tensors, beside, metadata={"state": json.dumps(state)})
    os.replace(beside, path)


def load_checkpoint(path: Path, run: TrainingResult, recipe: Recipe, generators: Sequence[Generator]) -> None:
    """Puts a saved state into `run`, its models and the generators. Raises InputError if it is not this run's."""
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    except Exception as error:  # safetensors and JSON each have their own
        raise InputError(f"{path}: not a checkpoint of this suite ({str(error).splitlines()[0]})") from error
    _check_recipe(path, state, recipe)
    optimiser_state = _optimiser_state(run.optimiser, tensors)
    own = _named_tensors(run)
    differing = sorted(
        name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape
    )
    if differing:
        raise InputError(f"{path}: a checkpoint of another model ({', '.join(differing[:5])} differ)")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    run.optimiser.load_state_dict(optimiser_state)
    run.epoch, run.step, run.steps_per_epoch, run.finished = state["position"]
    run.history = state["history"]
    if run.best is not None:
        run.best.metric, run.best.stale = (np.array(values) for values in state["best"])
    _restore_generators(path, generators, tensors, state["numpy_generators"])


def _named_tensors(run: TrainingResult) -> dict[str, Tensor]:
    """Every tensor of the run's state by name: models, best weights, optimiser."""
    named: dict[str, Tensor] = {}
    models: dict[str, nn.Module | None] = {"model": run.model, "average": run.average}
    for part, model in models.items():
        named |= {} if model is None else {f"{part}/{name}": t for name, t in model.state_dict().items()}
    if run.best is not None:
        named |= {f"best/{i}": tensor for i, tensor in enumerate(run.best.tensors)}
    for i, parameter in enumerate(_parameters(run.optimiser)):
        state = run.optimiser.state.get(parameter, {})
        named |= {f"optimiser/{i}/{name}": t for name, t in state.items() if isinstance(t, Tensor)}
    return named


def _parameters(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _optimiser_state(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """A state_dict for the optimiser. Moments get their parameter's memory layout, which the fused kernels assume."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = _parameters(optimiser)
    for name in [name for name in tensors if name.startswith("optimiser/")]:
        _, index, key = name.split("/")
        tensor = tensors.pop(name)
        like = parameters[int(index)]
        moment = tensor.shape == like.shape and key != "step"
        state.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor) if moment else tensor
    return {**optimiser.state_dict(), "state": state}


def _check_recipe(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    own = json.loads(json.dumps(asdict(recipe)))
    differing = [name for name in own if own[name] != state["recipe"].get(name)]
    if state["format"] != FORMAT or differing:
        raise InputError(f"{path}: a checkpoint of another recipe (other {', '.join(differing)}); remove it to restart")


def _restore_generators(
    path: Path, generators: Sequence[Generator], tensors: dict[str, Tensor], states: dict[str, Any]
) -> None:
    saved = len(states) + sum(name.startswith("generator/") for name in tensors)
    if saved != len(generators):
        raise InputError(f"{path}: holds {saved} generators' states, this run has {len(generators)}")
    for i, generator in enumerate(generators):
        if isinstance(generator, torch.Generator):
            generator.set_state(tensors[f"generator/{i}"])
        else:
            generator.bit_generator.state = states[str(i)]
