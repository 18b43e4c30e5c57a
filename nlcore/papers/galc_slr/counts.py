"""What labels alone decide, at the paper's size (4.1): single-label images, gold images per class, the true matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nlcore.errors import require_fraction
from nlcore.generators import generator
from nlcore.noise import empirical_corruption_matrix, flip_symmetric, true_corruption_matrix
from nlcore.papers.counts import count, level, train2014
from nlcore.papers.galc_slr.examples import Examples, capped, divide
from nlcore.papers.galc_slr.matrices import distance
from nlcore.papers.galc_slr.protocol import CONTRACT, PAPER
from nlcore.report.words import percent

CAPS = (50, 10)  # single-label images of a class (Fig. 6c)
GOLD = (0.1, 0.05)  # trusted shares of the training images (Fig. 6b)
SEEDS = range(5)  # draws of the gold images
COUNTED = 3  # of them whose noise is drawn too


def paper_sized() -> Examples:
    """The training images of the paper as labels without pictures, and without test images: val2014's are not known."""
    images = train2014(min_labels=1)
    labels = images.targets.sum(axis=1)
    train, single = np.flatnonzero(labels >= 2), np.flatnonzero(labels == 1)
    return Examples(None, images.targets, train, images.test, single, images.class_names)


def expected_corruption_matrix(targets: np.ndarray, rate: float) -> np.ndarray:
    """What `empirical_corruption_matrix` counts on average over symmetric noise (4.1), in closed form.

    A label i is flipped with chance r, to each of its image's absent classes with the same chance: an image of m labels
    has K - m. So C_ij = r times the mean, over the images with i, of [j absent] / (K - m), and C_ii = 1 - r. On
    single-label images it is the printed matrix; elsewhere classes that keep company exchange fewer labels. (No image
    may have more labels than absent classes: not all of its labels could be flipped.)

    Args:
        targets: (N, K) of 0 and 1, before noise.
        rate: r, the fraction of all labels that is flipped, in [0, 1].

    Returns:
        (K, K) float64; rows sum to 1; a class without a label has the row of the identity.

    Raises:
        InputError: the rate is outside [0, 1].

    >>> expected_corruption_matrix(np.array([[1, 1, 0, 0], [1, 0, 0, 0]]), 0.6)[0]
    array([0.4 , 0.1 , 0.25, 0.25])
    """
    require_fraction("noise rate", rate)
    present = np.asarray(targets, np.float64)
    absent = (1 - present) / np.maximum(present.shape[1] - present.sum(axis=1, keepdims=True), 1)
    images = present.sum(axis=0)[:, None]
    spread = rate * (present.T @ absent) / np.maximum(images, 1)
    own = np.eye(len(spread), dtype=bool)
    return np.where(images > 0, np.where(own, 1 - rate, spread), own)


def gold_images(examples: Examples, share: float) -> list[np.ndarray]:
    """The gold rows of every seed, as the runs draw them.

    Raises:
        InputError: no image is left for one of the parts.
    """
    unlabelled = replace(examples, targets=np.zeros((len(examples.targets), 2), np.int8))  # nothing to flip: fast
    return [divide(unlabelled, gold=share, noise=0.0, seed=seed).gold for seed in SEEDS]


def exact_lines(noises: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Lines of the table `exact_counts`: sets, class frequencies, gold images of a class, the matrix at each noise."""
    examples = paper_sized()
    gold = {share: gold_images(examples, share) for share in GOLD}
    yield from _set_lines(examples, gold)
    yield from _class_lines(examples, gold)
    swapped = expected_corruption_matrix(examples.targets[examples.train], 1.0)
    for noise in filter(None, noises):  # without noise every matrix is the identity
        expected = (1 - noise) * np.eye(len(swapped)) + noise * swapped  # linear in the noise
        yield from _matrix_lines(expected, [examples.targets[rows] for rows in gold[GOLD[0]][:COUNTED]], noise)


def _set_lines(examples: Examples, gold: dict[float, list[np.ndarray]]) -> Iterator[dict[str, Any]]:
    said, classes = CONTRACT.published()["text"], examples.single_classes
    pool = np.bincount(classes, minlength=len(examples.class_names))
    single = said["single_label_images"]
    yield count("training images, two labels or more", len(examples.train), published=said["train"])
    for share, rows in gold.items():
        yield count("gold images", len(rows[0]), at=level(share), published=said[f"gold_{percent(share)}"])
    silver = len(examples.train) - len(gold[GOLD[0]][0])
    yield count("silver images", silver, at=level(GOLD[0], "gold"), published=said["silver_10"])
    yield count("single-label images", len(classes))
    yield count("single-label images of a class: mean", pool.mean(), published=single["per_class_mean"])
    yield count("single-label images of a class: most", pool.max(), published=single["per_class_max"])
    yield count("single-label images of a class: fewest", pool.min())
    for cap in CAPS:
        kept, at = len(capped(classes, cap, seed=0)), f"at most {cap} of a class"
        yield count("single-label images", kept, at=at, published=single[f"cap_{cap}"])
        yield count("classes that the cap leaves as they are", int((pool <= cap).sum()), at=at)


def _class_lines(examples: Examples, gold: dict[float, list[np.ndarray]]) -> Iterator[dict[str, Any]]:
    targets = examples.targets[examples.train]
    images = targets.sum(axis=0)
    yield count("labels per training image", targets.sum() / len(targets))
    for what, place in (("most", images.argmax()), ("fewest", images.argmin())):
        yield count(f"training images of a class: {what} ({examples.class_names[place]})", images[place])
    yield count("training images of a class: median", float(np.median(images)))
    for share, rows in gold.items():
        drawn, at = [examples.targets[own].sum(axis=0) for own in rows], level(share, "gold")
        yield count("gold images of a class: mean", share * images.mean(), at=at, draws=[own.mean() for own in drawn])
        yield count("gold images of a class: fewest", at=at, draws=[int(own.min()) for own in drawn])
        yield count("classes with fewer than 50 gold images", at=at, draws=[int((own < 50).sum()) for own in drawn])


def _matrix_lines(expected: np.ndarray, gold: Sequence[np.ndarray], noise: float) -> Iterator[dict[str, Any]]:
    """The printed matrix against the expected one of the training images, and one that is counted on gold ones.

    expected: (K, K). gold: of every seed the labels (n, K) before noise.
    """
    printed, at = true_corruption_matrix(len(expected), noise), level(noise)
    counted = [distance(_counted(own, noise, seed), printed) for seed, own in enumerate(gold)]
    yield count("off the diagonal: as printed", printed[0, 1], at=at)
    yield count("error of the printed matrix, off the diagonal: mean", distance(printed, expected)[1], at=at)
    yield count("error of the printed matrix, off the diagonal: largest", np.abs(printed - expected).max(), at=at)
    yield count("error of the matrix counted on gold: diagonal", at=at, draws=[own[0] for own in counted])
    yield count("error of the matrix counted on gold: off the diagonal", at=at, draws=[own[1] for own in counted])


def _counted(clean: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """With the draws of `examples.divide`, which would flip the silver labels too."""
    noisy = flip_symmetric(clean, noise, generator(PAPER, "noise", "gold", seed, noise))
    return empirical_corruption_matrix(clean, noisy)
