"""Fitting the generator of simulated features to real ones, and choosing its form by what it says of unseen images.

Model, in the features' own principal components d (in which their total covariance T is diagonal):

    x_d = m_d + (y - mean y)' v_d + r_d,   v_kd ~ N(0, strength_k^2 s_d / ridge_d),   r_d ~ N(0, s_d)

1. Each component's ridge is the one of the highest evidence p(x_d | y, ridge), and each class has its strength: a class
   leaves much of its mark in the leading components and next to none in the last, and a zebra leaves a plainer one than
   a backpack. One ridge for all overstates the vectors of rare classes.
2. Class vectors are *drawn* from their posterior. Its mean would make every rare class fainter than it is, since it is
   shrunk for want of images; a least-squares fit would make it plainer, since its errors look like signal. A draw is
   as plain as such classes are.
3. How much a class's visibility w varies: along its vector, found without an image, that image's place has a larger
   variance where the class is present than where it is absent. The difference is the variance of w.
4. What labels leave of each image, x - m - (y - mean y)' v, is kept: any of these images may be a simulated one's
   donor. With its residual an image also gets back what the draw of step 2 took from its donor's labels, so worlds
   differ less than their vectors do. What is odd about an object's visibility is in the residual, too: along the
   vectors of classes that vary, drawn features vary somewhat more than real ones.

`held_out_score` is the mean log density of unseen images, with a t distribution in place of the residuals themselves;
by it, and on training images only, the ridges, the strengths and the visibility in `Settings` were chosen. A density in
256 dimensions says nothing of how residuals come together, so `kinship` and `fresh` were chosen by what classifiers
make of the features (`simulated_probe`), on training images too. scripts/check_simulated.py writes both tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, gammaln, logsumexp

from nlcore.data.simulated import FeatureGenerator
from nlcore.errors import require

RIDGES = np.geomspace(1, 1e5, 41)  # that the evidence chooses from
ROUNDS = 200  # of the search for the classes' strengths
FOLDS = 3  # of the search for the classes' visibility
FEW = 20  # images: a class of so many counts as much as the classes' median does for its visibility


@dataclass(frozen=True)
class Settings:
    """The form of the generator. The defaults are those of the best score: see the module's text for which score."""

    components: int = 256  # principal components at most; the rest of the features is their mean
    ridge: float | None = None  # one for all components; None: each its own, by evidence
    strengths: bool = True  # whether classes differ in strength
    visibility: float = 1.0  # the largest deviation of a label's weight; 0: none varies
    kinship: float = 24.0  # log of how much likelier a donor of the same label set is than one of quite another
    fresh: float = 0.6  # how much of a residual is Gaussian
    freedom: float = 16.0  # of the density alone: degrees of freedom of the noise; inf: Gaussian
    floor: float = 0.2  # of the density alone: least share of the total variance that is noise, in any direction


@dataclass(frozen=True)
class Posterior:
    """Class vectors as N images leave them: `mean` (K, C) and, in the basis `axes` (K, K), a variance each."""

    centre: np.ndarray  # (C,) mean of the components
    frequency: np.ndarray  # (K,) mean of the targets
    label_covariance: np.ndarray  # (K, K)
    total: np.ndarray  # (C,) variance of the components
    mean: np.ndarray  # (K, C)
    axes: np.ndarray  # (K, K), columns
    variance: np.ndarray  # (K, C), along the axes, of v_k / strength_k
    strength: np.ndarray  # (K,) deviation of the class's vector, relative to others


def fit_generator(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    settings: Settings = Settings(),
    world: int = 0,
    generator: np.random.Generator,
) -> FeatureGenerator:
    """A generator of features like these.

    Args:
        features: (N, D) of the training images.
        targets: (N, K) of 0 and 1.
        settings: its form.
        world: which draw of the class vectors to take. Worlds differ as classes might that these images leave open.
        generator: draws the class vectors from their posterior.

    Raises:
        InputError: fewer than three images, or a class that is in none of them: nothing is known of its look.
    """
    require(len(features) > 2, "images to fit to", len(features), "three or more")
    absent = np.flatnonzero(~targets.any(axis=0))
    require(len(absent) == 0, "classes without an image", absent.tolist(), "none: a class's look is fitted to images")
    mean, basis = principal_components(features, settings.components)
    components = (features - mean) @ basis.T
    posterior = fit_posterior(components, targets, settings)
    visibility = fit_visibility(components, targets, settings)
    normal = generator.standard_normal((world + 1, *posterior.mean.shape))[world]
    spread = posterior.axes @ (np.sqrt(posterior.variance) * normal)
    vectors = posterior.mean + posterior.strength[:, None] * spread
    residuals = components - posterior.centre - (targets - posterior.frequency) @ vectors
    noise = np.linalg.qr(residuals / np.sqrt(len(residuals)), mode="r")  # noise' noise is the residuals' covariance
    origin = mean + (posterior.centre - posterior.frequency @ vectors) @ basis
    return FeatureGenerator(
        origin=origin.astype(np.float32),
        vectors=(vectors @ basis).astype(np.float32),
        visibility=visibility.astype(np.float32),
        residuals=(residuals @ basis).astype(np.float32),
        donors=targets.astype(np.int8),
        noise=(noise @ basis).astype(np.float32),
        kinship=settings.kinship,
        fresh=settings.fresh,
    )


