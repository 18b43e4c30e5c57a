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

from nlcore.metrics.resampling import MOVED

DRAW = "draw"
DIGITS = 6  # decimals of what a draw moves: beyond them another machine finds others


def in_draws(frame: pd.DataFrame, values: str, moved: str) -> pd.DataFrame:
    """Every row as measured, and once for each draw where these are known, with the column `draw`.

    Args:
        frame: one row per run.
        values: the column of the metric, which is changed.
        moved: the column of arrays (draws,), by how much each draw moves the metric; anything else: it is not known.

    >>> runs = pd.DataFrame({"seed": [3], "map": [50.0], "map_moved": [np.array([1.0, -1.0])]})
    >>> in_draws(runs, "map", "map_moved")[["seed", "map", "draw"]].to_numpy().tolist()
    [[3.0, 50.0, 0.0], [3.0, 51.0, 1.0], [3.0, 49.0, 2.0]]
    """
    place, draw, varied = _by_draw(frame, values, moved)
    rows = frame.drop(columns=moved, errors="ignore").iloc[place]
    return rows.assign(**{values: varied, DRAW: draw})


def by_seed(runs: pd.DataFrame, metric: str) -> pd.Series:
    """A metric of runs, one per seed, by seed and draw; what moves it is in the column of that name and `MOVED`."""
    runs = runs.iloc[np.argsort(runs.seed.to_numpy(), kind="stable")]
    place, draw, varied = _by_draw(runs, metric, metric + MOVED)
    index = pd.MultiIndex.from_arrays([runs.seed.to_numpy()[place], draw], names=["seed", DRAW])
    return pd.Series(varied, index, name=metric)


def by_column(runs: pd.DataFrame, column: str, metric: str) -> pd.DataFrame:
    """A metric of runs as `by_seed`: rows seeds and draws, a column for each value of `column`."""
    return in_draws(runs, metric, metric + MOVED).pivot_table(index=["seed", DRAW], columns=column, values=metric)


def _by_draw(frame: pd.DataFrame, values: str, moved: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each run as measured and in every draw that is known of it: its place in the frame, the draw, and the metric."""
    nothing = np.zeros(0)
    known = [own if isinstance(own, np.ndarray) else nothing for own in frame.get(moved, [None] * len(frame))]
    by = [np.insert(np.round(own, DIGITS), 0, 0.0) for own in known]
    counts = [len(own) for own in by]
    place = np.repeat(np.arange(len(frame)), counts)
    draw = np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, int)
    return place, draw, frame[values].to_numpy(float)[place] + (np.concatenate(by) if by else nothing)


def has_draws(series: Any) -> bool:
    """Whether this is a series with the level `draw`."""
    return isinstance(series, pd.Series) and DRAW in series.index.names


def measured(series: Sequence[float]) -> Sequence[float]:
    """A series as it was measured, without draws; anything else as it is."""
    return series.xs(0, level=DRAW) if has_draws(series) and len(series) else series


def error_of_draws(series: Sequence[float]) -> float | None:
    """The standard error of the mean by what all seeds have in common over the draws; None where these are not known.

    The mean covariance of two seeds over the draws, or 0 where that is negative; what the images do to one seed alone
    is in the spread of the seeds.
    """
    if not has_draws(series):
        return None
    by_seed = series.unstack(DRAW).drop(columns=0, errors="ignore").dropna().to_numpy()  # (seeds, draws)
    seeds, draws = by_seed.shape
    if seeds < 2 or draws < 2:
        return None
    covariance = np.cov(by_seed)
    common = (covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1))
    return float(np.sqrt(max(common, 0.0)))


def mean_but(series: pd.Series, level: str) -> pd.Series:
    """The mean over one level, for each of the others, draws among them."""
    return series.groupby([name for name in series.index.names if name != level]).mean()
