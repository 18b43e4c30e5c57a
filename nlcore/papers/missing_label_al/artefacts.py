"""Tables and figures of the paper, each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.generators import generator
from nlcore.papers.missing_label_al.experiments import PAPER, partial_labels
from nlcore.papers.missing_label_al.study import DEFAULT_SHARE, HEURISTICS, READINGS, SPLIT_NOISE, Study
from nlcore.report.contract import published
from nlcore.report.figures import bars_by_series, lines_by_series, panels, series_style, style
from nlcore.report.verdicts import estimate
from nlcore.report.writer import ArtefactWriter, Headline

SERIES = {
    "random": "Random",
    "medium": "Medium",
    "hard": "Hard",
    "hard_medium": "Hard+Medium",
    "entropy": "entropy",
    "medium_entropy": "Medium+entropy",
    "hard_entropy": "Hard+entropy",
    "hard_medium_entropy": "Hard+Medium+entropy",
}
READING_NAMES = {
    "raw": "ASL, -1 as it is (raw)",
    "negative": "ASL, unknown = absent (negative)",
    "masked": "ASL, unknown left out (masked)",
}
# Plain ASL is dashed.
LOOKS = series_style(list(SERIES))
LOOKS |= {name: look | {"linestyle": "--"} for name, look in series_style(list(READING_NAMES)).items()}
BLIND = ("random", "medium", "hard", "hard_medium")  # measures that see nothing of the image
LEVEL_FIGURES = {0.2: "fig_3", 0.4: "fig_4", 0.6: "fig_5"}
MAP = "mAP"
SCALE = (
    "The embedded set (3,082 images, heads on frozen features) stands in for val2017's 5,000 images and TResNet-M; 500 "
    "relabelled images are more than a quarter of its pool, in the paper an eighth."
)


def figure_1(study: Study, out: ArtefactWriter, *, noise: float = 0.4) -> Figure:
    """Figure 1: a real image with all its labels, and with some missing."""
    data = study.data()
    row = next(r for r in data.train.tolist() if r in data.pictures and data.targets[r].sum() >= 4)
    given = partial_labels(data, np.array([[row]]), noise, [0])[0, row]
    names, true = np.array(data.class_names), data.targets[row]
    frame = pd.DataFrame({"class": names, "true": true, "given": given})
    with style():
        figure, axes = panels(1, 2, width=2.9, height=3.6)
        for axis, title in zip(axes.flat, ("all labels", "some missing"), strict=True):
            axis.imshow(data.picture(row))
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.set_title(title, fontsize=9)
            hidden = (given == -1) & (title == "some missing")
            words = [
                f"{name}: ?" if hide else name for name, hide in zip(names[true == 1], hidden[true == 1], strict=True)
            ]
            absent = f"(and {int((given[true == 0] == -1).sum())} absent classes unknown)" if hidden.any() else ""
            axis.set_xlabel("\n".join([*words, absent]), fontsize=9)
    caption = f"Figure 1. {100 * noise:.0f} % of the labels missing. {data.credits(row)}"
    alt = f"One photograph twice; of its {int(true.sum())} classes {int((given[true == 1] == -1).sum())} become unknown"
    return out.figure("fig_1", figure, frame, caption=caption, alt=alt)


def figure_2(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 2: plain ASL under missing labels, in three readings of what becomes of -1."""
    frame = study.whole.rename(columns={"reading": "series", "map": MAP})
    frame = frame.assign(**{"noise %": (100 * frame.noise).round().astype(int)})[["series", "seed", "noise %", MAP]]
    with style():
        figure, axes = panels(1, 1, width=5.5, height=3.4)
        _draw_by_noise(axes[0, 0], frame, READING_NAMES)
    worst = frame[frame["noise %"] == frame["noise %"].max()].groupby("series")[MAP].mean()
    return out.figure(
        "fig_2", figure, frame, deviations=SCALE, caption="Figure 2. ASL on partly labelled images; 95 % intervals.",
        alt="mAP at the highest noise: " + ", ".join(f"{name} {worst[name]:.1f}" for name in READINGS),
    )  # fmt: skip


