"""The paper's figures, each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.papers import surface_report
from nlcore.papers.missing_label_al.measures import BLIND
from nlcore.papers.missing_label_al.protocol import SPLIT_NOISE, UNKNOWN_AS
from nlcore.papers.missing_label_al.runs import partial_labels
from nlcore.papers.missing_label_al.study import Study
from nlcore.papers.missing_label_al.words import (
    ASL_SERIES,
    BASELINE_SERIES,
    EQUAL_COST,
    FINAL,
    HEURISTICS,
    MAP,
    PER_LABEL,
    SERIES,
    SURFACE_SHOWN,
    deviations,
)
from nlcore.report.figures import bars_by_series, lines_by_series, panels, series_style, style
from nlcore.report.intervals import estimate
from nlcore.report.words import percent, title
from nlcore.report.writer import ArtefactWriter, Headline

# Plain ASL is dashed.
LOOKS = series_style(list(SERIES))
LOOKS |= {name: look | {"linestyle": "--"} for name, look in series_style(list(ASL_SERIES)).items()}
LEVEL_FIGURES = {0.2: "fig_3", 0.4: "fig_4", 0.6: "fig_5"}


def figure_1(study: Study, out: ArtefactWriter, *, noise: float = 0.4) -> Figure:
    """Figure 1: a real image with all its labels, and with some missing."""
    data = study.images
    row = next(r for r in data.train.tolist() if r in data.pictures and data.targets[r].sum() >= 4)
    given = partial_labels(data, np.array([[row]]), noise, [0])[0, row]
    names, true = np.array(data.class_names), data.targets[row]
    frame = pd.DataFrame({"class": names, "true": true, "given": given})
    with style():
        figure, axes = panels(1, 2, width=2.9, height=3.6)
        for axis, shown in zip(axes.flat, (true, given), strict=True):
            axis.imshow(data.picture(row), interpolation="none")
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.set_title("all labels" if shown is true else "some missing", fontsize=9)
            axis.set_xlabel(_labels(names, true, shown), fontsize=9)
    caption = f"Figure 1. {percent(noise)} % of the labels missing. {data.credit(row)}"
    alt = f"One photograph twice; of its {int(true.sum())} classes {int((given[true == 1] == -1).sum())} become unknown"
    return out.figure("fig_1", figure, frame, caption=caption, alt=alt)


def _labels(names: np.ndarray, true: np.ndarray, shown: np.ndarray) -> str:
    """The classes an image has, a line each, with a question mark where `shown` (K,) does not tell."""
    lines = [f"{names[k]}: ?" if shown[k] == -1 else names[k] for k in np.flatnonzero(true == 1)]
    absent = int((shown[true == 0] == -1).sum())
    return "\n".join([*lines, f"(and {absent} absent classes unknown)" if (shown == -1).any() else ""])


def figure_2(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 2: plain ASL under missing labels, in three readings of what becomes of -1."""
    frame = _by_noise(study.whole.rename(columns={"unknown_as": "series"}))
    with style():
        figure, axes = panels(1, 1, width=5.5, height=3.4)
        _draw_by_noise(axes[0, 0], frame, ASL_SERIES)
    worst = frame[frame["noise %"] == frame["noise %"].max()].groupby("series")[MAP].mean()
    return out.figure(
        "fig_2", figure, frame, deviations=deviations(study.source),
        caption="Figure 2. ASL on partly labelled images; 95 % intervals.",
        alt="mAP at the highest noise: " + ", ".join(f"{name} {worst[name]:.1f}" for name in UNKNOWN_AS),
    )  # fmt: skip


def _by_noise(frame: pd.DataFrame) -> pd.DataFrame:
    """series, seed, noise in percent, and mAP."""
    percents = (100 * frame.noise).round().astype(int)
    return frame.rename(columns={"map": MAP}).assign(**{"noise %": percents})[["series", "seed", "noise %", MAP]]


