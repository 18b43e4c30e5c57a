"""The batch: plan the runs of all papers, compute what is missing, execute the notebooks, show the verdicts."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nlcore.app import notebooks
from nlcore.errors import InputError, require
from nlcore.files import require_writable_folder
from nlcore.papers import BUILT_IN, paper, papers
from nlcore.papers.budget import Hours, Stake, check_budget, choose, hours_of, total, with_lacking
from nlcore.papers.ladder import Grid
from nlcore.papers.paper import Asked, Paper
from nlcore.papers.prepare import frozen_sources, prepare
from nlcore.report.verdict_file import NAME as VERDICTS
from nlcore.report.verdict_file import read_verdicts
from nlcore.runs import (
    Plan,
    Spec,
    Store,
    Work,
    asking_once,
    forget,
    make_engine,
    plan_grid,
    run_grids,
    with_requirements,
)
from nlcore.runs.cost import as_if_with_a_gpu, device_of_plan, is_listed, seconds
from nlcore.runs.machine import gpu_memory
from nlcore.runs.processes import PROCESS, environment, process_pool
from nlcore.runs.progress import Part, Reporter, duration, reporter

HOURS = {"cpu": "core-hours", "cuda": "GPU-hours"}
NOTEBOOK_SECONDS = 30.0  # about what executing one takes, for the display of progress


@contextmanager
def _without_collection() -> Iterator[None]:
    """A plan's hundred thousand runs live to its end; Python would look among them for what to free, over and over."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True)
class Batch:
    """What a person asked for on the command line: of which papers, of each of them, and of the machine."""

    names: Sequence[str] = BUILT_IN
    asked: Asked = field(default_factory=Asked)
    workers: int | None = None
    engine: str = "local"
    address: str | None = None
    runs_per_gpu: int | None = None
    gpus_per_run: int = 1
    budget: float | None = None  # hours of each kind of device; None: as many as it takes
    runs_only: bool = False  # no notebook is executed: the store may be taken elsewhere for that
    parameters: Mapping[str, Any] = field(default_factory=dict)  # a notebook's own

    @property
    def papers(self) -> list[Paper]:
        """The papers named.

        Raises:
            InputError: none, or one that there is not.
        """
        if not self.names:
            raise InputError(f"papers: none named; expected one or more of {', '.join(papers())}")
        return [paper(name) for name in self.names]

    @cached_property
    def made(self) -> dict[str, Grid]:
        """The grid of every paper, made once.

        Raises:
            InputError: a paper, profile or seed that there is not, or data that are not what they should be.
        """
        return {one.id: self._grid_of(one) for one in self.papers}

    @_without_collection()
    def _grid_of(self, one: Paper) -> Grid:
        """The grid of one paper; among several, what it cannot use is told with its name."""
        asked = self.asked
        try:
            return one.grid(asked.profile, seeds=asked.seeds, resources=asked.resources)
        except InputError as error:
            if len(self.names) > 1 and one.id not in str(error):
                error.args = (f"{error} (asked for by {one.id})",)
            raise

    @cached_property
    def grids(self) -> dict[str, list[Spec]]:
        """The runs of every paper; raises as `made`."""
        return {name: grid.specs for name, grid in self.made.items()}

    @property
    def stakes(self) -> list[Stake]:
        """The claims of every paper, as its profile's own data decide them."""
        return [stake for one in self.papers for stake in one.stakes(self.made[one.id].main)]

    @property
    def shown(self) -> Batch:
        """How its notebooks are executed: after a budget is spent, of what is finished."""
        return self if self.budget is None else replace(self, budget=None, asked=replace(self.asked, partial=True))

    def folder(self, one: Paper) -> Path:
        """Where a paper's artefacts go."""
        return one.folder(self.asked)

    def executed(self, one: Paper) -> Path:
        """Where its executed notebook goes."""
        return self.folder(one) / "notebook.ipynb"

    def notebook_parameters(self, one: Paper) -> dict[str, Any]:
        """What a paper's notebook is given: of what was asked, what it states."""
        asked = self.asked
        resources = asked.resources.with_absolute_paths()
        given = asdict(resources) | {
            "profile": asked.profile, "seeds": asked.seeds and list(asked.seeds), "workers": self.workers,
            "output": str(asked.output.resolve()), "store": str(asked.store.resolve()), "partial": asked.partial,
            "variant": asked.variant, "methods": list(resources.methods) or None,
        }  # fmt: skip
        stated = notebooks.stated_parameters(one.notebook)
        return {name: value for name, value in given.items() if name in stated} | dict(self.parameters)


