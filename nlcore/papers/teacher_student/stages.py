"""What several methods start from: a network trained on noisy or clean labels, its features, pre-trained heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.losses import masked_binary_cross_entropy
from nlcore.metrics import average_precision_all, mean_average_precision
from nlcore.papers.teacher_student.data import Labels, Problem, fingerprint, make_problem
from nlcore.papers.teacher_student.heads import Activation, TeacherStudent, pretraining_loss
from nlcore.papers.teacher_student.setting import Setting
from nlcore.runs import Result, Spec, Work
from nlcore.training import FeatureBatches, Recipe, Sampler, TrainingResult, predict, shuffled, train

IMAGE_SECONDS = 0.03  # of one core, for one image forward and backward through a MobileNet; a GPU takes far less


class Stage(Spec):
    """A run of one seed; people read its fields without the setting, which the whole profile shares."""

    setting: Setting
    seed: int

    @property
    def name(self) -> str:
        fields = ", ".join(f"{key}={value}" for key, value in self.model_dump(exclude={"setting"}).items())
        return f"{type(self).__name__}({fields})"

    def data_fingerprint(self) -> str:
        return fingerprint(self.setting)


class Network(Stage):
    """The network trained on the whole training part, with noisy labels (stage 0) or clean ones (the upper bound).

    Arrays: `features` (n, D), the last layer's inputs of all images; `probabilities` (test images, K); `weights/...`.
    """

    labels: Literal["noisy", "clean"]

    def requires(self) -> Sequence[Spec]:
        return [Labels(setting=self.setting)]

    def work(self) -> Work:
        on_images = IMAGE_SECONDS * 1500 * self.setting.passes
        return Work(type(self).__name__, 3.0 if self.setting.model == "mlp" else on_images)

    def compute(self, inputs: Sequence[Result]) -> Result:
        problem = make_problem(self.setting, self.seed, inputs[0])
        model, draws = problem.network("network"), problem.generator("order", self.labels)
        targets = problem.clean if self.labels == "clean" else problem.noisy
        flips = problem.generator("flips", self.labels)
        fetch = problem.fetch(targets, generator=flips)
        rows = problem.train
        if self.labels == "clean" and problem.own_verified is not None:
            rows = problem.own_verified
        sampler = shuffled(rows, self.setting.batch_size, generator=draws)
        run = fit(problem, model, network_recipe(self.setting), sampler, fetch, network_loss, generators=(draws, flips))
        seen = predict(model, problem.fetch(targets), torch.arange(len(targets)), batch_size=256, features=True)
        weights = {f"weights/{name}": tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
        values, arrays = outcome(problem, seen.probabilities[problem.test.to(seen.logits.device)], run)
        kept = {"features": seen.features.cpu().numpy()} if self.labels == "noisy" else {}
        return Result(values, arrays | weights | kept)


class PretrainedHeads(Stage):
    """Stage 1: teacher and student trained on the noisy labels of all training images (Eq. 2); arrays `weights/...`.

    Each head has its own initial weights and its own sum in the loss, so neither depends on the other.
    """

    activation: Activation
    passes: int

    def requires(self) -> Sequence[Spec]:
        return [Labels(setting=self.setting), Network(setting=self.setting, seed=self.seed, labels="noisy")]

    def work(self) -> Work:
        return Work(type(self).__name__, 1.5 if self.setting.dataset == "embedded" else 10.0)

    def compute(self, inputs: Sequence[Result]) -> Result:
        problem = make_problem(self.setting, self.seed, inputs[0])
        features = inputs[1].arrays["features"]
        model, draws = new_heads(problem, features, self.activation), problem.generator("order", "pretraining")
        fetch = FeatureBatches(features, problem.noisy, device=problem.device)
        sampler = shuffled(problem.train, self.setting.batch_size, generator=draws)
        recipe = network_recipe(self.setting, passes=self.passes, stop=False)
        train(model, recipe, sampler=sampler, fetch=fetch, loss=pretraining_loss, generators=(draws,))
        weights = {f"weights/{name}": tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
        return Result({}, weights)


def new_heads(problem: Problem, features: np.ndarray, activation: Activation) -> TeacherStudent:
    """Teacher and student before any training."""
    draws, hidden = problem.generator("weights", "heads", activation), problem.setting.hidden
    model = TeacherStudent(features.shape[1], problem.classes, hidden=hidden, activation=activation, generator=draws)
    return model.to(problem.device)


def stored_weights(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The state_dict that a stage left in its arrays."""
    names = [name for name in arrays if name.startswith("weights/")]
    return {name.removeprefix("weights/"): torch.from_numpy(arrays[name].copy()) for name in names}


def network_recipe(setting: Setting, *, passes: int | None = None, stop: bool = True, **more: object) -> Recipe:
    """RMSProp, x0.9 every two passes, early stopping on AP_all of the validation part."""
    return Recipe(
        epochs=passes or setting.passes,
        batch_size=setting.batch_size,
        optimiser="rmsprop",
        learning_rate=setting.rate,
        schedule="step",
        step_epochs=setting.step_epochs,
        step_factor=setting.step_factor,
        stop_metric="ap_all" if stop else None,
        patience=setting.patience,
        deterministic=setting.deterministic,
        **more,
    )


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


def batches_in_a_pass(problem: Problem) -> int:
    """How many full batches the training part fills."""
    return max(1, len(problem.train) // problem.setting.batch_size)


def fit(
    problem: Problem,
    model: nn.Module,
    recipe: Recipe,
    sampler: Sampler,
    fetch: Callable,
    loss: Callable,
    *,
    classifier: Callable[[nn.Module], nn.Module] = lambda model: model,
    generators: Sequence[torch.Generator] = (),
) -> TrainingResult:
    """Train with early stopping: `classifier(model)` gives the logits whose AP_all on the validation part decides."""
    plain = problem.fetch(problem.clean) if fetch.__class__.__name__ == "ImageBatches" else fetch
    truth = problem.clean[problem.validation].numpy()

    def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
        logits = predict(classifier(model), plain, problem.validation, batch_size=256).logits.cpu().numpy()
        return {"ap_all": float(average_precision_all(truth, logits))}

    return train(model, recipe, sampler=sampler, fetch=fetch, loss=loss, evaluate=evaluate, generators=generators)


def outcome(problem: Problem, probabilities: Tensor, run: TrainingResult | None) -> tuple[dict, dict[str, np.ndarray]]:
    """Values mAP, AP_all (on the test part), updates and passes; array `probabilities` (test images, K)."""
    scores = probabilities.float().cpu().numpy()
    truth = problem.clean[problem.test].numpy()
    values = {
        "mAP": float(mean_average_precision(truth, scores)),
        "AP_all": float(average_precision_all(truth, scores)),
    }
    if run is not None:
        best = int(np.argmax([row["ap_all"] for row in run.history]))
        values |= {"updates": run.step, "passes": run.epoch, "best_pass": run.history[best]["epoch"]}
        values["validation_AP_all"] = run.history[best]["ap_all"]
    return values, {"probabilities": scores}
