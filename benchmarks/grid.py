"""What it costs to carry runs: overhead per run, memory while a large grid goes on, and Ray against local processes.

    python benchmarks/grid.py                     10,000 trivial runs on local processes
    python benchmarks/grid.py --embedded          the embedded grid of a paper, locally and on Ray (minutes)

Overhead per run is the grid's wall time x workers / runs: trivial runs compute nothing, so all of it is carrying.
The ratio of the engines is of wall times for the same runs, one after the other in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from trivial_run import Trivial

from nlcore.papers import paper
from nlcore.runs import Spec, Store, make_engine, plan_grid, run_grids


class Memory:
    """Samples the memory of this process and its workers while a grid goes on."""

    def __init__(self) -> None:
        self.samples: list[int] = []  # bytes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.5):
            self.samples.append(sum(_resident(process) for process in (me, *me.children(recursive=True))))

    def at(self, share: float) -> float:
        """MiB once that share of the samples was taken."""
        return self.samples[int(share * (len(self.samples) - 1))] / 2**20


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def seconds_for(specs: Sequence[Spec], folder: Path, engine: str, workers: int) -> float:
    """Wall time of a grid on a fresh store; the engine's own start is part of it."""
    store = Store(folder)
    plans = {"runs": plan_grid(specs, store)}
    start = time.perf_counter()
    run_grids(plans, store, make_engine(engine, workers=workers))
    return time.perf_counter() - start


def load_test(runs: int, workers: int) -> None:
    specs = [Trivial(number=number) for number in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        with Memory() as memory:
            wall = seconds_for(specs, Path(folder), "local", workers)
        carried = 1000 * wall / runs
        print(f"{runs:,} trivial runs, {workers} workers: {wall:.1f} s in all, start included")
        print(f"  {carried:.2f} ms of wall time per run, {carried * workers:.2f} ms of one worker's")
        print(f"  memory of all processes: {memory.at(0.2):.0f} MiB a fifth through, {memory.at(1):.0f} MiB at the end")
        start = time.perf_counter()
        plan = plan_grid(specs, Store(folder))
        print(f"  the plan of the finished grid: {time.perf_counter() - start:.1f} s, {len(plan.missing)} missing")


def compare_engines(name: str, profile: str, workers: int) -> None:
    specs = paper(name).specs(profile)
    with tempfile.TemporaryDirectory() as folder:
        walls = {engine: seconds_for(specs, Path(folder) / engine, engine, workers) for engine in ("local", "ray")}
    ratio = walls["ray"] / walls["local"]
    print(f"{name}, {profile}: local {walls['local']:.1f} s, Ray {walls['ray']:.1f} s, {ratio:.3f} of local")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--embedded", metavar="PAPER", nargs="?", const="galc_slr")
    options.add_argument("--profile", default="embedded")
    given = options.parse_args()
    if given.embedded:
        compare_engines(given.embedded, given.profile, given.workers)
    else:
        load_test(given.runs, given.workers)
