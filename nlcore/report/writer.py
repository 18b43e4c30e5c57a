"""Writes artefacts: every table and figure with the numbers behind it, and a manifest of how they came about."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from nlcore.errors import InputError
from nlcore.files import require_writable_folder, write_atomically
from nlcore.report.contract import artefacts
from nlcore.report.figures import SETTINGS
from nlcore.runs import Spec, Store, with_requirements

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "torch",
    "torchvision",
    "timm",
    "matplotlib",
    "cleanlab",
    "papermill",
)


@dataclass(frozen=True)
class Headline:
    """One number of an artefact, for the table at the end of a batch: what it is, the paper's, ours, and how near."""

    what: str
    paper: str
    ours: str
    verdict: str


class ArtefactWriter:
    """Puts the artefacts of one paper at one profile into `output/<paper>/<profile>/`.

    Every file is written whole or not at all; the manifest, written last, names them.
    """

    def __init__(self, paper: str, profile: str, output: str | Path):
        self.paper, self.profile = paper, profile
        self.contract = artefacts(paper)
        self.folder = Path(output) / paper / profile
        self.entries: dict[str, dict[str, Any]] = {}
        require_writable_folder(self.folder, what="output folder")

    def table(self, id: str, frame: pd.DataFrame, *, caption: str, **more: Any) -> pd.DataFrame:
        """Write a table as CSV and Markdown; returns it for display. `more` as for `figure`."""
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
        """
        stem = self._stem(id)
        parts = data if isinstance(data, dict) else {"": data}
        names = []
        for panel, frame in parts.items():
            names.append(f"{stem}{panel}.csv")
            write_atomically(self.folder / names[-1], to_csv(frame))
        for kind in ("png", "svg"):
            names.append(f"{stem}.{kind}")
            write_atomically(self.folder / names[-1], _drawn(figure, kind))
        self._enter(id, caption, names, alt=alt, **more)
        return figure

    def finish(self, specs: Iterable[Spec], store: Store, *, verdicts: list[dict[str, Any]]) -> Path:
        """Write the verdicts and the manifest: runs, seeds, versions, hardware, commit, and what each file is."""
        write_atomically(self.folder / "verdicts.json", json.dumps(verdicts, indent=1) + "\n")
        records = {spec: store.read(spec) for spec in with_requirements(specs)}
        manifest = {
            "paper": self.paper,
            "profile": self.profile,
            "artefacts": self.entries,
            "not_made": sorted(set(self.contract) - set(self.entries)),
            "runs": {spec.name: spec.key for spec in records},
            "results": _digest(record.checksum for record in records.values() if record),
            "seeds": sorted({seed for spec in records for seed in _seeds(spec)}),
            "core_seconds": round(sum(record.seconds for record in records.values() if record), 1),
            **environment(),
        }
        path = self.folder / "manifest.json"
        write_atomically(path, json.dumps(manifest, indent=1) + "\n")
        return path

    def _stem(self, id: str) -> str:
        """The file name of an artefact; beyond the contract's own, additions are allowed and named as such."""
        return self.contract.get(id, {}).get("file", id)

    def _enter(self, id: str, caption: str, files: list[str], **more: Any) -> None:
        if id in self.entries:
            raise InputError(f"artefact {id!r}: written twice in one notebook; expected each once")
        if "headline" in more:
            more["headline"] = asdict(more["headline"])
        self.entries[id] = {"caption": caption, "files": files, "in_contract": id in self.contract, **more}


def to_csv(frame: pd.DataFrame) -> str:
    """Six significant digits: enough for every published number, and the same text on every run."""
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def to_markdown(frame: pd.DataFrame, *, digits: int = 4) -> str:
    """A table for GitHub and for people; missing values are left blank."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.{digits}g}"
        return "" if value is None else str(value).replace("|", "\\|")

    lines = [list(map(str, frame.columns)), ["---"] * frame.shape[1]]
    lines += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def environment() -> dict[str, Any]:
    """Versions, hardware and commit, as they are for this process."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that the package lies in; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    try:
        found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _digest(checksums: Iterable[str]) -> str:
    """One name for all results together: equal only where every run gave the same bytes."""
    return hashlib.sha256("".join(sorted(checksums)).encode()).hexdigest()


def _drawn(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def _seeds(spec: Spec) -> tuple[int, ...]:
    """A run has one seed, or several that are trained side by side, or none."""
    return (spec.seed,) if hasattr(spec, "seed") else tuple(getattr(spec, "seeds", ()))
