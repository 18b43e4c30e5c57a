"""Ratio measures and batch selection: hand-computed orders, and what no selection may do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlcore.errors import InputError
from nlcore.noise import hide_labels
from nlcore.scorers.missing_ratio import MEASURES, hard_ratio, medium_distance, relabelling_cost, select_batch
from nlcore.scorers.selection import select_highest, select_lowest


def with_unknown(*counts, classes=4):
    """One image per count, with that many unknown cells."""
    return np.where(np.arange(classes) < np.array(counts)[:, None], -1, 0)


POOL = with_unknown(0, 1, 2, 3, 4, 2, 1)  # ratios 0, 1/3, 1, 3, inf, 1, 1/3
ENTROPY = np.array([7.0, 1, 2, 3, 4, 6, 5])


def test_ratios_by_hand():
    assert hard_ratio(POOL).tolist() == [0, 1 / 3, 1, 3, np.inf, 1, 1 / 3]
    np.testing.assert_allclose(medium_distance(POOL), [1, 2 / 3, 0, 2, np.inf, 0, 2 / 3])
    assert relabelling_cost(POOL).tolist() == [0, 1, 2, 3, 4, 2, 1]
    for measure in (hard_ratio, medium_distance, relabelling_cost):
        np.testing.assert_array_equal(measure(torch.from_numpy(POOL)).numpy(), measure(POOL))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"measure": "hard"}, [4, 3, 2, 5, 1, 6, 0]),
        ({"measure": "medium"}, [2, 5, 1, 6, 0, 3, 4]),
        ({"measure": "entropy", "entropy": ENTROPY}, [0, 5, 6, 4, 3, 2, 1]),
        ({"measure": "hard", "entropy": ENTROPY}, [4, 3, 5, 2, 6, 1, 0]),
        ({"measure": "medium", "entropy": ENTROPY}, [5, 2, 6, 1, 0, 3, 4]),
        ({"measure": "hard+medium", "hard_share": 0.3}, [4, 3, 2, 5, 1, 6, 0]),
        ({"measure": "hard+medium", "hard_share": 1.0}, [4, 3, 2, 5, 1, 6, 0]),
        ({"measure": "hard+medium", "hard_share": 0.0, "entropy": ENTROPY}, [5, 2, 6, 1, 0, 3, 4]),
    ],
)
def test_orders_by_hand(options, expected):
    assert select_batch(POOL, 7, **options).tolist() == expected
    assert select_batch(torch.from_numpy(POOL), 7, **options).tolist() == expected


def test_product_of_ranks_by_hand():
    # Hard ranks 7, 5.5, 3.5, 2, 1, 3.5, 5.5 times entropy ranks 1, 7, 6, 5, 4, 2, 3 = 7, 38.5, 21, 10, 4, 7, 16.5.
    batch = select_batch(POOL, 7, measure="hard", entropy=ENTROPY, combination="product")
    assert batch.tolist() == [4, 0, 5, 3, 6, 2, 1]


def test_split_of_the_papers_batch():
    pool = hide_labels(np.zeros((2000, 80), np.int8), 0.6, np.random.default_rng(0))
    mixed = select_batch(pool, 50, measure="hard+medium")
    assert mixed[:5].tolist() == select_batch(pool, 5, measure="hard").tolist()
    assert mixed[5:].tolist() == select_batch(pool, 45, measure="medium").tolist()


def test_at_20_percent_hard_and_medium_pick_the_same_images():
    pool = hide_labels(np.zeros((2000, 80), np.int8), 0.2, np.random.default_rng(0))
    hard, medium = (set(select_batch(pool, 500, measure=measure)) for measure in ("hard", "medium"))
    cost = relabelling_cost(pool)
    assert sorted(cost[list(hard)]) == sorted(cost[list(medium)])
    assert hard == medium


def test_nothing_known_is_ranked_by_entropy_alone():
    pool, entropy = np.full((6, 3), -1), np.array([1.0, 5, 2, 4, 3, 0])
    for measure in ("hard", "medium", "hard+medium", "entropy"):
        for combination in ("ties", "product"):
            batch = select_batch(pool, 6, measure=measure, entropy=entropy, combination=combination)
            assert batch.tolist() == [1, 3, 4, 2, 0, 5]


@given(st.data())
def test_a_batch_is_a_subset_of_the_pool(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    images = data.draw(st.integers(1, 12))
    pool, number = rng.choice([-1, 0, 1], size=(images, 3)), data.draw(st.integers(0, images))
    for measure in MEASURES:
        batch = select_batch(pool, number, measure=measure, entropy=rng.random(images), rng=rng,
                             hard_share=data.draw(st.floats(0, 1)))  # fmt: skip
        assert len(batch) == len(set(batch)) == number
        assert set(batch) <= set(range(images))


def test_ties_are_broken_at_random_with_a_generator():
    pool = with_unknown(*[2] * 50)
    draws = [tuple(select_batch(pool, 5, measure="hard", rng=np.random.default_rng(seed))) for seed in range(20)]
    assert len(set(draws)) == 20
    assert draws[0] == tuple(select_batch(pool, 5, measure="hard", rng=np.random.default_rng(0)))
    assert len({i for draw in draws for i in draw}) > 25


def test_lowest_and_highest():
    scores = np.array([0.3, np.nan, 0.1, 0.3, -np.inf])
    assert select_lowest(scores, 4).tolist() == [4, 2, 0, 3]
    assert select_highest(scores, 5).tolist() == [0, 3, 2, 4, 1]
    assert select_lowest(scores, 0).tolist() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select_batch(POOL, 8, measure="hard"), "found 8 images to select; expected 0 to 7"),
        (lambda: select_batch(POOL, 2, measure="soft"), "measure: found 'soft'; expected one of random, medium"),
        (lambda: select_batch(POOL, 2, measure="entropy"), "entropy: missing"),
        (lambda: select_batch(POOL, 2, measure="random"), "rng: missing; expected a generator"),
        (lambda: select_batch(POOL, 2, measure="hard", combination="sum"), "combination: found 'sum'"),
        (lambda: select_batch(POOL, 2, measure="hard", entropy=ENTROPY[:3]), r"shape \(3,\).*each of 7 images"),
        (lambda: select_batch(POOL, 2, measure="hard", entropy=ENTROPY * np.nan), "or NaN"),
        (lambda: select_batch(POOL, 2, measure="hard+medium", hard_share=10), "hard_share: found 10; expected a"),
        (lambda: hard_ratio(POOL * 2), "1, 0 and -1"),
        (lambda: select_lowest(np.zeros(3), 4), "found 4 images"),
        (lambda: select_highest(np.zeros((3, 2)), 1), r"found \(3, 2\); expected \(images,\)"),
    ],
)
def test_unusable_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
