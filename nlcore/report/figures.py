"""How figures look: colours that survive greyscale and colour blindness, markers, error bands, published values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.report.intervals import estimate

MARKERS = "osD^vPX*<>"
DATASET = {"s": 12, "color": "0.45", "alpha": 0.8, "linewidths": 0}
OUR_MEAN = {"s": 34, "marker": "D", "facecolor": "none", "edgecolor": "black", "zorder": 4}
PUBLISHED = {"color": "black", "s": 110, "linewidths": 2, "zorder": 5}
BAR = {False: "|", True: "_"}  # a published mean lies across its values: do these go upwards?
SETTINGS = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
    "svg.hashsalt": "nlcore",  # element ids of an SVG do not change from run to run
    "svg.fonttype": "none",  # text stays text: to be searched, copied and read out, in half as many bytes
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # an SVG names all of them with every word
    "axes.titley": 1.0,  # where it stands without ticks on top; looking for them takes a third of the drawing
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure of the suite."""
    with sns.axes_style("whitegrid"), matplotlib.rc_context(SETTINGS):
        yield


def panels(
    rows: int, columns: int, *, width: float = 4.2, height: float = 3.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure outside pyplot's registry, and its axes as a (rows, columns) array.

    `width` and `height` are those of one panel, in inches; `options` go to `Figure.subplots`.
    """
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def series_style(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """A colour and a marker for each series, the same in every figure that has the same series."""
    palette = sns.color_palette("colorblind").as_hex()
    colours = cycle(palette[k] for k in (0, 1, 2, 3, 4, 5, 9, 7, 6, 8))  # the palest last: they fade in greyscale
    return {name: {"color": c, "marker": m} for name, c, m in zip(names, colours, cycle(MARKERS), strict=False)}


def dots_with_published(
    axis: Axes, frame: pd.DataFrame, *, names: str, values: str, published: dict[str, float], upright: bool = False
) -> None:
    """One dot per seed for each name, our mean as a diamond, the published mean as a black bar.

    Long names go down the left side; `upright` puts short ones along the bottom.
    """
    labels = list(dict.fromkeys(frame[names]))
    for position, name in enumerate(labels):
        found = frame.loc[frame[names] == name, values].to_numpy()
        spread = np.linspace(-0.2, 0.2, len(found)) if len(found) > 1 else np.zeros(len(found))
        marks = [
            (position + spread, found, DATASET),
            (position, found.mean(), OUR_MEAN),
            (position, published.get(name, np.nan), PUBLISHED | {"marker": BAR[upright]}),
        ]
        for place, value, look in marks:
            axis.scatter(*((place, value) if upright else (value, place)), **look)
    if upright:
        axis.set_xticks(range(len(labels)), labels)
    else:
        axis.set_yticks(range(len(labels)), labels)
        axis.invert_yaxis()


def dots_legend(figure: Figure, axis: Axes, *, upright: bool = False) -> None:
    """What the dots, diamonds and bars of `dots_with_published` are, below the panels."""
    handles = [
        axis.scatter([], [], **DATASET, label="one dataset"),
        axis.scatter([], [], **OUR_MEAN, label="our mean"),
        axis.scatter([], [], **PUBLISHED, marker=BAR[upright], label="published mean"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def leave_empty(axis: Axes, why: str) -> None:
    """A panel that has nothing to show, and the reason in its place."""
    axis.axis("off")
    axis.text(0.5, 0.5, why, transform=axis.transAxes, ha="center", va="center", color="0.35")


def line_with_band(axis: Axes, x: Sequence[float], values: np.ndarray, *, label: str, **line: Any) -> None:
    """The mean of (seeds, points) values with its 95 % interval as a band; `line` are properties of the line.

    A point is of the seeds that have it (NaN: this one has not); one of a single seed has no band.
    """
    columns = np.asarray(values, dtype=float).T
    estimates = [estimate(column[~np.isnan(column)]) for column in columns]
    axis.plot(x, [e.mean for e in estimates], label=label, markersize=4, **line)
    if len(values) > 1:
        bands = [(e.low, e.high) if e.bounded else (e.mean, e.mean) for e in estimates]
        axis.fill_between(x, *zip(*bands, strict=True), alpha=0.15, color=line.get("color"), linewidth=0)


def lines_by_series(
    axis: Axes,
    frame: pd.DataFrame,
    *,
    x: str,
    labels: Mapping[str, str],
    value: str = "value",
    looks: Mapping[str, dict[str, Any]] | None = None,
) -> None:
    """A line with its 95 % band for each of `labels` (series -> what the legend calls it) in a long frame.

    `frame` has the columns `series`, `seed`, `x` and `value`; only the series of `labels` are drawn, in that order.
    `looks` keeps the colours and markers of a figure that shows more of them; it may set any property of a line.
    """
    looks = looks or series_style(list(labels))
    for name, label in labels.items():
        values = frame[frame.series == name].pivot_table(index="seed", columns=x, values=value)
        if len(values):
            line = {"markevery": max(1, values.shape[1] // 12), "linewidth": 1.2} | looks[name]
            line_with_band(axis, values.columns, values.to_numpy(), label=label, **line)
    axis.set(xlabel=x.replace("_", " "), ylabel=value)


def bars_by_series(axis: Axes, frame: pd.DataFrame, *, value: str, labels: Mapping[str, str]) -> None:
    """For each of `labels`, from left to right, a mean with its 95 % interval and a dot per seed; not from zero."""
    shown = [name for name in labels if (frame.series == name).any()]
    looks = series_style(list(labels))
    for place, name in enumerate(shown):
        found = frame.loc[frame.series == name, value].to_numpy()
        middle = estimate(found)
        reach = [[middle.mean - middle.low], [middle.high - middle.mean]] if len(found) > 1 else None
        spread = np.linspace(-0.15, 0.15, len(found)) if len(found) > 1 else np.zeros(1)
        axis.scatter(place + 0.28 + 0.5 * spread, found, s=10, color="black", alpha=0.6, linewidths=0, zorder=2)
        look = looks[name] | {"markersize": 7, "linestyle": "none", "zorder": 3}
        axis.errorbar(place, middle.mean, yerr=reach, capsize=4, **look)
    axis.set_xticks(range(len(shown)), [labels[name] for name in shown], rotation=30, ha="right")
    axis.set_ylabel(value)
    axis.margins(x=0.08)


def diagram(nodes: Mapping[str, tuple[str, float, float]], arrows: Iterable[tuple[str, str, str]]) -> Figure:
    """Boxes, name -> (text, x, y) on a grid of whole numbers, joined by arrows: from, to, word (or "")."""
    places = {name: (x, y) for name, (_, x, y) in nodes.items()}
    right, top = np.max(list(places.values()), axis=0)
    figure, axes = panels(1, 1, width=2.6 * (right + 0.9), height=1.2 * (top + 0.7))
    axis, middle = axes[0, 0], {"ha": "center", "va": "center"}
    axis.axis("off")
    axis.set(xlim=(-0.45, right + 0.45), ylim=(-0.35, top + 0.35))
    outline = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "black"}
    boxes = {
        name: axis.text(*places[name], text, bbox=outline, **middle).get_bbox_patch()
        for name, (text, *_) in nodes.items()
    }
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for start, end, word in arrows:
        ends = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 2, "shrinkB": 2}
        arrow = {"arrowstyle": "-|>", "color": "black", **ends}
        # Above the boxes: an arrow ends at the outline of a box, which is known once the box is drawn.
        axis.annotate("", places[end], places[start], arrowprops=arrow, zorder=4)
        halfway = np.mean([places[start], places[end]], axis=0)
        axis.text(*halfway, word, fontsize=8, bbox=behind, zorder=5, **middle)
    return figure
