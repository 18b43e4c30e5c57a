"""Published cells are held against the next run of ours."""

import numpy as np

from nlcore.report.cells import Cell, cells_summary, cells_table
from nlcore.report.intervals import prediction

VALUES = np.array([1.0, 2.0, 3.0])


def test_a_cell_is_inside_where_the_next_run_could_have_given_it():
    low, high = prediction(VALUES)
    cells = [Cell("table_1", "a", VALUES, low + 0.01, "%"), Cell("table_1", "b", VALUES, high + 0.01, "%"),
             Cell("table_2", "c", VALUES, 2.5, "cells"), Cell("table_2", "one run", VALUES[:1], 1.0, "%")]  # fmt: skip
    table = cells_table(cells)
    assert list(table.cell) == ["a", "b", "c"], "one run says nothing of the next"
    assert list(table.inside) == ["yes", "no", "yes"]
    assert list(table.unit) == ["%", "%", "cells"]
    np.testing.assert_allclose(table.loc[0, ["ours", "low", "high"]].astype(float), [2, low, high])
    summary = cells_summary(table).set_index("artefact")
    assert list(summary.loc["table_1", ["cells", "inside"]]) == [2, 1]
    np.testing.assert_allclose(summary.loc["table_2", "mean absolute difference"], 0.5)


def test_without_a_cell_the_table_is_empty_and_whole():
    columns = ["artefact", "cell", "unit", "published", "ours", "low", "high", "runs", "inside"]
    assert list(cells_table([]).columns) == columns
