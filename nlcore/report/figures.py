"""How figures look: colours that survive greyscale and colour blindness, markers, error bands, published values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def diagram(nodes: pd.DataFrame, arrows: pd.DataFrame) -> Figure:
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