def with_parameters(batch: Batch, parameters: Mapping[str, Any]) -> Batch:
    """The batch with `-p NAME=VALUE`: what every notebook knows changes what is asked, the rest is a variant."""
    asked = batch.asked
    known = {**asdict(asked.resources), **{name: getattr(asked, name) for name in STANDARD}}
    own = {name: value for name, value in parameters.items() if name not in known and name not in OF_THE_BATCH}
    files = {name: Path(value).resolve() for name, value in own.items() if _is_path(value)}
    changes = [f"{name}-{files[name].stem if name in files else value}" for name, value in sorted(own.items())]
    own |= {name: str(path) for name, path in files.items()}  # a notebook is executed in a folder of its own
    variant = "-".join(filter(None, [parameters.get("variant", asked.variant), *changes]))
    changed = Asked.of(parameters.get("profile", asked.profile), known | dict(parameters) | {"variant": variant})
    return replace(batch, asked=changed, workers=parameters.get("workers", batch.workers), parameters=own)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and (os.sep in value or Path(value).is_file())


STANDARD = ("seeds", "partial", "output", "store", "variant")
OF_THE_BATCH = ("profile", "workers")


def check(batch: Batch) -> None:
    """Everything that can be told before work begins.

    Raises:
        InputError: in one line, the first thing that is wrong.
    """
    check_budget(batch.budget, partial=batch.asked.partial)
    if batch.runs_only and batch.asked.partial:
        raise InputError("runs-only: found beside --partial, which computes nothing; expected one of them")
    for one in batch.papers:
        notebooks.check_parameters(one.notebook, batch.notebook_parameters(one))
    for name, value in batch.parameters.items():
        require(not _is_path(value) or Path(value).exists(), f"parameter {name}", value, "a file that is there")
    wanted = [spec for grid in batch.grids.values() for spec in grid]
    if batch.gpus_per_run > 1 and not any(spec.work().divisible for spec in with_requirements(wanted)):
        profile = f"profile {batch.asked.profile}"
        raise InputError(f"gpus-per-run: found {batch.gpus_per_run}; expected 1, as {profile} trains heads on features")


@_without_collection()
@asking_once()
def print_plan(batch: Batch, console: Console, gpus: int | None = None) -> None:
    """Which runs there are, by paper and kind, which are in the store, and how long the rest will take.

    gpus: of the machine that is planned for, where it is another one, at the listed rates; None: this one's.
    """
    with nullcontext() if gpus is None else as_if_with_a_gpu():
        _print_plan(batch, console, gpus)


def _print_plan(batch: Batch, console: Console, gpus: int | None) -> None:
    store, workers, grids = Store(batch.asked.store), batch.workers or os.cpu_count() or 1, batch.grids
    title = f"profile {batch.asked.profile}, {workers} workers" + (f", {gpus} GPUs elsewhere" if gpus else "")
    columns = ("paper", "kind of run", "runs", "in the store", "to run", "device", "rates", "core time", "in all")
    table = Table(*columns, title=title)
    plans = {name: plan_grid(specs, store) for name, specs in grids.items()}
    for name, plan in plans.items():
        for kind in plan.kinds():
            counts = map(str, (kind.runs, kind.runs - kind.missing, kind.missing))
            cost = duration(kind.seconds)
            table.add_row(name, kind.name, *counts, ", ".join(kind.devices), kind.rates, cost, "")
        counts = map(str, (len(plan.specs), len(plan.specs) - len(plan.missing), len(plan.missing)))
        wall = duration(plan.wall_seconds(workers, _gpus(plan) if gpus is None else gpus))
        table.add_row(name, "all", *counts, "", "", duration(plan.seconds), wall)
        table.add_section()
    for cells in _features_to_extract([spec for specs in grids.values() for spec in specs], workers):
        table.add_row(*cells)
    console.print(table)
    hours = hours_of(plans.values())
    taken = None if batch.budget is None else choose(batch.stakes, hours, batch.budget)
    console.print(claims_table(batch, hours, taken))
    if taken is not None:
        console.print(_within(batch.budget, hours, taken), soft_wrap=True)


