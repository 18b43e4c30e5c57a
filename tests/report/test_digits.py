"""Numbers are rounded once, when they are read."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlcore.report.digits import rounded


@dataclass(frozen=True)
class Study:
    scores: pd.DataFrame
    examples: dict
    specs: tuple = ("a spec",)


def test_what_two_machines_differ_in_is_gone_and_what_counts_is_kept():
    frame = pd.DataFrame({"map": [43.456701, np.nan, np.inf], "seed": [0, 1, 2], "strategy": ["a", "b", "c"]})
    here = Study(frame, {0.4: {"weights": np.array([[0.12345678]])}})
    there = Study(frame.assign(map=frame["map"] + 1e-5), {0.4: {"weights": np.array([[0.12345679]])}})
    pd.testing.assert_frame_equal(rounded(here).scores, rounded(there).scores)
    assert rounded(here).scores["map"].tolist()[0] == 43.46
    assert rounded(here).scores.seed.dtype == frame.seed.dtype
    assert rounded(here).examples[0.4]["weights"].item() == 0.1235
    assert rounded(here).specs is here.specs
    assert rounded({"kept": 1 / 3, "count": 7, "name": "a"}) == {"kept": 0.3333, "count": 7, "name": "a"}


def test_a_changed_fourth_digit_is_a_changed_number():
    assert rounded(np.array([43.454])).item() != rounded(np.array([43.456])).item()
