"""Second stage: every pooling scores the given labels, and every metric asks how well it finds the wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from nlcore.data.benchmark import make_benchmark
from nlcore.metrics import auprc, auroc, average_precision_at, jaccard, lift_at, mean_accuracy, spearman
from nlcore.papers.cleanlab_ema.classifiers import dataset_folds
from nlcore.papers.cleanlab_ema.predictions import FoldPredictions, TestPartPredictions
from nlcore.papers.cleanlab_ema.protocol import FOLDS, Classifier, Group
from nlcore.runs import Result, Spec, Work
from nlcore.scorers.confident_learning import find_label_issues
from nlcore.scorers.label_quality import label_quality_scores, self_confidence

ALPHAS = (0.2, 0.4, 0.5, 0.6, 0.8, 0.85, 0.9, 0.95)
LIFT_SIZES = (10, 50, 100, 500)

# (pooling, options) of the 27 published rows of each group and classifier.
POOLINGS = (
    *(("cumulative", {"k": k}) for k in (1, 2, 3, 4)),
    *(("ema", {"alpha": alpha}) for alpha in ALPHAS),
    ("log", {}),
    ("max", {}),
    ("mean", {}),
    ("median", {}),
    ("min", {}),
    *(("sma", {"period": period}) for period in (1, 2, 3, 4)),
    *(("softmin", {"temperature": temperature}) for temperature in (0.01, 0.1, 1, 10, 100)),
    ("weighted_cumulative", {}),
)

# The ten poolings of Figures 2, 3 and S2 to S4, in the order in which we draw them.
HEADLINE = (
    "ema(alpha=0.8)",
    "softmin(temperature=0.1)",
    "min",
    "weighted_cumulative",
    "cumulative(k=2)",
    "log",
    "sma(period=2)",
    "mean",
    "median",
    "max",
)


def pooling_name(pooling: str, options: dict[str, float]) -> str:
    """A pooling with its options as people write it.

    >>> pooling_name("ema", {"alpha": 0.8})
    'ema(alpha=0.8)'
    """
    inside = ", ".join(f"{name}={value:g}" for name, value in options.items())
    return f"{pooling}({inside})" if inside else pooling


class OnFolds(Spec):
    """What is computed from the out-of-sample predictions of one classifier on one dataset."""

    group: Group
    seed: int
    classifier: Classifier

    def requires(self) -> Sequence[Spec]:
        return [
            FoldPredictions(group=self.group, seed=self.seed, classifier=self.classifier, fold=fold)
            for fold in range(FOLDS)
        ]

    def work(self) -> Work:
        return Work(f"{type(self).__name__} {self.group}", 0.6 if self.group == "small" else 6.0)

    def joined(self, folds: Sequence[Result]) -> np.ndarray:
        """(N, K) out-of-sample probabilities, from those of the folds."""
        rows = dataset_folds(self.group, self.seed)
        probabilities = np.empty((sum(map(len, rows)), folds[0].arrays["probabilities"].shape[1]))
        for held_out, fold in zip(rows, folds, strict=True):
            probabilities[held_out] = fold.arrays["probabilities"]
        return probabilities


class PoolingScores(OnFolds):
    """All metrics of all poolings. Value `metrics`: pooling name -> metric name -> value.

    With `digits`, the annotations' scores (Eq. 1) are rounded to so many decimal places before they are pooled, so that
    a present tag of probability 0.15 and an absent one of 0.85 have the same: in binary, 1 - 0.85 is not 0.15.
    """

    digits: int | None = None

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Put the folds together, score every given label (Eq. 1), pool to one score per example (Eqs. 2 to 11), and
        measure how well low scores find the examples with errors (section 5.1)."""
        data = make_benchmark(self.group, self.seed)
        labels, probabilities, metrics = data.given_labels, self.joined(inputs), {}
        if self.digits is not None:
            labels, probabilities = np.ones_like(labels), self_confidence(labels, probabilities).round(self.digits)
        for pooling, options in POOLINGS:
            scores = label_quality_scores(labels, probabilities, pooling=pooling, **options)
            metrics[pooling_name(pooling, options)] = detection_metrics(scores, data.error_counts)
        return Result({"metrics": metrics})


