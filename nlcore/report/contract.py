"""The contract, fixed before any run: every artefact with its series, the published values, and the claims."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import pandas as pd
import yaml

from nlcore.errors import InputError

PAPERS = ("multi_al", "missing_label_al", "cleanlab_ema", "galc_slr", "teacher_student")


@dataclass(frozen=True)
class Claim:
    """What a paper says, and how it is decided. `published` is the size it names, if it names one."""

    id: str
    claim: str
    metric: str
    test: str
    published: Any


def artefacts(paper: str) -> dict[str, dict[str, Any]]:
    """Every table and figure of `paper`: id -> what it is and the rows, series, panels and axes it must hold."""
    return _load("artefacts")[_known(paper)]


def published(paper: str) -> dict[str, Any]:
    """The published values of `paper`, by table or figure id; `text` holds what is said in its text."""
    return _load("published")[_known(paper)]


def claims(paper: str) -> dict[str, Claim]:
    """The claims of `paper` by id."""
    return {row["id"]: Claim(**row) for row in _load("claims")[_known(paper)]}


def published_scores() -> pd.DataFrame:
    """The 108 published rows of `cleanlab_ema`: mean and standard deviation over ten datasets, as printed."""
    return pd.read_csv(files(__package__) / "contract" / "cleanlab_ema_published_scores.csv")


def _known(paper: str) -> str:
    if paper not in PAPERS:
        raise InputError(f"paper {paper!r}: unknown; expected one of {', '.join(PAPERS)}")
    return paper


@lru_cache
def _load(name: str) -> dict[str, Any]:
    text = (files(__package__) / "contract" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)
