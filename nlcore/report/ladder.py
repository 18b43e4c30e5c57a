"""Where a claim holds: its effect by number of images, quality of the features and noise, as a table and a figure.

One row of panels per claim, one panel per level of noise; a line per quality, a filled mark where the interval lies on
the claimed side. What was measured on the profile's own data and on the embedded set, and what the paper printed, stand
in the same panels.
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
from matplotlib.patches import Patch

from nlcore.report.figures import panels, series_style
from nlcore.report.intervals import Estimate, estimate

By = Literal["images", "right"]
ALONG = {"images": "training images", "right": "right labels (%)"}
MARGIN = 4  # of an axis of percents
QUALITIES = (45, 60, 75)  # of the simulated features: each has one colour, whichever of them a profile has
OWN_DATA, EMBEDDED = "this profile's own data", "the embedded set"
ALONE = {"linestyle": "none", "capsize": 3}
MARKS = {
    EMBEDDED: {"color": "0.4", "marker": "P", "markersize": 8, **ALONE},
    OWN_DATA: {"color": "black", "marker": "*", "markersize": 11, **ALONE},
}
BAND = {"facecolor": "#cfe3cf", "zorder": 0}  # where a claim says that an effect is no larger than so much
FAR = 10  # times what a claim says: an effect beside which that could not be seen
APART = 1.5  # ticks of an axis of images whose numbers differ by a smaller factor would overlap


@dataclass(frozen=True)
class Effect:
    """What a claim says is above zero, in one place: paired differences, by seed, and by draw of the test images.

    at: the level it belongs to, a number and its unit ("40 %"). unit: what the differences are counted in. within: the
    claim says instead that it is no further from zero than that.
    """

    claim: str
    what: str
    at: str
    differences: pd.Series
    published: float | None = None
    unit: str = "points of mAP"
    within: float | None = None


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
        return OWN_DATA if self.quality is None else _line(self.quality)


def ladder_table(
    measured: Iterable[tuple[Place, Iterable[Effect]]],
    *,
    undecided: Collection[str] = (),
    by: By = "images",
    embedded: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per effect and place: mean, its 95 % interval, and whether it lies on the claimed side.

    undecided: claims of a kind that simulation predicts badly; `simulation decides` is then no. by: what makes a line.
    embedded: such a table of the embedded profile, whose own data are shown, too, for the same effects.
    """
    found = pd.DataFrame(
        _row(place, effect, estimate(effect.differences))
        for place, effects in measured
        for effect in effects
        if len(effect.differences)
    )
    if embedded is not None:
        found = pd.concat([found, _of_the_embedded_set(embedded, found)], ignore_index=True)
    found["simulation decides"] = np.where(found.claim.isin(list(undecided)), "no", "yes")
    found["level"] = found["at"].map(_level)
    order = ["claim", "effect", "level", "data", by]
    return found.sort_values(order, kind="stable", ignore_index=True).drop(columns="level")


def _of_the_embedded_set(embedded: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    own = embedded[embedded.data == OWN_DATA].assign(data=EMBEDDED)
    return own.merge(shown[["effect", "at"]].drop_duplicates()).reindex(columns=shown.columns)


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
        **({} if effect.within is None else {"within": effect.within}),
        "holds": side(measured.low, measured.high, effect.within),
    }


def side(low: float, high: float, within: float | None = None) -> str:
    """Where an interval lies: on the claimed side of zero, or no further from zero than `within`.

    >>> side(0.1, 2), side(-1, 1), side(-2, -1)
    ('yes', 'open', 'no')
    >>> side(-0.2, 0.3, within=0.5), side(0.3, 0.7, within=0.5), side(-2, -1, within=0.5)
    ('yes', 'open', 'no')
    """
    if within is not None:
        nearest, farthest = max(low, -high, 0.0), max(-low, high)
        low, high = within - farthest, within - nearest
    if low > 0:
        return "yes"
    return "no" if high < 0 else "open"


def with_a_line(table: pd.DataFrame) -> pd.DataFrame:
    """The levels at which something was simulated; all of the table where nothing was."""
    simulated = set(table["at"][~table.data.isin(MARKS)])
    return table[table["at"].isin(simulated)].reset_index(drop=True) if simulated else table


