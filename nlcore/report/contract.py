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
    return {id: _rejoined(row) for id, row in _load("artefacts", yaml.BaseLoader)[_known(paper)].items()}


def published(paper: str) -> dict[str, Any]:
    """The published values of `paper`, by table or figure id; `text` holds what is said in its text."""
    return _as_written(_load("published")[_known(paper)])


def claims(paper: str) -> dict[str, Claim]:
    """The claims of `paper` by id."""
    rows = [_rejoined(row) for row in _load("claims", yaml.BaseLoader)[_known(paper)]]
    return {row["id"]: Claim(**row | {"published": _typed(row["published"])}) for row in rows}


def published_scores() -> pd.DataFrame:
    """The 108 published rows of `cleanlab_ema`: mean and standard deviation over ten datasets, as printed."""
    return pd.read_csv(files(__package__) / "contract" / "cleanlab_ema_published_scores.csv")


def _known(paper: str) -> str:
    if paper not in PAPERS:
        raise InputError(f"paper {paper!r}: unknown; expected one of {', '.join(PAPERS)}")
    return paper


@lru_cache
def _load(name: str, loader: type = yaml.SafeLoader) -> dict[str, Any]:
    text = (files(__package__) / "contract" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, loader)


def _rejoined(row: dict[str, Any]) -> dict[str, Any]:
    """Texts of the contract hold commas without quotes, which YAML reads as keys without a value: put them back."""
    joined: dict[str, Any] = {}
    for key, value in row.items():
        if value == "":
            last = list(joined)[-1]
            joined[last] = f"{joined[last]}, {key}"
        else:
            joined[key] = value
    return joined


def _as_written(value: Any) -> Any:
    """The keys `true` and `false` as texts again: YAML reads them as booleans."""
    if not isinstance(value, dict):
        return value
    return {str(key).lower() if isinstance(key, bool) else key: _as_written(inner) for key, inner in value.items()}


def _typed(value: Any) -> Any:
    """Numbers and null of a text that was read as strings throughout."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    return [_typed(inner) for inner in value] if isinstance(value, list) else yaml.safe_load(value)
