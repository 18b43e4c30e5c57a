"""The one training loop of the suite, for images and for features, for single models and for stacks of heads.

A run is a model, a `Recipe`, and functions given as arguments: a sampler (epoch -> batches of indices), a fetch
(indices -> batch on the device), a loss (model, batch -> scalar, or gradients in closed form) and an evaluation (model,
epoch -> metrics). A batch is a tuple whose first item is the model's input. All randomness comes from generators that
the caller makes.
"""

from nlcore.training.batches import (
    FeatureBatches,
    ImageBatches,
    Sampler,
    fixed_order,
    mixed,
    shuffled,
    stacked,
)
from nlcore.training.gradients import OutputGradients, closed_form
from nlcore.training.loop import train
from nlcore.training.prediction import Predictions, predict
from nlcore.training.recipe import ASL_RECIPE, Recipe, schedule_at
from nlcore.training.result import TrainingResult
from nlcore.training.targets import SparseLabels

__all__ = [
    "ASL_RECIPE",
    "FeatureBatches",
    "ImageBatches",
    "OutputGradients",
    "Predictions",
    "Recipe",
    "Sampler",
    "SparseLabels",
    "TrainingResult",
    "closed_form",
    "fixed_order",
    "mixed",
    "predict",
    "schedule_at",
    "shuffled",
    "stacked",
    "train",
]
