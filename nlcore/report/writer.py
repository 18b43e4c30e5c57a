"""Writes artefacts: every table and figure with the numbers behind it, and a manifest of how they came about."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from nlcore.errors import InputError
from nlcore.files import require_writable_folder, write_atomically
from nlcore.places import home
from nlcore.report.claims import ClaimVerdict
from nlcore.report.digits import rounded
from nlcore.report.pictures import drawn, keep_as_written
from nlcore.report.verdict_file import NAME as VERDICTS
from nlcore.report.verdict_file import write_verdicts
from nlcore.runs import Spec, Store, seeds_of, with_requirements
from nlcore.runs.store import Record

MANIFEST, PROVENANCE = "manifest.json", "provenance.json"


@dataclass(frozen=True)
class Headline:
    """One number of an artefact, for the table at the end of a batch: what it is, the paper's, ours, and how near."""

    what: str
    paper: str
    ours: str
    verdict: str


class ArtefactWriter:
    """Puts the artefacts of one paper at one profile into a folder.

    contract: id -> what each artefact must hold. Every file is written whole or not at all; the manifest, written last,
    names them.

    Raises:
        InputError: nothing can be written to the folder.
    """

    def __init__(self, paper: str, profile: str, folder: str | Path, contract: Mapping[str, Any]) -> None:
        self.paper, self.profile, self.contract = paper, profile, contract
        self.folder = Path(folder)
        self.entries: dict[str, dict[str, Any]] = {}
        require_writable_folder(self.folder, what="output folder")

    def table(self, id: str, frame: pd.DataFrame, *, caption: str, **more: Any) -> pd.DataFrame:
        """Write a table as CSV and Markdown; returns it for display. `more` as for `figure`.

        Raises:
            InputError: there is an artefact of that id already.
        """
        stem = self._stem(id)
        write_atomically(self.folder / f"{stem}.csv", to_csv(frame))
        write_atomically(self.folder / f"{stem}.md", f"{caption}\n\n{to_markdown(frame)}\n")
        self._enter(id, caption, [f"{stem}.csv", f"{stem}.md"], **more)
        return frame

    def figure(
        self,
        id: str,
        figure: Figure,
        data: pd.DataFrame | dict[str, pd.DataFrame],
        *,
        caption: str,
        alt: str,
        **more: Any,
    ) -> Figure:
        """Write a figure as PNG and SVG with the numbers it shows, one CSV per panel where `data` names panels.

        `more` goes into the manifest: `headline` (a `Headline`: one number of the artefact beside the paper's) and
        `deviations` (how it differs from the published protocol).

        Raises:
            InputError: there is an artefact of that id already.
        """
        stem = self._stem(id)
        parts = data if isinstance(data, dict) else {"": data}
        names = []
        for panel, frame in parts.items():
            names.append(f"{stem}{panel}.csv")
            write_atomically(self.folder / names[-1], to_csv(frame))
        for kind, content in (files := drawn(figure)).items():
            names.append(f"{stem}.{kind}")
            write_atomically(self.folder / names[-1], content)
        keep_as_written(figure, files["png"], file=f"{stem}.png", alt=alt)
        self._enter(id, caption, names, alt=alt, **more)
        return figure

    def finish(
        self,
        specs: Iterable[Spec],
        store: Store,
        *,
        verdicts: Sequence[ClaimVerdict],
        reads: Callable[[str], Callable[[Spec], bool]],
        methods: Sequence[Mapping[str, str]] = (),
    ) -> Path:
        """Write the verdicts, the manifest (what there is) and the provenance (what made it, and where).

        specs: the whole grid, finished or not. reads: artefact -> whether a run stands behind it. methods: those of
        one's own among them: function, file, and the checksum of that. The manifest holds
        only what is the same on every machine; the provenance names versions, hardware, times and the checksums of
        all results, and is no part of the repository.
        """
        specs = list(specs)
        write_atomically(self.folder / VERDICTS, write_verdicts(verdicts))
        records = {spec: store.read(spec) for spec in with_requirements(specs)}
        finished = [spec for spec in specs if records[spec]]
        manifest = {
            "paper": self.paper,
            "profile": self.profile,
            "runs": {"planned": len(specs), "finished": len(finished)},
            "seeds": sorted({seed for spec in finished for seed in seeds_of(spec)}),
            "artefacts": self.entries,
            "not_made": sorted(set(self.contract) - set(self.entries)),
        }
        made = provenance(self.entries, specs, records, reads) | ({"methods": list(methods)} if methods else {})
        write_atomically(self.folder / PROVENANCE, _json(made))
        write_atomically(self.folder / MANIFEST, _json(manifest))
        return self.folder / MANIFEST

    def _stem(self, id: str) -> str:
        """The file name of an artefact; beyond the contract's own, additions are allowed and named as such."""
        return self.contract.get(id, {}).get("file", id)

    def _enter(self, id: str, caption: str, files: list[str], **more: Any) -> None:
        if id in self.entries:
            raise InputError(f"artefact {id!r}: written twice in one notebook; expected each once")
        if "headline" in more:
            more["headline"] = asdict(more["headline"])
        self.entries[id] = {"caption": caption, "files": files, "in_contract": id in self.contract, **more}


def _json(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def to_csv(frame: pd.DataFrame) -> str:
    """Four digits, as many as measured numbers carry, and no fewer than stand before the point."""
    return rounded(frame).to_csv(index=False, float_format="%.10g", lineterminator="\n")


def to_markdown(frame: pd.DataFrame, *, digits: int = 4) -> str:
    """A table for GitHub and for people; missing values are left blank."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.{digits}g}"
        return "" if value is None else str(value).replace("|", "\\|")

    lines = [list(map(str, frame.columns)), ["---"] * frame.shape[1]]
    lines += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def provenance(
    artefacts: Iterable[str],
    specs: Sequence[Spec],
    records: Mapping[Spec, Record | None],
    reads: Callable[[str], Callable[[Spec], bool]],
) -> dict[str, Any]:
    """What made the artefacts: artefact -> its runs' keys; key -> checksum; and the machines that computed them."""
    known = {spec: record for spec, record in records.items() if record}
    machines = Counter(json.dumps(getattr(record, "environment", {}), sort_keys=True) for record in known.values())
    behind = {id: [spec.key for spec in specs if spec in known and reads(id)(spec)] for id in artefacts}
    return {
        "results": _digest(record.checksum for record in known.values()),
        "core_seconds": round(sum(record.seconds for record in known.values()), 1),
        "commit": _commit(),
        "computed_by": [{"runs": count, **json.loads(machine)} for machine, count in machines.most_common()],
        "artefacts": behind,
        "checksums": {spec.key: record.checksum for spec, record in known.items()},
    }


def _commit() -> str | None:
    """The commit of the checkout that the package lies in; None for an installed package."""
    try:
        command = ["git", "-C", str(home()), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _digest(checksums: Iterable[str]) -> str:
    """One name for all results together: equal only where every run gave the same bytes."""
    return hashlib.sha256("".join(sorted(checksums)).encode()).hexdigest()
