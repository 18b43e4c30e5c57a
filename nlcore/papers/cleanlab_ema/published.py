"""The published scores of the benchmark (108 rows, six metrics) under our names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import pandas as pd

from nlcore.papers.cleanlab_ema.scoring import POOLINGS, pooling_name
from nlcore.papers.cleanlab_ema.words import METRICS

METHODS = {
    "cumulative": "Cumulative",
    "ema": "EMA",
    "log": "Log",
    "max": "Max",
    "mean": "Mean",
    "median": "Median",
    "min": "Min",
    "sma": "SMA",
    "softmin": "Softmin",
    "weighted_cumulative": "Weighted",
}


def published_scores() -> pd.DataFrame:
    """The 108 published rows: mean and standard deviation over ten datasets, as printed."""
    return pd.read_csv(files(__package__) / "contract" / "published_scores.csv")


@cache
def published_table() -> pd.DataFrame:
    """The published scores in our names: group, classifier, pooling, metric, mean, std. Read once, to be read only."""
    rows = []
    known = {_as_published(pooling, options): pooling_name(pooling, options) for pooling, options in POOLINGS}
    for _, row in published_scores().iterrows():
        cell = {
            "group": row["Dataset size"].split()[0].lower(),
            "classifier": row["Model"].lower().replace(" ", "_"),
            "pooling": known[row["Aggregation method"], row["Aggregation method parameters"]],
        }
        for metric, (column, _) in METRICS.items():
            rows.append({**cell, "metric": metric, "mean": row[f"{column}_Mean"], "std": row[f"{column}_Std"]})
    return pd.DataFrame(rows)


def _as_published(pooling: str, options: Mapping[str, float]) -> tuple[str, str]:
    """Method and parameters as the published file writes them."""
    if pooling == "ema":
        text = str(options["alpha"])
    elif pooling == "log":
        text = "{'weights': 1, 'biases': 0}"
    elif pooling == "weighted_cumulative":
        text = "weights: exponential decay"
    else:
        text = str({"k" if name == "period" else name: value for name, value in options.items()})
    return METHODS[pooling], text


def with_published(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the published mean of their cell.

    scores: long, with group, classifier, pooling and metric; returned with a column `published`.
    """
    keys = ["group", "classifier", "pooling", "metric"]
    paper = published_table().rename(columns={"mean": "published"}).drop(columns="std")
    return scores.merge(paper, on=keys, how="left")
