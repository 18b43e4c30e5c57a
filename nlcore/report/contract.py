"""The contract, fixed before any run: every artefact with its series, the published values, and the claims.

Each paper carries its own in `contract/`: `artefacts.yaml`, `published.yaml`, `claims.yaml`, and `sources.yaml`, where
claims and published values stand in the paper, in its own words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from nlcore.yaml_text import read_yaml


@dataclass(frozen=True)
class Claim:
    """What a paper says, and how it is decided. `published` is the size it names, if it names one.

    corrected: what was changed after the first runs: `date`, `was` (the fields as they were; None: added), `why`.
    """

    id: str
    claim: str
    metric: str
    test: str
    published: Any
    corrected: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Source:
    """Where something stands in the paper, and its own words for it: section; table or figure, its row and column."""

    section: str
    quote: str
    table: str = ""
    figure: str = ""
    row: str = ""
    column: str = ""
    note: str = ""

    @property
    def place(self) -> str:
        """ "5.1 Results, Table 1, row GALC-SLR, column mAP"."""
        parts = {"Table": self.table, "Figure": self.figure, "row": self.row, "column": self.column}
        return ", ".join([self.section, *(f"{kind} {name}" for kind, name in parts.items() if name)])


@dataclass(frozen=True)
class Sources:
    """Where the paper says what: claim id, or dotted path into the published values -> the places."""

    claims: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    published: dict[str, tuple[Source, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """The contract of the paper whose package this is."""

    package: str

    def artefacts(self) -> dict[str, dict[str, Any]]:
        """Every table and figure: id -> what it is and the rows, series, panels and axes it must hold."""
        return {id: _rejoined(row) for id, row in _load(self.package, "artefacts", typed=False).items()}

    def published(self) -> dict[str, Any]:
        """The published values by table or figure id; `text` holds what is said in the paper's text."""
        return _as_written(_load(self.package, "published"))

    def claims(self) -> dict[str, Claim]:
        """The claims by id."""
        rows = [_rejoined(row) for row in _load(self.package, "claims", typed=False)]
        return {row["id"]: _claim(row) for row in rows}

    def sources(self) -> Sources:
        """Where the claims and the published values stand in the paper; nothing where no one has written it down."""
        if not (files(self.package) / "contract" / "sources.yaml").is_file():
            return Sources()
        found = _load(self.package, "sources", typed=False)
        return Sources(*({id: tuple(Source(**one) for one in places) for id, places in found[kind].items()}
                         for kind in ("claims", "published")))  # fmt: skip


def _claim(row: dict[str, Any]) -> Claim:
    corrected = tuple(one | {"was": None if one["was"] == "null" else one["was"]} for one in row.get("corrected", ()))
    return Claim(**row | {"published": _typed(row["published"]), "corrected": corrected})


@lru_cache
def _load(package: str, name: str, typed: bool = True) -> Any:
    return read_yaml((files(package) / "contract" / f"{name}.yaml").read_text(encoding="utf-8"), typed=typed)


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
    return [_typed(inner) for inner in value] if isinstance(value, list) else read_yaml(value)
