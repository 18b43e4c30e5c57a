"""The proposed network and the baselines of Table 2, each from the shared stages to a score on the test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.papers.teacher_student.data import Labels, Problem, make_problem
from nlcore.papers.teacher_student.heads import (
    Activation,
    CleaningNetwork,
    VeitModel,
    cleaning_loss,
    joint_loss,
    teacher_labels,
    veit_loss,
)
from nlcore.papers.teacher_student.stages import (
    IMAGE_SECONDS,
    Network,
    PretrainedHeads,
    Stage,
    batches_in_a_pass,
    cycled,
    fit,
    network_loss,
    network_recipe,
    new_heads,
    outcome,
    stored_weights,
)
from nlcore.runs import Result, Spec, Work
from nlcore.training import FeatureBatches, TrainingResult, mixed, predict, train
from nlcore.training.models import last_layer

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
MethodName = Literal[METHODS]
Outcome = tuple[dict, dict[str, np.ndarray]]


class Method(Stage):
    """One method at one share of verified images, scored on the test part.

    Values: mAP, AP_all, updates and so on (`outcome`). Array `probabilities`; of the proposed network also
    `teacher_labels` (n, K). `activation`, `pretraining` and `labels` are the choices of Tables 4 to 6; `budget`
    replaces the passes of training (of all stages on top of the noisy network together) and switches early stopping's
    patience off.
    """

    method: MethodName
    fraction: float = 0.0
    activation: Activation = "sigmoid"
    pretraining: Literal["none", "teacher", "student", "both"] = "both"
    labels: Literal["hard", "soft"] = "hard"
    budget: int | None = None

    def requires(self) -> Sequence[Spec]:
        shared = {"setting": self.setting, "seed": self.seed}
        stages = [Labels(setting=self.setting)]
        stages.append(Network(**shared, labels="clean" if self.method == "ground_truth" else "noisy"))
        if self.method == "proposed" and self.pretraining != "none":
            passes = self.setting.passes if self.budget is None else self.budget // 2
            stages.append(PretrainedHeads(**shared, activation=self.activation, passes=passes))
        return stages

    def work(self) -> Work:
        if self.method == "finetune_whole" and self.setting.model != "mlp":
            return Work(type(self).__name__, IMAGE_SECONDS * 1500 * self.setting.finetune_passes)
        return Work(type(self).__name__, {"proposed": 2.5, "finetune_whole": 1.5}.get(self.method, 0.7))

    def compute(self, inputs: Sequence[Result]) -> Result:
        problem = make_problem(self.setting, self.seed, inputs[0])
        if self.method in ("noisy", "ground_truth"):
            values, arrays = inputs[1].values, {"probabilities": inputs[1].arrays["probabilities"]}
        else:
            values, arrays = TRAINERS[self.method](self, problem, inputs[1:])
        return Result(values, arrays)


def finetune_whole(spec: Method, problem: Problem, inputs: Sequence[Result]) -> Outcome:
    """All weights of the noisy network go on learning from the clean labels of V."""
    model = problem.network("network")
    model.load_state_dict(stored_weights(inputs[0].arrays))
    flips = problem.generator("flips", spec.method, spec.fraction)
    fetch = problem.fetch(problem.clean, generator=flips)
    run = _finetune(spec, problem, model, fetch, flips)
    return _score(problem, model, problem.fetch(problem.clean), run)


def finetune_last(spec: Method, problem: Problem, inputs: Sequence[Result]) -> Outcome:
    """The last layer of the noisy network, on V; its features stay."""
    model = _last_layer(problem, inputs[0])
    fetch = FeatureBatches(inputs[0].arrays["features"], problem.clean, device=problem.device)
    return _score(problem, model, fetch, _finetune(spec, problem, model, fetch))


def _finetune(
    spec: Method, problem: Problem, model: nn.Module, fetch: Callable, *more: torch.Generator
) -> TrainingResult:
    verified, _ = problem.verified(spec.fraction)
    draws = problem.generator("order", spec.method, spec.fraction)
    sampler = cycled(verified, problem.setting.batch_size, batches_in_a_pass(problem), generator=draws)
    recipe = _recipe(spec, spec.budget or problem.setting.finetune_passes)
    return fit(problem, model, recipe, sampler, fetch, network_loss, generators=(draws, *more))


def finetune_mixed(spec: Method, problem: Problem, inputs: Sequence[Result]) -> Outcome:
    """The last layer, on the clean labels of V and the noisy labels of T, 1 : 9 in each batch."""
    verified, _ = problem.verified(spec.fraction)
    targets = problem.noisy.clone()
    targets[verified] = problem.clean[verified]
    model = _last_layer(problem, inputs[0])
    fetch = FeatureBatches(inputs[0].arrays["features"], targets, device=problem.device)
    sampler, draws = _mixed(spec, problem)
    recipe = _recipe(spec, spec.budget or problem.setting.finetune_passes)
    # `fetch` holds the mixed targets; validation compares with the clean ones all the same.
    run = fit(problem, model, recipe, sampler, fetch, network_loss, generators=(draws,))
    return _score(problem, model, fetch, run)


def veit(spec: Method, problem: Problem, inputs: Sequence[Result]) -> Outcome:
    """Veit et al.: the cleaning network is trained first and then kept (WP), or together with the classifier (TJ)."""
    features, setting = inputs[0].arrays["features"], problem.setting
    draws = problem.generator("weights", "cleaner")
    cleaner = CleaningNetwork(features.shape[1], problem.classes, embedding=setting.embedding, generator=draws)
    model = VeitModel(cleaner, _last_layer(problem, inputs[0]), features.shape[1]).to(problem.device)
    joined = np.concatenate([features, problem.noisy.numpy().astype(np.float32)], axis=1)
    fetch = FeatureBatches(joined, problem.clean, device=problem.device)
    passes = spec.budget or setting.finetune_passes
    if spec.method == "veit_pretrained":
        _pretrain_cleaner(spec, problem, model, fetch)
    sampler, draws = _mixed(spec, problem)
    loss = veit_loss(
        setting.verified_per_batch,
        cleaning_weight=setting.cleaning_weight,
        classification_weight=setting.classification_weight,
    )
    run = fit(
        problem, model, _recipe(spec, passes), sampler, fetch, loss, classifier=_VeitClassifier, generators=(draws,)
    )
    return _score(problem, _VeitClassifier(model), fetch, run)


def _pretrain_cleaner(spec: Method, problem: Problem, model: VeitModel, fetch: Callable) -> None:
    """L1 on V for as long as the network's stage; afterwards the cleaner takes no part in the training."""
    verified, _ = problem.verified(spec.fraction)
    draws = problem.generator("order", "cleaner", spec.fraction)
    sampler = cycled(verified, problem.setting.batch_size, batches_in_a_pass(problem), generator=draws)
    model.classifier.requires_grad_(False)
    train(
        model,
        network_recipe(problem.setting, stop=False),
        sampler=sampler,
        fetch=fetch,
        loss=cleaning_loss,
        generators=(draws,),
    )
    model.classifier.requires_grad_(True)
    model.cleaner.requires_grad_(False)


