"""First stage: classifiers are trained on the benchmark's noisy labels, and predict what they have not seen.

This is where the time goes, so the module imports no metric: a change to one leaves the predictions in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nlcore.data.benchmark import make_benchmark
from nlcore.papers.cleanlab_ema.classifiers import (
    dataset_folds,
    held_out_probabilities,
    make_classifier,
    predict_labels,
)
from nlcore.papers.cleanlab_ema.protocol import Classifier, Group
from nlcore.runs import Result, Spec, Work

# Seconds of one core for one fold, measured; a fit on the whole training part takes about 1.3 times as long.
FOLD_SECONDS = {
    ("small", "logistic_regression"): 0.2,
    ("small", "random_forest"): 1.7,
    ("small", "joint_random_forest"): 0.6,
    ("large", "logistic_regression"): 4.0,
    ("large", "random_forest"): 430.0,
    ("large", "joint_random_forest"): 21.0,
}


class FoldPredictions(Spec):
    """Out-of-sample probabilities for one fold of one dataset: array `probabilities` (rows of the fold, K)."""

    group: Group
    seed: int
    classifier: Classifier
    fold: int

    def work(self) -> Work:
        return Work(f"fold {self.group} {self.classifier}", FOLD_SECONDS[self.group, self.classifier])

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Generate the dataset (appendix A), train on four of five folds (section 5.1), predict the fifth."""
        data = make_benchmark(self.group, self.seed)
        held_out = dataset_folds(self.group, self.seed)[self.fold]
        probabilities = held_out_probabilities(self.classifier, data.features, data.given_labels, held_out)
        return Result(arrays={"probabilities": probabilities})


class TestPartPredictions(Spec):
    """A classifier trained on the whole training part, with the given or the true labels, applied to the test part.

    Array `predicted`: (test examples, K) of 0 and 1.
    """

    __test__ = False  # not a test, whatever pytest makes of the name

    group: Group
    seed: int
    classifier: Classifier
    train_labels: Literal["given", "true"]

    def work(self) -> Work:
        return Work(f"fit {self.group} {self.classifier}", 1.3 * FOLD_SECONDS[self.group, self.classifier])

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Generate the dataset (appendix A), train on its whole training part, say which classes test examples have."""
        data = make_benchmark(self.group, self.seed)
        labels = data.given_labels if self.train_labels == "given" else data.true_labels
        classifier = make_classifier(self.classifier).fit(data.features, labels)
        return Result(arrays={"predicted": predict_labels(classifier, data.test_features)})