def _draw_by_noise(axis: Axes, frame: pd.DataFrame, labels: dict[str, str]) -> None:
    lines_by_series(axis, frame, x="noise %", value=MAP, labels=labels, looks=LOOKS)
    axis.set(xlabel="missing labels (%)", xticks=sorted(frame["noise %"].unique()), ylabel="mAP (%)", ylim=(0, None))
    axis.legend(fontsize=7, loc="lower left")


def level_figure(study: Study, out: ArtefactWriter, noise: float) -> Figure:
    """Figures 3 to 5: the measures at one noise level: along the way, at equal cost, and per label."""
    runs = study.defaults()
    along = runs[runs.noise == noise].rename(columns={"measure": "series", "map": MAP})
    along = along[["series", "seed", "iteration", "cost", MAP, "map_last", "map_without_person"]]
    found = study.heuristics(runs, noise).rename(columns={"measure": "series"})
    frames = {"a": along, "b": found[["series", "seed", HEURISTICS[1]]], "c": found[["series", "seed", HEURISTICS[2]]]}
    with style():
        figure, axes = panels(1, 4, width=3.4, height=3.8)
        _draw_measures(axes[0, :2], along, x="iteration")
        _draw_heuristic(axes[0, 2], frames["b"], "b", HEURISTICS[1], SERIES)
        _draw_heuristic(axes[0, 3], frames["c"], "c", HEURISTICS[2], SERIES)
    id, means = LEVEL_FIGURES[noise], found.groupby("series")[list(HEURISTICS)].mean()
    fixed = np.mean(list(study.fixed_cost(noise).values()))
    said = {0.2: "8,000", 0.4: "about 16,000", 0.6: "21,000"}[noise]
    return out.figure(
        id, figure, frames, deviations=SCALE,
        caption=f"Figure {id[-1]}. {100 * noise:.0f} % of the labels missing: (a) mean mAP over an iteration's epochs; "
        f"(b) mAP at {fixed:,.0f} relabelled cells; (c) increase per label. 95 % intervals.",
        alt="final mAP: " + ", ".join(f"{SERIES[name]} {means[HEURISTICS[0]][name]:.1f}" for name in means.index),
        headline=Headline(f"cost at which measures are compared, {100 * noise:.0f} %", said, f"{fixed:,.0f}", ""),
    )  # fmt: skip


def _draw_measures(axes: Sequence[Axes], frame: pd.DataFrame, *, x: str) -> None:
    """Panel (a) in two halves, since eight bands hide each other; Random and the scale are in both."""
    axes[1].sharey(axes[0])
    looks = {name: LOOKS[name] | {"markevery": (k % 3, 3)} for k, name in enumerate(SERIES)}
    seeing = ("random", *(name for name in SERIES if name not in BLIND))
    halves = {"(a) blind to the image": BLIND, "(a) with entropy, beside Random": seeing}
    for axis, (title, group) in zip(axes, halves.items(), strict=True):
        lines_by_series(axis, frame, x=x, value=MAP, labels={name: SERIES[name] for name in group}, looks=looks)
        axis.set(ylabel="mAP (%)", title=title)
        axis.legend(fontsize=7, loc="lower right")


def _draw_heuristic(axis: Axes, frame: pd.DataFrame, panel: str, heuristic: str, labels: dict[str, str]) -> None:
    bars_by_series(axis, frame, value=heuristic, labels=labels)
    axis.set(title=f"({panel})", ylabel=f"{heuristic} (%)")
    if heuristic == HEURISTICS[2]:
        axis.set_ylabel(f"{heuristic} (points of mAP)")
        axis.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))


