"""The batch: plan the runs of all papers, compute what is missing, execute the notebooks, show the verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nlcore.app import notebooks, site
from nlcore.errors import InputError
from nlcore.files import require_writable_folder
from nlcore.papers import NOTEBOOKS, study_of
from nlcore.papers.profiles import Resources
from nlcore.runs import Plan, Spec, Store, forget, make_engine, plan_grid, run_grids
from nlcore.runs.engines import gpu_memory
from nlcore.runs.execute import SINGLE_THREAD, environment
from nlcore.runs.processes import process_pool
from nlcore.runs.progress import Part, Reporter, duration, reporter

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK_SECONDS = 30.0  # about what executing one takes, for the display of progress


@dataclass(frozen=True)
class Batch:
    """What a person asked for on the command line."""

    papers: Sequence[str] = tuple(NOTEBOOKS)
    profile: str = "embedded"
    seeds: Sequence[int] | None = None
    workers: int | None = None
    engine: str = "local"
    address: str | None = None
    runs_per_gpu: int | None = None
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

    def folder(self, paper: str) -> Path:
        """Where a paper's artefacts go."""
        return self.output / paper / self.profile

    def executed(self, paper: str) -> Path:
        """Where its executed notebook goes."""
        return self.folder(paper) / "notebook.ipynb"

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
    columns = ("paper", "kind of run", "runs", "in the store", "to run", "device", "rates", "core time", "in all")
    table = Table(*columns, title=title)
    for paper, specs in batch.grids().items():
        plan = plan_grid(specs, store)
        for kind in plan.kinds():
            counts = map(str, (kind.runs, kind.runs - kind.missing, kind.missing))
            cost = duration(kind.seconds)
            table.add_row(paper, kind.name, *counts, ", ".join(kind.devices), kind.rates, cost, "")
        counts = map(str, (len(plan.specs), len(plan.specs) - len(plan.missing), len(plan.missing)))
        wall = duration(plan.wall_seconds(workers, _gpus(plan)))
        table.add_row(paper, "all", *counts, "", "", duration(plan.seconds), wall)
        table.add_section()
    console.print(table)


def _gpus(plan: Plan) -> int:
    """How many GPUs this machine has for a plan that uses them."""
    return len(gpu_memory()) if any("cuda" in kind.devices for kind in plan.kinds()) else 0


def reproduce(batch: Batch, console: Console, *, fresh: bool = False, update_notebooks: bool = False) -> bool:
    """Compute, execute, and print the table of verdicts; whether every notebook ran to its end.

    Raises:
        InputError: unusable input; nothing has been written.
        RunFailedError: runs failed; what finished is in the store.
    """
    check(batch)
    require_writable_folder(batch.output, what="output folder")
    done, failures = compute(batch, console, fresh=fresh)
    for paper in done:
        if update_notebooks:
            notebooks.store_outputs(batch.executed(paper), notebooks.FOLDER / NOTEBOOKS[paper])
        console.print(summary(batch, paper))
    for failure in failures:
        console.print(f"[red]failed[/red] {failure}", soft_wrap=True)
    if done:
        console.print(f"report: {_short(site.build(batch.output))}", soft_wrap=True)
    return not failures


def compute(batch: Batch, console: Console, *, fresh: bool = False) -> tuple[list[str], list[str]]:
    """What the store lacks, then all notebooks, under one display of progress; the papers done, and what failed."""
    store = Store(batch.store)
    grids = batch.grids()
    if fresh:
        forget([spec for grid in grids.values() for spec in grid], store)
    plans = {} if batch.partial else {paper: plan_grid(specs, store) for paper, specs in grids.items()}
    with reporter(_parts(grids, plans)) as report:
        engine = make_engine(
            batch.engine, workers=batch.workers, address=batch.address, runs_per_gpu=batch.runs_per_gpu, say=report.say
        )
        run_grids(plans, store, engine, report=report)
        done, failures = execute_notebooks(batch, report)
    runs = sum(len(plan.specs) for plan in plans.values())
    computed = sum(len(plan.missing) for plan in plans.values())
    found = f"{computed} runs computed" if computed else "nothing to compute"
    console.print(f"{found}, {runs - computed} taken from the store {_short(batch.store)}")
    return done, failures


def _parts(grids: Iterable[str], plans: Mapping[str, Plan]) -> dict[str, Part]:
    """A paper's steps: its missing runs, and its notebook."""
    runs = {paper: plans[paper].part() if paper in plans else Part(0, 0.0) for paper in grids}
    return {paper: Part(part.steps + 1, part.seconds + NOTEBOOK_SECONDS) for paper, part in runs.items()}


def execute_notebooks(batch: Batch, report: Reporter) -> tuple[list[str], list[str]]:
    """Execute the papers' notebooks side by side, each in processes of its own; those that ran, and why others failed.

    Their computing is done: what they find in the store they read and draw.
    """
    done, failures = [], []
    at_once = min(batch.workers or os.cpu_count() or 1, len(batch.papers)) or 1
    with environment(SINGLE_THREAD), process_pool(at_once) as pool:
        begun = {pool.submit(_execute_notebook, batch, paper): paper for paper in batch.papers}
        for paper in batch.papers:
            report.note(paper, f"notebooks/{NOTEBOOKS[paper]}")
        for future in as_completed(begun):
            paper = begun[future]
            try:
                future.result()
                done.append(paper)
            except notebooks.NotebookFailedError as error:
                failures.append(str(error))
            except BrokenProcessPool:
                failures.append(f"{NOTEBOOKS[paper]}: the process that executed it was killed; run it again")
            report.note(paper, "done" if paper in done else "failed")
            report.advance(paper, NOTEBOOK_SECONDS)
    return [paper for paper in batch.papers if paper in done], failures


def _execute_notebook(batch: Batch, paper: str) -> None:
    notebooks.execute(notebooks.FOLDER / NOTEBOOKS[paper], batch.executed(paper), batch.notebook_parameters(paper))


def summary(batch: Batch, paper: str) -> Table:
    """Artefact, paper, ours, verdict: read from what the notebook has just written."""
    folder = batch.folder(paper)
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
