"""Whether classifiers make of simulated features what they make of the real ones: by this the donors were chosen.

The real images are divided. On both parts features are drawn for the images' own label sets, and classifiers that have
a closed form are trained on one part, with more and more of its labels swapped, and tested on the other: on the real
features, and on the drawn ones, whose noise is scaled until the reference scores alike without noise. What is left
between the curves is the generator's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from nlcore.data.simulated import calibrate_scale
from nlcore.data.simulated_fit import Settings, fit_generator
from nlcore.metrics import mean_average_precision
from nlcore.noise import swap_labels

NOISES = (0.0, 0.2, 0.4, 0.6)
REFERENCE = "ridge of 1"
FEW = 4  # of so many images one is among the few that train alone
WIDE = (0.25, 3.0)  # scales of the noise to look between

Curves = dict[str, list[float]]
Map = Callable[[np.ndarray], np.ndarray]  # labels (n, K) of the training images -> scores (m, K) of the others


def noise_curves(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, *, generator: np.random.Generator
) -> Curves:
    """mAP on clean labels, percent, of each classifier at each share of `NOISES`; of the few, without noise.

    Args:
        train, test: features (n, D) and (m, D).
        labels, truth: (n, K) and (m, K) of 0 and 1.
        generator: draws the noise and the few.
    """
    few = generator.permutation(len(train))[: len(train) // FEW]
    noisy = [swap_labels(labels, share, generator) for share in NOISES]
    known = truth.any(axis=0)

    def score(outputs: np.ndarray) -> float:
        return 100 * float(mean_average_precision(truth[:, known], outputs[:, known]))

    centre = train.mean(axis=0, dtype=np.float64)
    size = np.sqrt((train - centre).var(axis=0).mean())
    train, test = (train - centre) / size, (test - centre) / size
    maps = {REFERENCE: ridge(train, test, 1.0), "ridge of 0.1": ridge(train, test, 0.1), "kernel": kernel(train, test)}
    curves = {name: [score(found(shares)) for shares in noisy] for name, found in maps.items()}
    return curves | {"few images": [score(ridge(train[few], test, 0.3)(labels[few]))]}


def ridge(train: np.ndarray, test: np.ndarray, penalty: float) -> Map:
    """A linear classifier by least squares, with so much of the features' variance added."""
    inner = train.T @ train + penalty * len(train) * np.eye(train.shape[1])
    return _smoother(test @ np.linalg.solve(inner, train.T))


def kernel(train: np.ndarray, test: np.ndarray, penalty: float = 0.03) -> Map:
    """Least squares with a Gaussian kernel as wide as images are apart: it can memorise."""
    inner = _gaussian(train, train) + penalty * np.eye(len(train))
    return _smoother(np.linalg.solve(inner, _gaussian(train, test)).T)


def _gaussian(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    far = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.exp(-far / (2 * a.shape[1]))


def _smoother(weights: np.ndarray) -> Map:
    return lambda labels: weights @ (labels - labels.mean(axis=0))


def distance_to_real(
    features: np.ndarray, targets: np.ndarray, settings: Settings, *, folds: int = 3, generator: np.random.Generator
) -> tuple[float, float]:
    """How far the curves of drawn features are from those of real ones: root mean square, points of mAP, and the scale.

    Args:
        features, targets: (N, D) and (N, K) of training images; a class that is not in every fold is left out.
        settings: to judge.
        folds: each is tested on once.
        generator: for all draws; give the same to all settings that are compared.
    """
    place, seed = generator.permutation(len(features)) % folds, int(generator.integers(2**31))
    everywhere = np.all([targets[place == fold].any(axis=0) for fold in range(folds)], axis=0)
    targets = targets[:, everywhere]
    parts = [(np.flatnonzero(place != fold), np.flatnonzero(place == fold)) for fold in range(folds)]
    fitted = [
        fit_generator(features[kept], targets[kept], settings=settings, generator=np.random.default_rng(seed))
        for kept, _ in parts
    ]

    def curves(draw: Callable[[int, int], np.ndarray]) -> Curves:
        """Mean over folds; `draw(fold, part)` are features of one part of a fold."""
        found = [
            noise_curves(
                draw(fold, 0), targets[kept], draw(fold, 1), targets[held], generator=np.random.default_rng(seed + fold)
            )
            for fold, (kept, held) in enumerate(parts)
        ]
        return {name: np.mean([one[name] for one in found], axis=0).tolist() for name in found[0]}

    @cache  # the scale that is found has been drawn at
    def drawn(scale: float) -> Curves:
        def draw(fold: int, part: int) -> np.ndarray:
            rows, draws = parts[fold][part], np.random.default_rng([seed, fold, part])
            maker = fitted[fold].of_donors(slice(part, None, 2))
            own = np.where(np.arange(len(rows)) % 2, -1, np.arange(len(rows)) // 2) if part == 0 else None
            return maker.draw(targets[rows], scale=scale, barred=own, generator=draws)

        return curves(draw)

    real = curves(lambda fold, part: features[parts[fold][part]])
    scale = calibrate_scale(
        lambda scale: drawn(scale)[REFERENCE][0], real[REFERENCE][0], low=WIDE[0], high=WIDE[1], tolerance=0.2
    )
    found = drawn(scale)
    differences = np.concatenate([np.subtract(found[name], real[name]) for name in real])
    return float(np.sqrt((differences**2).mean())), scale
