"""Comparing cells, and what the committed checks say."""

import numpy as np
import pytest

from nlcore.data.simulated_check import class_agreement, compare_cells
from nlcore.errors import InputError


def test_cells_are_within_the_tolerance_or_missed():
    rows = compare_cells({"a": 10.0, "b": 20.0}, {"a": 13.0, "b": 16.9})
    assert [row["within"] for row in rows] == [True, False]
    assert [row["difference"] for row in rows] == [3.0, -3.1]


def test_cells_of_one_side_only_are_refused():
    with pytest.raises(InputError, match=r"^cells of only one side: found \['b'\]; expected the same cells"):
        compare_cells({"a": 1.0}, {"a": 1.0, "b": 2.0})


def test_agreement_is_of_ranks_and_leaves_out_what_is_not_known():
    real = np.array([0.1, 0.2, 0.3, np.nan])
    assert class_agreement(real, np.array([1.0, 4.0, 9.0, 0.0])) == pytest.approx(1)
    assert class_agreement(real, np.array([9.0, 4.0, 1.0, 0.0])) == pytest.approx(-1)
