"""Where a worker's memory goes before it trains: MB resident after each of the things that it loads.

    python benchmarks/memory.py

On Linux workers are forked from a server that has loaded all of it once: the last lines are what one of them has of its
own, and its share of what it has in common with the server and one other. What a worker has at the most while it
computes is a column of `benchmarks/reproduce.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import psutil

from nlcore.runs.processes import process_pool

STAGES = {
    "numpy": ("numpy",),
    "pandas, scipy, scikit-learn": ("pandas", "scipy.stats", "sklearn.linear_model"),
    "torch": ("torch",),
    "the suite and what else it loads": ("nlcore.papers.teacher_student.runs", "nlcore.papers.galc_slr.runs"),
}


def resident() -> float:
    """MB that the process has now."""
    return psutil.Process().memory_info().rss / 1e6


def stages() -> Iterator[tuple[str, float]]:
    """What is loaded, and the MB after it."""
    for name, modules in STAGES.items():
        for module in modules:
            import_module(module)
        yield name, resident()
    from nlcore.data.source import Source

    Source(data="embedded", model="linear").load()
    yield "the embedded set", resident()


def of_a_worker() -> tuple[float, float]:
    """MB that a worker with the embedded set has of its own, and with its share of what others have, too."""
    from nlcore.data.source import Source

    Source(data="embedded", model="linear").load()
    memory = psutil.Process().memory_full_info()
    return memory.uss / 1e6, memory.pss / 1e6


def main() -> None:
    """A line for each stage, and for a worker."""
    with process_pool(1) as pool:
        own, share = pool.submit(of_a_worker).result()
    before = resident()
    print(f"{'Python, this script':34} {before:4.0f} MB")
    for name, megabytes in stages():
        print(f"{name:34} {megabytes:4.0f} MB, {megabytes - before:.0f} more")
        before = megabytes
    print(f"a worker with the embedded set: {own:.0f} MB of its own, {share:.0f} MB with its share of what is common")


if __name__ == "__main__":
    main()
