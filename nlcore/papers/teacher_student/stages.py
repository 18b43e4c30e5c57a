"""How all stages train and are scored: recipes, orders of batches, early stopping, the metrics of the test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.data.network import for_source
from nlcore.losses import binary_cross_entropy_gradient
from nlcore.papers.teacher_student.heads import TeacherStudent
from nlcore.papers.teacher_student.problem import Problem
from nlcore.papers.teacher_student.protocol import Activation
from nlcore.papers.teacher_student.scoring import Fetch, ap_all, logits_of, mean_ap, moved_scores
from nlcore.runs import checkpoint_file
from nlcore.training import OutputGradients, Recipe, Sampler, TrainingResult, closed_form, mixed, train

CROSS_ENTROPY = closed_form(binary_cross_entropy_gradient)
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


def network_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> OutputGradients:
    """Binary cross-entropy of a network's logits."""
    return CROSS_ENTROPY(model(batch[0]), batch[1])


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

    plain: a fetch of the same inputs that does not augment; `fetch` itself by default. A run that was killed goes on
    from its checkpoint.
    """

    def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
        truth, rows = problem.clean, problem.validation
        logits = logits_of(classifier(model), plain or fetch, truth, rows, bfloat16=recipe.bfloat16)
        return {"ap_all": ap_all(truth, rows, logits.numpy())}

    return train(
        model,
        recipe,
        sampler=sampler,
        fetch=fetch,
        loss=loss,
        evaluate=evaluate,
        generators=generators,
        checkpoint=checkpoint_file(),
    )


def scored(
    problem: Problem, model: nn.Module, fetch: Fetch, *, bfloat16: bool = False
) -> tuple[dict[str, float], np.ndarray]:
    """A model as it is: mAP and AP_all (fractions) on the test part, and the sigmoids that they rank."""
    scores = torch.sigmoid(logits_of(model, fetch, problem.clean, problem.test, bfloat16=bfloat16)).numpy()
    ranked = problem.clean, problem.test, scores
    return {"mAP": mean_ap(*ranked), "AP_all": ap_all(*ranked)}, scores


def tested(problem: Problem, model: nn.Module, fetch: Fetch, run: TrainingResult, *, bfloat16: bool = False) -> Outcome:
    """Values mAP and AP_all (fractions, on the test part), updates and passes; array `probabilities` (test, K).

    Of sparse labels `probabilities` (c,) are those of the cells that somebody verified. Arrays `mAP_moved` and
    `AP_all_moved`: by how much draws of the test images move them (`nlcore.metrics.resampling`).
    """
    found, scores = scored(problem, model, fetch, bfloat16=bfloat16)
    best = int(np.argmax([row["ap_all"] for row in run.history]))
    values = {
        **found,
        "updates": run.step,
        "passes": run.epoch,
        "best_pass": run.history[best]["epoch"],
        "validation_AP_all": run.history[best]["ap_all"],
    }
    return values, {"probabilities": scores, **moved_scores(problem.clean, problem.test, scores)}


@dataclass(frozen=True)
class NoisyNetwork:
    """What methods take from the network of stage 0: the arrays of its record, and its features."""

    arrays: Mapping[str, np.ndarray]
    look: Callable[[], np.ndarray]  # for the features of all images

    @cached_property
    def features(self) -> np.ndarray:
        """(n, D)."""
        return self.look()

    def weights(self) -> dict[str, Tensor]:
        """The whole network's."""
        return stored_weights(self.arrays)

    def last_layer(self) -> nn.Sequential:
        """A copy of its last layer, a linear classifier of the features."""
        weights = stored_weights(self.arrays, name="last")
        layer = nn.utils.skip_init(nn.Linear, *reversed(weights["weight"].shape))
        layer.load_state_dict(weights)
        return nn.Sequential(layer)


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
