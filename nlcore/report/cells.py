"""Does the published number look like one of ours? Every published cell, against the prediction interval of our runs.

A verdict is about a difference that a paper claims; a cell is a number that it prints. It lies inside where the next
run of ours could have given it (95 %), as CORE-Bench judges a reported number by repeated runs (Siegel et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlcore.report.intervals import prediction


@dataclass(frozen=True)
class Cell:
    """One published number, and our runs' values of it, both in `unit`."""

    artefact: str
    name: str
    values: Sequence[float]
    published: float
    unit: str


def cells_table(cells: Iterable[Cell]) -> pd.DataFrame:
    """One row per cell of two runs or more: published, our mean, the prediction interval, and whether it is inside."""
    return pd.DataFrame(
        [_row(cell) for cell in cells if len(cell.values) > 1],
        columns=["artefact", "cell", "unit", "published", "ours", "low", "high", "runs", "inside"],
    )


def _row(cell: Cell) -> list:
    low, high = prediction(cell.values)
    inside = "yes" if low <= cell.published <= high else "no"
    own = [cell.published, np.mean(cell.values), low, high, len(cell.values), inside]
    return [cell.artefact, cell.name, cell.unit, *own]


def cells_summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per artefact: published cells, those inside, and the mean absolute difference."""
    apart = table.assign(apart=(table.ours - table.published).abs(), inside=table.inside == "yes")
    found = apart.groupby("artefact", sort=False).agg(
        cells=("inside", "size"), inside=("inside", "sum"), apart=("apart", "mean")
    )
    return found.rename(columns={"apart": "mean absolute difference"}).reset_index()
