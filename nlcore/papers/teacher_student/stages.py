"""How all stages train and are scored: recipes, orders of batches, early stopping, the metrics of the test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.data.network import for_source
from nlcore.losses import masked_binary_cross_entropy
from nlcore.metrics import average_precision_all, mean_average_precision
from nlcore.papers.teacher_student.heads import TeacherStudent
from nlcore.papers.teacher_student.problem import Problem
from nlcore.papers.teacher_student.protocol import Activation
from nlcore.training import Recipe, Sampler, TrainingResult, mixed, predict, train

Fetch = Callable[[Tensor], tuple[Any, ...]]
Outcome = tuple[dict[str, float], dict[str, np.ndarray]]


def head_recipe(problem: Problem, *, passes: int | None = None, stop: bool = True) -> Recipe:
    """RMSProp, x0.9 every two passes, early stopping on AP_all of the validation part (Section 4.2)."""
    protocol = problem.protocol
    return Recipe(
        epochs=passes or protocol.passes,
        batch_size=protocol.batch_size,
        optimiser="rmsprop",
        learning_rate=protocol.rate,
        schedule="step",
        step_epochs=protocol.step_epochs,
        step_factor=protocol.step_factor,
        stop_metric="ap_all" if stop else None,
        patience=protocol.patience,
        deterministic=problem.source.deterministic,
    )


def network_recipe(problem: Problem, *, passes: int | None = None) -> Recipe:
    """The same for the whole network, with what images ask for: precision and memory layout."""
    return for_source(problem.source, head_recipe(problem, passes=passes))


def without_patience(recipe: Recipe) -> Recipe:
    """All of its passes are trained; the best one's weights are kept all the same."""
    return replace(recipe, patience=recipe.epochs)


def network_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Binary cross-entropy of a network's logits."""
    return masked_binary_cross_entropy(model(batch[0]), batch[1])


def cycled(indices: Tensor, batch_size: int, batches: int, *, generator: torch.Generator) -> Sampler:
    """A pass of `batches` full batches: `indices` (n,) are gone through again and again, in a new order each time."""

    def sample(epoch: int) -> Sequence[Tensor]:
        rounds = -(-batches * batch_size // len(indices))
        order = torch.cat([indices[torch.randperm(len(indices), generator=generator)] for _ in range(rounds)])
        return order[: batches * batch_size].split(batch_size)

    return sample


def verified_only(problem: Problem, fraction: float, *, generator: torch.Generator) -> Sampler:
    """Batches of V; a pass has as many as one over the training part."""
    verified, _ = problem.verified(fraction)
    return cycled(verified, problem.protocol.batch_size, problem.batches_in_a_pass, generator=generator)


def one_to_nine(problem: Problem, fraction: float, *, generator: torch.Generator) -> Sampler:
    """Batches of V and T, 1 : 9; a pass has as many as one over the training part."""
    verified, rest = problem.verified(fraction)
    few = problem.protocol.verified_per_batch
    many, count = problem.protocol.batch_size - few, problem.batches_in_a_pass
    rounds = -(-count * many // len(rest))
    whole_pass = mixed(verified, rest.repeat(rounds), (few, many), generator=generator)
    return lambda epoch: whole_pass(epoch)[:count]


def fit(
    problem: Problem,
    model: nn.Module,
    recipe: Recipe,
    *,
    sampler: Sampler,
    fetch: Fetch,
    loss: Callable,
    plain: Fetch | None = None,
    classifier: Callable[[nn.Module], nn.Module] = lambda model: model,
    generators: Sequence[torch.Generator] = (),
) -> TrainingResult:
    """Train with early stopping: `classifier(model)` gives the logits whose AP_all on the validation part decides.

    plain: a fetch of the same inputs that does not augment; `fetch` itself by default.
    """
    truth = problem.clean[problem.validation].numpy()

    def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
        seen = predict(classifier(model), plain or fetch, problem.validation, batch_size=256, bfloat16=recipe.bfloat16)
        return {"ap_all": float(average_precision_all(truth, seen.logits.cpu().numpy()))}

    return train(model, recipe, sampler=sampler, fetch=fetch, loss=loss, evaluate=evaluate, generators=generators)


def outcome(problem: Problem, probabilities: Tensor, run: TrainingResult) -> Outcome:
    """Values mAP and AP_all (fractions, on the test part), updates and passes; array `probabilities` (test, K)."""
    scores = probabilities.float().cpu().numpy()
    truth = problem.clean[problem.test].numpy()
    best = int(np.argmax([row["ap_all"] for row in run.history]))
    values = {
        "mAP": float(mean_average_precision(truth, scores)),
        "AP_all": float(average_precision_all(truth, scores)),
        "updates": run.step,
        "passes": run.epoch,
        "best_pass": run.history[best]["epoch"],
        "validation_AP_all": run.history[best]["ap_all"],
    }
    return values, {"probabilities": scores}


def tested(problem: Problem, model: nn.Module, fetch: Fetch, run: TrainingResult, *, bfloat16: bool = False) -> Outcome:
    """The outcome of a trained model on the test part."""
    seen = predict(model, fetch, problem.test, batch_size=256, bfloat16=bfloat16)
    return outcome(problem, seen.probabilities, run)


def new_heads(problem: Problem, features: np.ndarray, activation: Activation) -> TeacherStudent:
    """Teacher and student before any training."""
    draws, hidden = problem.generator("weights", "heads", activation), problem.protocol.hidden
    model = TeacherStudent(features.shape[1], problem.classes, hidden=hidden, activation=activation, generator=draws)
    return model.to(problem.device)


def weight_arrays(model: nn.Module, *, name: str = "weights") -> dict[str, np.ndarray]:
    """A model's state_dict as arrays `<name>/...` of a result."""
    return {f"{name}/{key}": tensor.cpu().numpy() for key, tensor in model.state_dict().items()}


def stored_weights(arrays: Mapping[str, np.ndarray], *, name: str = "weights") -> dict[str, Tensor]:
    """The state_dict that `weight_arrays` put into a result."""
    start = f"{name}/"
    return {key.removeprefix(start): torch.from_numpy(arrays[key].copy()) for key in arrays if key.startswith(start)}
