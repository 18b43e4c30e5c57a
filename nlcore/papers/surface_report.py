"""A surface as a figure and as tables: mAP by epochs and learning rate, what is chosen, and who is ahead where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nlcore.papers.surface import POINT, at_chosen_points, chosen_points
from nlcore.report.draws import by_seed
from nlcore.report.figures import lines_by_series, panels, series_style, style
from nlcore.report.intervals import estimate
from nlcore.report.words import percent
from nlcore.report.writer import ArtefactWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOR = "for"  # whether a point is that of all methods, or each method's own


@dataclass(frozen=True)
class Shown:
    """What is said of a surface. labels: method -> its name; noise: share of the labels; lengths: what a number of
    epochs means; published: the paper's own point."""

    labels: Mapping[str, str]
    noise: float
    lengths: str
    published: str

    @property
    def at(self) -> str:
        """For captions."""
        return f"mAP at {percent(self.noise)} % by learning rate and number of epochs ({self.lengths})"


def surface_figure(surface: pd.DataFrame, shown: Shown, out: ArtefactWriter, *, deviations: str) -> Figure:
    """mAP of the last model by learning rate, a panel for each number of epochs."""
    frame = surface.rename(columns={"method": "series", "learning_rate": "learning rate", "map": "value"})
    places = frame.groupby("seed").apply(lambda own: len(own[["epochs", "learning rate"]].drop_duplicates()))
    frame = frame[frame.seed.isin(places.index[places == places.max()])]  # a line needs the same seeds all along
    lengths, there = sorted(frame.epochs.unique()), set(frame.series)
    labels = {name: label for name, label in shown.labels.items() if name in there}
    with style():
        figure, axes = panels(1, len(lengths), width=4.0, height=3.6, sharex=True, sharey=True)
        for axis, epochs in zip(axes.flat, lengths, strict=True):
            own = frame[frame.epochs == epochs]
            lines_by_series(axis, own, x="learning rate", labels=labels, looks=series_style(list(labels)))
            axis.set(title=f"{epochs} epochs", ylabel="mAP (%)", xscale="log")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 4), fontsize=8, frameon=False)
    return out.figure(
        "epochs_by_rate",
        figure,
        frame[["epochs", "learning rate", "series", "seed", "value"]],
        caption=f"{shown.at}; 95 % intervals over the seeds that ran everywhere. The paper: {shown.published}.",
        alt=f"mAP of {len(labels)} methods by learning rate, for {' and '.join(map(str, lengths))} epochs",
        deviations=deviations,
    )


def points_table(surface: pd.DataFrame, shown: Shown, out: ArtefactWriter, *, deviations: str) -> pd.DataFrame:
    """Every method at every point: mAP on test images and on images held out, and which point these choose."""
    chosen, rows = chosen_points(surface).set_index("method"), []
    for method, label in shown.labels.items():
        own = surface[surface.method == method]
        for (epochs, rate), part in own.groupby(POINT):
            row = {"method": label, "epochs": epochs, "learning rate": rate, "epochs trained": part.trained.iloc[0],
                   "mAP": str(estimate(by_seed(part, "map")))}  # fmt: skip
            if surface.held_out.notna().any():
                row |= {"mAP, stopped": part.stopped.mean(), "mAP, images held out": part.held_out.mean(), "chosen": ""}
            if method in chosen.index and (epochs, rate) == tuple(chosen.loc[method, POINT]):
                edge = "; at the edge" if rate in (own.learning_rate.min(), own.learning_rate.max()) else ""
                row["chosen"] = f"by {chosen.loc[method, 'alone']} of {part.seed.nunique()} seeds alone{edge}"
            rows.append(row | {"seeds": part.seed.nunique()})
    caption = f"{shown.at}. {_of_choice(surface)}"
    return out.table("rates", pd.DataFrame(rows), caption=caption, deviations=deviations)


def _of_choice(surface: pd.DataFrame) -> str:
    """How a point is chosen, for captions; nothing where none is."""
    if surface.held_out.isna().all():
        return "No images were held out."
    return (
        "Chosen: the highest mean on a fifth of the training images, with their true labels, in a second run that does "
        "not train on them; intervals take the choice as given. Alone: for how many seeds it is the highest. Stopped: "
        "after the epoch that is best on these images; empty where not every epoch was looked at."
    )


def gains_table(
    surface: pd.DataFrame, shown: Shown, pairs: Iterable[tuple[str, str]], out: ArtefactWriter, *, deviations: str
) -> pd.DataFrame:
    """By how many points of mAP methods are ahead of baselines, point by point; in the last row each at its own choice.

    pairs: of a method and a baseline.
    """
    pairs, rows = list(pairs), []
    for (epochs, rate), part in surface.groupby(POINT):
        point = {"epochs": epochs, "learning rate": rate, FOR: "all methods"}
        rows.append(point | dict(_gains(part, pairs, shown.labels)) | {"seeds": part.seed.nunique()})
    own, point = at_chosen_points(surface), {"epochs": pd.NA, "learning rate": np.nan, FOR: "each method its own"}
    if len(own):
        rows.append(point | dict(_gains(own, pairs, shown.labels)) | {"seeds": own.seed.nunique()})
    caption = f"Who is ahead, points of {shown.at}: does a verdict hang on them? {_of_own(own)}"
    frame = pd.DataFrame(rows).astype({"epochs": "Int64"})
    return out.table("epochs_by_rate_gains", frame, caption=caption.strip(), deviations=deviations)


def _of_own(own: pd.DataFrame) -> str:
    return "Its own: as images held out choose (table rates); intervals take the choice as given." if len(own) else ""


def _gains(
    part: pd.DataFrame, pairs: Iterable[tuple[str, str]], labels: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    values = {method: by_seed(own, "map") for method, own in part.groupby("method")}
    for method, baseline in pairs:
        both = {method, baseline} <= set(values)
        found = (values[method] - values[baseline]).dropna() if both else ()
        yield f"{labels[method]} minus {labels[baseline]}", str(estimate(found)) if len(found) else ""
