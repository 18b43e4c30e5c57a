"""The batch: plan the runs of all papers, compute what is missing, execute the notebooks, show the verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nlcore import notebooks
from nlcore.errors import InputError
from nlcore.files import require_writable_folder
from nlcore.papers import NOTEBOOKS, study_of
from nlcore.profiles import Resources
from nlcore.runs import Plan, Spec, Store, plan_grid, run_grid

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Batch:
    """What a person asked for on the command line."""

    papers: Sequence[str] = tuple(NOTEBOOKS)
    profile: str = "embedded"
    seeds: Sequence[int] | None = None
    workers: int | None = None
    resources: Resources = field(default_factory=Resources)
    output: Path = ROOT / "figures"
    store: Path = ROOT / ".nlcore" / "store"
    partial: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)

    def grids(self) -> dict[str, list[Spec]]:
        """The runs of every paper.

        Raises:
            InputError: a paper, profile or seed that there is not.
        """
        if not self.papers:
            raise InputError(f"papers: none named; expected one or more of {', '.join(NOTEBOOKS)}")
        if self.seeds is not None and not self.seeds:
            raise InputError("seeds: none named; expected at least one")
        return {
            paper: study_of(paper).grid(self.profile, seeds=self.seeds, resources=self.resources)
            for paper in self.papers
        }

    def notebook_parameters(self, paper: str) -> dict[str, Any]:
        """What a paper's notebook is given: of the resources, those that it states."""
        given = {
            "profile": self.profile, "seeds": self.seeds and list(self.seeds), "workers": self.workers,
            "output": str(self.output.resolve()), "store": str(self.store.resolve()), "partial": self.partial,
        }  # fmt: skip
        stated = notebooks.stated_parameters(notebooks.FOLDER / NOTEBOOKS[paper])
        used = {name: value for name, value in asdict(self.resources).items() if name in stated}
        return given | used | self.parameters


def check(batch: Batch) -> None:
    """Everything that can be told before work begins.

    Raises:
        InputError: in one line, the first thing that is wrong.
    """
    batch.grids()
    for paper in batch.papers:
        notebooks.check_parameters(notebooks.FOLDER / NOTEBOOKS[paper], batch.notebook_parameters(paper))


def print_plan(batch: Batch, console: Console) -> None:
    """Which runs there are, by paper and kind, which are in the store, and how long the rest will take."""
    store, workers = Store(batch.store), batch.workers or os.cpu_count() or 1
    title = f"profile {batch.profile}, {workers} workers"
    table = Table("paper", "kind of run", "runs", "in the store", "to run", "core time", "estimated time", title=title)
    for paper, specs in batch.grids().items():
        plan = plan_grid(specs, store)
        for kind in dict.fromkeys(type(spec).__name__ for spec in plan.specs):
            runs = [spec for spec in plan.specs if type(spec).__name__ == kind]
            missing = [spec for spec in runs if spec in plan.missing]
            cost = duration(sum(spec.seconds() for spec in missing))
            table.add_row(paper, kind, str(len(runs)), str(len(runs) - len(missing)), str(len(missing)), cost, "")
        total, missing = len(plan.specs), len(plan.missing)
        wall = duration(wall_seconds(plan, workers))
        table.add_row(paper, "all", str(total), str(total - missing), str(missing), duration(plan.seconds), wall)
        table.add_section()
    console.print(table)


def wall_seconds(plan: Plan, workers: int) -> float:
    """At least the longest run, at best the work shared out evenly."""
    longest = max((spec.seconds() for spec in plan.missing), default=0.0)
    return max(longest, plan.seconds / workers)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def reproduce(batch: Batch, console: Console, *, fresh: bool = False, update_notebooks: bool = False) -> bool:
    """Compute, execute, and print the table of verdicts; whether every notebook ran to its end.

    Raises:
        InputError: unusable input; nothing has been written.
        RunFailedError: runs failed; what finished is in the store.
    """
    check(batch)
    require_writable_folder(batch.output, what="output folder")
    store, grids = Store(batch.store), batch.grids()
    if not batch.partial:
        specs = [spec for grid in grids.values() for spec in grid]
        plan = run_grid(specs, store, workers=batch.workers, fresh=fresh, label=", ".join(grids))
        computed = f"{len(plan.missing)} runs computed" if plan.missing else "nothing to compute"
        console.print(f"{computed}, {len(plan.specs) - len(plan.missing)} taken from the store {_short(batch.store)}")
    failures = []
    for paper in grids:
        console.print(f"executing notebooks/{NOTEBOOKS[paper]}")
        executed = batch.output / paper / batch.profile / "notebook.ipynb"
        source = notebooks.FOLDER / NOTEBOOKS[paper]
        try:
            notebooks.execute(source, executed, batch.notebook_parameters(paper))
        except notebooks.NotebookFailedError as error:
            failures.append(str(error))
            continue
        if update_notebooks:
            notebooks.store_outputs(executed, source)
        console.print(summary(batch, paper))
    for failure in failures:
        console.print(f"[red]failed[/red] {failure}", soft_wrap=True)
    return not failures


def summary(batch: Batch, paper: str) -> Table:
    """Artefact, paper, ours, verdict: read from what the notebook has just written."""
    folder = batch.output / paper / batch.profile
    manifest = json.loads((folder / "manifest.json").read_text())
    table = Table(
        "artefact or claim", "what", "paper", "ours", "verdict", title=f"{paper}, {batch.profile}: {_short(folder)}"
    )
    for id, entry in manifest["artefacts"].items():
        headline = entry.get("headline") or {}
        table.add_row(
            id,
            headline.get("what", ""),
            headline.get("paper", ""),
            headline.get("ours", ""),
            headline.get("verdict", "made"),
        )
    for decided in json.loads((folder / "verdicts.json").read_text()):
        part = decided["speaking"]
        size = "" if part["published"] is None else f"{part['published']:.3g}"
        table.add_row(decided["id"], f"{decided['claim']} ({part['name']})", size, part["shown"], decided["verdict"])
    for id in manifest["not_made"]:
        table.add_row(id, "", "", "", "not made at this profile")
    return table


def _short(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
