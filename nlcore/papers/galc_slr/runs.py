"""The paper's three steps as runs (3.3): the silver classifier, the corruption matrices, the gold classifier.

A seed decides the gold images, the noise, the first weights and the order of the images, whatever the method: results
are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn

from nlcore.correction import galc_slr_matrix, glc_matrix, gold_count_matrix, matrix_tensor
from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.losses import binary_cross_entropy_gradient
from nlcore.metrics import AveragePrecision, mean_of_classes
from nlcore.noise import empirical_corruption_matrix, true_corruption_matrix
from nlcore.papers.galc_slr.examples import Examples, GoldAndSilver, capped, divide, load_examples
from nlcore.papers.galc_slr.fitting import Fit
from nlcore.papers.galc_slr.matrices import (
    ESTIMATES,
    calibrated,
    distance,
    reliability,
    sigmoid,
    silver_gradient,
    softmax,
)
from nlcore.papers.galc_slr.methods import (
    WAYS,
    WITHOUT_ESTIMATE,
    Method,
    SilverGoldLoss,
    canonical,
    final_metrics,
    moved_metrics,
    of_member,
)
from nlcore.papers.galc_slr.protocol import CALIBRATED, DEFAULTS, METHODS, PAPER, EstimateOn, Protocol, SilverLoss
from nlcore.papers.together import Together
from nlcore.papers.work import training_work
from nlcore.runs import Result, Spec, Work, once
from nlcore.training import closed_form
from nlcore.training.learners import ASYMMETRIC, Loss
from nlcore.transition import counted_rates, transition_estimate

LOOKS = 5  # epochs whose losses tell which labels are learnt easily; the number is the T-estimator's authors'


class GalcSlrRun(Spec):
    """What all runs of this paper share."""

    source: Source
    protocol: Protocol
    noise: float  # share of the labels
    gold: float  # share of the training images that is trusted
    seed: int

    def shared(self) -> dict[str, Any]:
        """These fields by name, to name another run on the same images."""
        return {name: getattr(self, name) for name in GalcSlrRun.model_fields}

    def data_fingerprint(self) -> str:
        return once(Source.fingerprint, self.source)

    def examples(self) -> Examples:
        """The images and their true labels."""
        return load_examples(self.source)

    def divided(self) -> GoldAndSilver:
        """Which images are gold and which are silver, and what noise made of their labels."""
        return divide(self.examples(), gold=self.gold, noise=self.noise or 0.0, seed=self.seed)

    def fit(self, targets: Sequence[np.ndarray]) -> Fit:
        """Fresh classifiers of this run's seed, one for each of these targets (N, K) or (N, K + 1)."""
        return Fit(self.source, self.protocol, self.seed, self.examples(), targets)

    def trained_work(self, evaluations: int = 1) -> Work:
        """The work of one training, with so many looks at the test part: images of two labels or more."""
        train, test = once(sizes_of_several, self.source)
        return training_work(self.source, self.protocol.epochs * train, evaluations * test)


def map_by_member(fit: Fit, examples: Examples) -> Callable[[nn.Module, int], dict[str, list[float]]]:
    """What a training of `fit` is evaluated by: mAP on the test images, a fraction for each member."""
    average_precision = AveragePrecision(examples.targets[examples.test])

    def evaluate(model: nn.Module, epoch: int) -> dict[str, list[float]]:
        logits = fit.logits(examples.test, model)
        return {"map": [float(mean_of_classes(average_precision(own))) for own in logits]}

    return evaluate


def sizes_of_several(source: Source) -> tuple[int, int]:
    """About how many training and test images of a source have two labels or more."""
    return source.model_copy(update={"min_labels": 2}).sizes()


