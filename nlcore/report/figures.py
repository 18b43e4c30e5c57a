"""How figures look: colours that survive greyscale and colour blindness, markers, error bands, published values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.report.verdicts import estimate

MARKERS = "osD^vPX*<>"
OUR_MEAN = {"s": 34, "marker": "D", "facecolor": "none", "edgecolor": "black", "zorder": 4}
PUBLISHED = {"color": "black", "s": 200, "linewidths": 2, "zorder": 5}
SETTINGS = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
    "svg.hashsalt": "nlcore",  # element ids of an SVG do not change from run to run
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure of the suite."""
    with sns.axes_style("whitegrid"), matplotlib.rc_context(SETTINGS):
        yield


def panels(rows: int, columns: int, *, width: float = 4.2, height: float = 3.0, **options) -> tuple[Figure, np.ndarray]:
    """A figure outside pyplot's registry, and its axes as a (rows, columns) array."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def series_style(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """A colour and a marker for each series, the same in every figure that has the same series."""
    colours = sns.color_palette("colorblind", max(len(names), 10)).as_hex()
    return {name: {"color": c, "marker": m} for name, c, m in zip(names, colours, cycle(MARKERS), strict=False)}


def dots_with_published(
    axis: Axes, frame: pd.DataFrame, *, names: str, values: str, published: dict[str, float], upright: bool = False
) -> None:
    """One dot per seed for each name, our mean as a diamond, the published mean as a black bar.

    Long names go down the left side; `upright` puts short ones along the bottom.
    """
    labels = list(dict.fromkeys(frame[names]))
    colours = sns.color_palette("colorblind", 10)
    for position, name in enumerate(labels):
        found = frame.loc[frame[names] == name, values].to_numpy()
        spread = np.linspace(-0.2, 0.2, len(found)) if len(found) > 1 else np.zeros(len(found))
        marks = [
            (position + spread, found, {"s": 12, "color": colours[position % 10], "alpha": 0.8, "linewidths": 0}),
            (position, found.mean(), OUR_MEAN),
            (position, published.get(name, np.nan), PUBLISHED | {"marker": "_" if upright else "|"}),
        ]
        for place, value, look in marks:
            axis.scatter(*((place, value) if upright else (value, place)), **look)
    if upright:
        axis.set_xticks(range(len(labels)), labels)
    else:
        axis.set_yticks(range(len(labels)), labels)
        axis.invert_yaxis()


def dots_legend(figure: Figure, axis: Axes) -> None:
    """What the dots, diamonds and bars of `dots_with_published` are, below the panels."""
    handles = [
        axis.scatter([], [], s=12, color="grey", label="one dataset"),
        axis.scatter([], [], **OUR_MEAN, label="our mean"),
        axis.scatter([], [], **PUBLISHED, marker="|", label="published mean"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def line_with_band(axis: Axes, x: Sequence[float], values: np.ndarray, *, label: str, **line) -> None:
    """The mean of (seeds, points) values with its 95 % interval as a band."""
    estimates = [estimate(column) for column in np.asarray(values, dtype=float).T]
    axis.plot(x, [e.mean for e in estimates], label=label, markersize=4, **line)
    if len(values) > 1:
        low, high = [e.low for e in estimates], [e.high for e in estimates]
        axis.fill_between(x, low, high, alpha=0.15, color=line.get("color"), linewidth=0)


def lines_by_series(
    axis: Axes,
    frame: pd.DataFrame,
    *,
    x: str,
    labels: Mapping[str, str],
    value: str = "value",
    looks: Mapping[str, dict[str, str]] | None = None,
) -> None:
    """A line with its 95 % band for each of `labels` (series -> what the legend calls it) in a long frame.

    `frame` has the columns `series`, `seed`, `x` and `value`; only the series of `labels` are drawn, in that order.
    `looks` keeps the colours and markers of a figure that shows more of them.
    """
    looks = looks or series_style(list(labels))
    for name, label in labels.items():
        values = frame[frame.series == name].pivot_table(index="seed", columns=x, values=value)
        if len(values):
            every = max(1, values.shape[1] // 12)
            line_with_band(
                axis, values.columns, values.to_numpy(), label=label, markevery=every, linewidth=1.2, **looks[name]
            )
    axis.set(xlabel=x.replace("_", " "), ylabel=value)


def bars_by_series(axis: Axes, frame: pd.DataFrame, *, value: str, labels: Mapping[str, str]) -> None:
    """A mean with its 95 % interval and one dot per seed for each of `labels`, from left to right; not from zero."""
    shown = [name for name in labels if (frame.series == name).any()]
    looks = series_style(list(labels))
    for place, name in enumerate(shown):
        found = frame.loc[frame.series == name, value].to_numpy()
        middle = estimate(found)
        reach = [[middle.mean - middle.low], [middle.high - middle.mean]] if len(found) > 1 else None
        spread = np.linspace(-0.15, 0.15, len(found)) if len(found) > 1 else np.zeros(1)
        axis.scatter(place + spread, found, s=10, color="grey", linewidths=0, zorder=2)
        look = looks[name] | {"markersize": 7, "linestyle": "none", "zorder": 3}
        axis.errorbar(place, middle.mean, yerr=reach, capsize=4, **look)
    axis.set_xticks(range(len(shown)), [labels[name] for name in shown], rotation=30, ha="right")
    axis.set_ylabel(value)
    axis.margins(x=0.08)


def diagram(
    axis: Axes, boxes: Mapping[str, tuple[float, float]], arrows: Sequence[tuple[str, str, str]]
) -> pd.DataFrame:
    """Boxes of text at (x, y) in [0, 1], and arrows between them with a word each; returns both as a table."""
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.axis("off")
    for text, place in boxes.items():
        outline = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": "black"}
        axis.text(*place, text, ha="center", va="center", bbox=outline)
    for start, end, word in arrows:
        (x0, y0), (x1, y1) = boxes[start], boxes[end]
        bend = "arc3,rad=0.0" if x0 == x1 or y0 == y1 else "arc3,rad=0.12"
        arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 34, "shrinkB": 34, "connectionstyle": bend}
        axis.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        beside = {"ha": "left", "va": "center"} if x0 == x1 else {"ha": "center", "va": "bottom"}
        axis.text((x0 + x1) / 2, (y0 + y1) / 2, f" {word}", fontsize=8, style="italic", **beside)
    nodes = [{"kind": "node", "name": text.replace("\n", " "), "to": "", "label": ""} for text in boxes]
    lines = [
        {"kind": "arrow", "name": a.replace("\n", " "), "to": b.replace("\n", " "), "label": w.replace("\n", " ")}
        for a, b, w in arrows
    ]
    return pd.DataFrame(nodes + lines)


def diagram_on_grid(nodes: pd.DataFrame, arrows: pd.DataFrame) -> Figure:
    """Boxes joined by arrows. `nodes`: node, text, x, y on a grid of whole numbers; `arrows`: from, to, text."""
    width, height = 2.6 * (nodes.x.max() + 1), 1.1 * (nodes.y.max() + 1)
    figure, axes = panels(1, 1, width=width, height=height)
    axis = axes[0, 0]
    axis.axis("off")
    axis.set(xlim=(nodes.x.min() - 0.45, nodes.x.max() + 0.45), ylim=(nodes.y.min() - 0.5, nodes.y.max() + 0.5))
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "black"}
    drawn = {
        row.node: axis.text(row.x, row.y, row.text, ha="center", va="center", fontsize=9, bbox=box, zorder=3)
        for row in nodes.itertuples()
    }
    places = nodes.set_index("node")[["x", "y"]]
    for _, row in arrows.iterrows():
        start, end = (tuple(places.loc[row[side]]) for side in ("from", "to"))
        patches = {"patchA": drawn[row["from"]].get_bbox_patch(), "patchB": drawn[row["to"]].get_bbox_patch()}
        look = {"arrowstyle": "-|>", "color": "black", "shrinkA": 4, "shrinkB": 4, **patches}
        axis.annotate("", xy=end, xytext=start, arrowprops=look, zorder=2)
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        label = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(
            *middle, row["text"], ha="center", va="center", fontsize=8, bbox=label if row["text"] else None, zorder=2.5
        )
    return figure
