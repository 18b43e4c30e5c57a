"""Time the label-quality score, the flagger and the whole report against cleanlab, and measure the memory they take.

    python benchmarks/scorers.py               # the full sizes: about twenty minutes and 7 GB of disk
    python benchmarks/scorers.py --quick       # small sizes: about twenty seconds
    python benchmarks/scorers.py --only report --images 20000               # what `run_all.py score` computes
    python benchmarks/scorers.py --only report --images 1000000 --ours-only

Both sides run in one process on the same arrays, by turns; a ratio is cleanlab's time by ours in the same turn, so
other work on the machine touches both alike. Where there is much of it, go by the processor time. Ours runs in one
thread unless it says two, and so does cleanlab's report (n_jobs=1, where it may be said). Extra memory is the peak of
what Python and NumPy allocate (tracemalloc), in a run of its own, since it is slower when watched. The numbers of both
reports are compared first, and the benchmark ends there where they differ. The memory map is scored in a process of
its own, whose highest resident memory (VmHWM) counts everything, pages of the map included; that works on Linux only.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from nlcore.scorers import find_label_issues, label_quality_scores
from nlcore.scorers.blocks import row_blocks

if TYPE_CHECKING:
    from nlcore.scorers.report import LabelReport

MEGABYTE = 1e6


@dataclass(frozen=True)
class Sizes:
    """Images and classes of each measurement."""

    scores: tuple[int, int]
    flags: tuple[int, int]
    report: tuple[int, int]
    memory_map: tuple[int, int]


FULL = Sizes(scores=(1_000_000, 80), flags=(100_000, 80), report=(20_000, 80), memory_map=(200_000, 6_000))
QUICK = Sizes(scores=(30_000, 80), flags=(5_000, 20), report=(1_000, 20), memory_map=(20_000, 600))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each comparison (default 3)")
    parser.add_argument("--only", choices=["scores", "flags", "report", "memory_map"], help="one of the measurements")
    parser.add_argument("--images", type=int, help="N of the report, x 80 classes")
    parser.add_argument("--ours-only", action="store_true", help="of the report: without cleanlab")
    parser.add_argument("--folder", type=Path, help="where to put the memory map, deleted afterwards")
    parser.add_argument("--score-memory-map", nargs=3, help=argparse.SUPPRESS)  # what the process of its own runs
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.score_memory_map:
        folder, images, classes = options.score_memory_map
        return score_memory_map(Path(folder), (int(images), int(classes)))
    sizes = QUICK if options.quick else FULL
    if options.only in (None, "scores"):
        compare_scores(sizes.scores, options.repeats)
    if options.only in (None, "flags"):
        compare_flags(sizes.flags, options.repeats)
    if options.only in (None, "report"):
        shape = sizes.report if options.images is None else (options.images, FULL.report[1])
        compare_reports(shape, options.repeats, ours_only=options.ours_only)
    if options.only in (None, "memory_map"):
        measure_memory_map(sizes.memory_map, options.folder)


def make_data(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, about 10 % of them 1 and 3 % wrong, and probabilities that follow the true labels."""
    generator = np.random.default_rng(seed)
    true = generator.random(shape) < 0.1
    probs = generator.beta(2, 6, shape)
    np.subtract(1, probs, out=probs, where=true)
    return (true ^ (generator.random(shape) < 0.03)).astype(np.int8), probs


# Time -----------------------------------------------------------------------------------------------------------------


def compare_scores(shape: tuple[int, int], repeats: int) -> None:
    from cleanlab.internal.multilabel_scorer import get_label_quality_scores as inner_scorer
    from cleanlab.internal.multilabel_utils import onehot2int
    from cleanlab.multilabel_classification import get_label_quality_scores

    labels, probs = make_data(shape)
    label_lists = onehot2int(labels)
    peers = {
        "cleanlab get_label_quality_scores": lambda: get_label_quality_scores(label_lists, probs),
        "cleanlab inner scorer": lambda: inner_scorer(labels, probs),
        # A floor: the moving average needs an image's scores in order, and this is the fastest sort that NumPy has.
        "NumPy's sort of as many rows alone": lambda: [np.sort(probs[rows], axis=1) for rows in row_blocks(probs)],
    }
    for threads in (1, 2):
        print(f"EMA scores, {shape[0]:,} x {shape[1]:,}, float64; ours in {threads} threads")
        compare(lambda threads=threads: label_quality_scores(labels, probs, threads=threads), peers, repeats)
    difference = np.abs(label_quality_scores(labels, probs) - inner_scorer(labels, probs)).max()
    print(f"  largest difference {difference:.1e}")
    print_extra_memory(lambda: label_quality_scores(labels, probs), labels, probs)