def _within(budget: float, hours: Hours, taken: Collection[Spec]) -> str:
    """What a budget takes, in a line."""
    spent = " and ".join(f"{took:.3g} {HOURS[device]}" for device, took in total(taken, hours).items()) or "nothing"
    return f"within {budget:g} hours: {len(taken)} runs, {spent}; the same command again spends as much once more"


@asking_once()
def claims_table(batch: Batch, hours: Hours, taken: Collection[Spec] | None = None) -> Table:
    """Which claims are decided now, or with what a budget takes; the runs of each, and what these would take alone.

    hours: of the runs that are lacking. taken: those of them that the batch's budget takes.
    """
    lacking = hours.keys() - (taken or ())
    when = "now" if taken is None else f"within {batch.budget:g} hours"
    columns = ("paper", "claim", "runs", "to run, with what they require", "alone", when)
    table = Table(*columns, title="claims, * of a headline")
    for stake in batch.stakes:
        to_run = with_lacking(stake.runs, hours)
        took = ", ".join(f"{spent:.3g} {HOURS[device]}" for device, spent in total(to_run, hours).items())
        name = stake.claim + "*" * stake.headline
        table.add_row(stake.paper, name, str(len(stake.runs)), str(len(to_run)), took, stake.state(lacking))
    return table


def _features_to_extract(specs: Sequence[Spec], workers: int) -> Iterator[tuple[str, ...]]:
    """A line of the plan for every frozen network: how many images it has still to look at, once for all papers."""
    for source in frozen_sources(specs):
        from nlcore.data.source import frozen_images_waiting  # late: other profiles look at no image

        waiting, images = frozen_images_waiting(source)
        unit, device = f"predict {source.backbone} {source.size}", device_of_plan(source.device)
        took = seconds(Work(unit, waiting), device)
        known = is_listed(unit)
        cost, wall = (duration(took), duration(took if device == "cuda" else took / workers)) if known else ("?", "?")
        rates = "assumed" if known else "none listed"
        counts = map(str, (images, images - waiting, waiting))
        yield "all", f"images, {source.backbone} {source.size}", *counts, device, rates, cost, wall


def _gpus(plan: Plan) -> int:
    """How many GPUs this machine has for a plan that uses them."""
    return len(gpu_memory()) if any("cuda" in kind.devices for kind in plan.kinds()) else 0


def reproduce(batch: Batch, console: Console, *, fresh: bool = False, update_notebooks: bool = False) -> bool:
    """Compute, execute, and print the table of verdicts; whether every notebook ran to its end.

    Raises:
        InputError: unusable input; nothing has been written.
        RunFailedError: runs failed; what finished is in the store.
    """
    from nlcore.app import site  # late: it draws, and a plan does not

    check(batch)
    require_writable_folder(batch.asked.output, what="output folder")
    done, failures = compute(batch, console, fresh=fresh)
    for one in done:
        if update_notebooks:
            notebooks.store_outputs(batch.shown.executed(one), one.notebook)
        console.print(summary(batch.shown, one))
        own = batch.shown.folder(one) / "own_method.md"
        if batch.asked.resources.methods and own.is_file():
            console.print(f"own method, held against the paper's: {_short(own)}", soft_wrap=True)
    for failure in failures:
        console.print(f"[red]failed[/red] {failure}", soft_wrap=True)
    if done and site.reportable(batch.asked.output):
        console.print(f"report: {_short(site.build(batch.asked.output))}", soft_wrap=True)
    return not failures


def compute(
    batch: Batch, console: Console, *, fresh: bool = False, pages: bool = True
) -> tuple[list[Paper], list[str]]:
    """What the store lacks, then all notebooks, under one display of progress; the papers done, and what failed.

    pages: whether the report's pages of the notebooks are written, too.
    """
    store = Store(batch.asked.store)
    grids = batch.grids
    if fresh:
        forget([spec for grid in grids.values() for spec in grid], store)
    plans = {} if batch.asked.partial else {name: plan_grid(specs, store) for name, specs in grids.items()}
    if batch.budget is not None:
        hours = hours_of(plans.values())
        taken = choose(batch.stakes, hours, batch.budget)
        plans = {name: plan.only(taken) for name, plan in plans.items()}
    missing = [spec for plan in plans.values() for spec in plan.missing]
    prepare(missing)
    with reporter(_parts(grids, plans, notebooks=not batch.runs_only)) as report:
        if missing:
            report.say(f"{len(missing)} runs to compute")
        run_plans(batch, plans, store, report)
        done, failures = ([], []) if batch.runs_only else execute_notebooks(batch.shown, report, pages=pages)
    runs = sum(len(plan.specs) for plan in plans.values())
    computed = sum(len(plan.missing) for plan in plans.values())
    found = f"{computed} runs computed" if computed else "nothing to compute"
    console.print(f"{found}, {runs - computed} taken from the store {_short(store.root)}")
    if batch.budget is not None:
        console.print(claims_table(batch, hours_of(plan_grid(specs, store) for specs in grids.values())))
    return done, failures


