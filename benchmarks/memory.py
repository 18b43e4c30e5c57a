"""Where a worker's memory goes before it trains: MB resident after each of the things that it loads.

    python benchmarks/memory.py

What a worker has at the most while it computes is a column of `benchmarks/reproduce.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import psutil

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
    yield "Python", resident()
    for name, modules in STAGES.items():
        for module in modules:
            import_module(module)
        yield name, resident()
    from nlcore.data.source import Source

    Source(data="embedded", model="linear").load()
    yield "the embedded set", resident()


def main() -> None:
    """A line for each stage."""
    before = 0.0
    for name, megabytes in stages():
        print(f"{name:34} {megabytes:4.0f} MB, {megabytes - before:.0f} more")
        before = megabytes


if __name__ == "__main__":
    main()