def ladder_figure(table: pd.DataFrame, *, by: By = "images") -> Figure:
    """The table as panels: a row per effect, a column per level."""
    effects, levels = list(dict.fromkeys(table.effect)), sorted(set(table["at"]), key=_level)
    looks = _looks(table)
    figure, axes = panels(len(effects), len(levels), width=2.4, height=2.1, sharey="row")
    for row, effect in zip(axes, effects, strict=True):
        for axis, level in zip(row, levels, strict=True):
            own = table[(table.effect == effect) & (table["at"] == level)]
            axis.set_visible(not own.empty)
            if len(own):
                _panel(axis, own, looks, by)
        first = next(axis for axis in row if axis.get_visible())
        said = table[table.effect == effect].iloc[0]
        first.set_ylabel("\n".join(wrap(f"{said.claim}: {effect}", 30) + wrap(f"({said.unit})", 30)), fontsize=8)
        first.tick_params(labelleft=True)  # which the first column alone has, where a row shares its scale
        _effects(first, table[table.effect == effect])
    for axis in axes.flat:
        axis.set_xlabel(ALONG[by])
        if by == "images":
            _number_of_images(axis, table)
        else:
            axis.set_xlim(table[by].min() - MARGIN, table[by].max() + MARGIN)
    _legend(figure, axes, looks, band="within" in table)
    return figure


def _looks(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The looks of all that a table shows; of qualities that are not ours, those that follow."""
    names, ours = list(dict.fromkeys(table.data)), [_line(quality) for quality in QUALITIES]
    looks = series_style([*ours, *(name for name in names if name not in (*ours, *MARKS))]) | MARKS
    return {name: look for name, look in looks.items() if name in names}


def _line(quality: int) -> str:
    return f"clean mAP {quality}"


def _level(at: str) -> float:
    """The number in the name of a level: 5 of "5% clean"."""
    return float(re.search(r"[\d.]+", at)[0])


def _number_of_images(axis: Axes, table: pd.DataFrame) -> None:
    """One logarithmic scale for all panels, with the rungs' sizes on it, and others where there is room."""
    rungs = {*table.images[~table.data.isin(MARKS)]}
    free = [n for n in sorted({*table.images} - rungs) if all(max(n / r, r / n) > APART for r in rungs)]
    ticks = sorted(rungs.union(free))
    axis.set(xscale="log", xlim=(table.images.min() / 1.4, table.images.max() * 1.4))
    axis.set_xticks(ticks, [f"{number / 1000:.3g}k" for number in ticks])
    axis.minorticks_off()


def _effects(axis: Axes, row: pd.DataFrame) -> None:
    """A row's scale: logarithmic beyond what was claimed or published, where that would be a hair beside the rest."""
    claimed = row.reindex(columns=["published", "within"]).astype(float).abs().max().max()
    if not row[["low", "high", "mean"]].abs().max().max() > FAR * claimed:
        return
    axis.set_yscale("symlog", linthresh=claimed)
    low, high = axis.get_ylim()
    powers = 10.0 ** np.arange(round(np.log10(claimed)), np.ceil(np.log10(max(-low, high))))
    axis.set_yticks([tick for tick in (*-powers[::-1], 0, *powers) if low <= tick <= high])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_ylabel(f"{axis.get_ylabel()}\nlogarithmic beyond {claimed:.2g}", fontsize=8)


def _panel(axis: Axes, own: pd.DataFrame, looks: dict[str, dict[str, str]], by: By) -> None:
    axis.axhline(0, color="0.4", linewidth=0.8)
    if (own["simulation decides"] == "no").any():
        axis.set_facecolor("0.93")
    if "within" in own and own.within.notna().any():
        axis.axhspan(-own.within.max(), own.within.max(), **BAND)
    if own.published.notna().any():
        axis.axhline(own.published.dropna().iloc[0], color="black", linestyle=":", linewidth=1.2)
    for name, points in own.groupby("data"):
        look = looks[name]
        reach = [points["mean"] - points.low, points.high - points["mean"]] if points.seeds.min() > 1 else None
        axis.errorbar(points[by], points["mean"], yerr=reach, markerfacecolor="white", **{"capsize": 3} | look)
        surely = points[points.holds == "yes"]
        axis.plot(surely[by], surely["mean"], zorder=3, **_mark(look))
    axis.set(title=own["at"].iloc[0])


def _mark(look: dict[str, Any]) -> dict[str, Any]:
    """The mark of a line without the line, for the points that are filled."""
    kept = {name: value for name, value in look.items() if name in ("color", "marker", "markersize")}
    return kept | {"linestyle": "none"}


def _legend(figure: Figure, axes: np.ndarray, looks: dict[str, dict[str, Any]], *, band: bool) -> None:
    axis = axes.flat[0]
    handles = [
        axis.errorbar([], [], label=name if name in MARKS else f"simulated, {name}", **look)
        for name, look in looks.items()
    ]
    handles.append(axis.plot([], [], color="black", linestyle=":", label="published")[0])
    if band:
        handles.append(Patch(label="claimed: no further from zero", **BAND))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
