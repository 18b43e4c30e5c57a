"""What labels alone decide, at the paper's size (4.1): images and labels of the 56 classes, positives at each share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nlcore.data.extended_coco import count_labels, read_class_map
from nlcore.data.label_sets import label_sets
from nlcore.generators import generator
from nlcore.papers.counts import count, level
from nlcore.papers.teacher_student.protocol import CONTRACT, PAPER

SEEDS = range(10)  # draws of the verified images
REMARK = (
    "Clean labels of train2014 alone: val2014's are not at hand, and noisy labels need the photographs. The paper "
    "keeps images with a noisy label; here are those with a clean one, and verified sets of its size from among them."
)


def class_labels() -> np.ndarray:
    """Clean labels of the images of train2014 that have one of the class map's classes, (n, 56) int8."""
    targets = label_sets().of_classes(read_class_map().class_names)
    return targets[targets.any(axis=1)]


def positives(labels: np.ndarray, train: int, share: float, seed: int) -> np.ndarray:
    """How many verified images each class has, (K,), when a share of `train` images is verified.

    Larger shares hold the smaller ones.

    Args:
        labels: (n, K) of 0 and 1.
        train: how many of the images train, at most n.
        share: of these that is verified, in [0, 1].
        seed: of the draw.
    """
    order = generator(PAPER, "verified counts", seed).permutation(len(labels))[:train]
    return labels[order[: round(share * train)]].sum(axis=0)


def least_missing(clean: int, noisy: int, right: float) -> float:
    """The share of `clean` labels that `noisy` ones leave out at least, when a share `right` of these is right.

    >>> least_missing(200, 100, 0.9)
    0.55
    """
    return max(0.0, 1 - right * noisy / clean)


def exact_lines(shares: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Lines of the table `exact_counts`: Table 1's clean training labels, the text's noise, and Fig. 5's shares."""
    labels, said = class_labels(), CONTRACT.published()
    found, text = count_labels(labels), said["text"]
    clean, noisy = (said["table_1"]["train"][kind] for kind in ("clean", "noisy"))
    train = min(text["split"][0], len(labels))
    yield count("classes", labels.shape[1], published=text["classes"])
    yield count("images with one of the classes", len(labels), published=text["split"][0])
    for name, paper in zip(found, clean, strict=True):
        yield count(f"clean {name}", found[name], published=paper)
    for name, place in (("most", -1), ("fewest", 0)):
        yield count(f"clean images of a class: {name}", np.sort(labels.sum(axis=0))[place])
    for right in (1.0, text["noisy_labels_right"]):
        yield count("true labels missing, at least", least_missing(found["annotations"], noisy[0], right),
                    at=f"{100 * right:g} % of the noisy right", published=text["true_labels_missing"])  # fmt: skip
    for share in shares:
        yield from _share_lines(labels, train, share, per_class=clean[2])


def _share_lines(labels: np.ndarray, train: int, share: float, *, per_class: float) -> Iterator[dict[str, Any]]:
    """At one share of clean labels; per_class: by Table 1, the mean over the classes of all their clean images."""
    drawn, at = [positives(labels, train, share, seed) for seed in SEEDS], level(share, "clean")
    yield count("verified images", round(share * train), at=at)
    yield count("verified images of a class: mean", share * train * labels.mean(axis=0).mean(), at=at,
                published=share * per_class, draws=[own.mean() for own in drawn])  # fmt: skip
    yield count("verified images of a class: fewest", at=at, draws=[int(own.min()) for own in drawn])
    yield count("classes with fewer than 20 verified images", at=at, draws=[int((own < 20).sum()) for own in drawn])
    yield count("classes without a verified image", at=at, draws=[int((own == 0).sum()) for own in drawn])
