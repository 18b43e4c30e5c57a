"""`run_all.py verify`: every table and figure is made anew and held against the one there is, cell by cell.

Where the runs behind a paper's artefacts are, to the byte, those that made the ones there are, every cell must be the
same text. Where runs were computed anew, on another machine say, a cell may differ by what
`papers/<paper>/tolerances.yaml` states for its column; a column that is not listed there may not differ at all.
"""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml
from rich.console import Console

from nlcore.app.batch import ROOT, Batch, compute
from nlcore.errors import InputError

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
SHOWN = 40  # drifts that are listed one by one


@dataclass(frozen=True)
class Comparison:
    """What became of one paper: cells compared, whether exactly, and a line for every drift."""

    cells: int
    exact: bool
    drifts: tuple[str, ...]


def verify(batch: Batch, console: Console, *, revision: str | None = None) -> bool:
    """Regenerate the artefacts of a batch into a temporary folder and compare; whether nothing has drifted.

    revision: of Git, to compare with what was committed there instead of with the files in `batch.output`.

    Raises:
        InputError: there is nothing to compare with.
    """
    kept = {paper: _kept_files(batch, paper, revision) for paper in batch.papers}
    with tempfile.TemporaryDirectory(prefix="nlcore-verify-") as folder:
        fresh = replace(batch, output=Path(folder))
        done, failures = compute(fresh, console)
        found = {paper: compare(kept[paper], _files(fresh.folder(paper)), tolerances(paper)) for paper in done}
    for paper, comparison in found.items():
        how = "exactly: the runs are those that made them" if comparison.exact else "within each column's tolerance"
        where = revision or batch.folder(paper)
        console.print(f"{paper}: {comparison.cells:,} cells compared with {where}, {how}", soft_wrap=True)
    drifts = [f"{paper}/{batch.profile}/{line}" for paper, c in found.items() for line in c.drifts] + failures
    for line in drifts[:SHOWN]:
        console.print(f"[red]drift[/red] {line}", soft_wrap=True, highlight=False)
    if len(drifts) > SHOWN:
        console.print(f"... and {len(drifts) - SHOWN} more")
    console.print(f"{len(drifts)} drift{'s' * (len(drifts) > 1)} found" if drifts else "nothing has drifted")
    return not drifts


def tolerances(paper: str) -> Mapping[str, float]:
    """Column -> by how much a cell may differ where its runs were computed anew; `.inf`: not compared."""
    path = files("nlcore") / "papers" / paper / "tolerances.yaml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}


def compare(kept: Mapping[str, str], anew: Mapping[str, str], allowed: Mapping[str, Mapping[str, float]]) -> Comparison:
    """Hold the files of a folder (name -> text; its CSVs and its manifest) against those made anew."""
    exact = _results(kept) == _results(anew) is not None
    names = sorted(name for name in kept.keys() | anew.keys() if name.endswith(".csv"))
    cells, drifts = 0, []
    for name in names:
        if name not in anew or name not in kept:
            drifts.append(f"{name}: {'is not made any more' if name in kept else 'was not there before'}")
            continue
        before, after = (
            pd.read_csv(io.StringIO(side[name]), dtype=str, keep_default_na=False) for side in (kept, anew)
        )
        cells += before.size
        drifts += (f"{name}: {line}" for line in _drifts(before, after, {} if exact else allowed))
    return Comparison(cells, exact, tuple(drifts))


def _drifts(before: pd.DataFrame, after: pd.DataFrame, allowed: Mapping[str, float]) -> Iterator[str]:
    if list(before.columns) != list(after.columns):
        yield f"columns were {list(before.columns)}, are {list(after.columns)}"
        return
    if len(before) != len(after):
        yield f"had {len(before)} rows, has {len(after)}"
        return
    for column in before.columns:
        for row in (before[column] != after[column]).to_numpy().nonzero()[0]:
            old, new = before[column].iloc[row], after[column].iloc[row]
            if column not in allowed or deviation(old, new) > allowed[column]:
                others = ", ".join(f"{name} {before[name].iloc[row]}" for name in before.columns[:4] if name != column)
                limit = f" (may differ by {allowed[column]:g})" if column in allowed else ""
                yield f"row {row + 2} ({others}), column {column!r}: was {old or 'empty'}, is {new or 'empty'}{limit}"


def deviation(old: str, new: str) -> float:
    """By how much the numbers of two cells differ at most; infinite where they differ in anything else."""
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return math.inf
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return max((abs(float(one) - float(other)) for one, other in pairs), default=0.0)


def _results(folder: Mapping[str, str]) -> str | None:
    """The name of the results behind a folder, as its manifest states it."""
    return json.loads(folder["manifest.json"]).get("results") if "manifest.json" in folder else None


def _files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (*folder.glob("*.csv"), *folder.glob("manifest.json"))}


def _kept_files(batch: Batch, paper: str, revision: str | None) -> dict[str, str]:
    folder = batch.folder(paper)
    if revision is None:
        found, where = _files(folder), str(folder)
    else:
        found, where = _committed(folder, revision), f"{folder} at {revision}"
    if not any(name.endswith(".csv") for name in found):
        raise InputError(f"{where}: no CSV to compare with; expected the artefacts of {paper}, {batch.profile}")
    return found


def _committed(folder: Path, revision: str) -> dict[str, str]:
    """The texts of a folder as they are in a Git revision."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"revision {revision!r}: {done.stderr.strip().splitlines()[-1]}")
        return done.stdout

    if not folder.resolve().is_relative_to(ROOT):
        raise InputError(f"{folder}: not inside {ROOT}; expected an output folder that Git keeps")
    inside = folder.resolve().relative_to(ROOT).as_posix()
    names = git("ls-tree", "--name-only", revision, f"{inside}/").splitlines()
    wanted = [name for name in names if name.endswith((".csv", "manifest.json"))]
    return {Path(name).name: git("show", f"{revision}:{name}") for name in wanted}