def figure_6(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 6: mAP by labels cleaned at 40 %, and Hard+entropy against plain ASL by noise."""
    runs = study.defaults()
    cleaned = runs[runs.noise == SPLIT_NOISE].rename(
        columns={"measure": "series", "map": MAP, "cost": "labels cleaned"}
    )
    last = runs[(runs.measure == "hard_entropy") & (runs.iteration == runs.iteration.max())]
    both = pd.concat([last.assign(series="hard_entropy"), study.whole.rename(columns={"reading": "series"})])
    both = both[both.noise > 0].rename(columns={"map": MAP})
    both = both.assign(**{"noise %": (100 * both.noise).round().astype(int)})[["series", "seed", "noise %", MAP]]
    frames = {"a": cleaned[["series", "seed", "iteration", "labels cleaned", MAP]], "b": both}
    # Seeds differ in what an iteration costs: every series is drawn at its mean costs.
    costs = frames["a"].groupby(["series", "iteration"])["labels cleaned"].transform("mean")
    with style():
        figure, axes = panels(1, 3, width=3.8, height=3.6)
        _draw_measures(axes[0, :2], frames["a"].assign(**{"labels cleaned": costs}), x="labels cleaned")
        _draw_by_noise(axes[0, 2], both, {"hard_entropy": SERIES["hard_entropy"]} | READING_NAMES)
        axes[0, 2].set_title("(b)")
    gains = [gain_over_asl(study, noise, "raw") for noise in study.noises]
    ours = " / ".join(f"{estimate(gain).mean:.1f}" for gain in gains)
    return out.figure(
        "fig_6", figure, frames, deviations=SCALE,
        caption="Figure 6. (a) mAP by labels cleaned at 40 %; (b) Hard+entropy against ASL. 95 % intervals.",
        alt=f"Hard+entropy minus raw ASL, by noise: {ours} points",
        headline=Headline("Hard+entropy minus raw ASL at 20/40/60 %, points", "10 / 20 / 30", ours, ""),
    )  # fmt: skip


def figure_7(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 7: splits of Hard+Medium at 40 %."""
    found = study.splits()
    order = {name: name for name in ("0/100", "10/90", "25/75", "50/50", "75/25", "100/0")}
    frames = {"a": found[["series", "seed", HEURISTICS[0]]], "b": found[["series", "seed", HEURISTICS[2]]]}
    with style():
        figure, axes = panels(1, 2, width=4.2, height=3.2)
        for axis, panel, heuristic in zip(axes.flat, frames, (HEURISTICS[0], HEURISTICS[2]), strict=True):
            _draw_heuristic(axis, frames[panel], panel, heuristic, order)
            axis.set_xlabel("Hard / Medium (%)")
    best = found.groupby("series")[HEURISTICS[2]].mean().idxmax()
    return out.figure(
        "fig_7", figure, frames, deviations=SCALE, caption="Figure 7. Splits of Hard+Medium at 40 %; 95 % intervals.",
        alt=f"final mAP and increase per label by split; highest increase: {best}",
        headline=Headline("split with the highest increase per label", "10/90", best, ""),
    )  # fmt: skip


def gain_over_asl(study: Study, noise: float, reading: str) -> pd.Series:
    """Seed -> points by which Hard+entropy ends above plain ASL in one reading."""
    runs = study.defaults()
    runs = runs[(runs.noise == noise) & (runs.iteration == runs.iteration.max()) & (runs.measure == "hard_entropy")]
    asl = study.whole[(study.whole.noise == noise) & (study.whole.reading == reading)]
    return runs.set_index("seed")["map"] - asl.set_index("seed")["map"]


def heuristics_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """The three heuristics by measure and noise with 95 % intervals, and the final epoch's mAP beside."""
    rows, runs = [], study.defaults()
    for noise in study.noises:
        found = study.heuristics(runs, noise)
        last = runs[(runs.noise == noise) & (runs.iteration == runs.iteration.max())]
        for measure in SERIES:
            own, end = found[found.measure == measure], last[last.measure == measure]
            cell = {name: str(estimate(own[name])) for name in HEURISTICS}
            rows.append({"noise": noise, "measure": SERIES[measure], **cell, "last epoch": end.map_last.mean(),
                         "without person": end.map_without_person.mean(), "cost": end.cost.mean(),
                         "seeds": len(own)})  # fmt: skip
    caption = (
        "The three heuristics; mean over the seeds [95 % interval]; mAP of an iteration is the mean over its epochs."
    )
    return out.table("heuristics", pd.DataFrame(rows), caption=caption, deviations=SCALE)


def cost_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Cost: what arithmetic says of 500 random images of 80 classes, what the paper says, what was paid."""
    said, runs = published(PAPER)["text"], study.defaults()
    last = runs[runs.iteration == runs.iteration.max()]
    paper = {
        0.2: said["cost_of_random"]["20"],
        0.4: "8,000 in the caption: must be 16,000",
        0.6: said["comparison_cost_at_60"],
    }
    rows = []
    for noise in study.noises:
        costs = last[last.noise == noise].groupby("measure").cost.mean()
        rows.append({"noise": noise, "500 x 80 x rate": 500 * 80 * noise, "paper": str(paper[noise]),
                     **{SERIES[name]: costs[name] for name in SERIES}})  # fmt: skip
    return out.table("costs", pd.DataFrame(rows), caption="Relabelled cells after the last iteration.")


def permutation_table(study: Study, out: ArtefactWriter, *, permutations: int = 2000) -> pd.DataFrame:
    """Can the measures that do not look at the image differ in mAP? Their names are shuffled within every seed.

    Uniform noise makes the number of unknown cells independent of the image, so Random, Medium, Hard and Hard+Medium
    all draw images at random, and training sees relabelled images only. Their names are exchangeable within a seed. The
    statistic is the spread (largest minus smallest) of their mean final mAP.
    """
    rows, runs = [], study.defaults()
    for noise in study.noises:
        found = study.heuristics(runs, noise)
        table = found[found.measure.isin(BLIND)].pivot_table(index="seed", columns="measure", values=HEURISTICS[0])
        values, rng = table.to_numpy(), generator(PAPER, "permutation", noise)
        spread = np.ptp(values.mean(axis=0))
        shuffled = [np.ptp(rng.permuted(values, axis=1).mean(axis=0)) for _ in range(permutations)]
        p = (1 + np.sum(np.array(shuffled) >= spread - 1e-12)) / (1 + permutations)
        rows.append({"noise": noise, **table.mean().to_dict(), "spread": spread,
                     "spread by chance": np.mean(shuffled), "p": p, "seeds": len(table)})  # fmt: skip
    caption = "Permutation test: the measures that only count missing labels differ in mAP no more than chance does."
    return out.table("why_permutation", pd.DataFrame(rows), caption=caption)


def combination_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Hard and entropy combined by ties (default) or by the product of ranks."""
    rows = []
    for noise in study.noises:
        part = study.active[(study.active.measure == "hard_entropy") & (study.active.hard_share == DEFAULT_SHARE)]
        found = study.heuristics(part, noise)
        for rule, own in found.groupby("combination") if found.combination.nunique() > 1 else ():
            rows.append({"noise": noise, "combination": rule, **{n: str(estimate(own[n])) for n in HEURISTICS}})
    return out.table("combination", pd.DataFrame(rows), caption="Hard+entropy under both rules of combination.")


def why_asl_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """How much of the gap to ASL is the reading of -1: Hard+entropy minus ASL in each."""
    rows = [
        {"noise": noise, "ASL": reading, "paper": published(PAPER)["text"]["gain_over_asl"][f"{100 * noise:.0f}"],
         "ours [95 % interval]": str(estimate(gain_over_asl(study, noise, reading)))}
        for noise in study.noises for reading in READINGS
    ]  # fmt: skip
    caption = "Points of mAP by which Hard+entropy ends above plain ASL on the whole partly labelled set."
    return out.table("why_asl", pd.DataFrame(rows), caption=caption, deviations=SCALE)
