"""Series of metrics that are known in bootstrap draws of the test images too (`nlcore.metrics.resampling`).

Such a series has the level `draw` in its index: 0 as measured, 1, 2, ... in each draw. Sums, differences and means over
other levels go draw by draw, as pandas aligns them, and `nlcore.report.intervals` reads the error off the result. A
series without the level is one without draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

DRAW = "draw"
MOVED = "_moved"  # after a metric's name: by how much each draw moves it
DIGITS = 6  # decimals of what a draw moves: beyond them another machine finds others


def in_draws(frame: pd.DataFrame, values: str, moved: str) -> pd.DataFrame:
    """Every row as measured and once for each draw, with the column `draw`; no draws where a row has none.

    Args:
        frame: one row per run.
        values: the column of the metric, which is changed.
        moved: the column of arrays (draws,), by how much each draw moves the metric; or of None.

    >>> runs = pd.DataFrame({"seed": [3], "map": [50.0], "map_moved": [np.array([1.0, -1.0])]})
    >>> in_draws(runs, "map", "map_moved")[["seed", "map", "draw"]].to_numpy().tolist()
    [[3.0, 50.0, 0.0], [3.0, 51.0, 1.0], [3.0, 49.0, 2.0]]
    """
    varied = _by_draw(frame, values, moved)
    draws = varied.shape[1]
    rows = frame.drop(columns=moved, errors="ignore").iloc[np.repeat(np.arange(len(frame)), draws)]
    return rows.assign(**{values: varied.ravel(), DRAW: np.tile(np.arange(draws), len(frame))})


def by_seed(runs: pd.DataFrame, metric: str) -> pd.Series:
    """A metric of runs, one per seed, by seed and draw; what moves it is in the column of that name and `MOVED`."""
    varied, order = _by_draw(runs, metric, metric + MOVED), np.argsort(runs.seed.to_numpy(), kind="stable")
    places = [runs.seed.to_numpy()[order], np.arange(varied.shape[1])]
    index = pd.MultiIndex.from_product(places, names=["seed", DRAW])
    return pd.Series(varied[order].ravel(), index, name=metric)


def _by_draw(frame: pd.DataFrame, values: str, moved: str) -> np.ndarray:
    """(runs, 1 + draws): a metric as measured, and in every draw; (runs, 1) where a run has none."""
    known, found = [own for own in frame.get(moved, ()) if own is not None], frame[values].to_numpy(float)[:, None]
    if not len(frame) or len(known) < len(frame):
        return found
    return found + np.insert(np.round(np.stack(known), DIGITS), 0, 0.0, axis=1)


def has_draws(series: Any) -> bool:
    """Whether this is a series with the level `draw`."""
    return isinstance(series, pd.Series) and DRAW in series.index.names


def measured(series: Sequence[float]) -> Sequence[float]:
    """A series as it was measured, without draws; anything else as it is."""
    return series.xs(0, level=DRAW) if has_draws(series) and len(series) else series


def error_of_draws(series: Sequence[float]) -> float | None:
    """The standard deviation over the draws of the mean of a series; None without any."""
    if not has_draws(series):
        return None
    by_draw = series.groupby(level=DRAW).mean().drop(0, errors="ignore").dropna()
    return float(by_draw.std(ddof=1)) if len(by_draw) > 1 else None


def mean_but(series: pd.Series, level: str) -> pd.Series:
    """The mean over one level, for each of the others, draws among them."""
    return series.groupby([name for name in series.index.names if name != level]).mean()
