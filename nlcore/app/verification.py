"""`run_all.py verify`: every table and figure is made anew and held against the one there is, cell by cell.

Where the runs behind a paper's artefacts are, to the byte, those that made the ones there are (as provenances tell),
every cell must be the same text. Where runs were computed anew, on another machine say, a cell may differ by what the
paper's `tolerances.yaml` states for its column; a column that is not listed there may not differ at all. A verdict that
changes its word because numbers moved within their tolerance stands at its boundary: that is told, and is no drift.
Where a verdict stands on other evidence than before, that is a drift, whatever moved.
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
from pathlib import Path

import pandas as pd
from rich.console import Console

from nlcore.app.batch import Batch, compute
from nlcore.errors import InputError
from nlcore.papers.paper import Paper
from nlcore.places import home
from nlcore.report.digits import DIGITS
from nlcore.report.verdicts import Verdict
from nlcore.report.writer import PROVENANCE

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
SHOWN = 40  # drifts that are listed one by one
# Columns whose words follow from numbers beside them.
DECIDED = ("verdict", "reason", "verdict by default", "changes", "decided by", "judgement", "weakest part")

# The same finding on other evidence: no number lies between these words.
AGAINST = {Verdict.CONTRADICTED.value, Verdict.NOT_SEEN.value}


@dataclass(frozen=True)
class Comparison:
    """What became of one paper: cells compared, whether exactly, drifts, and words at the edge of changing."""

    cells: int
    exact: bool
    drifts: tuple[str, ...]
    edges: tuple[str, ...] = ()


def verify(batch: Batch, console: Console, *, revision: str | None = None) -> bool:
    """Regenerate the artefacts of a batch into a temporary folder and compare; whether nothing has drifted.

    revision: of Git, to compare with what was committed there instead of with the files in `batch.asked.output`.

    Raises:
        InputError: there is nothing to compare with; or the revision is unknown, or the folder is not of a repository.
        RunFailedError: runs failed; everything that finished is in the store.
    """
    kept = {one.id: _kept_files(batch, one, revision) for one in batch.papers}
    with tempfile.TemporaryDirectory(prefix="nlcore-verify-") as folder:
        fresh = replace(batch, asked=replace(batch.asked, output=Path(folder)))
        done, failures = compute(fresh, console, pages=False)
        found = {one.id: compare(kept[one.id], _files(fresh.folder(one)), one.tolerances()) for one in done}
    for one in done:
        how = "exactly: the runs are those that made them" if found[one.id].exact else "within each column's tolerance"
        where = revision or batch.folder(one)
        console.print(f"{one.id}: {found[one.id].cells:,} cells compared with {where}, {how}", soft_wrap=True)
    said = lambda name: [f"{id}/{batch.asked.profile}/{line}" for id, c in found.items() for line in getattr(c, name)]
    _list(console, "at its boundary", said("edges"))
    drifts = said("drifts") + failures
    _list(console, "[red]drift[/red]", drifts)
    console.print(f"{len(drifts)} drift{'s' * (len(drifts) > 1)} found" if drifts else "nothing has drifted")
    return not drifts


def _list(console: Console, what: str, lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        console.print(f"{what} {line}", soft_wrap=True, highlight=False)
    if len(lines) > SHOWN:
        console.print(f"... and {len(lines) - SHOWN} more")


def compare(kept: Mapping[str, str], anew: Mapping[str, str], allowed: Mapping[str, float]) -> Comparison:
    """Hold the files of a folder (name -> text; its CSVs and its provenance) against those made anew.

    allowed: column -> by how much its cells may differ where runs were computed anew.
    """
    exact = _results(kept) == _results(anew) is not None
    names = sorted(name for name in kept.keys() | anew.keys() if name.endswith(".csv"))
    cells, drifts, edges = 0, [], []
    for name in names:
        if name not in anew or name not in kept:
            drifts.append(f"{name}: {'is not made any more' if name in kept else 'was not there before'}")
            continue
        before, after = (
            pd.read_csv(io.StringIO(side[name]), dtype=str, keep_default_na=False) for side in (kept, anew)
        )
        cells += before.size
        for line, at_edge in _differences(before, after, {} if exact else allowed, words=not exact):
            (edges if at_edge else drifts).append(f"{name}: {line}")
    return Comparison(cells, exact, tuple(drifts), tuple(edges))


def _differences(
    before: pd.DataFrame, after: pd.DataFrame, allowed: Mapping[str, float], *, words: bool
) -> Iterator[tuple[str, bool]]:
    """A line for everything that differs by more than it may, and whether it is only a word at its boundary."""
    if list(before.columns) != list(after.columns):
        yield f"columns were {list(before.columns)}, are {list(after.columns)}", False
        return
    if len(before) != len(after):
        yield f"had {len(before)} rows, has {len(after)}", False
        return
    differs = before != after
    for row in differs.any(axis=1).to_numpy().nonzero()[0]:
        columns = list(before.columns[differs.iloc[row]])
        beyond = [c for c in columns if not _within(before[c].iloc[row], after[c].iloc[row], allowed.get(c))]
        decided = all(_at_boundary(column, before[column].iloc[row], after[column].iloc[row]) for column in beyond)
        only_words = words and decided and len(beyond) < len(columns)
        for column in beyond:
            yield _told(before, after, row, column, allowed), only_words


def _at_boundary(column: str, old: str, new: str) -> bool:
    """Whether a cell may say another word because numbers beside it moved."""
    return column in DECIDED and {old, new} != AGAINST


def _within(old: str, new: str, tolerance: float | None) -> bool:
    """Where a column may differ at all, it may by a unit of the last digit that its numbers carry."""
    return tolerance is not None and deviation(old, new) <= max(tolerance, last_unit(old))


def last_unit(text: str) -> float:
    """One unit of the last digit that the largest number of a cell carries.

    >>> last_unit("43.46 [41.2, 44.9]")
    0.01
    """
    largest = max((abs(float(number)) for number in NUMBER.findall(text)), default=0.0)
    return round(10.0 ** (math.floor(math.log10(largest)) - DIGITS + 1), 12) if largest else 0.0


def _told(before: pd.DataFrame, after: pd.DataFrame, row: int, column: str, allowed: Mapping[str, float]) -> str:
    old, new = before[column].iloc[row], after[column].iloc[row]
    others = ", ".join(f"{name} {before[name].iloc[row]}" for name in before.columns[:4] if name != column)
    limit = f" (may differ by {allowed[column]:g})" if column in allowed else ""
    return f"row {row + 2} ({others}), column {column!r}: was {old or 'empty'}, is {new or 'empty'}{limit}"


def deviation(old: str, new: str) -> float:
    """By how much the numbers of two cells differ at most; infinite where they differ in anything else.

    >>> deviation("0.5 [0.4, 0.6]", "0.5 [0.25, 0.6]"), deviation("holds", "inconclusive")
    (0.15000000000000002, inf)
    """
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return math.inf
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return max((abs(float(one) - float(other)) for one, other in pairs), default=0.0)


def _results(folder: Mapping[str, str]) -> str | None:
    """The name of the results behind a folder, as its provenance states it."""
    return json.loads(folder[PROVENANCE]).get("results") if PROVENANCE in folder else None


def _files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (*folder.glob("*.csv"), *folder.glob(PROVENANCE))}


def _kept_files(batch: Batch, one: Paper, revision: str | None) -> dict[str, str]:
    folder = batch.folder(one)
    if revision is None:
        found, where = _files(folder), str(folder)
    else:
        found, where = _committed(folder, revision), f"{folder} at {revision}"
    if not any(name.endswith(".csv") for name in found):
        raise InputError(f"{where}: no CSV to compare with; expected the artefacts of {one.id}, {batch.asked.profile}")
    return found


def _committed(folder: Path, revision: str) -> dict[str, str]:
    """The texts of a folder as they are in a Git revision."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(home()), *arguments], capture_output=True, text=True)
        if done.returncode:
            raise InputError(
                f"revision {revision!r}: {done.stderr.strip().splitlines()[-1]}; expected one of Git in {home()}"
            )
        return done.stdout

    if not folder.resolve().is_relative_to(home()):
        raise InputError(f"{folder}: not inside {home()}; expected an output folder that Git keeps")
    inside = folder.resolve().relative_to(home()).as_posix()
    names = git("ls-tree", "--name-only", revision, f"{inside}/").splitlines()
    wanted = [name for name in names if name.endswith(".csv")]
    return {Path(name).name: git("show", f"{revision}:{name}") for name in wanted}
