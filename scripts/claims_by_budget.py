"""The table of docs/labs.md: which claims are decided after so many hours, planned as if this machine had a GPU.

    python scripts/claims_by_budget.py COCO [--hours 10,50,100,200]

COCO: the data set in its official layout, or drawn in it with the full counts (scripts/rehearse.py); only labels are
read. Nothing is in the store, weights are random, and every run that would take a GPU is planned at the listed rates.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nlcore.papers import BUILT_IN, paper
from nlcore.papers.budget import PAIRS, Hours, Stake, choose, hours_of, total, with_lacking
from nlcore.papers.profiles import Resources
from nlcore.runs import Spec, Store, plan_grid
from nlcore.runs.cost import as_if_with_a_gpu

OPEN = "–"


def planned(root: str) -> tuple[list[Stake], Hours]:
    """The claims of all papers at profile `paper`, and what each of their runs takes."""
    resources, stakes, plans = Resources(data_root=root, weights="random"), [], []
    with as_if_with_a_gpu(), tempfile.TemporaryDirectory() as folder:
        for name in BUILT_IN:
            main = paper(name).grid("paper", resources=resources).main
            stakes += paper(name).stakes(main)
            plans.append(plan_grid(main, Store(Path(folder))))
    return stakes, hours_of(plans)


def table(stakes: Sequence[Stake], hours: Hours, budgets: Sequence[float]) -> str:
    """One row per paper, one column per budget, as Markdown: the claims decided, on how many seeds where more than two.

    Variants of an algorithm are left out.
    """
    rows = [["", *(f"{budget:g} GPU-hours" for budget in budgets), "all"], ["---"] * (2 + len(budgets))]
    lacking = [hours.keys() - choose(stakes, hours, budget) for budget in budgets]
    for name in dict.fromkeys(stake.paper for stake in stakes):
        own = [stake for stake in stakes if stake.paper == name and " " not in stake.claim]
        cells = [", ".join(filter(None, (_word(stake, left) for stake in own))) or OPEN for left in lacking]
        rows.append([f"`{name}`", *cells, _taken(own, hours)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _word(stake: Stake, lacking: set[Spec]) -> str:
    seeds = sum(len(unit.seeds) for unit in stake.whole(lacking))
    name = f"**{stake.claim}**" if stake.headline else stake.claim
    return "" if seeds < PAIRS or not stake.units else name + (f" ({seeds})" if seeds > PAIRS else "")


def _taken(stakes: Sequence[Stake], hours: Hours) -> str:
    spent = total(with_lacking(frozenset().union(*(stake.runs for stake in stakes)), hours), hours)
    return ", ".join(f"{took:.0f} {'GPU' if device == 'cuda' else 'core'}-hours" for device, took in spent.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coco")
    parser.add_argument("--hours", default="10,50,100,200")
    options = parser.parse_args()
    print(table(*planned(options.coco), [float(hours) for hours in options.hours.split(",")]))
