"""Rows by any index, against what NumPy takes for it."""

import numpy as np
import pytest

from nlcore.rows import row_numbers


@pytest.mark.parametrize(
    "index", [3, -1, [4, 0, -5], [[1, 2], [3, 4]], [], slice(None, None, -2), [True, False, True, False, True]]
)
def test_an_index_means_what_it_means_to_numpy(index):
    index = np.array(index, int) if index == [] else index
    wanted = np.arange(5)[index]
    np.testing.assert_array_equal(row_numbers(index, 5), wanted)
    assert np.shape(row_numbers(index, 5)) == np.shape(wanted)


@pytest.mark.parametrize("index", [5, [-6], [0.5], ["a"], [True, False]])
def test_what_numpy_refuses_is_refused(index):
    with pytest.raises(IndexError):
        row_numbers(index, 5)
