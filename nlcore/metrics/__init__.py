"""How good are the predictions, and how good are the rankings of suspicious images? By the question that is asked.

`classification`: average precision and F1 of classifiers. `active_learning`: what relabelling bought. `detection`:
how well low scores find label errors. They return fractions in [0, 1], never per cent. A run depends on the functions
it uses, not on their neighbours.
"""

from nlcore.metrics.active_learning import increase_per_label, value_at_cost
from nlcore.metrics.classification import (
    AveragePrecision,
    average_precision_all,
    mean_average_precision,
    mean_class_f1,
    mean_of_classes,
    overall_f1,
    per_class_average_precision,
)
from nlcore.metrics.detection import (
    auprc,
    auroc,
    average_precision_at,
    jaccard,
    lift_at,
    mean_accuracy,
    spearman,
)

__all__ = [
    "AveragePrecision", "auprc", "auroc", "average_precision_all", "average_precision_at", "increase_per_label",
    "jaccard", "lift_at", "mean_accuracy", "mean_average_precision", "mean_class_f1", "mean_of_classes", "overall_f1",
    "per_class_average_precision", "spearman", "value_at_cost",
]  # fmt: skip