class _VeitClassifier(nn.Module):
    """Only the logits of a VeitModel, for prediction."""

    def __init__(self, model: VeitModel):
        super().__init__()
        self.classifier, self.features = model.classifier, model.features

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier(inputs[:, : self.features])


def proposed(spec: Method, problem: Problem, inputs: Sequence[Result]) -> Outcome:
    """Stage 2: teacher and student together, from pre-trained heads or from random ones."""
    features, setting = inputs[0].arrays["features"], problem.setting
    model = new_heads(problem, features, spec.activation)
    if spec.pretraining != "none":
        kept = {"both": ("teacher", "student")}.get(spec.pretraining, (spec.pretraining,))
        weights = stored_weights(inputs[1].arrays)
        model.load_state_dict({n: t for n, t in weights.items() if n.startswith(kept)}, strict=False)
    fetch = FeatureBatches(features, problem.clean, device=problem.device)
    sampler, draws = _mixed(spec, problem)
    passes = setting.passes if spec.budget is None else spec.budget - spec.budget // 2
    rates = (("teacher", setting.teacher_rate), ("student", setting.student_rate))
    recipe = replace(_recipe(spec, passes), learning_rates=rates)
    loss = joint_loss(
        setting.verified_per_batch,
        threshold=setting.threshold if spec.labels == "hard" else None,
        cleaning_weight=setting.cleaning_weight,
        classification_weight=setting.classification_weight,
    )
    student = lambda model: model.student
    run = fit(problem, model, recipe, sampler, fetch, loss, classifier=student, generators=(draws,))
    values, arrays = _score(problem, model.student, fetch, run)
    logits = predict(model.teacher, fetch, torch.arange(len(problem.clean))).logits
    told = teacher_labels(logits, threshold=setting.threshold).cpu().numpy().astype(np.int8)
    teacher_values, _ = outcome(problem, torch.sigmoid(logits[problem.test.to(logits.device)]), None)
    values |= {f"teacher_{name}": value for name, value in teacher_values.items()}
    return values, arrays | {"teacher_labels": told}


def _recipe(spec: Method, passes: int):
    recipe = network_recipe(spec.setting, passes=passes)
    return recipe if spec.budget is None else replace(recipe, patience=passes)


def _mixed(spec: Method, problem: Problem) -> tuple[Callable, torch.Generator]:
    """Batches of verified and other images, 1 : 9; a pass has as many batches as one over the training part."""
    verified, rest = problem.verified(spec.fraction)
    draws = problem.generator("order", spec.method, spec.fraction)
    few = problem.setting.verified_per_batch
    many = problem.setting.batch_size - few
    needed = batches_in_a_pass(problem) * many
    rounds = -(-needed // len(rest))
    whole_pass = mixed(verified, rest.repeat(rounds), (few, many), generator=draws)
    return lambda epoch: whole_pass(epoch)[: batches_in_a_pass(problem)], draws


def _last_layer(problem: Problem, noisy: Result) -> nn.Module:
    """A copy of the noisy network's last layer, a linear classifier of its features."""
    model = problem.network("network")
    model.load_state_dict(stored_weights(noisy.arrays))
    layer = last_layer(model)
    return nn.Sequential(layer)


def _score(problem: Problem, model: nn.Module, fetch: Callable, run: TrainingResult) -> Outcome:
    return outcome(problem, predict(model, fetch, problem.test, batch_size=256).probabilities, run)


TRAINERS: dict[str, Callable[[Method, Problem, Sequence[Result]], Outcome]] = {
    "finetune_whole": finetune_whole,
    "finetune_last": finetune_last,
    "finetune_mixed": finetune_mixed,
    "veit_pretrained": veit,
    "veit_joint": veit,
    "proposed": proposed,
}
