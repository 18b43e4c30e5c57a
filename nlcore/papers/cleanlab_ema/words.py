"""What tables and figures call things."""

from __future__ import annotations

# Our metric name -> the published column, the name on an axis.
METRICS = {
    "auprc": ("AUPRC", "AUPRC"),
    "auroc": ("AUROC", "AUROC"),
    "ap_at_t": ("AP@T", "AP@T"),
    "ap_at_t_2": ("AP@T (two or more label errors)", "average 2-precision@T"),
    "ap_at_t_3": ("AP@T (three or more label errors)", "average 3-precision@T"),
    "spearman": ("Spearman Rank Correlation", "Spearman correlation"),
}
CLASSIFIERS = {
    "logistic_regression": "logistic regression",
    "random_forest": "random forest",
}
HEADLINE_NAMES = (  # of `scoring.HEADLINE`, in its order
    "EMA 0.8",
    "softmin 0.1",
    "min",
    "weighted cumulative",
    "cumulative 2",
    "log",
    "moving average 2",
    "mean",
    "median",
    "max",
)
NO_LARGE_FORESTS = "Large, random forest: not run here; it takes a day of two cores (profile `paper`)."
NOT_CELEBA = (
    "Embedded COCO images with a linear head on EfficientNet-Lite2 features instead of CelebA with EfficientNet; "
    "with --celeba-root the same section runs on CelebA's tags, at profile paper on its images."
)
ATTRIBUTES = (
    "CelebA's own tags; a linear classifier sees the other attributes of its list instead of EfficientNet the images."
)


def datasets(count: int) -> str:
    """How many datasets stand behind a panel.

    >>> datasets(1), datasets(10)
    ('1 dataset', '10 datasets')
    """
    return "1 dataset" if count == 1 else f"{count} datasets"