class FlaggedErrors(OnFolds):
    """How well Confident Learning's flags (section 3) find the errors of one dataset; see `flag_metrics`."""

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Put the folds together, flag, and hold the flags against the true labels."""
        data = make_benchmark(self.group, self.seed)
        flags = find_label_issues(data.given_labels, self.joined(inputs)).per_class
        return Result(flag_metrics(flags, data.given_labels != data.true_labels))


def flag_metrics(flags: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Flags (N, K) against the annotations (N, K) that are wrong, by annotation and by example (any of its own).

    Fractions: `flagged` of all, `wrong` of all, `precision` (wrong of the flagged), `recall` (flagged of the wrong);
    NaN where there is nothing to divide by.
    """
    values = {}
    for name, found, truth in (("annotation", flags, wrong), ("example", flags.any(axis=1), wrong.any(axis=1))):
        hits = float((found & truth).sum())
        values |= {
            f"{name}_flagged": float(found.mean()),
            f"{name}_wrong": float(truth.mean()),
            f"{name}_precision": hits / found.sum() if found.any() else float("nan"),
            f"{name}_recall": hits / truth.sum() if truth.any() else float("nan"),
        }
    return values


def detection_metrics(
    scores: np.ndarray, error_counts: np.ndarray, *, sizes: Sequence[int] = LIFT_SIZES
) -> dict[str, float]:
    """How well low scores (N,) find examples with errors; `error_counts` (N,) are wrong classes per example.

    sizes: of the lists whose lift is measured, 1 to N.

    `ap_at_t_2` and `ap_at_t_3` count examples with at least two and three errors as hits, within as many examples
    as there are hits, which gives the published numbers; `..._all_t` take T as the number of all mislabelled
    examples, which is what the captions say.
    """
    wrong = error_counts >= 1
    values = {
        "auprc": auprc(scores, wrong),
        "auroc": auroc(scores, wrong),
        "ap_at_t": average_precision_at(scores, wrong, int(wrong.sum())),
        "spearman": spearman(scores, error_counts),
    }
    for least in (2, 3):
        hits = error_counts >= least
        values[f"ap_at_t_{least}"] = average_precision_at(scores, hits, int(hits.sum()))
        values[f"ap_at_t_{least}_all_t"] = average_precision_at(scores, hits, int(wrong.sum()))
    return values | {f"lift_at_{size}": lift_at(scores, wrong, size) for size in sizes}


class TestPartAccuracy(Spec):
    """Table S2: accuracy over cells and Jaccard index on the test part, against both of its labellings."""

    __test__ = False

    group: Group
    seed: int
    classifier: Classifier
    train_labels: Literal["given", "true"]

    def requires(self) -> Sequence[Spec]:
        return [TestPartPredictions(**self.model_dump())]

    def work(self) -> Work:
        return Work(f"{type(self).__name__} {self.group}", 0.2 if self.group == "small" else 3.0)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Compare predicted with given and with true labels of the test part (Table S2)."""
        data, predicted = make_benchmark(self.group, self.seed), inputs[0].arrays["predicted"]
        values = {}
        for name, labels in (("given", data.test_given_labels), ("true", data.test_true_labels)):
            values[f"accuracy_{name}"] = mean_accuracy(labels, predicted)
            values[f"jaccard_{name}"] = jaccard(labels, predicted)
        return Result(values)


class DatasetStatistics(Spec):
    """Table S1 and the noise, measured on one generated dataset."""

    group: Group
    seed: int

    def work(self) -> Work:
        return Work(f"{type(self).__name__} {self.group}", 0.2 if self.group == "small" else 3.0)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Generate the dataset (appendix A, Eqs. 12 and 13) and count."""
        data = make_benchmark(self.group, self.seed)
        errors = data.error_counts
        values = {
            "train": len(data.features),
            "test": len(data.test_features),
            "features": data.features.shape[1],
            "classes": data.true_labels.shape[1],
            "labels_per_example": float(data.true_labels.sum(axis=1).mean()),
            "mean_trace": float(np.trace(data.noise_matrices, axis1=1, axis2=2).mean()),
            **{f"share_with_{least}_errors": float((errors >= least).mean()) for least in (1, 2, 3)},
        }
        return Result(values)