def compare_flags(shape: tuple[int, int], repeats: int) -> None:
    from cleanlab.internal.multilabel_utils import onehot2int
    from cleanlab.multilabel_classification.filter import find_label_issues as cleanlab_flags

    labels, probs = make_data(shape)
    label_lists = onehot2int(labels)
    print(f"Flags, {shape[0]:,} x {shape[1]:,}, float64")
    compare(
        lambda: find_label_issues(labels, probs),
        {
            "cleanlab find_label_issues": lambda: cleanlab_flags(label_lists, probs),
            "cleanlab, low_memory=True": lambda: cleanlab_flags(label_lists, probs, low_memory=True),
        },
        repeats,
    )
    different = (find_label_issues(labels, probs).any_class != cleanlab_flags(label_lists, probs)).sum()
    print(f"  images flagged by one of the two only: {different} (cleanlab as it comes)")
    print_extra_memory(lambda: find_label_issues(labels, probs), labels, probs)


def compare_reports(shape: tuple[int, int], repeats: int, *, ours_only: bool) -> None:
    """All that `run_all.py score` computes, by cleanlab's functions that have the same numbers, one after the other."""
    from nlcore.scorers.report import label_report

    labels, probs = make_data(shape)
    print(f"Report, {shape[0]:,} x {shape[1]:,}, float64")
    ours = lambda: label_report(labels, probs)
    if ours_only:
        return print_alone(ours, labels, probs, repeats)
    from cleanlab.internal.multilabel_utils import onehot2int

    label_lists = onehot2int(labels)
    parts = cleanlab_report(label_lists, probs)
    assert_equal_numbers(ours(), {name: run() for name, run in parts.items()})
    print("  numbers equal: scores, flags, their order in each class, health, counts by class and direction")
    others = {f"cleanlab {name}": run for name, run in parts.items()}
    compare(ours, {"cleanlab, all of them": lambda: [run() for run in parts.values()]} | others, repeats)
    print_extra_memory(ours, labels, probs)
    print_extra_memory(lambda: [run() for run in parts.values()], labels, probs, "cleanlab's extra memory")


