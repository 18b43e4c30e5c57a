"""Deviations and open readings: where a paper leaves a choice, what is the default here, what else can be run."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd
import yaml


def readings(paper: str) -> pd.DataFrame:
    """The open readings of `paper`: question, what the paper says, our default, the other options."""
    text = (files("nlcore") / "papers" / paper / "readings.yaml").read_text(encoding="utf-8")
    return pd.DataFrame(yaml.safe_load(text), columns=["question", "paper", "default", "other"])
