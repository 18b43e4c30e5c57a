"""`run_all.py show`: from a table or figure to the runs behind it, and from a run to what it was and what it gave."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors import safe_open

from nlcore.app.batch import Batch
from nlcore.errors import InputError
from nlcore.papers.ladder import Grid
from nlcore.papers.paper import Paper
from nlcore.runs import Spec, Store

KEY = re.compile(r"[0-9a-f]{6,64}")
SHOWN = 400  # characters of a long value that a terminal shows
IN_FULL = 100  # numbers of an array that are all printed


def show(batch: Batch, target: str, console: Console) -> None:
    """Print what stands behind `target`: a run's key (six digits or more), an artefact or a claim, or `paper/artefact`.

    Raises:
        InputError: no such run in the store, no such artefact or claim, or an artefact of several papers.
    """
    if KEY.fullmatch(target):
        key = show_run(Store(batch.asked.store), target, console)
        for place in _readers(batch, key):
            console.print(f"read by: {place}", soft_wrap=True, highlight=False, markup=False)
    else:
        show_artefact(batch, target, console)


def show_run(store: Store, key: str, console: Console) -> str:
    """Print one record: its spec, checksum, machine and cost, its values, and its arrays by name; returns its key.

    Raises:
        InputError: no run's key, or that of several runs, begins with the digits of `key`.
    """
    found = sorted(store.root.glob(f"{key[:2]}/{key}*.safetensors"))
    if len(found) != 1:
        expected = "one: more digits" if found else "a key that show PAPER/ARTEFACT lists: edits of the code change it"
        raise InputError(f"key {key}: {len(found)} runs in the store {store.root}; expected {expected}")
    with safe_open(found[0], "np") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    record = json.loads(metadata["record"])
    lines = {"run": record["spec"], "key": found[0].stem, "checksum": metadata["checksum"]}
    lines |= {"seconds": metadata["seconds"], "computed by": metadata.get("environment", "not recorded")}
    for name, value in lines.items():
        console.print(f"{name}: {value}", soft_wrap=True, highlight=False, markup=False)
    for name, value in record["values"].items():
        text = json.dumps(value)
        shown = _shortened(text) if console.is_terminal else text
        console.print(f"value {name}: {shown}", soft_wrap=True, highlight=False, markup=False)
    for name, array in arrays.items():
        console.print(f"array {name}: {describe(array)}", soft_wrap=True, highlight=False, markup=False)
        if 1 < array.size <= IN_FULL:
            console.print(f"  {array.tolist()}", soft_wrap=True, highlight=False, markup=False)
    return found[0].stem


def _readers(batch: Batch, key: str) -> Iterator[str]:
    """For every paper and profile asked for: the artefacts and claims that a run stands behind itself."""
    for one in [one for one in batch.papers if batch.asked.profile in one.profiles()] or batch.papers:
        grid = _grid(batch, one)
        if any(spec.key == key for spec in grid.specs):
            places = dict.fromkeys([*one.contract.artefacts(), *one.module("study").READS, *one.claim_reads()])
            readers = [place for place in places if any(spec.key == key for spec in _behind(one, place, grid))]
            yield f"{one.id}, profile {batch.asked.profile}: {', '.join(readers) or 'runs that require it'}"


def _grid(batch: Batch, one: Paper) -> Grid:
    """The grid of one paper alone: another may have no such profile."""
    return replace(batch, names=[one.id]).made[one.id]


def _behind(one: Paper, place: str, grid: Grid) -> Sequence[Spec]:
    """The runs behind an artefact or a claim."""
    decides = one.claim_reads().get(place)
    return one.behind(place, grid) if decides is None else list(filter(decides, grid.main))


def describe(array: np.ndarray) -> str:
    """Type, shape and range of an array.

    >>> describe(np.array([[0.5, 1.5]]))
    'float64 (1, 2), from 0.5 to 1.5, mean 1'
    """
    head = f"{array.dtype} {array.shape}"
    known = array[~np.isnan(array)] if array.dtype.kind == "f" else array
    if not known.size:
        return head
    return f"{head}, from {known.min():.6g} to {known.max():.6g}, mean {known.mean():.6g}"


def show_artefact(batch: Batch, target: str, console: Console) -> None:
    """Print the runs behind a table, a figure or a claim, each with its key and the checksum of its result.

    Raises:
        InputError: an artefact or claim of no paper of the batch, or of several and `target` does not say which.
    """
    name, _, id = target.rpartition("/")
    chosen = [one for one in batch.papers if name in ("", one.id) and _knows(one, id)]
    if len(chosen) != 1:
        among = ", ".join(one.id for one in chosen) or "no paper"
        expected = "PAPER/ARTEFACT or PAPER/CLAIM as galc_slr/table_1 or galc_slr/gs1, or a key"
        raise InputError(f"{target!r}: an artefact of {among}; expected {expected}")
    (one,) = chosen
    specs = _behind(one, id, _grid(batch, one))
    console.print(_runs_table(f"{one.id}/{id}, profile {batch.asked.profile}", specs, Store(batch.asked.store)))


def _knows(one: Paper, id: str) -> bool:
    return id in one.contract.artefacts() or id in one.module("study").READS or id in one.claim_reads()


def _runs_table(title: str, specs: Iterable[Spec], store: Store) -> Table:
    table = Table("key", "checksum of the result", "run", title=title)
    for spec in specs:
        record = store.read(spec)
        table.add_row(spec.key[:16], record.checksum[:16] if record else "not finished", spec.name)
    return table


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters; all of them with | cat)"