def cleanlab_report(label_lists: list[list[int]], probs: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The functions of cleanlab that have a counterpart in ours; each judges the annotations anew, ours does it once.

    The last three take no n_jobs, and begin a process for each core that they may use.
    """
    from cleanlab.filter import find_label_issues as cleanlab_issues
    from cleanlab.multilabel_classification import dataset, get_label_quality_scores
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    ranked = {"return_indices_ranked_by": "self_confidence", "n_jobs": 1}
    return {
        "scores": lambda: get_label_quality_scores(label_lists, probs),
        "images": lambda: cleanlab_issues(label_lists, probs, multi_label=True, **ranked),
        "per_class": lambda: find_multilabel_issues_per_class(label_lists, probs, **ranked)[0],
        "classes": lambda: dataset.rank_classes_by_multilabel_quality(label_lists, probs),
        "common": lambda: dataset.common_multilabel_issues(label_lists, probs),
        "health": lambda: dataset.overall_multilabel_health_score(label_lists, probs),
    }


def assert_equal_numbers(ours: LabelReport, theirs: dict[str, Any]) -> None:
    """Raises an AssertionError, with the first numbers that differ."""
    by_number = ours.classes.set_index(ours.classes["tag"].astype(int)).sort_index()
    np.testing.assert_allclose(ours.scores, theirs["scores"], rtol=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(ours.flags.any(axis=1)), np.sort(theirs["images"]))
    in_order = ours.doubts.groupby("tag")["image"].agg(list)
    for k, rows in enumerate(theirs["per_class"]):
        np.testing.assert_array_equal(in_order.get(str(k), []), rows)
    classes = theirs["classes"].set_index("Class Index").sort_index()
    np.testing.assert_allclose(by_number["health"], classes["Label Quality Score"], rtol=1e-12)
    for given, column in ((True, "doubted_extra"), (False, "doubted_missing")):
        common = theirs["common"][theirs["common"]["In Given Label"] == given].set_index("Class Index").sort_index()
        np.testing.assert_array_equal(by_number[column], common["Num Examples"])
    np.testing.assert_allclose(ours.totals["health"], theirs["health"], rtol=1e-12)


def print_alone(run: Callable[[], object], labels: np.ndarray, probs: np.ndarray, repeats: int) -> None:
    turns = [seconds(run) for _ in range(repeats)]
    wall, processor = (", ".join(f"{turn[clock]:.2f}" for turn in turns) for clock in (0, 1))
    print(f"  ours: {wall} s, processor time {processor} s")
    print_extra_memory(run, labels, probs)


def compare(ours: Callable[[], object], others: dict[str, Callable[[], object]], repeats: int) -> None:
    """Run ours and every other by turns; print times, and their ratios as median (smallest to largest)."""
    ours()  # the first call pays for imports and page faults
    turns = [
        {"ours": seconds(ours), **{name: seconds(other) for name, other in others.items()}} for _ in range(repeats)
    ]
    for name in ("ours", *others):
        wall, processor = (statistics.median(turn[name][clock] for turn in turns) for clock in (0, 1))
        print(f"  {name}: {wall:.2f} s, processor time {processor:.2f} s")
        if name != "ours":
            spreads = [ratio_spread([turn[name][clock] / turn["ours"][clock] for turn in turns]) for clock in (0, 1)]
            print(f"    times ours: {spreads[0]}; by processor time {spreads[1]}")


def ratio_spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.1f} (from {min(ratios):.1f} to {max(ratios):.1f})"


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """(time on the clock, processor time of this process and its children) of one run."""
    start, processor = time.perf_counter(), processor_seconds()
    run()
    return time.perf_counter() - start, processor_seconds() - processor


def processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


# Memory ---------------------------------------------------------------------------------------------------------------


def print_extra_memory(
    run: Callable[[], object], labels: np.ndarray, probs: np.ndarray, what: str = "extra memory"
) -> None:
    tracemalloc.start()
    run()
    extra, size = tracemalloc.get_traced_memory()[1], labels.nbytes + probs.nbytes
    tracemalloc.stop()
    print(f"  {what} {extra / MEGABYTE:.0f} MB, {extra / size:.0%} of the input ({size / MEGABYTE:.0f} MB)")


def highest_resident_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure_memory_map(shape: tuple[int, int], folder: Path | None) -> None:
    print(f"Memory map, {shape[0]:,} x {shape[1]:,}, float32 and int8")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        write_memory_map(Path(name), shape)
        command = [sys.executable, __file__, "--score-memory-map", name, *map(str, shape)]
        subprocess.run(command, check=True)


def write_memory_map(folder: Path, shape: tuple[int, int], rows: int = 2_000) -> None:
    generator = np.random.default_rng(0)
    with open(folder / "labels", "wb") as label_file, open(folder / "probs", "wb") as prob_file:
        for start in range(0, shape[0], rows):
            size = (min(rows, shape[0] - start), shape[1])
            labels = generator.random(size, dtype=np.float32) < 0.1
            probs = 0.6 * generator.random(size, dtype=np.float32) + np.float32(0.4) * labels
            (labels ^ (generator.random(size, dtype=np.float32) < 0.03)).astype(np.int8).tofile(label_file)
            probs.tofile(prob_file)


def score_memory_map(folder: Path, shape: tuple[int, int]) -> None:
    labels = np.memmap(folder / "labels", np.int8, "r", shape=shape)
    probs = np.memmap(folder / "probs", np.float32, "r", shape=shape)
    flags = np.memmap(folder / "flags", bool, "w+", shape=shape)
    print(f"  on disk {(labels.nbytes + probs.nbytes) / MEGABYTE:.0f} MB; ", end="")
    print(f"resident before {highest_resident_bytes() / MEGABYTE:.0f} MB")
    for name, run in {
        "EMA scores": lambda: label_quality_scores(labels, probs),
        "flags": lambda: find_label_issues(labels, probs, out=flags),
    }.items():
        duration, processor = seconds(run)
        print(f"  {name}: {duration:.1f} s, processor time {processor:.1f} s, ", end="")
        print(f"highest resident memory {highest_resident_bytes() / MEGABYTE:.0f} MB")


if __name__ == "__main__":
    main()
