"""What labels alone decide, at the paper's size (5.1): its images, its pool, and how many stay clean under noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nlcore.errors import require_fraction
from nlcore.papers.counts import count, level, train2014
from nlcore.papers.multi_al.protocol import CONTRACT, MIN_LABELS, Protocol
from nlcore.papers.multi_al.runs import divide, noisy_labels
from nlcore.report.words import percent

POOL = 23_497  # "40 % of the samples" (5.1)
SEEDS = range(5)  # draws of the pool and of its noise


def untouched_chances(labels: np.ndarray, rate: float) -> np.ndarray:
    """The chance of each image that exact noise swaps none of its labels (3.1).

    Of L labels, S = round(rate * L) are drawn without replacement. An image of m labels is spared with chance
    C(L - m, S) / C(L, S), which is the product of (L - S - k) / (L - k) over k = 0 ... m - 1.

    Args:
        labels: (N,) whole numbers, labels of each image.
        rate: fraction of all labels that is swapped, in [0, 1].

    Returns:
        (N,) chances in [0, 1]; their sum is the expected number of clean images.

    Raises:
        InputError: the rate is outside [0, 1].

    >>> untouched_chances(np.array([1, 2, 1]), 0.5)  # 2 of 4 labels
    array([0.5       , 0.16666667, 0.5       ])
    """
    require_fraction("noise rate", rate)
    total = int(labels.sum())
    spared, k = total - round(rate * total), np.arange(labels.max(initial=0))
    factors = np.maximum(spared - k, 0) / np.maximum(total - k, 1)
    return np.concatenate([[1.0], np.cumprod(factors)])[labels]


def exact_lines(noises: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Lines of the table `exact_counts`: the division of 5.1, and the clean images at each noise behind Tables 1 to 3.

    `ours` of clean images is the expectation over pools and noise: the mean chance of all images that a pool is drawn
    from. `low` and `high` are draws by the runs' own functions.
    """
    images, protocol = train2014(min_labels=MIN_LABELS), Protocol()
    labels = images.targets.sum(axis=1)
    split = divide(images, protocol, SEEDS)
    size = split.pool.shape[1]
    yield count("labelled images", len(labels))
    yield count("images with a single label, removed", int((labels == 1).sum()))
    yield count("images with two labels or more", len(images.train))
    yield count("images set aside, the initial ones among them", int(protocol.set_aside * len(images.train) + 1e-9))
    yield count("images in the pool", size, published=POOL)
    yield count("labels per image in the pool", labels[images.train].mean(),
                draws=[labels[rows].mean() for rows in split.pool])  # fmt: skip
    for noise in noises:
        expected = size * untouched_chances(labels[images.train], noise).mean()
        given = noisy_labels(images, split.pool, noise, SEEDS)
        clean = [
            int((own[rows] == images.targets[rows]).all(axis=1).sum())
            for own, rows in zip(given, split.pool, strict=True)
        ]
        said, at = _published_clean(noise), level(noise)
        share = None if said is None else 100 * said / POOL
        odds = None if said is None else said / (POOL - said)
        yield count("clean images in the pool", expected, at=at, published=said, draws=clean)
        yield count("clean images, % of the pool", 100 * expected / size, at=at, published=share,
                    draws=[100 * number / size for number in clean])  # fmt: skip
        yield count("clean : wrong in the whole pool", expected / (size - expected), at=at, published=odds,
                    draws=[number / (size - number) for number in clean])  # fmt: skip


def _published_clean(noise: float) -> int | None:
    """Clean images of the pool by Table 3, whose intervals of D1 hold each image once."""
    row = CONTRACT.published()["table_3"].get(percent(noise))
    return row and sum(row["d1"])
