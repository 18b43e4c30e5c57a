"""Simulated COCO: features of images that nobody took, drawn for given label sets.

The labels of COCO train2014 are known exactly (`label_sets`), its photographs are not here. A `FeatureGenerator` draws
what a frozen network might have seen in them:

    x = origin + sum over the image's labels k of w_k v_k + scale * (sqrt(1 - fresh^2) r_d + fresh * e)

v_k is the class's vector; w_k is how visible the object is, gamma with mean 1 and the class's own deviation (a tennis
racket is always seen, one bicycle in four hardly). r_d is what the labels of a real image d, its donor, leave of that
image's features, and brings along what no label names: a scene, a style, errors that come together. A donor is the
likelier, the larger the share of labels in common. e is Gaussian, of the covariance of all r. All of it is fitted to
the embedded set's training images (`simulated_fit`). `scale` is the one number of the features that is calibrated. They
are drawn when they are needed and never stored.

What it cannot represent: features are drawn, so nothing is learnt below the head, neither the gain of fine-tuning nor
the harm of noise to a whole network; there are as many scenes as there are donors, so that a large simulated set is
less various than a real one of its size; a class looks alike in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nlcore.errors import InputError, require

CHUNK = 4096  # images that are drawn at a time: part of what a generator draws


@dataclass(frozen=True)
class FeatureGenerator:
    """Draws D features for label sets of K classes; see the module's text."""

    origin: np.ndarray  # (D,) float32: where an image without any label would lie
    vectors: np.ndarray  # (K, D) float32
    visibility: np.ndarray  # (K,) float32, deviation of w; 0: every object is seen alike
    residuals: np.ndarray  # (R, D) float32: r of the donors
    donors: np.ndarray  # (R, K) their label sets
    noise: np.ndarray  # (C, D) float32: e = z @ noise, with z standard normal
    kinship: float  # log of how much likelier a donor of the same label set is than one without a label in common
    fresh: float  # in [0, 1]: 0: the residuals as they are; 1: Gaussian ones

    def of_donors(self, chosen: slice) -> FeatureGenerator:
        """The same with fewer donors: training and test images that share none share nothing but their labels."""
        return replace(self, residuals=self.residuals[chosen], donors=self.donors[chosen])

    def draw(
        self,
        targets: np.ndarray,
        *,
        scale: float = 1.0,
        barred: np.ndarray | None = None,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Features of N images.

        Args:
            targets: (N, K) of 0 and 1; an image without label is drawn about the origin.
            scale: of all but the labels' part, above 0; 1 is that of the images the generator was fitted to.
            barred: (N,) a donor that the image must not have, by its place; -1: none. For the donors' own label sets,
                which would else get back the very images they came with.
            generator: source of all draws. The same generator and targets give the same features.

        Returns:
            (N, D) float32.

        Raises:
            InputError: another number of classes, or a scale that is not above 0.
        """
        fits = targets.ndim == 2 and targets.shape[1] == len(self.vectors)
        require(fits, "targets", targets.shape, f"(images, {len(self.vectors)}), the classes of the generator")
        require(np.isfinite(scale) and scale > 0, "scale", scale, "a number above 0")
        barred = np.full(len(targets), -1) if barred is None else barred
        features = np.empty((len(targets), len(self.origin)), np.float32)
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            labels = self._weights(targets[rows], generator) @ self.vectors
            rest = np.float32(np.sqrt(1 - self.fresh**2)) * self._residuals(targets[rows], barred[rows], generator)
            normal = generator.standard_normal((len(labels), len(self.noise)), dtype=np.float32)
            rest += np.float32(self.fresh) * normal @ self.noise
            features[rows] = self.origin + labels + np.float32(scale) * rest
        return features

    def _weights(self, targets: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """w (n, K) float32, 0 where the class is absent."""
        weights, (image, label) = np.zeros(targets.shape, np.float32), np.nonzero(targets)
        weights[image, label] = 1
        varies = self.visibility[label] > 0
        variance = self.visibility[label[varies]].astype(np.float64) ** 2
        weights[image[varies], label[varies]] = variance * generator.standard_gamma(1 / variance)
        return weights

    def _residuals(self, targets: np.ndarray, barred: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """r_d (n, D), of a donor for each image: of as many clocks, each as fast as its donor is likely, the first."""
        rates = np.exp(np.float32(self.kinship) * shared_labels(targets, self.donors))
        times = generator.standard_exponential(rates.shape, dtype=np.float32) / rates
        own = np.flatnonzero(barred >= 0)
        times[own, barred[own]] = np.inf
        return self.residuals[times.argmin(axis=1)]


def shared_labels(targets: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) float32, labels in common over labels in either, of label sets (N, K) and (M, K); 0 where neither has any.

    >>> shared_labels(np.array([[1, 1, 0]]), np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]])).round(2).tolist()
    [[1.0, 0.33, 0.0]]
    """
    a, b = targets.astype(np.float32), others.astype(np.float32)
    common = a @ b.T
    return common / np.maximum(a.sum(axis=1)[:, None] + b.sum(axis=1) - common, 1)


def choose_label_sets(targets: np.ndarray, number: int | None, generator: np.random.Generator) -> np.ndarray:
    """Rows of `number` label sets, each at most once, ascending; None takes all, as they are.

    Raises:
        InputError: more are asked for than there are.
    """
    if number is None:
        return np.arange(len(targets))
    if number > len(targets):
        expected = f"at most {len(targets)}, the label sets there are: each is the label set of one training image"
        raise InputError(f"images: found {number}; expected {expected}")
    return np.sort(generator.permutation(len(targets))[:number])


def require_every_class(targets: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Refuse label sets (N, K) in which a class has no image: nothing could be learnt of it, and no AP computed.

    Raises:
        InputError: names the first such class.
    """
    empty = np.flatnonzero(~targets.any(axis=0))
    if len(empty):
        raise InputError(f"class {class_names[empty[0]]!r}: in none of {len(targets)} label sets; expected one or more")


def calibrate_scale(
    clean_score: Callable[[float], float],
    wanted: float,
    *,
    low: float = 0.25,
    high: float = 4.0,
    tolerance: float = 0.002,
    steps: int = 12,
) -> float:
    """The scale of the noise at which the reference method, on clean labels, scores `wanted`, to three digits.

    Between two scales the score is taken to fall evenly with the scale's logarithm; where the guess is off, it replaces
    the scale on its side. Every third guess is in the middle, lest one side never moves.

    Args:
        clean_score: scale -> score, falling as the scale grows; on images the fit has not seen.
        wanted: in the score's unit.
        low, high: the scales between which to look.
        tolerance: of the score, in its unit.
        steps: at most so many guesses.

    Raises:
        InputError: no scale in between reaches it, or none that was tried comes within the tolerance.

    >>> round(calibrate_scale(lambda scale: 1 / (1 + scale), 0.5), 2)
    1.0
    """
    tried = {low: clean_score(low), high: clean_score(high)}
    best, worst = tried[low], tried[high]
    if not worst <= wanted <= best:
        reached = f"{worst:.3f} (noise times {high:g}) to {best:.3f} (noise times {low:g})"
        raise InputError(f"clean mAP {wanted:g}: no scale of the noise reaches it; expected {reached}")
    for step in range(1, steps + 1):
        share = (best - wanted) / max(best - worst, 1e-9) if step % 3 else 0.5
        guess = float(f"{low * (high / low) ** share:.3g}")
        if guess in tried:
            break
        score = tried[guess] = clean_score(guess)
        if abs(score - wanted) <= tolerance:
            return guess
        low, best, high, worst = (guess, score, high, worst) if score > wanted else (low, best, guess, score)
    nearest = min(tried, key=lambda scale: abs(tried[scale] - wanted))
    require(abs(tried[nearest] - wanted) <= tolerance, f"clean mAP {wanted:g}", tried[nearest],
            f"within {tolerance:g} of it after {len(tried)} scales")  # fmt: skip
    return nearest