def run_plans(batch: Batch, plans: Mapping[str, Plan], store: Store, report: Reporter) -> None:
    """Compute what the plans lack, on the engine that was asked for."""
    engine = make_engine(
        batch.engine, workers=batch.workers, address=batch.address, runs_per_gpu=batch.runs_per_gpu, say=report.say
    )
    run_grids(plans, store, engine, gpus_per_run=batch.gpus_per_run, report=report)


def _parts(grids: Iterable[str], plans: Mapping[str, Plan], *, notebooks: bool) -> dict[str, Part]:
    """A paper's steps: its missing runs, and its notebook."""
    last = Part(1, NOTEBOOK_SECONDS) if notebooks else Part(0, 0.0)
    runs = {name: plans[name].part() if name in plans else Part(0, 0.0) for name in grids}
    return {name: Part(part.steps + last.steps, part.seconds + last.seconds) for name, part in runs.items()}


def execute_notebooks(batch: Batch, report: Reporter, *, pages: bool) -> tuple[list[Paper], list[str]]:
    """Execute the papers' notebooks side by side, each in processes of its own; those that ran, and why others failed.

    Their computing is done: what they find in the store they read and draw.
    """
    done, failures, chosen = set(), [], batch.papers
    at_once = min(batch.workers or os.cpu_count() or 1, len(chosen)) or 1
    with environment(PROCESS), process_pool(at_once) as pool:
        asked = replace(batch)  # without the grids it has made
        begun = {pool.submit(_execute, asked, one.id, pages): one for one in chosen}
        for one in chosen:
            report.note(one.id, f"notebooks/{one.notebook.name}")
        for future in as_completed(begun):
            one = begun[future]
            failure = _failure(future, one)
            failures += [failure] if failure else []
            done |= set() if failure else {one.id}
            report.note(one.id, "failed" if failure else "done")
            report.advance(one.id, NOTEBOOK_SECONDS)
    return [one for one in chosen if one.id in done], failures


def _execute(batch: Batch, name: str, page: bool) -> None:
    """Execute one paper's notebook, and write the page of it that the report shows."""
    from nlcore.app import site  # late: it draws, and a plan does not

    one = paper(name)
    notebooks.execute(one.notebook, batch.executed(one), batch.notebook_parameters(one))
    if page and not batch.asked.variant:
        site.write_notebook_page(batch.asked.output, name, batch.asked.profile)


def _failure(future: Future[None], one: Paper) -> str:
    """Why a notebook failed, or nothing."""
    try:
        future.result()
    except notebooks.NotebookFailedError as error:
        return str(error)
    except BrokenProcessPool:
        return f"{one.notebook.name}: the process that executed it was killed; run it again"
    return ""


def summary(batch: Batch, one: Paper) -> Table:
    """Artefact, paper, ours, verdict: read from what the notebook has just written."""
    folder = batch.folder(one)
    manifest = json.loads((folder / "manifest.json").read_text())
    table = Table("artefact or claim", "what", "paper", "ours", "verdict", title=f"{one.id}: {_short(folder)}")
    for id, entry in manifest["artefacts"].items():
        headline = {"what": "", "paper": "", "ours": "", "verdict": "made"} | (entry.get("headline") or {})
        table.add_row(id, *(headline[name] for name in ("what", "paper", "ours", "verdict")))
    for decided in read_verdicts(folder / VERDICTS):
        part = decided.speaking
        size = "" if part.published is None else f"{part.published:.3g}"
        share = f"{decided.share} parts hold; {part.name}"
        verdict = f"{decided.verdict} ({decided.evidence})"
        table.add_row(decided.id, f"{decided.claim} ({share})", size, part.shown, verdict)
    for id in manifest["not_made"]:
        table.add_row(id, "", "", "", "not made at this profile")
    return table


def _short(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
