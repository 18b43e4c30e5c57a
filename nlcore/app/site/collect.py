"""What lies in figures/: the artefacts of every paper and profile, against the contract."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from nlcore.papers import papers
from nlcore.papers.paper import Asked, Need, Paper
from nlcore.papers.profiles import PROFILES
from nlcore.report.atlas import COLUMNS
from nlcore.report.verdict_file import NAME as VERDICTS
from nlcore.report.verdict_file import Decided, read_if_current
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import MANIFEST, PROVENANCE

KINDS = {"table": "table", "tables": "table", "figure": "fig", "figures": "fig", "fig.": "fig", "fig": "fig"}
NAMED = re.compile(r"\b(tables?|figures?|fig\.?)\s+(s?\d+)", re.IGNORECASE)
ROWS_SHOWN = 40  # of a longer table the page shows the beginning and links the CSV


@dataclass(frozen=True)
class Artefact:
    """One table or figure: what the contract asks for, and what was made."""

    id: str
    contract: str  # what it must contain; empty for an addition of ours
    entry: dict[str, Any] | None  # of the manifest; None where it was not made
    state: str  # made, stand-in, not made
    folder: Path

    @property
    def title(self) -> str:
        """Such as "Table S1"; additions are named by their file."""
        kind, _, number = self.id.partition("_")
        kinds = {"fig": "Figure", "table": "Table"}
        return f"{kinds[kind]} {number.upper()}" if self.contract and kind in kinds else self.id.replace("_", " ")

    @cached_property
    def files(self) -> Sequence[str]:
        """The names of its files in `folder`; none where it was not made."""
        return (self.entry or {}).get("files", [])

    def _file(self, ending: str) -> str | None:
        return next((name for name in self.files if name.endswith(ending)), None)

    @property
    def image(self) -> str | None:
        """Its PNG; None for a table, and where it was not made."""
        return self._file(".png")

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the image, so that the page keeps its place before it is loaded."""
        with Image.open(self.folder / self.image) as image:
            return image.size

    @property
    def drawing(self) -> str | None:
        """Its SVG; None for a table, and where it was not made."""
        return self._file(".svg")

    @property
    def csvs(self) -> list[str]:
        """The CSVs with its numbers: a table's one, a figure's one per panel."""
        return [name for name in self.files if name.endswith(".csv")]

    @cached_property
    def table(self) -> pd.DataFrame | None:
        """The cells as they are in the CSV; None for figures, and of a table that no run is behind (yet)."""
        if self.image or not self.csvs or not (self.folder / self.csvs[0]).read_text(encoding="utf-8").strip():
            return None
        return pd.read_csv(self.folder / self.csvs[0], dtype=str, keep_default_na=False)


