"""Where a claim holds: its effect by number of images, quality of the features and noise, as a table and a figure.

One row of panels per claim, one panel per level of noise; a line per quality, a filled mark where the interval lies on
the claimed side. What was measured on the profile's own data and what the paper printed stand in the same panels.
The same panels show, for paper 5, the effect by the share of noisy labels that are right (`by` is "right").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.report.figures import panels, series_style
from nlcore.report.intervals import Estimate, estimate

By = Literal["images", "right"]
ALONG = {"images": "training images", "right": "right labels (%)"}
MARGIN = 4  # of an axis of percents
OWN = {"color": "black", "marker": "*", "markersize": 11, "linestyle": "none", "capsize": 3}


@dataclass(frozen=True)
class Effect:
    """What a claim says is above zero, in one place: paired differences, by seed, and by draw of the test images.

    at: the level it belongs to, a number and its unit ("40 %"). unit: what the differences are counted in.
    """

    claim: str
    what: str
    at: str
    differences: pd.Series
    published: float | None = None
    unit: str = "points of mAP"


@dataclass(frozen=True)
class Place:
    """Where effects were measured: on how many training images, of features of which quality.

    quality: mAP in percent that the reference method reaches without noise; None on the profile's own data.
    right: share of the noisy labels that are right, in percent, where effects are shown by it.
    """

    images: int
    quality: int | None = None
    right: float | None = None

    @property
    def data(self) -> str:
        """The name of the line that it is a point of."""
        return "this profile's own data" if self.quality is None else f"clean mAP {self.quality}"


def ladder_table(
    measured: Iterable[tuple[Place, Iterable[Effect]]], *, undecided: Collection[str] = (), by: By = "images"
) -> pd.DataFrame:
    """One row per effect and place: mean, its 95 % interval, and whether it lies on the claimed side.

    undecided: claims of a kind that simulation predicts badly; `simulation decides` is then no. by: what makes a line.
    """
    found = pd.DataFrame(
        _row(place, effect, estimate(effect.differences))
        for place, effects in measured
        for effect in effects
        if len(effect.differences)
    )
    found["simulation decides"] = np.where(found.claim.isin(list(undecided)), "no", "yes")
    found["level"] = found["at"].map(_level)
    order = ["claim", "effect", "level", "data", by]
    return found.sort_values(order, kind="stable", ignore_index=True).drop(columns="level")


def _row(place: Place, effect: Effect, measured: Estimate) -> dict[str, Any]:
    return {
        "claim": effect.claim,
        "effect": effect.what,
        "unit": effect.unit,
        "at": effect.at,
        "data": place.data,
        "images": place.images,
        **({} if place.right is None else {"right": place.right}),
        "mean": measured.mean,
        "low": measured.low,
        "high": measured.high,
        "seeds": measured.pairs,
        "published": effect.published,
        "holds": side(measured.low, measured.high),
    }


def side(low: float, high: float) -> str:
    """Where an interval lies, by the claim's sign.

    >>> side(0.1, 2), side(-1, 1), side(-2, -1)
    ('yes', 'open', 'no')
    """
    if low > 0:
        return "yes"
    return "no" if high < 0 else "open"


def with_a_line(table: pd.DataFrame) -> pd.DataFrame:
    """The levels at which something was simulated; all of the table where nothing was."""
    simulated = set(table["at"][table.data.str.startswith("clean mAP")])
    return table[table["at"].isin(simulated)].reset_index(drop=True) if simulated else table


def ladder_figure(table: pd.DataFrame, *, by: By = "images") -> Figure:
    """The table as panels: a row per effect, a column per level."""
    effects, levels = list(dict.fromkeys(table.effect)), sorted(set(table["at"]), key=_level)
    looks = series_style([name for name in dict.fromkeys(table.data) if name.startswith("clean mAP")])
    figure, axes = panels(len(effects), len(levels), width=2.4, height=2.1, sharey="row")
    for row, effect in zip(axes, effects, strict=True):
        for axis, level in zip(row, levels, strict=True):
            own = table[(table.effect == effect) & (table["at"] == level)]
            axis.set_visible(not own.empty)
            if len(own):
                _panel(axis, own, looks, by)
        first = next(axis for axis in row if axis.get_visible())
        said = table[table.effect == effect].iloc[0]
        first.set_ylabel("\n".join([*wrap(f"{said.claim}: {effect}", 30), f"({said.unit})"]), fontsize=8)
    for axis in axes.flat:
        axis.set_xlabel(ALONG[by])
        if by == "images":
            _number_of_images(axis, table)
        else:
            axis.set_xlim(table[by].min() - MARGIN, table[by].max() + MARGIN)
    _legend(figure, axes, looks)
    return figure


def _level(at: str) -> float:
    """The number in the name of a level: 5 of "5% clean"."""
    return float(re.search(r"[\d.]+", at)[0])


def _number_of_images(axis: Axes, table: pd.DataFrame) -> None:
    """One logarithmic scale for all panels, with the rungs' sizes on it."""
    rungs = sorted({*table.images[table.data.str.startswith("clean mAP")]} or {*table.images})
    axis.set(xscale="log", xlim=(table.images.min() / 1.4, table.images.max() * 1.4))
    axis.set_xticks(rungs, [f"{number / 1000:.3g}k" for number in rungs])
    axis.minorticks_off()


def _panel(axis: Axes, own: pd.DataFrame, looks: dict[str, dict[str, str]], by: By) -> None:
    axis.axhline(0, color="0.4", linewidth=0.8)
    if (own["simulation decides"] == "no").any():
        axis.set_facecolor("0.93")
    if own.published.notna().any():
        axis.axhline(own.published.dropna().iloc[0], color="black", linestyle=":", linewidth=1.2)
    for name, points in own.groupby("data"):
        look = looks.get(name, OWN)
        reach = [points["mean"] - points.low, points.high - points["mean"]] if points.seeds.min() > 1 else None
        axis.errorbar(points[by], points["mean"], yerr=reach, markerfacecolor="white", **{"capsize": 3} | look)
        surely = points[points.holds == "yes"]
        axis.plot(surely[by], surely["mean"], zorder=3, **_mark(look))
    axis.set(title=own["at"].iloc[0])


def _mark(look: dict[str, Any]) -> dict[str, Any]:
    """The mark of a line without the line, for the points that are filled."""
    kept = {name: value for name, value in look.items() if name in ("color", "marker", "markersize")}
    return kept | {"linestyle": "none"}


def _legend(figure: Figure, axes: np.ndarray, looks: dict[str, dict[str, str]]) -> None:
    axis = axes.flat[0]
    handles = [axis.errorbar([], [], label=f"simulated, {name}", **look) for name, look in looks.items()]
    handles.append(axis.errorbar([], [], label="this profile's own data", **OWN))
    handles.append(axis.plot([], [], color="black", linestyle=":", label="published")[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