class SilverClassifier(Together, GalcSlrRun):
    """Step 1 (3.3): the silver classifier f. Trained once per noise level and seed, for every estimate of C.

    Arrays in float16: `gold` (n, K), `silver` (n, K) and `single` (m, K), the logits of these images.
    """

    silver_loss: SilverLoss = "asl"

    def work(self) -> Work:
        return self.trained_work()

    def shared_pass(self) -> Hashable | None:
        """Heads of one seed train on the same silver images, whatever their labels became."""
        return None if self.source.on_images else (self.source, self.protocol, self.gold, self.seed, self.silver_loss)

    @classmethod
    def compute_together(cls, specs: Sequence[SilverClassifier], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """Train f on the silver images with their noisy labels; keep what it says about every image that is asked."""
        first, divided = specs[0], [spec.divided() for spec in specs]
        fit = first.fit([own.noisy for own in divided])
        fit.train(divided[0].silver, first.loss)
        rows = {"gold": divided[0].gold, "silver": divided[0].silver, "single": first.examples().single}
        logits = {name: fit.logits(part).astype(np.float16) for name, part in rows.items() if len(part)}
        return [Result(arrays={name: own[m] for name, own in logits.items()}) for m in range(len(specs))]

    @property
    def loss(self) -> Loss:
        """Summed over the batch, as in ASL's code; BCE is the option."""
        if self.silver_loss == "asl":
            return ASYMMETRIC
        return closed_form(partial(binary_cross_entropy_gradient, reduction="sum"))


class MatrixEstimates(GalcSlrRun):
    """Step 2 (3.3): corruption matrices from one silver classifier, their distance to the truth, and what they lack.

    Arrays (K, K) by name: true, counted (on silver), glc, gold count, and GALC-SLR in three readings. Values:
    `distances` name -> (mean absolute error on the diagonal, off it) to the printed true matrix; `identity_rows`
    name -> number of classes without a usable gold image; `borrowed_regulators`, the number of classes without a
    single-label image; `single_label_images`, how many there are; `reliability`, what the silver classifier says of
    gold images' noisy labels, which it was not trained on, and how often they are there (`matrices.reliability`).
    """

    silver_loss: SilverLoss = "asl"
    cap: int | None = None  # at most so many single-label images of a class
    estimate_on: EstimateOn = "gold"  # silver: noisy labels, as Algorithm 1 says

    def requires(self) -> Sequence[Spec]:
        return [SilverClassifier(**self.shared(), silver_loss=self.silver_loss)]

    def work(self) -> Work:
        return Work(type(self).__name__, 0.2)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Algorithm 1, GLC, and what they are compared with.

        1. The images are the trusted ones with their true labels (text of step 2), or S as labelled (Algorithm 1).
        2. GLC: row k is the mean softmax of f over the images with class k.
        3. Regulators: row k is the mean softmax over single-label images of class k, at most `cap` (lines 7 to 15).
        4. GALC-SLR: row k is the mean over the images with class k of f's sigmoids, less the regulators of the image's
           other classes (lines 26 to 31), plus that of k for each of them (line 33); then cut at 0 and normalised, or
           through a sigmoid (line 38), or as it is (Fig. 4).
           "Calibrated" is the first of these with ASL's bias taken out of f's sigmoids before.
        5. Counted, from labels before and after noise: on the gold images, and on the silver ones.
        6. Distances to the true matrix, C_ii = 1 - r and C_ij = r / (K - 1) (4.1).
        """
        examples, divided, logits = self.examples(), self.divided(), inputs[0].arrays
        on_gold = self.estimate_on == "gold"
        labels = examples.targets[divided.gold] if on_gold else divided.noisy[divided.silver]
        images, kept = logits[self.estimate_on], capped(examples.single_classes, self.cap, self.seed)
        single = softmax(logits["single"][kept]) if len(kept) else np.empty((0, labels.shape[1]))
        outputs = (labels, sigmoid(images), softmax(images), examples.single_classes[kept], single)
        found = {"glc": glc_matrix(labels, softmax(images))}
        found |= {name: galc_slr_matrix(*outputs, reading=reading) for name, reading in ESTIMATES.items()}
        found[CALIBRATED] = galc_slr_matrix(labels, calibrated(outputs[1]), *outputs[2:], reading="repaired")
        found["gold count"] = gold_count_matrix(examples.targets[divided.gold], divided.noisy[divided.gold])
        truth = true_corruption_matrix(labels.shape[1], self.noise)
        counted = empirical_corruption_matrix(examples.targets[divided.silver], divided.noisy[divided.silver])
        matrices = {"true": truth, "counted": counted} | {name: estimate.matrix for name, estimate in found.items()}
        values = {
            "distances": {name: distance(matrix, truth) for name, matrix in matrices.items()},
            "identity_rows": {name: len(estimate.identity_rows) for name, estimate in found.items()},
            "borrowed_regulators": len(found["galc_slr"].borrowed_regulators),
            "single_label_images": len(kept),
            "reliability": reliability(sigmoid(logits["gold"]), divided.noisy[divided.gold]),
        }
        return Result(values, matrices)


class TransitionEstimates(Together, GalcSlrRun):
    """How often noise has added and taken each label, from the noisy labels of all images alone (`nlcore.transition`).

    Array `rates` (2, K): added, lost. Value `rows`, by what decided a class: how many `classes`, and means over them as
    fractions: `added` and `lost` as estimated, and as `..._counted` from the labels before and after noise.
    """

    def work(self) -> Work:
        train, _ = once(sizes_of_several, self.source)
        return training_work(self.source, self.early * train, LOOKS * train)

    @property
    def early(self) -> int:
        """Half of the epochs, where training stops: the authors look at losses up to the fifteenth of thirty."""
        return max(self.protocol.epochs // 2, 1)

    def shared_pass(self) -> Hashable | None:
        """Heads of one seed train on the same images, whatever their labels became."""
        return None if self.source.on_images else (self.source, self.protocol, self.seed)

    @classmethod
    def compute_together(
        cls, specs: Sequence[TransitionEstimates], inputs: Sequence[Sequence[Result]]
    ) -> list[Result]:
        """Train with binary cross-entropy on all images as noise left them; the losses of the last epochs decide."""
        first, divided = specs[0], [spec.divided() for spec in specs]
        rows = divided[0].both
        fit = first.fit([own.noisy for own in divided])
        labels = np.stack([own.noisy[rows] for own in divided])  # (M, n, K)
        losses = np.zeros(labels.shape, np.float32)

        def look(model: nn.Module, epoch: int) -> dict[str, Any]:
            if model is fit.model and epoch > first.early - LOOKS:
                right = np.abs(1 - labels - sigmoid(fit.logits(rows, model)))  # how likely the given label is
                np.subtract(losses, np.log(right.clip(1e-12)), out=losses, casting="same_kind")
            return {}

        loss = closed_form(partial(binary_cross_entropy_gradient, reduction="sum"))
        fit.train(rows, loss, evaluate=look, epochs=first.early)
        said, truth = sigmoid(fit.logits(rows)), first.examples().targets[rows]
        return [spec._decided(truth, *of) for spec, *of in zip(specs, labels, said, losses, strict=True)]

    def _decided(self, truth: np.ndarray, labels: np.ndarray, said: np.ndarray, losses: np.ndarray) -> Result:
        rng = generator(PAPER, self.seed, self.noise, "T-estimator")
        found = transition_estimate(labels, said, losses, rng=rng)
        rates, counted = np.stack([found.added, found.lost]), counted_rates(truth, labels)
        by_pairs = np.isin(np.arange(rates.shape[1]), found.by_dual_t, invert=True)
        ways = {"pairs of labels": by_pairs, "predictions (Dual-T)": ~by_pairs, "either": np.ones_like(by_pairs)}
        rows = [{"decided_by": way, **_summary(rates[:, own], counted[:, own])} for way, own in ways.items()]
        return Result({"rows": rows}, {"rates": rates})


def _summary(rates: np.ndarray, counted: np.ndarray) -> dict[str, float | None]:
    """Of rates (2, classes) of some classes, and of those that were counted: how many, and the means; None of none."""
    means = {"added": rates[0], "added_counted": counted[0], "lost": rates[1], "lost_counted": counted[1]}
    there = rates.shape[1]
    return {"classes": there} | {name: float(own.mean()) if there else None for name, own in means.items()}


class SigmoidEffect(GalcSlrRun):
    """Value `rows`: what the corrected loss sees on silver images, by correction (the notebook's section "Why").

    The silver classifier's own sigmoids stand for g. `mean`: of C'g over all cells; `above_one`: share of cells where
    C'g exceeds 1; `row_sum`: of C, on average; `with_gradient`: share of cells whose loss has a gradient at all;
    `from_absent`: share of the absolute gradient that comes from absent labels, which alone can push a class down.
    """

    def requires(self) -> Sequence[Spec]:
        return [SilverClassifier(**self.shared()), MatrixEstimates(**self.shared())]

    def work(self) -> Work:
        return Work(type(self).__name__, 0.2)

    def compute(self, inputs: Sequence[Result]) -> Result:
        """Put the silver classifier's sigmoids through each matrix, and take ASL's gradient by C'g (3.3)."""
        divided, matrices = self.divided(), inputs[1].arrays
        labels, logits = divided.noisy[divided.silver], inputs[0].arrays["silver"].astype(np.float32)
        corrections = [
            ("no correction", np.eye(labels.shape[1]), 1e-6),
            ("true matrix", matrices["true"], 1e-6),
            ("galc_slr", matrices["galc_slr"], 1e-6),
            ("galc_slr as written", matrices["galc_slr as written"], None),
            ("galc_slr as written, clipped", matrices["galc_slr as written"], 1e-6),
        ]
        return Result({"rows": [{"correction": n, **silver_gradient(logits, labels, m, f)} for n, m, f in corrections]})


class GoldClassifier(Together, GalcSlrRun):
    """Step 3 (3.3): the gold classifier g, and the baselines, by the same code (`methods.WAYS`).

    `noise` is None for gold images alone: they are the same at every level. Values, fractions: `map`,
    `map_without_person`, and by threshold `cf1_0.8`, `of1_0.8`, `cf1_0.5`, `of1_0.5`, all of the last model on clean
    labels; `history`, a list of {"epoch", "map"} (and "average_map" where weights are averaged). Arrays: by how much
    draws of the test images move each metric (`nlcore.metrics.resampling`).
    """

    noise: float | None
    method: Method
    silver_loss: SilverLoss = "asl"
    cap: int | None = None
    estimate_on: EstimateOn = "gold"

    @model_validator(mode="after")
    def _one_spec_for_one_result(self) -> GoldClassifier:
        way, same = WAYS[self.method], canonical(self.method, self.noise)
        if self.noise is None and way.silver:
            raise InputError(f"noise None: {self.method!r} sees the noise; expected a fraction")
        if same != (self.method, self.noise):
            one = f"{same[0]!r} at {same[1]}"
            raise InputError(f"noise {self.noise}: {self.method!r} is the same training as {one}; expected that")
        for name in (name for name in DEFAULTS if name not in way.readings):
            if getattr(self, name) != DEFAULTS[name]:
                raise InputError(f"{name} {getattr(self, name)}: {self.method!r} does not depend on it; expected none")
        return self

    @property
    def follows_epochs(self) -> bool:
        """Whether mAP is measured after every epoch, for Figs. 6a and 6c; else only the last model is tested."""
        reading = {"silver_loss": self.silver_loss, "estimate_on": self.estimate_on}
        usual = self.gold == self.protocol.gold and reading.items() <= DEFAULTS.items()
        usual = usual and self.protocol.follow_epochs
        return usual and self.method in METHODS and self.noise in (None, self.protocol.ablation_noise)

    def requires(self) -> Sequence[Spec]:
        if WAYS[self.method].reweighted:
            return [TransitionEstimates(**self.shared())]
        if WAYS[self.method].matrix in WITHOUT_ESTIMATE:
            return []
        return [MatrixEstimates(**self.shared(), **{name: getattr(self, name) for name in DEFAULTS})]

    def work(self) -> Work:
        models = 1 if self.protocol.average_decay is None else 2
        return self.trained_work(models * (self.protocol.epochs if self.follows_epochs else 1))

    def shared_pass(self) -> Hashable | None:
        """Heads of one seed see the same images in the same order; each form of the loss goes by itself."""
        if self.source.on_images:
            return None
        way = WAYS[self.method]
        images = "all" if way.silver else self.gold
        return self.source, self.protocol, self.seed, images, self.follows_epochs, way.loss

    @classmethod
    def compute_together(cls, specs: Sequence[GoldClassifier], inputs: Sequence[Sequence[Result]]) -> list[Result]:
        """Train g on gold and silver images, and test it.

        1. Label silver images as noise left them, gold ones truly (`asl`: as noise left them, too).
        2. Train for all epochs with ASL(C'g(x), y) on silver and ASL(g(x), y) on gold images (3.3); C is an estimate of
           step 2, the true matrix, or none. Gold images alone get as many steps: each several times in an epoch.
        3. Test the last model on clean labels; no epoch is chosen.
        """
        first, examples = specs[0], specs[0].examples()
        mixed, targets = WAYS[first.method].mixup, [spec.trusted_and_noisy() for spec in specs]
        fit = first.fit([own[:, :-1] for own in targets] if mixed else targets)
        if mixed:
            fit.mix(generator(PAPER, first.seed, "mixup"))
        truth = examples.targets[examples.test]
        loss = SilverGoldLoss(WAYS[first.method], cls._matrices(specs, inputs, fit))
        every = 1 if first.follows_epochs else first.protocol.epochs
        history = fit.train(first.rows(), loss, evaluate=map_by_member(fit, examples), evaluate_every=every)
        tested = [(truth, own, examples.class_names) for own in fit.logits(examples.test)]
        return [
            Result({**final_metrics(*own), "history": of_member(history, m)}, moved_metrics(*own))
            for m, own in enumerate(tested)
        ]

    def trusted_and_noisy(self) -> np.ndarray:
        """(N, K + 1): the labels to train with, and whether an image is gold."""
        divided, examples = self.divided(), self.examples()
        labels = divided.noisy.copy()
        if WAYS[self.method].clean_gold:
            labels[divided.gold] = examples.targets[divided.gold]
        return np.column_stack([labels, np.isin(np.arange(len(labels)), divided.gold)])

    def rows(self) -> np.ndarray:
        """The images of an epoch; gold ones alone are repeated until they are as many."""
        divided = self.divided()
        return divided.both if WAYS[self.method].silver else np.resize(divided.gold, len(divided.both))

    @staticmethod
    def _matrices(specs: Sequence[GoldClassifier], inputs: Sequence[Sequence[Result]], fit: Fit) -> Tensor | None:
        """(M, K, K) for silver images, or rates (M, 2, K) for all; None: no correction."""
        if WAYS[specs[0].method].matrix is None:
            return None
        found = [spec._matrix(own) for spec, own in zip(specs, inputs, strict=True)]
        if WAYS[specs[0].method].reweighted:
            return torch.as_tensor(fit.of_members(found), device=fit.device, dtype=torch.float32)
        return matrix_tensor(fit.of_members(found), device=fit.device)

    def _matrix(self, inputs: Sequence[Result]) -> np.ndarray:
        name, classes = WAYS[self.method].matrix, self.examples().targets.shape[1]
        if name == "identity":
            return np.eye(classes)
        return true_corruption_matrix(classes, self.noise) if name == "true" else inputs[0].arrays[name]
