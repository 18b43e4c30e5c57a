"""The contract, fixed before any run: every artefact with its series, the published values, and the claims.

Each paper carries its own in `contract/`: `artefacts.yaml`, `published.yaml` and `claims.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Claim:
    """What a paper says, and how it is decided. `published` is the size it names, if it names one."""

    id: str
    claim: str
    metric: str
    test: str
    published: Any


@dataclass(frozen=True)
class Contract:
    """The contract of the paper whose package this is."""

    package: str

    def artefacts(self) -> dict[str, dict[str, Any]]:
        """Every table and figure: id -> what it is and the rows, series, panels and axes it must hold."""
        return {id: _rejoined(row) for id, row in _load(self.package, "artefacts", yaml.BaseLoader).items()}

    def published(self) -> dict[str, Any]:
        """The published values by table or figure id; `text` holds what is said in the paper's text."""
        return _as_written(_load(self.package, "published"))

    def claims(self) -> dict[str, Claim]:
        """The claims by id."""
        rows = [_rejoined(row) for row in _load(self.package, "claims", yaml.BaseLoader)]
        return {row["id"]: Claim(**row | {"published": _typed(row["published"])}) for row in rows}


@lru_cache
def _load(package: str, name: str, loader: type = yaml.SafeLoader) -> Any:
    return yaml.load((files(package) / "contract" / f"{name}.yaml").read_text(encoding="utf-8"), loader)


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
