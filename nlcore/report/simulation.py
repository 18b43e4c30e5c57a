"""How far to trust simulated features: what they predict of the real ones, as a figure and two tables.

All of it is what scripts/check_simulated.py measured (`nlcore.data.simulated_check`): nothing here is computed anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from nlcore.data.simulated_check import TOLERANCE, read_checks
from nlcore.report.figures import panels, series_style, style
from nlcore.report.writer import ArtefactWriter

CRITERIA = {
    "held_out_score": "log density of images held out, nats (more is better)",
    "distance_to_real": "classifiers' distance to real features, points of mAP (less is better)",
}


def predictions_figure(out: ArtefactWriter) -> Figure:
    """Cells of papers 1, 2, 4 and 5 as simulated features predict them, against real ones: `simulation_predictions`."""
    checks = read_checks()
    table = pd.DataFrame(checks["cells"])
    table.insert(0, "paper", table.cell.str.extract(r"^(paper \d)")[0])
    table["cell"] = table.cell.str.replace(r"^paper \d, ", "", regex=True)
    low, high = table[["real", "simulated"]].min().min() - 3, table[["real", "simulated"]].max().max() + 3
    with style():
        figure, axes = panels(1, 1, width=4.2, height=3.8)
        axis = axes[0, 0]
        axis.fill_between([low, high], [low - TOLERANCE, high - TOLERANCE], [low + TOLERANCE, high + TOLERANCE],
                          color="0.9", label=f"within {TOLERANCE:g} points")  # fmt: skip
        axis.plot([low, high], [low, high], color="0.4", linewidth=0.8)
        looks = series_style(sorted(table.paper.unique()))
        for name, part in table.groupby("paper"):
            axis.scatter(part.real, part.simulated, s=26, label=name, zorder=3, **looks[name])
        limits = {"xlim": (low, high), "ylim": (low, high)}
        axis.set(xlabel="mAP on real features", ylabel="mAP on simulated features", aspect="equal", **limits)
        axis.legend(frameon=False, fontsize=8)
    within = f"{table.within.sum()} of {len(table)} cells within {TOLERANCE:g} points"
    return out.figure(
        "simulation_predictions",
        figure,
        table,
        caption="What simulated features predict at the embedded set's size, calibrated by ASL without noise: "
        f"{within}; rank correlation of the classes' AP {checks['class_rank_correlation']} (of two halves of the "
        f"real training images {checks['of_two_halves_of_the_real_images']}).",
        alt=f"mAP on simulated against real features: {within}, most of the others below the diagonal",
    )


def misses_table() -> pd.DataFrame:
    """The cells that simulated features do not predict within the tolerance, the largest misses first."""
    table = pd.DataFrame(read_checks()["cells"])
    missed = table[~table.within].drop(columns=["within", "tolerance"])
    return missed.sort_values("difference", key=abs, ascending=False, kind="stable")


def kinds_table(out: ArtefactWriter, claims: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Kinds of claims and whether simulated features are like real ones in what they are about: `simulation_kinds`.

    claims: those of each kind; a kind without any decides nothing, even where its check holds.
    """
    rows = []
    for kind, found in read_checks()["kinds"].items():
        decided = "yes" if found["holds"] and claims[kind] else "no"
        about = {"kind": kind, "claims": ", ".join(claims[kind]) or "none", "decided by simulation": decided}
        rows += [about | {"what": row.pop("cell"), **row} for row in found["rows"]]
    caption = "Claims of a kind are decided by simulation only where all of its rows are within the tolerance."
    return out.table("simulation_kinds", pd.DataFrame(rows), caption=caption)


def forms_table(out: ArtefactWriter) -> pd.DataFrame:
    """How the form of the generator was chosen, on training images only: `simulation_forms`."""
    checks = read_checks()
    rows = [
        {"criterion": words, "form": form, "value": value}
        for name, words in CRITERIA.items()
        for form, value in checks[name].items()
    ]
    caption = "Forms of the generator, by two criteria on training images; no published number has a part in it."
    return out.table("simulation_forms", pd.DataFrame(rows), caption=caption)
