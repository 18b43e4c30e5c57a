"""The proposed network and the baselines of Table 2, each from the shared stages to a score on the test part.

A method takes its run, the problem, the noisy network and, where it starts from them, the weights of pre-trained heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.papers.teacher_student.fetches import Fetch, clean_where_verified, with_noisy_labels
from nlcore.papers.teacher_student.heads import (
    CleaningNetwork,
    VeitModel,
    cleaning_loss,
    joint_loss,
    teacher_labels,
    veit_loss,
)
from nlcore.papers.teacher_student.problem import Problem
from nlcore.papers.teacher_student.protocol import HEAD_ON_VERIFIED
from nlcore.papers.teacher_student.stages import (
    NoisyNetwork,
    Outcome,
    fit,
    head_recipe,
    network_loss,
    network_recipe,
    new_heads,
    one_to_nine,
    scored,
    tested,
    verified_only,
    without_patience,
)
from nlcore.runs import checkpoint_file
from nlcore.training import Recipe, predict, train

if TYPE_CHECKING:
    from nlcore.papers.teacher_student.runs import Method

Weights = Mapping[str, Tensor]
Trainer = Callable[["Method", Problem, NoisyNetwork, Weights | None], Outcome]


def finetune_whole(run: Method, problem: Problem, noisy: NoisyNetwork, heads: Weights | None) -> Outcome:
    """All weights of the noisy network go on learning from the clean labels of V."""
    model = problem.network(noisy.weights())
    flips, draws = (problem.generator(name, run.method, run.fraction) for name in ("flips", "order"))
    plain, recipe = problem.fetch(problem.clean, model), _budgeted(run, network_recipe(problem))
    found = fit(
        problem,
        model,
        recipe,
        sampler=verified_only(problem, run.fraction, generator=draws),
        fetch=problem.fetch(problem.clean, model, flips=flips),
        loss=network_loss,
        plain=plain,
        generators=(draws, flips),
    )
    return tested(problem, model, plain, found, bfloat16=recipe.bfloat16)


def finetune_last(run: Method, problem: Problem, noisy: NoisyNetwork, heads: Weights | None) -> Outcome:
    """The last layer of the noisy network, on V; its features stay."""
    model, draws = noisy.last_layer().to(problem.device), problem.generator("order", run.method, run.fraction)
    fetch = problem.feature_batches(noisy.features, problem.clean)
    recipe, sampler = _budgeted(run, head_recipe(problem)), verified_only(problem, run.fraction, generator=draws)
    found = fit(problem, model, recipe, sampler=sampler, fetch=fetch, loss=network_loss, generators=(draws,))
    return tested(problem, model, fetch, found)


def finetune_mixed(run: Method, problem: Problem, noisy: NoisyNetwork, heads: Weights | None) -> Outcome:
    """The last layer, on the clean labels of V and the noisy labels of T, 1 : 9 in each batch."""
    model, draws = noisy.last_layer().to(problem.device), problem.generator("order", run.method, run.fraction)
    clean = problem.feature_batches(noisy.features, problem.clean)
    verified, _ = problem.verified(run.fraction)
    fetch = clean_where_verified(clean, problem.noisy_labels(), verified, images=len(problem.clean))
    recipe, sampler = _budgeted(run, head_recipe(problem)), one_to_nine(problem, run.fraction, generator=draws)
    found = fit(problem, model, recipe, sampler=sampler, fetch=fetch, loss=network_loss, generators=(draws,))
    return tested(problem, model, fetch, found)


def veit(run: Method, problem: Problem, noisy: NoisyNetwork, heads: Weights | None) -> Outcome:
    """Veit et al.: the cleaning network is trained first and then kept (WP), or together with the classifier (TJ)."""
    features, protocol = noisy.features, problem.protocol
    width, draws = features.shape[1], problem.generator("weights", "cleaner")
    cleaner = CleaningNetwork(width, problem.classes, embedding=protocol.embedding, generator=draws)
    model = VeitModel(cleaner, noisy.last_layer().to(problem.device), width).to(problem.device)
    clean = problem.feature_batches(features, problem.clean)
    fetch = with_noisy_labels(clean, problem.noisy_labels())
    if run.method == "veit_pretrained":
        _pretrain_cleaner(run, problem, model, fetch)
    draws = problem.generator("order", run.method, run.fraction)
    found = fit(
        problem,
        model,
        _budgeted(run, head_recipe(problem)),
        sampler=one_to_nine(problem, run.fraction, generator=draws),
        fetch=fetch,
        loss=veit_loss(protocol.verified_per_batch, **_loss_weights(problem)),
        classifier=_VeitClassifier,
        generators=(draws,),
    )
    return tested(problem, _VeitClassifier(model), fetch, found)


def _pretrain_cleaner(run: Method, problem: Problem, model: VeitModel, fetch: Fetch) -> None:
    """L1 on V for as long as the network's stage; afterwards the cleaner takes no part in the training."""
    draws = problem.generator("order", "cleaner", run.fraction)
    model.classifier.requires_grad_(False)
    train(
        model,
        head_recipe(problem, stop=False),
        sampler=verified_only(problem, run.fraction, generator=draws),
        fetch=fetch,
        loss=cleaning_loss,
        generators=(draws,),
        checkpoint=checkpoint_file("cleaner"),
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


def proposed(run: Method, problem: Problem, noisy: NoisyNetwork, heads: Weights | None) -> Outcome:
    """Stage 2 (Eqs. 3 and 4): teacher and student together, from pre-trained heads or from random ones."""
    features, protocol = noisy.features, problem.protocol
    model = new_heads(problem, features, run.activation)
    if heads is not None:
        kept = {"both": ("teacher", "student")}.get(run.pretraining, (run.pretraining,))
        model.load_state_dict({name: heads[name] for name in heads if name.startswith(kept)}, strict=False)
    fetch = problem.feature_batches(features, problem.clean)
    before = {
        f"{name}_{metric}_before": value
        for name in ("teacher", "student")
        for metric, value in scored(problem, getattr(model, name), fetch)[0].items()
    }
    draws = problem.generator("order", run.method, run.fraction)
    threshold = protocol.threshold if run.labels == "hard" else None
    found = fit(
        problem,
        model,
        _joint_recipe(run, problem),
        sampler=one_to_nine(problem, run.fraction, generator=draws),
        fetch=fetch,
        loss=joint_loss(protocol.verified_per_batch, threshold=threshold, **_loss_weights(problem)),
        classifier=lambda model: model.student,
        generators=(draws,),
    )
    values, arrays = tested(problem, model.student, fetch, found)
    teacher, _ = scored(problem, model.teacher, fetch)
    values |= before | {f"teacher_{metric}": value for metric, value in teacher.items()}
    if isinstance(problem.clean, Tensor):  # of millions of images nobody looks at what the teacher says
        arrays["teacher_labels"] = _told(problem, model.teacher, fetch)
    return values, arrays


def head_on_verified(run: Method, problem: Problem, noisy: NoisyNetwork, heads: Weights | None) -> Outcome:
    """A plain head: the student as pre-trained, on the clean labels of V alone. What is left is what a teacher adds."""
    features = noisy.features
    model, draws = new_heads(problem, features, run.activation), problem.generator("order", run.method, run.fraction)
    model.load_state_dict(heads)
    fetch, student = problem.feature_batches(features, problem.clean), model.student
    recipe, sampler = _budgeted(run, head_recipe(problem)), verified_only(problem, run.fraction, generator=draws)
    found = fit(problem, student, recipe, sampler=sampler, fetch=fetch, loss=network_loss, generators=(draws,))
    return tested(problem, student, fetch, found)


def _told(problem: Problem, teacher: nn.Module, fetch: Fetch) -> np.ndarray:
    """The teacher's hard labels of all images, (n, K) int8."""
    logits = predict(teacher, fetch, torch.arange(len(problem.clean))).logits
    return teacher_labels(logits, threshold=problem.protocol.threshold).cpu().numpy().astype(np.int8)


def _joint_recipe(run: Method, problem: Problem) -> Recipe:
    """As many passes as the network's training, or the half of a budget that pre-training leaves; a rate each."""
    passes = None if run.budget is None else run.budget - run.budget // 2
    recipe = head_recipe(problem, passes=passes or problem.protocol.joint_passes)
    rates = (("teacher", problem.protocol.teacher_rate), ("student", problem.protocol.student_rate))
    return replace(recipe if passes is None else without_patience(recipe), learning_rates=rates)


def _budgeted(run: Method, recipe: Recipe) -> Recipe:
    """As many passes as fine-tuned variants have, or the run's budget."""
    if run.budget is None:
        return replace(recipe, epochs=run.protocol.finetune_passes)
    return without_patience(replace(recipe, epochs=run.budget))


def _loss_weights(problem: Problem) -> dict[str, float]:
    """Of the two losses that are added up."""
    protocol = problem.protocol
    return {
        "cleaning_weight": protocol.cleaning_weight,
        "classification_weight": protocol.classification_weight,
    }


TRAINERS: dict[str, Trainer] = {
    "finetune_whole": finetune_whole,
    "finetune_last": finetune_last,
    "finetune_mixed": finetune_mixed,
    "veit_pretrained": veit,
    "veit_joint": veit,
    "proposed": proposed,
    HEAD_ON_VERIFIED: head_on_verified,
}