def _draw_by_noise(axis: Axes, frame: pd.DataFrame, labels: dict[str, str], looks: dict = LOOKS) -> None:
    lines_by_series(axis, frame, x="noise %", value=MAP, labels=labels, looks=looks)
    axis.set(xlabel="missing labels (%)", xticks=sorted(frame["noise %"].unique()), ylabel="mAP (%)", ylim=(0, None))
    axis.legend(fontsize=7, loc="lower left")


def level_figure(study: Study, out: ArtefactWriter, noise: float) -> Figure:
    """Figures 3 to 5: the measures at one noise level: along the way, at equal cost, and per label."""
    runs = study.defaults()
    along = runs[runs.noise == noise].rename(columns={"measure": "series", "map": MAP})
    along = along[["series", "seed", "iteration", "cost", MAP, "map_last", "map_without_person"]]
    found = study.heuristics(runs, noise).rename(columns={"measure": "series"})
    frames = {"a": along, "b": found[["series", "seed", EQUAL_COST]], "c": found[["series", "seed", PER_LABEL]]}
    with style():
        figure, axes = panels(1, 4, width=3.4, height=3.8)
        _draw_measures(axes[0, :2], along, study.series, x="iteration")
        _draw_heuristic(axes[0, 2], frames["b"], "b", EQUAL_COST, study.series)
        _draw_heuristic(axes[0, 3], frames["c"], "c", PER_LABEL, study.series)
    id, means = LEVEL_FIGURES[noise], found.groupby("series")[list(HEURISTICS)].mean()
    fixed = np.mean(list(study.fixed_cost(noise).values()))
    said = {0.2: "8,000", 0.4: "about 16,000", 0.6: "21,000"}[noise]
    return out.figure(
        id, figure, frames, deviations=deviations(study.source),
        caption=f"{title(id)} {percent(noise)} % of the labels missing: (a) mean mAP over an iteration's epochs; "
        f"(b) mAP at {fixed:,.0f} relabelled cells; (c) increase per label. 95 % intervals.",
        alt="final mAP: " + ", ".join(f"{study.series[name]} {means[FINAL][name]:.1f}" for name in means.index),
        headline=Headline(f"cost at which measures are compared, {percent(noise)} %", said, f"{fixed:,.0f}", ""),
    )  # fmt: skip


def _draw_measures(axes: Sequence[Axes], frame: pd.DataFrame, series: dict[str, str], *, x: str) -> None:
    """Panel (a) in two halves, since eight bands hide each other; Random, one's own and the scale are in both."""
    axes[1].sharey(axes[0])
    styles = series_style(list(series))
    looks = {name: look | {"markevery": (k % 3, 3)} for k, (name, look) in enumerate(styles.items())}
    own = [name for name in series if name not in SERIES]
    seeing = ("random", *(name for name in SERIES if name not in BLIND), *own)
    halves = {"(a) blind to the image": (*BLIND, *own), "(a) with entropy, beside Random": seeing}
    for axis, (half, group) in zip(axes, halves.items(), strict=True):
        lines_by_series(axis, frame, x=x, value=MAP, labels={name: series[name] for name in group}, looks=looks)
        axis.set(ylabel="mAP (%)", title=half)
        axis.legend(fontsize=7, loc="lower right")


def _draw_heuristic(axis: Axes, frame: pd.DataFrame, panel: str, heuristic: str, labels: dict[str, str]) -> None:
    bars_by_series(axis, frame, value=heuristic, labels=labels)
    axis.set(title=f"({panel})", ylabel=f"{heuristic} (%)")
    if heuristic == PER_LABEL:
        axis.set_ylabel(f"{heuristic} (points of mAP)")
        axis.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))