@dataclass(frozen=True)
class Folder:
    """One paper at one profile, or at as much of it as is finished."""

    paper: Paper
    profile: str
    path: Path
    manifest: dict[str, Any]
    verdicts: list[Decided]
    whole: bool = True  # False: what a budget, or an interrupted batch, has made of it

    @cached_property
    def artefacts(self) -> list[Artefact]:
        """Those of the contract, in its order, and then our additions in the order in which they were made."""
        entries, contract = self.manifest["artefacts"], self.paper.contract.artefacts()
        wanted = [self._artefact(id, describe(row), entries.get(id)) for id, row in contract.items()]
        ours = [self._artefact(id, "", entry) for id, entry in entries.items() if id not in contract]
        return wanted + [artefact for artefact in ours if artefact.id not in ("verdicts", "reading_atlas")]

    def _artefact(self, id: str, contract: str, entry: dict[str, Any] | None) -> Artefact:
        lacks_data = entry and entry.get("deviations") and any(id in need.artefacts for need in self.paper.needs)
        state = "not made" if entry is None else "stand-in" if lacks_data else "made"
        return Artefact(id, contract, entry, state, self.path)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made the artefacts; empty where they came with the repository, which does not keep it."""
        path = self.path / PROVENANCE
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @cached_property
    def atlas(self) -> pd.DataFrame | None:
        """Reading x claim; None where it was not made, or by an older version."""
        path = self.path / "reading_atlas.csv"
        found = pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else pd.DataFrame()
        return found if list(found.columns) == COLUMNS else None

    @property
    def key(self) -> Artefact | None:
        """The table or figure that answers the paper's question first, if it was made and has a headline."""
        found = (artefact for artefact in self.artefacts if artefact.id == self.paper.key[0] and artefact.entry)
        return next((artefact for artefact in found if artefact.entry.get("headline")), None)

    def claim(self, id: str) -> Decided | None:
        """What was decided of a claim, if it was."""
        return next((claim for claim in self.verdicts if claim.id == id), None)

    @property
    def figures(self) -> list[Artefact]:
        """Those of its artefacts that are pictures, the contract's first."""
        return [artefact for artefact in self.artefacts if artefact.image]

    def named_in(self, text: str) -> list[Artefact]:
        """Tables and figures that were made and that a place in the paper names: "Table 1, row ASL", "Figure S2"."""
        named = [f"{KINDS[kind.lower()]}_{number.lower()}" for kind, number in NAMED.findall(text)]
        return [artefact for artefact in self.artefacts if artefact.id in named and artefact.entry]

    @cached_property
    def mapped(self) -> set[str]:
        """Claims of which `where_it_holds` draws the effect by the number of images and their quality."""
        path = self.path / "where_it_holds.csv"
        return set(pd.read_csv(path).claim) if path.is_file() else set()

    def flips(self, claim: str) -> list[dict[str, str]]:
        """The readings by which a claim's verdict is another one: rows of the atlas."""
        if self.atlas is None:
            return []
        return self.atlas[(self.atlas.claim == claim) & (self.atlas.changes == "yes")].to_dict("records")

    @property
    def still_open(self) -> list[str]:
        """Claims that lack runs; of a whole profile none does, whatever else it cannot decide."""
        return [claim.id for claim in self.verdicts if not self.whole and claim.verdict == Verdict.NOT_RUN]

    def needs(self) -> list[Need]:
        """What could not be made on its own data here."""
        lacking = {artefact.id for artefact in self.artefacts if artefact.state != "made"}
        return [need for need in self.paper.needs if lacking & set(need.artefacts)]


def describe(row: dict[str, Any]) -> str:
    """An artefact's line in the contract as text: what it is, then what it must hold."""
    more = {name: value for name, value in row.items() if name not in ("is", "file")}
    return "; ".join([str(row["is"]), *(f"{name}: {_flat(value)}" for name, value in more.items())])


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"({name}) {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def collect(figures: Path) -> dict[str, dict[str, Folder]]:
    """Paper -> profile -> what was made; papers in their order, profiles from the default one on."""
    return {id: collect_paper(figures, id) for id in papers()}


def collect_paper(figures: Path, id: str) -> dict[str, Folder]:
    """Profile -> what was made of one paper, from the default profile on."""
    return {folder.profile: folder for folder in _folders(figures, papers()[id])}


def of_another_edition(figures: Path) -> list[str]:
    """Folders, `<paper>/<profile>`, whose verdicts are of another edition, and which are not collected for that."""
    there = sorted(figures.glob(f"*/*/{VERDICTS}"))
    return ["/".join(path.parent.parts[-2:]) for path in there if read_if_current(path) is None]


def _folders(figures: Path, one: Paper) -> Iterator[Folder]:
    known = one.profiles()
    for profile in sorted(known, key=lambda name: PROFILES.index(name) if name in PROFILES else len(PROFILES)):
        both = (_folder(one, Asked(profile, output=figures, partial=partial)) for partial in (False, True))
        yield from islice(filter(None, both), 1)  # a part only where the whole is not there


def _folder(one: Paper, asked: Asked) -> Folder | None:
    path = one.folder(asked)
    verdicts = read_if_current(path / VERDICTS)
    if not (path / MANIFEST).is_file() or verdicts is None:
        return None
    return Folder(one, path.name, path, json.loads((path / MANIFEST).read_text()), verdicts, whole=not asked.partial)
