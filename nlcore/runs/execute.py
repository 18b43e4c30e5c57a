"""Computing one run, or several that share a pass, in whichever process an engine has chosen."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nlcore.errors import InputError
from nlcore.runs.cost import note_cost
from nlcore.runs.processes import give_memory_back
from nlcore.runs.scratch import scratch
from nlcore.runs.spec import Result, Spec
from nlcore.runs.store import Store
from nlcore.runs.team import team


@dataclass(frozen=True)
class Cost:
    """What one or several runs took: seconds of computing, and bytes of GPU memory at its peak (0 on the CPU)."""

    seconds: float = 0.0
    gpu_bytes: int = 0


def execute(specs: Sequence[Spec], store_root: Path, processes: int = 1) -> Cost:
    """Compute one run, or several in a pass that they share, and store what another driver has not stored meanwhile.

    One run alone may be computed by several `processes` together, of which this is the first (`nlcore.runs.team`).

    Locks are taken from a run to what it requires, never the other way, and of runs that share a pass in the order of
    their keys, so that drivers cannot wait for each other.
    """
    store = Store(store_root)
    with ExitStack() as locks:
        for spec in sorted(specs, key=lambda spec: spec.key):
            locks.enter_context(store.lock(spec))
        missing = [spec for spec in specs if store.read(spec) is None]
        return _compute(missing, store, processes) if missing else Cost()


def _compute(specs: Sequence[Spec], store: Store, processes: int = 1) -> Cost:
    """Compute runs whose locks are held; each is noted with its share of the time, by its work.

    What is noted of several processes is the time of all: rates are those of one core or one GPU.

    Where a shared pass fails, its runs are computed one by one: what is wrong with one of them costs that one alone.
    """
    inputs = [[_input(required, store) for required in spec.requires()] for spec in specs]
    start = time.perf_counter()
    try:
        results = _results(specs, inputs, store, processes)
    except Exception:
        if len(specs) == 1:
            raise
        return _one_by_one(specs, store)
    seconds = processes * (time.perf_counter() - start)
    work = [spec.work().amount for spec in specs]
    for spec, result, own in zip(specs, results, work, strict=True):
        share = seconds * (own / sum(work) if sum(work) else 1 / len(work))
        store.write(spec, result, seconds=share)
        store.clear_scratch(spec)
        note_cost(store, spec, share)
    del inputs, results
    give_memory_back()
    return Cost(seconds, _free_gpu_memory())


def _results(
    specs: Sequence[Spec], inputs: Sequence[Sequence[Result]], store: Store, processes: int
) -> list[Result]:
    """A result for each; a run that is computed alone may leave checkpoints, for itself after a kill."""
    with ExitStack() as alone:
        if len(specs) == 1:
            alone.enter_context(scratch(store.scratch(specs[0])))
            alone.enter_context(team(specs[0], store, processes))
        found = type(specs[0]).compute_together(specs, inputs)
    if len(found) != len(specs):
        raise RuntimeError(f"{specs[0].name}: {len(found)} results for a pass of {len(specs)}; expected one for each")
    return found


def _one_by_one(specs: Sequence[Spec], store: Store) -> Cost:
    """Compute each alone; failures are told together at the end, unusable input at once, as it ends the grid.

    Raises:
        InputError: a run was given unusable input. RuntimeError: runs failed; names each.
    """
    errors, costs = [], []
    for spec in specs:
        try:
            costs.append(_compute([spec], store))
        except InputError:
            raise
        except Exception as error:
            errors.append(f"{spec.name}: {error}")
    if errors:
        raise RuntimeError("; ".join(errors))
    return Cost(sum(cost.seconds for cost in costs), max(cost.gpu_bytes for cost in costs))


def _input(spec: Spec, store: Store) -> Result:
    """The result of a required run, computed here and now where its record is lost or damaged at this moment."""
    record = store.read(spec)
    if record is None:
        execute([spec], store.root)
    return record.result if record else store.result(spec)


def _free_gpu_memory() -> int:
    """The peak since it was last asked; what torch keeps in reserve is given back, for others on the same GPU."""
    torch = sys.modules.get("torch")  # loading it here would cost more than a small run does
    if torch is None or not torch.cuda.is_initialized():
        return 0
    peak = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak
