"""What labels alone decide, at the paper's size (4.1): missing cells, and what each measure that counts them costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nlcore.data.division import stratified_division
from nlcore.data.source import TEST_SHARE, Images
from nlcore.generators import generator
from nlcore.papers.counts import count, level, train2014
from nlcore.papers.missing_label_al.measures import BLIND, MEASURES
from nlcore.papers.missing_label_al.protocol import (
    CLASSES,
    CONTRACT,
    DEFAULT_SHARE,
    MIN_LABELS,
    PAPER,
    SPLIT_NOISE,
    Protocol,
)
from nlcore.papers.missing_label_al.runs import divide, partial_labels
from nlcore.papers.missing_label_al.words import SERIES
from nlcore.report.words import percent
from nlcore.scorers.missing_ratio import relabelling_cost, select_batch

IMAGES = 5_000  # of val2017 (4.1); as many are drawn from train2014, whose labels are known
LEAST_TEST_SHARE = 0.1  # "10% or more" (3.3), as at `paper`: the pool is a third larger than with TEST_SHARE
SEEDS = range(5)  # draws of the division and of the noise
SPLITS = (0.25, 0.5, 0.75)  # of Hard+Medium in Fig. 7, beside its default, Medium alone and Hard alone
MIXED = "hard_medium"  # the one measure whose batches cannot be taken all at once


def paper_sized(test_share: float = TEST_SHARE) -> Images:
    """5,000 images of COCO train2014, labels only, divided like a folder that comes without parts."""
    images = train2014(min_labels=MIN_LABELS)
    chosen = np.sort(generator(PAPER, "label sets").permutation(images.train)[:IMAGES])
    in_test = stratified_division(images.targets[chosen], test_share=test_share, seed=0)
    return replace(images, train=chosen[~in_test], test=chosen[in_test])


def completed(
    given: np.ndarray, measure: str, protocol: Protocol, rng: np.random.Generator, *, hard_share: float = DEFAULT_SHARE
) -> np.ndarray:
    """Which images Algorithm 1 completes when a measure only counts missing labels: no model is asked, none is needed.

    Nothing such a measure looks at changes between batches, so that all of them can be taken at once; but for
    Hard+Medium, which starts every batch with Hard images.

    Args:
        given: (P, K) of the pool, with 1, 0 and -1 (unknown).
        measure: one of `BLIND`.
        protocol: its budget and batch.
        rng: settles ties.
        hard_share: of each batch of Hard+Medium.

    Returns:
        (budget,) places in the pool, in the order of choice.

    Raises:
        InputError: the pool is smaller than the budget.
    """
    batch = protocol.batch if measure == MIXED else protocol.budget
    options = {"measure": MEASURES[measure].ratio, "hard_share": hard_share, "rng": rng}
    left, chosen = np.arange(len(given)), []
    for _ in range(protocol.budget // batch):
        taken = select_batch(given[left], batch, **options)
        chosen.append(left[taken])
        left = np.delete(left, taken)
    return np.concatenate(chosen)


def exact_lines(noises: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Lines of the table `exact_counts`: the sizes of 4.1, and at each noise what is behind the costs of Figs. 3 to 6.

    Everything at a noise is a draw of division, noise and ties, by the runs' own functions.
    """
    images, protocol = paper_sized(), Protocol()
    split = divide(images, protocol, SEEDS)
    yield count("images", IMAGES, published=IMAGES)
    yield count("clean images", split.initial.shape[1])
    yield count("images in the pool", split.pool.shape[1])
    yield count("cells in the pool", split.pool.size // len(SEEDS) * CLASSES)
    for noise in noises:
        pools = _pools(images, split.pool, noise)
        yield from _lines_at(noise, pools, images.targets[split.pool], protocol)
        if noise == SPLIT_NOISE:
            yield from _split_lines(noise, pools, protocol)
        if published_costs(noise).get("medium"):
            yield _with_a_small_test_part(noise, protocol)


def _with_a_small_test_part(noise: float, protocol: Protocol) -> dict[str, Any]:
    """What Medium costs if the paper tests on the least that it names: which pool its printed cost is from."""
    images = paper_sized(LEAST_TEST_SHARE)
    pools = _pools(images, divide(images, protocol, SEEDS).pool, noise)
    chosen = [pool[completed(pool, "medium", protocol, _rng(member))] for member, pool in enumerate(pools)]
    paid = [int(relabelling_cost(own).sum()) for own in chosen]
    name = f"cost of {SERIES['medium']}, test part of {percent(LEAST_TEST_SHARE)} %"
    return count(name, at=level(noise), published=published_costs(noise)["medium"], draws=paid)


def _pools(images: Images, pool: np.ndarray, noise: float) -> list[np.ndarray]:
    """Of every seed, the labels (P, K) of its pool, with -1 where the noise hides them; pool: (M, P) rows."""
    given = partial_labels(images, pool, noise, SEEDS)
    return [own[rows] for own, rows in zip(given, pool, strict=True)]


def _lines_at(
    noise: float, pools: Sequence[np.ndarray], true: np.ndarray, protocol: Protocol
) -> Iterator[dict[str, Any]]:
    """At one noise; pools: (P, K) of every seed with -1; true: (M, P, K), the same without."""
    at, said, costs = level(noise), published_costs(noise), [relabelling_cost(pool) for pool in pools]
    chosen = {name: [completed(pool, name, protocol, _rng(m)) for m, pool in enumerate(pools)] for name in BLIND}
    yield count("missing cells of an image: the most", at=at, draws=[int(cost.max()) for cost in costs])
    yield count("cost of 500 images by arithmetic", protocol.budget * CLASSES * noise, at=at)
    for name, rows in chosen.items():
        paid = [int(cost[own].sum()) for cost, own in zip(costs, rows, strict=True)]
        yield count(f"cost of {SERIES[name]}", at=at, published=said.get(name), draws=paid)
    alike = [len(np.intersect1d(*pair)) for pair in zip(chosen["hard"], chosen["medium"], strict=True)]
    yield count("images that Hard and Medium share, of 500", at=at, draws=alike)
    labels = true.sum(axis=2)
    lead = [own[rows].mean() - own.mean() for own, rows in zip(labels, chosen["hard"], strict=True)]
    yield count("true labels of an image: Hard's minus the pool's", at=at, draws=lead)


def _split_lines(noise: float, pools: Sequence[np.ndarray], protocol: Protocol) -> Iterator[dict[str, Any]]:
    for share in SPLITS:
        paid = [
            int(relabelling_cost(pool[completed(pool, MIXED, protocol, _rng(seed), hard_share=share)]).sum())
            for seed, pool in enumerate(pools)
        ]
        name = f"cost of {SERIES[MIXED]}, split {percent(share)}/{percent(1 - share)}"
        yield count(name, at=level(noise), draws=paid)


def _rng(seed: int) -> np.random.Generator:
    """Settles ties as in the runs of a seed."""
    return generator(PAPER, "strategy", seed)


def published_costs(noise: float) -> dict[str, float]:
    """Costs that the paper prints, by measure: Random's at 20 %, and at 60 % the one that it compares at, Medium's."""
    said = CONTRACT.published()["text"]
    found = {"random": said["cost_of_random"].get(percent(noise))}
    return found | ({"medium": said["comparison_cost_at_60"]} if percent(noise) == "60" else {})
