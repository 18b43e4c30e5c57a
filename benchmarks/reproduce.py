"""What a profile costs, by paper, against another commit: by turns on this machine, each from an empty store.

    python benchmarks/reproduce.py --against a7c3853                        all papers, half an hour to an hour
    python benchmarks/reproduce.py --against a7c3853 --papers multi_al      one paper
    python benchmarks/reproduce.py --against a7c3853 --turns 3 --profile smoke

Core-seconds are what the system counted of the batch, its workers and its notebooks' kernels, whichever process began
them (on Linux); the ratio is this tree's to the other's of the same turn. Both use this environment. The other commit
is checked out into a `git worktree`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nlcore.papers import BUILT_IN

HERE = Path(__file__).resolve().parents[1]
SUBREAPER = 36  # of prctl(2)


@dataclass(frozen=True)
class Cost:
    """Of one batch: seconds of cores, seconds on the clock, and bytes of its largest process."""

    core: float
    wall: float
    peak: int


def batch(root: Path, paper: str, options: argparse.Namespace) -> Cost:
    """Run one paper's profile by the code in `root`, with an empty store.

    Raises:
        SystemExit: the batch failed; its last lines say why.
    """
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
        command = [sys.executable, "run_all.py", "--papers", paper, "--profile", options.profile]
        command += ["--store", f"{folder}/store", "--output", f"{folder}/figures", "--workers", str(options.workers)]
        before, start = _used(), time.perf_counter()
        child = subprocess.Popen(
            command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, stdout=log, stderr=subprocess.STDOUT
        )
        peak, wall = _wait_for_all(child, start)
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"{root}: {paper} ended with {child.returncode}\n{log.read()[-2000:]}")
        return Cost(_used() - before, wall, peak)


def _used() -> float:
    """Core-seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for_all(child: subprocess.Popen, start: float) -> tuple[int, float]:
    """Wait for it and for what it left behind, which is handed to this process; bytes of the largest, its own seconds.

    The server that workers are forked from is nobody's to wait for: it ends when its driver has ended.
    """
    peak = wall = 0
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            return peak * 1024, wall
        peak = max(peak, used.ru_maxrss)
        if pid == child.pid:
            child.returncode, wall = os.waitstatus_to_exitcode(status), time.perf_counter() - start


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """That commit's files in a folder beside this one, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "other"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", root, commit], check=True)
        try:
            yield root
        finally:
            subprocess.run([*git, "remove", "--force", root], check=True)


def spread(values: list[float], digits: str = ".2f") -> str:
    """Median, and the range of several."""
    middle = f"{statistics.median(values):{digits}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{digits}} to {max(values):{digits}})"


def line(name: str, ours: list[Cost], theirs: list[Cost]) -> str:
    """A row of the table."""
    pairs = list(zip(ours, theirs, strict=True))
    cells = [
        spread([cost.core for cost in theirs], ".0f"),
        spread([cost.core for cost in ours], ".0f"),
        spread([own.core / other.core for own, other in pairs]),
        spread([own.wall / other.wall for own, other in pairs]),
        f"{max(cost.peak for cost in ours) / 2**20:.0f}",
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def summed(turns: list[list[Cost]]) -> list[Cost]:
    """Turn by turn, all papers together."""
    return [Cost(sum(c.core for c in turn), sum(c.wall for c in turn), max(c.peak for c in turn)) for turn in turns]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, metavar="COMMIT", help="what to compare with")
    parser.add_argument("--papers", default=",".join(BUILT_IN), help="ids, by commas")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    papers = options.papers.split(",")
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    ours, theirs = ({paper: [] for paper in papers} for _ in range(2))
    with worktree(options.against) as other:
        for _ in range(options.turns):
            for paper in papers:
                theirs[paper].append(batch(other, paper, options))
                ours[paper].append(batch(HERE, paper, options))
                print(line(paper, ours[paper][-1:], theirs[paper][-1:]), file=sys.stderr, flush=True)
    print(f"| {options.profile} | core-seconds at {options.against} | here | ratio | ratio on the clock | MB at most |")
    print("|---|---|---|---|---|---|")
    for paper in papers:
        print(line(paper, ours[paper], theirs[paper]))
    if len(papers) > 1:
        every = (summed([list(turn) for turn in zip(*found.values(), strict=True)]) for found in (ours, theirs))
        print(line("all", *every))


if __name__ == "__main__":
    main()
