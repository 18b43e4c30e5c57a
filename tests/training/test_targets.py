"""Sparse labels against the dense arrays they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nlcore.errors import InputError
from nlcore.training import SparseLabels

dense_labels = arrays(np.int8, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(-1, 1))


@given(dense_labels, st.sampled_from([0, -1, 1]), st.data())
def test_rows_and_columns_are_those_of_the_dense_array(dense, default, data):
    labels = SparseLabels.from_dense(dense, default=default)
    assert labels.shape == dense.shape and len(labels) == len(dense)
    np.testing.assert_array_equal(labels[:], dense)
    assert labels[:].dtype == np.int8
    numbers = np.array(data.draw(st.lists(st.integers(-len(dense), len(dense) - 1), max_size=8)), int)
    mask = data.draw(arrays(bool, len(dense)))
    for index in (numbers, mask, slice(1, None, 2), slice(None, None, -1)):
        np.testing.assert_array_equal(labels[index], dense[index])
        np.testing.assert_array_equal(labels.rows(index)[:], dense[index])
    np.testing.assert_array_equal(labels[0], dense[0])
    chosen = data.draw(arrays(bool, dense.shape[1]))
    np.testing.assert_array_equal(labels.columns(chosen)[:], dense[:, chosen])
    np.testing.assert_array_equal(SparseLabels.stack([labels, labels.rows(mask)])[:], np.vstack([dense, dense[mask]]))
    np.testing.assert_array_equal(labels.count(1 - default), (dense == 1 - default).sum(axis=0))


@given(dense_labels, st.sampled_from([0, -1]))
def test_plain_arrays_hold_all_of_it(dense, default):
    labels = SparseLabels.from_dense(dense, default=default)
    held = {"other": np.zeros(3)} | labels.arrays("clean")
    again = SparseLabels.from_arrays(held, "clean")
    np.testing.assert_array_equal(again[:], dense)
    assert again.default == default
    del held["clean_values"]
    with pytest.raises(InputError, match="sparse labels clean: no array clean_values"):
        SparseLabels.from_arrays(held, "clean")


def test_a_verified_negative_is_no_unverified_cell():
    labels = SparseLabels.from_cells([1, 0, 1], [0, 2, 1], [0, 1, 1], (3, 3), default=-1)
    assert labels[:].tolist() == [[-1, -1, 1], [0, 1, -1], [-1, -1, -1]]


def test_of_a_cell_given_twice_the_larger_value_holds():
    labels = SparseLabels.from_cells([0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, -1], (1, 2), default=-1)
    assert labels[:].tolist() == [[0, 1]]
    assert len(labels.values) == 2


def test_what_equals_the_default_takes_no_memory():
    assert SparseLabels.from_cells([0, 0], [0, 1], [0, 1], (1, 2)).values.tolist() == [1]
    assert SparseLabels.from_cells([], [], [], (4, 2), default=-1)[[3, 0]].tolist() == [[-1, -1]] * 2


@pytest.mark.parametrize(
    ("cell", "default", "problem"),
    [
        ((2, 0, 1), 0, "row 2; expected 0 to 1"),
        ((-1, 0, 1), 0, "row -1; expected 0 to 1"),
        ((0, 3, 1), 0, "column 3; expected 0 to 2"),
        ((0, 0, 2), 0, "value 2; expected -1 to 1"),
        ((0, 0, 1), 5, "default 5; expected -1 to 1"),
    ],
)
def test_cells_that_cannot_be_are_told(cell, default, problem):
    with pytest.raises(InputError, match=problem):
        SparseLabels.from_cells(*([part] for part in cell), (2, 3), default=default)


def test_an_index_that_numpy_would_refuse_is_refused():
    labels = SparseLabels.from_dense(np.eye(3, dtype=np.int8))
    for index in ([3], [-4], [0.5], [True, False]):
        with pytest.raises(IndexError):
            labels[index]


def test_parts_of_different_kinds_do_not_stack():
    one = SparseLabels.from_dense(np.eye(3, dtype=np.int8))
    with pytest.raises(ValueError, match="differ"):
        SparseLabels.stack([one, SparseLabels.from_dense(np.eye(3, dtype=np.int8), default=-1)])
