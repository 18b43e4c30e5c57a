"""Teacher and student (Section 3.1), Veit et al.'s cleaning network, and their losses (Eqs. 1 to 4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nlcore.errors import InputError
from nlcore.losses import binary_cross_entropy_gradient
from nlcore.papers.teacher_student.protocol import Activation
from nlcore.training import OutputGradients
from nlcore.training.models import linear_head, mlp_head

ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "linear": None,
}
Batch = tuple[Tensor, Tensor]


class TeacherStudent(nn.Module):
    """Two heads of one architecture, linear - activation - linear, on shared features (Fig. 2).

    The teacher g is the label cleaning net, the student h the classification net.
    """

    def __init__(
        self, features: int, classes: int, *, hidden: int, activation: Activation, generator: torch.Generator
    ) -> None:
        super().__init__()
        options = {"hidden": hidden, "activation": ACTIVATIONS[activation], "generator": generator}
        self.teacher = mlp_head(features, classes, **options)
        self.student = mlp_head(features, classes, **options)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, D) to the logits of teacher and student, (B, K) each."""
        return self.teacher(features), self.student(features)


def teacher_labels(logits: Tensor, *, threshold: float | None = 0.4) -> Tensor:
    """What the teacher tells the student: c = sigmoid(logits), made 0 or 1 by the threshold (None: soft, as it is).

    It is a constant: no gradient goes back to the teacher (Section 3.2, against the trivial solution).

    Raises:
        InputError: a threshold that does not lie between 0 and 1.

    >>> teacher_labels(torch.tensor([0.0, -1.0]))  # c = 0.5 and 0.27
    tensor([1., 0.])
    """
    if threshold is not None and not 0 < threshold < 1:
        raise InputError(f"threshold: found {threshold:g}; expected a number between 0 and 1")
    soft = torch.sigmoid(logits.detach())
    return soft if threshold is None else (soft >= threshold).to(soft.dtype)


def pretraining_loss(model: TeacherStudent, batch: Batch) -> OutputGradients:
    """Eq. 2 for both heads: binary cross-entropy against the noisy labels, -q log(o) - (1 - q) log(1 - o)."""
    features, noisy = batch
    return OutputGradients(*((o, binary_cross_entropy_gradient(o.detach(), noisy)) for o in model(features)))


def joint_loss(
    verified: int,
    *,
    threshold: float | None = 0.4,
    cleaning_weight: float = 0.1,
    classification_weight: float = 1.0,
) -> Callable[[TeacherStudent, Batch], OutputGradients]:
    """Eqs. 3 and 4 on batches whose first `verified` images are from V, the others from T.

    L_clean: the teacher against the clean labels of V. L_classify: the student against the clean labels of V and the
    teacher's labels of T. Full binary cross-entropy in both. What the teacher says of T is a constant.
    """

    def loss(model: TeacherStudent, batch: Batch) -> OutputGradients:
        features, clean = batch
        cleaned, classified = model.teacher(features[:verified]), model.student(features)
        with torch.no_grad():
            told = teacher_labels(model.teacher(features[verified:]), threshold=threshold)
        targets = torch.cat([clean[:verified], told])
        cleaning = binary_cross_entropy_gradient(cleaned.detach(), clean[:verified])
        classification = binary_cross_entropy_gradient(classified.detach(), targets)
        return OutputGradients(
            (cleaned, cleaning_weight * cleaning), (classified, classification_weight * classification)
        )

    return loss


class CleaningNetwork(nn.Module):
    """Veit et al. (2017): the noisy labels, corrected by a residual from themselves and the image's features.

    Both are projected to a few dimensions by a linear layer and joined; a linear layer gives the residual, and the sum
    is clipped to [0, 1]. The residual starts at 0: before training, cleaned labels are the noisy ones. The gradient
    passes through the clipping: else a cell that overshoots never comes back, and whole classes are stuck at 1.
    """

    def __init__(self, features: int, classes: int, *, embedding: int, generator: torch.Generator) -> None:
        super().__init__()
        self.of_labels = linear_head(classes, embedding, generator=generator)
        self.of_features = linear_head(features, embedding, generator=generator)
        self.residual = linear_head(2 * embedding, classes, generator=generator)
        for parameter in self.residual.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, noisy: Tensor) -> Tensor:
        """Features (B, D) and noisy labels (B, K) to cleaned labels (B, K) in [0, 1]."""
        joined = torch.cat([self.of_labels(noisy), self.of_features(features)], dim=1)
        raw = noisy + self.residual(joined)
        return raw + (raw.clamp(0, 1) - raw).detach()


class VeitModel(nn.Module):
    """The cleaning network and a linear classifier; inputs (B, D + K) are features, then noisy labels."""

    def __init__(self, cleaner: CleaningNetwork, classifier: nn.Module, features: int) -> None:
        super().__init__()
        self.cleaner, self.classifier, self.features = cleaner, classifier, features

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(cleaned labels, logits), (B, K) each."""
        features, noisy = inputs[:, : self.features], inputs[:, self.features :]
        return self.cleaner(features, noisy), self.classifier(features)


def veit_loss(
    verified: int, *, cleaning_weight: float = 0.1, classification_weight: float = 1.0
) -> Callable[[VeitModel, Batch], OutputGradients]:
    """L1 of the cleaner on V; cross-entropy of the classifier against clean (V) and cleaned (T) labels, constants.

    Cells of V that nobody verified (-1) count in neither.
    """

    def loss(model: VeitModel, batch: Batch) -> OutputGradients:
        inputs, clean = batch
        cleaned, logits = model(inputs)
        targets = torch.cat([clean[:verified], cleaned[verified:].detach()])
        classification = binary_cross_entropy_gradient(logits.detach(), targets)
        of_verified = cleaned[:verified]
        return OutputGradients(
            (of_verified, cleaning_weight * _l1_gradient(of_verified.detach(), clean[:verified])),
            (logits, classification_weight * classification),
        )

    return loss


def cleaning_loss(model: VeitModel, batch: Batch) -> OutputGradients:
    """L1 of the cleaner against the clean labels that are known: its pre-training on V."""
    inputs, clean = batch
    cleaned, _ = model(inputs)
    return OutputGradients((cleaned, _l1_gradient(cleaned.detach(), clean)))


def _l1_gradient(cleaned: Tensor, clean: Tensor) -> Tensor:
    """The gradient of the mean absolute difference over the known cells, by the cleaned labels."""
    known = clean >= 0
    return (cleaned - clean).sign().masked_fill(~known, 0) / known.sum().clamp(min=1)