def principal_components(features: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and the leading components (C, D), at most `number`, of features (N, D)."""
    mean = features.mean(axis=0, dtype=np.float64)
    _, values, basis = np.linalg.svd(features - mean, full_matrices=False)
    kept = min(number, int((values > 1e-6 * values[0]).sum()))
    return mean, basis[:kept]


def fit_posterior(components: np.ndarray, targets: np.ndarray, settings: Settings) -> Posterior:
    """Steps 1 and 2 of the module's text, for components (N, C) and targets (N, K)."""
    centre, frequency = components.mean(axis=0), targets.mean(axis=0)
    x, y = components - centre, targets - frequency
    inner, outer = y.T @ y, y.T @ x
    norms, strength = (x**2).sum(axis=0), np.ones(y.shape[1])
    for turn in range(ROUNDS if settings.strengths else 1):
        used = strength
        square, axes = np.linalg.eigh(strength[:, None] * inner * strength)
        square = np.maximum(square, 1e-9)[:, None]
        along = axes.T @ (strength[:, None] * outer) / np.sqrt(square)
        if turn % 20 == 0:
            ridges = best_ridges(along, norms, square, len(x), settings.ridge)
        noise = _noise_variance(along, norms, square, ridges, len(x))
        mean = axes @ (np.sqrt(square) * along / (square + ridges))  # of v_k / strength_k
        variance = noise / (square + ridges)
        second = mean**2 + axes**2 @ variance
        strength = strength * np.sqrt((second * ridges / noise).mean(axis=1))
        strength /= np.sqrt((strength**2).mean())
    return Posterior(centre, frequency, inner / len(y), x.var(axis=0), mean * used[:, None], axes, variance, used)


def _noise_variance(along, norms, square, ridges, images: int) -> np.ndarray:
    """s (C,) of the highest evidence, given the ridges (C,): x' (I + y y' / ridge)^-1 x / N."""
    return (norms - (along**2 * square / (square + ridges)).sum(axis=0)) / images


def best_ridges(
    along: np.ndarray, norms: np.ndarray, square: np.ndarray, images: int, fixed: float | None
) -> np.ndarray:
    """The ridge of the highest evidence for each component, (C,), of `RIDGES`.

    Args:
        along: (K, C) components along the left singular vectors of the targets.
        norms: (C,) squared norms of the components.
        square: (K, 1) squared singular values.
        images: N.
        fixed: one for all, if it is given.
    """
    if fixed is not None:
        return np.full(len(norms), fixed)
    evidence = [
        -images / 2 * np.log(_noise_variance(along, norms, square, ridge, images)) - np.log1p(square / ridge).sum() / 2
        for ridge in RIDGES
    ]
    return RIDGES[np.argmax(evidence, axis=0)]


def fit_visibility(components: np.ndarray, targets: np.ndarray, settings: Settings) -> np.ndarray:
    """Step 3 of the module's text: the deviation of w for each class, (K,), at most `settings.visibility`."""
    if settings.visibility == 0:
        return np.zeros(targets.shape[1])
    place, along = np.arange(len(components)) % FOLDS, np.empty(targets.shape)
    for fold in range(FOLDS):
        held = place == fold
        posterior = fit_posterior(components[~held], targets[~held], settings)
        residual = components[held] - posterior.centre - (targets[held] - posterior.frequency) @ posterior.mean
        covariance = unexplained(posterior, posterior.mean, np.zeros(targets.shape[1]))
        factor = noise_factor(covariance, posterior.total, settings.floor)
        direction = np.linalg.solve(factor.T @ factor, posterior.mean.T)  # (C, K)
        along[held] = residual @ direction / np.maximum((posterior.mean.T * direction).sum(axis=0), 1e-9)
    present = targets.sum(axis=0)
    variance = (along**2 * targets).sum(axis=0) / present
    variance -= (along**2 * (1 - targets)).sum(axis=0) / np.maximum(len(targets) - present, 1)
    variance = (present * variance + FEW * np.median(variance)) / (present + FEW)
    return np.sqrt(np.clip(variance, 0, settings.visibility**2))


def unexplained(posterior: Posterior, vectors: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """(C, C) covariance of the noise: the total less what labels and their visibility (K,) explain."""
    spread = np.diag(visibility**2 * posterior.frequency)
    return np.diag(posterior.total) - vectors.T @ (posterior.label_covariance + spread) @ vectors


def noise_factor(covariance: np.ndarray, total: np.ndarray, floor: float) -> np.ndarray:
    """F (C, C) with F'F = the covariance, in any direction at least the share `floor` of the total (C,) variance."""
    root = np.sqrt(total)
    values, axes = np.linalg.eigh(covariance / np.outer(root, root))
    return np.sqrt(np.maximum(values, floor))[:, None] * axes.T * root


def held_out_score(
    features: np.ndarray,
    targets: np.ndarray,
    settings: Settings,
    *,
    folds: int = 3,
    draws: int = 256,
    generator: np.random.Generator,
) -> float:
    """Mean log density of an image that was not fitted to, in nats, over all images of a division into folds.

    Args:
        features, targets: (N, D) and (N, K) of training images.
        settings: to judge.
        folds: each is held out once.
        draws: of the weights w, over which the density is averaged.
        generator: divides, and draws weights; give the same to all settings that are compared.
    """
    mean, basis = principal_components(features, settings.components)
    components, place = (features - mean) @ basis.T, generator.permutation(len(features)) % folds
    quantiles, scores = generator.random((draws, targets.shape[1])), np.empty(len(features))
    for fold in range(folds):
        held = place == fold
        posterior = fit_posterior(components[~held], targets[~held], settings)
        visibility = fit_visibility(components[~held], targets[~held], settings)
        weights = gamma_weights(quantiles, visibility)
        scores[held] = log_density(posterior, components[held], targets[held], visibility, weights, settings)
    return float(scores.mean())


def gamma_weights(quantiles: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """Weights (M, K) at quantiles (M, K) of gamma distributions of mean 1 and deviations `visibility` (K,)."""
    variance = np.maximum(visibility, 1e-3) ** 2
    return variance * gammaincinv(1 / variance, quantiles)


def log_density(
    posterior: Posterior,
    components: np.ndarray,
    targets: np.ndarray,
    visibility: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
) -> np.ndarray:
    """Log density (n,) of images (n, C) with targets (n, K) under the posterior mean, averaged over `weights` (M, K).

    What is not known of the class vectors is added to the noise, for an average image.
    """
    vectors, y = posterior.mean, targets - posterior.frequency
    unknown = np.einsum("nk,kc->c", ((y * posterior.strength) @ posterior.axes) ** 2, posterior.variance) / len(y)
    left = unexplained(posterior, vectors, visibility) - np.diag(unknown)
    factor = noise_factor(left, posterior.total, settings.floor)
    root = np.linalg.cholesky(factor.T @ factor + np.diag(unknown))
    x = np.linalg.solve(root, (components - posterior.centre + posterior.frequency @ vectors).T).T
    v = np.linalg.solve(root, vectors.T).T
    inner, products, norms = x @ v.T, v @ v.T, (x**2).sum(axis=1)
    found = np.empty(len(x))
    for i, labels in enumerate(targets):
        present = np.flatnonzero(labels)
        w = weights[:, present]
        far = norms[i] - 2 * w @ inner[i, present] + ((w @ products[np.ix_(present, present)]) * w).sum(axis=1)
        found[i] = logsumexp(_log_t(far, x.shape[1], settings.freedom)) - np.log(len(w))
    return found - np.log(np.diag(root)).sum()


def _log_t(squared_distance: np.ndarray, components: int, freedom: float) -> np.ndarray:
    """Log density of the multivariate t of unit covariance (the normal at infinite freedom)."""
    if np.isinf(freedom):
        return -(squared_distance + components * np.log(2 * np.pi)) / 2
    constant = gammaln((freedom + components) / 2) - gammaln(freedom / 2)
    constant -= components / 2 * np.log(np.pi * (freedom - 2))
    return constant - (freedom + components) / 2 * np.log1p(squared_distance / (freedom - 2))
