"""What a plan of many runs takes: seconds for each 1,000 of them, and the most memory that the process had.

    python benchmarks/plan.py                         every paper's `embedded` grid with 300 seeds: 100,000 runs
    python benchmarks/plan.py --papers galc_slr --profile paper --data-root COCO --seeds 1124

The store is empty, so that everything is to be computed and has a cost. Grid: making the runs' descriptions. Plan: what
they require, their keys, what the store has, and what the rest will take. Claims: what each would take alone. Seconds
are of the processor, for others may use the machine; without imports: a plan of one seed is made before.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from nlcore.papers import BUILT_IN, paper
from nlcore.papers.budget import hours_of, total, with_lacking
from nlcore.papers.paper import Paper
from nlcore.papers.profiles import Resources
from nlcore.runs import Plan, Store, asking_once, plan_grid


def planned(one: Paper, profile: str, seeds: int, resources: Resources) -> tuple[Plan, list[float]]:
    """The plan of so many seeds on an empty store, and the seconds that its grid, it and the claims' costs took."""
    with tempfile.TemporaryDirectory() as folder:
        times = [time.process_time()]
        specs = one.specs(profile, seeds=range(seeds), resources=resources)
        times.append(time.process_time())
        with asking_once():
            plan = plan_grid(specs, Store(Path(folder)))
            plan.kinds()
            times.append(time.process_time())
            hours = hours_of([plan])
            for stake in one.stakes(specs):
                total(with_lacking(stake.runs, hours), hours)
            times.append(time.process_time())
        return plan, [after - before for before, after in pairwise(times)]


def main() -> None:
    """A line for each paper, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", default=",".join(BUILT_IN))
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--data-root", help="folder of COCO images; weights are random ones")
    options = parser.parse_args()
    resources = Resources(data_root=options.data_root, weights=None if options.data_root is None else "random")
    runs, took = 0, 0.0
    for name in options.papers.split(","):
        planned(paper(name), options.profile, 1, resources)
        plan, (grid, rest, claims) = planned(paper(name), options.profile, options.seeds, resources)
        runs, took = runs + len(plan.specs), took + grid + rest + claims
        print(f"{name}: {len(plan.specs):,} runs, grid {grid:.1f} s, plan {rest:.1f} s, claims {claims:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"all: {runs:,} runs in {took:.1f} s, {1000 * took / runs:.3f} s for each 1,000; {peak:.2f} GB at the most")


if __name__ == "__main__":
    main()