def figure_6(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 6: mAP by labels cleaned at 40 %, and Hard+entropy against plain ASL by noise."""
    runs, last = study.defaults(), study.final()
    columns = {"measure": "series", "map": MAP, "cost": "labels cleaned"}
    cleaned = runs[runs.noise == SPLIT_NOISE].rename(columns=columns)
    ours = last[last.measure == "hard_entropy"].assign(series="hard_entropy")
    both = pd.concat([ours, study.whole.rename(columns={"unknown_as": "series"})])
    both = _by_noise(both[both.noise > 0])
    frames = {"a": cleaned[["series", "seed", "iteration", "labels cleaned", MAP]], "b": both}
    # Seeds differ in what an iteration costs: every series is drawn at its mean costs.
    costs = frames["a"].groupby(["series", "iteration"])["labels cleaned"].transform("mean")
    with style():
        figure, axes = panels(1, 3, width=3.8, height=3.6)
        _draw_measures(axes[0, :2], frames["a"].assign(**{"labels cleaned": costs}), study.series, x="labels cleaned")
        _draw_by_noise(axes[0, 2], both, {"hard_entropy": SERIES["hard_entropy"]} | ASL_SERIES)
        axes[0, 2].set_title("(b)")
    gains = [study.gain_over_asl(noise, "raw") for noise in study.noises]
    said = " / ".join(f"{estimate(gain).mean:.1f}" for gain in gains)
    return out.figure(
        "fig_6", figure, frames, deviations=deviations(study.source),
        caption="Figure 6. (a) mAP by labels cleaned at 40 %; (b) Hard+entropy against ASL. 95 % intervals.",
        alt=f"Hard+entropy minus raw ASL, by noise: {said} points",
        headline=Headline("Hard+entropy minus raw ASL at 20/40/60 %, points", "10 / 20 / 30", said, ""),
    )  # fmt: skip


def figure_7(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 7: splits of Hard+Medium at 40 %."""
    found = study.splits()
    order = {name: name for name in ("0/100", "10/90", "25/75", "50/50", "75/25", "100/0")}
    frames = {"a": found[["series", "seed", FINAL]], "b": found[["series", "seed", PER_LABEL]]}
    with style():
        figure, axes = panels(1, 2, width=4.2, height=3.2)
        for axis, panel, heuristic in zip(axes.flat, frames, (FINAL, PER_LABEL), strict=True):
            _draw_heuristic(axis, frames[panel], panel, heuristic, order)
            axis.set_xlabel("Hard / Medium (%)")
    best = found.groupby("series")[PER_LABEL].mean().idxmax()
    return out.figure(
        "fig_7", figure, frames, deviations=deviations(study.source),
        caption="Figure 7. Splits of Hard+Medium at 40 %; 95 % intervals.",
        alt=f"final mAP and increase per label by split; highest increase: {best}",
        headline=Headline("split with the highest increase per label", "10/90", best, ""),
    )  # fmt: skip


def figure_fair_baselines(study: Study, out: ArtefactWriter) -> Figure:
    """Hard+entropy against ASL that has the clean images too, and against two losses made for missing labels."""
    last = study.final()
    ours = last[last.measure == "hard_entropy"].assign(series="hard_entropy")
    frame = _by_noise(pd.concat([ours, study.others.rename(columns={"baseline": "series"})]))
    labels = {"hard_entropy": SERIES["hard_entropy"]} | BASELINE_SERIES
    with style():
        figure, axes = panels(1, 1, width=6.5, height=4.4)
        looks = LOOKS | {name: look | {"linestyle": ":"} for name, look in series_style(list(BASELINE_SERIES)).items()}
        _draw_by_noise(axes[0, 0], frame, labels, looks)
        axes[0, 0].get_legend().remove()
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    means = frame.groupby("series")[MAP].mean()
    return out.figure(
        "fair_baselines", figure, frame, deviations=deviations(study.source),
        caption="Hard+entropy against baselines that see the clean images, or have a loss for missing labels.",
        alt="mean mAP over the noise levels: " + ", ".join(f"{name} {means[name]:.1f}" for name in means.index),
    )  # fmt: skip


def surface_figure(study: Study, out: ArtefactWriter) -> Figure:
    """mAP by learning rate: one panel for each number of epochs of a training."""
    return surface_report.surface_figure(study.surface, SURFACE_SHOWN, out, deviations=deviations(study.source))
