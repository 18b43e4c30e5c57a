"""missing_label_al: what labels alone decide, on pools counted by hand and at the paper's size."""

import numpy as np
import pytest

from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.papers.missing_label_al.counts import completed, exact_lines, paper_sized, published_costs
from nlcore.papers.missing_label_al.protocol import Protocol

SMALL = Protocol(budget=4, batch=2)


@pytest.fixture(scope="module")
def lines():
    return {(line["quantity"], line["at"]): line for line in exact_lines([0.2, 0.4, 0.6])}


def pool(missing):
    """One image per count, of eight cells."""
    return np.where(np.arange(8) < np.array(missing)[:, None], -1, 0)


def chosen(missing, measure, **options):
    return completed(pool(missing), measure, SMALL, generator("test", 0), **options).tolist()


def test_hard_takes_what_lacks_most_and_medium_what_is_nearest_to_half():
    assert chosen([1, 7, 4, 2, 6, 3], "hard") == [1, 4, 2, 5]
    assert chosen([1, 7, 4, 2, 6, 3], "medium") == [2, 5, 3, 0]


def test_hard_and_medium_starts_every_batch_with_hard():
    assert chosen([1, 7, 4, 2, 6, 3], "hard_medium", hard_share=0.5) == [1, 2, 4, 5]
    assert chosen([1, 7, 4, 2, 6, 3], "hard_medium", hard_share=0.0) == chosen([1, 7, 4, 2, 6, 3], "medium")
    assert chosen([1, 7, 4, 2, 6, 3], "hard_medium", hard_share=1.0) == chosen([1, 7, 4, 2, 6, 3], "hard")


def test_random_takes_each_image_once():
    found = chosen([1] * 9, "random")
    assert len(set(found)) == 4 and set(found) <= set(range(9))


def test_a_small_pool_is_refused():
    with pytest.raises(InputError, match="batch: found 4"):
        chosen([1, 2, 3], "hard")


def test_five_thousand_images_are_drawn_and_divided():
    images = paper_sized()
    assert len(images.train) + len(images.test) == 5_000
    assert not set(images.train) & set(images.test)
    assert len(images.test) == pytest.approx(1_500, abs=5)


def test_published_costs_by_noise():
    assert published_costs(0.2) == {"random": 8_000}
    assert published_costs(0.6) == {"random": None, "medium": 21_000}


def test_random_pays_what_arithmetic_says(lines):
    for at, arithmetic in (("20 %", 8_000), ("40 %", 16_000), ("60 %", 24_000)):
        line = lines["cost of Random", at]
        assert lines["cost of 500 images by arithmetic", at]["ours"] == arithmetic
        assert line["ours"] == pytest.approx(arithmetic, rel=0.01) and line["draws"] == 5
    assert lines["cost of Random", "20 %"]["published"] == 8_000


def test_measures_that_must_come_to_the_same_do(lines):
    costs = [lines[f"cost of {name}", "20 %"] for name in ("Hard", "Medium", "Hard+Medium")]
    assert len({tuple(list(line.values())[3:]) for line in costs}) == 1
    assert lines["images that Hard and Medium share, of 500", "20 %"]["low"] == 500
    assert 470 <= lines["images that Hard and Medium share, of 500", "40 %"]["low"] < 500
    assert lines["images that Hard and Medium share, of 500", "60 %"]["high"] == 0


def test_the_cheapest_is_random_up_to_forty_and_medium_at_sixty(lines):
    names = ("Random", "Medium", "Hard", "Hard+Medium")
    cheapest = lambda at: min(names, key=lambda name: lines[f"cost of {name}", at]["ours"])
    assert [cheapest(at) for at in ("20 %", "40 %", "60 %")] == ["Random", "Random", "Medium"]
    assert lines["cost of Medium", "60 %"]["published"] == 21_000
    assert lines["cost of Medium", "60 %"]["ours"] == pytest.approx(21_000, rel=0.03)


def test_splits_stand_at_the_noise_of_figure_7_only(lines):
    splits = [key for key in lines if "split" in key[0]]
    assert [at for _, at in splits] == ["40 %"] * 3
    assert splits[0][0] == "cost of Hard+Medium, split 25/75"
    assert {lines[key]["ours"] for key in splits} == {lines["cost of Hard", "40 %"]["ours"]}


def test_missing_cells_say_nothing_of_the_image(lines):
    for at in ("20 %", "40 %", "60 %"):
        assert abs(lines["true labels of an image: Hard's minus the pool's", at]["ours"]) < 0.2


def test_the_printed_cost_of_medium_is_from_a_pool_that_leaves_a_larger_test_part(lines):
    """21,000 is a round number: 20,729 with a test part of 30 %, 20,496 with one of 10 %."""
    ours, small = lines["cost of Medium", "60 %"], lines["cost of Medium, test part of 10 %", "60 %"]
    assert small["published"] == ours["published"] == 21_000
    assert small["high"] < ours["low"] and round(ours["ours"], -3) == 21_000 > round(small["ours"], -3)
    assert ("cost of Medium, test part of 10 %", "20 %") not in lines
