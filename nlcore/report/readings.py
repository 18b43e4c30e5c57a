"""Deviations and open readings: where a paper leaves a choice, what is the default here, what else can be run."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

from nlcore.yaml_text import read_yaml


def readings(package: str) -> pd.DataFrame:
    """A paper's open readings, by its package: question, what the paper says, our default, the other options."""
    text = (files(package) / "readings.yaml").read_text(encoding="utf-8")
    return pd.DataFrame(read_yaml(text), columns=["question", "paper", "default", "other"])
