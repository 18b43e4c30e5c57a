"""Tables of what labels alone decide: their lines, and the image set that they are counted in."""

import numpy as np
import pandas as pd
import pytest

from nlcore.papers.counts import COLUMNS, count, counts_table, level, train2014
from nlcore.report.writer import ArtefactWriter


@pytest.mark.parametrize("least, number", [(1, 82_081), (2, 65_268)])
def test_train2014_is_a_training_part_only(least, number):
    images = train2014(min_labels=least)
    assert len(images.train) == number and len(images.test) == 0
    assert images.targets[images.train].sum(axis=1).min() == least
    assert images.credit(0) == "COCO 9"


def test_a_line_shows_whole_numbers_whole_and_others_to_four_digits():
    assert list(count("images", np.int64(65268)).values()) == ["images", "", None, 65268, None, None, None]
    line = count("share", 1 / 3, at=level(0.4), published=1 / 7)
    assert [line[name] for name in ("at", "published", "ours")] == ["40 %", 0.1429, 0.3333]
    assert count("cost", 20_729.4)["ours"] == 20_729
    assert count("difference", -1_234.5678)["ours"] == -1235


def test_without_an_exact_number_ours_is_the_mean_of_the_draws():
    line = count("cost", draws=[1, 2, 6])
    assert [line[name] for name in ("ours", "low", "high", "draws")] == [3, 1, 6, 3]
    assert count("cost", 2.5, draws=[1, 2, 6])["ours"] == 2.5


def test_the_table_is_written_with_numbers_as_numbers(tmp_path):
    out = ArtefactWriter("mine", "smoke", tmp_path, {})
    lines = (count("images", 65_268, published=65_268), count("share", draws=[0.2, 0.4], at="20 %"))
    shown = counts_table(lines, out, remark="No pictures.")
    assert list(shown.columns) == list(COLUMNS) and shown.ours.tolist() == [65_268, 0.3]
    read = pd.read_csv(tmp_path / "exact_counts.csv")
    assert read.ours.tolist() == [65_268, 0.3] and read.published.isna().tolist() == [False, True]
    text = (tmp_path / "exact_counts.md").read_text()
    assert "No pictures." in text and "| images |  | 65268 | 65268 |  |  |  |" in text
    assert out.entries["exact_counts"]["in_contract"] is False
