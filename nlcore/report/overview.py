"""All claims in one picture: what a paper says an effect is, and our interval, on one axis, by evidence.

Effects have units of their own (points of mAP, a fraction, a lift), so each is drawn as a share of the published one:
at 1 it is as the paper has it, at 0 there is none. Of a claim's parts one stands for it: the one with the largest
published size, and of several of that size the one that is furthest below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import shorten
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.report.evidence import Evidence
from nlcore.report.figures import panels, style
from nlcore.report.verdict_file import Decided, DecidedPart

COLUMNS = ["paper", "claim", "says", "part", "profile", "evidence", "published", "mean", "low", "high"]
FILLED = {Evidence.EXACT: "black", Evidence.SIMULATED: "0.6", Evidence.FROZEN: "0.8", Evidence.STAND_IN: "white"}
MARKERS = {"embedded": "o", "simulated": "^", "finetune": "D", "paper": "s"}
OTHER = "v"  # a profile of another name
LOOK = {"color": "black", "linestyle": "none", "markersize": 6}
SHOWN = (-1.5, 3.0)  # shares of the published size; beyond them an arrow
APART = 0.24  # of the intervals of one claim
WORDS, WORDS_ABOVE = 78, 62  # characters of a claim beside its row, and above it


def overview_table(found: Mapping[tuple[str, str], Iterable[Decided]]) -> pd.DataFrame:
    """One row per claim and profile that has a size to compare: published, and our mean with its interval.

    found: (paper, profile) -> its decided claims; variants of an algorithm are left out.
    """
    rows = [
        _row(paper, profile, claim)
        for (paper, profile), claims in found.items()
        for claim in claims
        if " " not in claim.id and _sized(claim)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _sized(claim: Decided) -> list[DecidedPart]:
    """Its parts that have a published size above zero, and an interval."""
    return [part for part in claim.parts if (part.published or 0) > 0 and part.low is not None and part.from_ == 0]


def _row(paper: str, profile: str, claim: Decided) -> dict[str, Any]:
    part = max(_sized(claim), key=lambda part: (part.published, -part.mean))
    numbers = {name: getattr(part, name) for name in ("published", "mean", "low", "high")}
    return {"paper": paper, "claim": claim.id, "says": claim.claim, "part": part.name, "profile": profile,
            "evidence": claim.evidence, **numbers}  # fmt: skip


def overview_figure(table: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """A row per claim, a mark with its interval per profile, as shares of the published size.

    narrow: for a telephone, with the claims' words above the rows and not beside them.
    """
    names = list(dict.fromkeys(zip(table.paper, table.claim, strict=True)))
    width, row = (4.4, 0.6) if narrow else (10.5, 0.42)
    with style():
        figure, axes = panels(1, 1, width=width, height=0.9 + row * len(names))
        axis = axes[0, 0]
        for share, line in ((0, "-"), (1, ":")):
            axis.axvline(share, color="black", linestyle=line, linewidth=1.2)
        for place, (paper, claim) in enumerate(names):
            own = table[(table.paper == paper) & (table.claim == claim)]
            for offset, row in enumerate(own.itertuples()):
                _mark(axis, row, place + APART * (offset - (len(own) - 1) / 2))
        said = dict(zip(table.claim, table.says, strict=True))
        words = WORDS_ABOVE if narrow else WORDS
        labels = [f"{claim}  {shorten(said[claim], words, placeholder=' ...')}" for _, claim in names]
        axis.set_yticks(range(len(names)), [""] * len(names) if narrow else labels, fontsize=8)
        for place, label in enumerate(labels if narrow else ()):
            axis.text(SHOWN[0], place - 0.32, label, fontsize=7.5, bbox={"fc": "white", "ec": "none", "pad": 0.5})
        axis.set(xlim=SHOWN, ylim=(len(names) - 0.4, -0.6), xlabel="our effect as a share of the published one")
        axis.set_xticks([-1, 0, 1, 2, 3], ["-1", "0\nnone", "1\nas published", "2", "3"])
        _legend(figure, axis, table, columns=2 if narrow else 4)
    return figure


def _mark(axis: Axes, row: Any, place: float) -> None:
    """One interval; an arrow at the edge for what lies beyond it."""
    low, mean, high = (getattr(row, name) / row.published for name in ("low", "mean", "high"))
    axis.plot([max(low, SHOWN[0]), min(high, SHOWN[1])], [place, place], color="0.35", linewidth=1.3, zorder=2)
    if SHOWN[0] <= mean <= SHOWN[1]:
        marker, filled = MARKERS.get(row.profile, OTHER), FILLED[Evidence(row.evidence)]
        axis.plot(mean, place, marker=marker, markerfacecolor=filled, zorder=3, **LOOK)
    else:
        edge, marker = (SHOWN[0], "<") if mean < SHOWN[0] else (SHOWN[1], ">")
        axis.plot(edge, place, marker=marker, clip_on=False, zorder=3, **LOOK | {"markersize": 8})


def _legend(figure: Figure, axis: Axes, table: pd.DataFrame, *, columns: int) -> None:
    """Marks say the profile, fillings the evidence; what is not in the table is not in the legend."""
    shown = [(f"shape: profile {name}", MARKERS.get(name, OTHER), "none") for name in dict.fromkeys(table.profile)]
    there = {Evidence(value) for value in table.evidence}
    shown += [(f"filling: {evidence.value}", "h", filled) for evidence, filled in FILLED.items() if evidence in there]
    shown.append(("beyond the axis", ">", "black"))
    handles = [axis.plot([], [], marker=m, markerfacecolor=f, label=name, **LOOK)[0] for name, m, f in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
