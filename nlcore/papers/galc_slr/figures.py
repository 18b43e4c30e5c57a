"""The paper's figures, and ours: each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from nlcore.data.source import Images, Source
from nlcore.papers import surface_report
from nlcore.papers.galc_slr.claims import (
    curve,
    gain,
    loss_per_level,
    paired,
    published_behind,
    published_gains,
    published_loss,
)
from nlcore.papers.galc_slr.examples import divide, load_examples
from nlcore.papers.galc_slr.matrices import calibrated
from nlcore.papers.galc_slr.protocol import CONTRACT, THRESHOLDS
from nlcore.papers.galc_slr.study import Study
from nlcore.papers.galc_slr.words import (
    METRICS,
    NOISE_AXIS,
    deviations,
    headline,
    looks,
    published_value,
    surface_shown,
)
from nlcore.report.draws import measured
from nlcore.report.figures import diagram, lines_by_series, panels, series_style, style
from nlcore.report.intervals import estimate
from nlcore.report.words import percent
from nlcore.report.writer import ArtefactWriter

MATRICES = ("true", "galc_slr", "galc_slr as written", "galc_slr unscaled", "glc")  # of Figure 4


def by_noise(study: Study, metric: str, methods: Iterable[str]) -> pd.DataFrame:
    """A metric in long form: series, seed, noise, value, published, the last three in percent."""
    frame = study.main[study.main.method.isin(list(methods))]
    frame = frame.rename(columns={"method": "series", METRICS[metric][0]: "value"})
    paper = [published_value(row.series, metric, row.noise) for row in frame.itertuples()]
    levels = frame.noise.map(percent).astype(int)
    found = frame[["series", "seed", "noise", "value"]].assign(noise=levels)
    return found.assign(published=pd.Series(paper, frame.index, dtype=float))


def figure_1(out: ArtefactWriter, *, noise: float = 0.4) -> Figure:
    """Figure 1: a real training image of the embedded set with the labels it has after noise, one of them wrong."""
    data = Source().load()
    noisy = divide(load_examples(Source()), gold=0.1, noise=noise, seed=0).noisy
    row = _image_with_one_wrong_label(data, noisy)
    shown = np.flatnonzero(data.targets[row] | noisy[row])
    states = {(1, 1): "right", (0, 1): "wrong", (1, 0): "lost"}
    table = pd.DataFrame(
        {
            "class": [data.class_names[k] for k in shown],
            "true": data.targets[row, shown],
            "noisy": noisy[row, shown],
            "label": [states[int(data.targets[row, k]), int(noisy[row, k])] for k in shown],
        }
    )
    signs = {"right": "+  {}", "wrong": "x  {}  (wrong)", "lost": "-  {}  (lost)"}
    with style():
        figure, axes = panels(1, 2, width=2.6, height=2.4)
        axes[0, 0].imshow(data.picture(row), interpolation="none")
        for place, line in enumerate(table.itertuples()):
            text = signs[line.label].format(line[1])
            weight = "normal" if line.label == "right" else "bold"
            axes[0, 1].text(0, 0.95 - 0.14 * place, text, va="top", fontsize=10, fontweight=weight)
        for axis in axes.flat:
            axis.axis("off")
    caption = f"Figure 1. Labels of a real image after symmetric noise. {data.credit(row)}, reduced."
    alt = f"A photograph and its labels: {', '.join(f'{line[1]} ({line.label})' for line in table.itertuples())}"
    return out.figure("fig_1", figure, table, caption=caption, alt=alt)


def _image_with_one_wrong_label(data: Images, noisy: np.ndarray) -> int:
    """The first training image with a picture, four labels, and exactly one of them flipped."""
    clean = data.targets
    flipped = (clean > noisy[: len(clean)]).sum(axis=1)
    rows = [r for r in data.train if r in data.pictures and clean[r].sum() == 4 and flipped[r] == 1]
    return int(rows[0])


def figure_2(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 2: what wrong labels do to plain ASL."""
    data = by_noise(study, "mAP", ["asl"])
    with style():
        figure, axes = panels(1, 1, width=4.6, height=3.2)
        lines_by_series(axes[0, 0], data, x="noise", labels={"asl": "asl"}, looks=looks())
        _published_line(axes[0, 0], data, "asl")
        axes[0, 0].set(xlabel=NOISE_AXIS, ylabel="mAP (%)", ylim=(0, None))
        axes[0, 0].legend()
    lost = loss_per_level(study, "asl")
    return out.figure(
        "fig_2",
        figure,
        data,
        caption="Figure 2. Plain ASL by noise; the band is the 95 % interval over the seeds.",
        alt=f"mAP of ASL falls with noise, by {lost.mean():.2f} points for every 10 %",
        deviations=deviations(study),
        headline=headline("points of mAP that ASL loses per 10 % of noise", published_loss("asl"), lost),
    )


def _published_line(axis: Axes, data: pd.DataFrame, series: str) -> None:
    paper = data[data.series == series].drop_duplicates("noise").sort_values("noise")
    look = looks()[series] | {"markerfacecolor": "none", "linestyle": ":"}
    axis.plot(paper.noise, paper.published, label=f"{series}, published", **look)


NODES = {
    "silver": ("Silver images S\nnoisy labels", 0, 2),
    "single": ("Single-label images\n(trusted)", 0, 1),
    "gold": ("Gold images G\ntrusted labels", 1, 0),
    "f": ("1  silver classifier f\nASL on S", 1, 2),
    "regulators": ("regulators Reg\nmean softmax of f", 1, 1),
    "C": ("2  corruption matrix C\nmean of f on G,\nminus and plus Reg", 2, 1),
    "g": ("3  gold classifier g\nASL(C'g, y) on S,\nASL(g, y) on G", 3, 1),
}
ARROWS = [
    ("silver", "f"),
    ("f", "C"),
    ("gold", "C"),
    ("f", "regulators"),
    ("single", "regulators"),
    ("regulators", "C"),
    ("C", "g"),
]


def figure_3(out: ArtefactWriter) -> Figure:
    """Figure 3: the three steps. Its CSV lists the nodes and the arrows."""
    with style():
        figure = diagram(NODES, [(*arrow, "") for arrow in ARROWS])
    rows = [{"kind": "node", "name": name, "text": text.replace("\n", "; ")} for name, (text, *_) in NODES.items()]
    rows += [{"kind": "arrow", "name": start, "text": end} for start, end in ARROWS]
    return out.figure(
        "fig_3",
        figure,
        pd.DataFrame(rows),
        caption="Figure 3. GALC-SLR in three steps; g also trains on S and G themselves.",
        alt="Silver classifier, then corruption matrix with regulators from single-label images, then gold classifier",
    )


def figure_4(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 4: the matrices as heat maps, one grey scale for all; it spreads small values, where they differ."""
    names = [name for name in MATRICES if name in study.matrices]
    greys = {"cmap": "Greys", "norm": PowerNorm(0.4, vmin=0, vmax=1, clip=True), "interpolation": "nearest"}
    with style():
        figure, axes = panels(1, len(names), width=2.5, height=2.9)
        for axis, name in zip(axes.flat, names, strict=True):
            image = axis.imshow(study.matrices[name], **greys)
            axis.set_title(name.replace(" as ", "\nas ").replace(" unscaled", "\nwithout its sigmoid"), fontsize=9)
            axis.grid(False)
            axis.set_xlabel("becomes class")
        axes[0, 0].set_ylabel("class")
        scale = {"label": "entry of C (scale: power 0.4)", "ticks": [0, 0.02, 0.1, 0.3, 0.6, 1]}
        figure.colorbar(image, ax=list(axes.flat), shrink=0.7, **scale)
    frames = {name: pd.DataFrame(study.matrices[name]).rename(columns=str) for name in names}
    error = study.runs(study.distances, noise=study.ablation_noise).groupby("matrix").off_diagonal.mean()
    return out.figure(
        "fig_4",
        figure,
        pd.concat(frames, names=["series", "class"]).reset_index(),
        caption=f"Figure 4. Corruption matrices at {percent(study.ablation_noise)} % (first seed); from white, 0, to "
        "black, 1. White rows with one black cell, on the diagonal: classes without a usable gold image keep the "
        "identity's row.",
        alt="; ".join(f"{name}: mean absolute error off the diagonal {error[name]:.3f}" for name in names),
        deviations=deviations(study),
    )


def figure_5(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 5: mAP, CF1 and OF1 by noise, all methods; dotted, what the paper prints."""
    metrics, styles = ("mAP", "CF1", "OF1"), looks(study.methods)
    data = {panel: by_noise(study, metric, study.methods) for panel, metric in zip("abc", metrics, strict=True)}
    with style():
        figure, axes = panels(1, 3, width=3.6, height=3.6)
        for axis, (panel, frame), metric in zip(axes.flat, data.items(), METRICS, strict=False):
            lines_by_series(axis, frame, x="noise", labels=study.methods, looks=styles)
            for series in ("asl", "galc_slr"):
                _published_line(axis, frame, series)
            at = "" if metric == "mAP" else f", threshold {THRESHOLDS[0]}"
            axis.set(title=f"({panel}) {metric}", xlabel=NOISE_AXIS, ylabel=f"{metric} (%){at}", ylim=(0, None))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    ahead = pd.concat([gain(study, "map", noise, "galc_slr", "asl") for noise in study.levels], axis=1).mean(axis=1)
    mean, paper = measured(ahead).mean(), float(np.mean(list(published_gains("map").values())))
    return out.figure(
        "fig_5",
        figure,
        data,
        caption="Figure 5. All methods by noise, with 95 % bands; dotted, the published values.",
        alt=f"mAP, CF1 and OF1 of seven methods by noise; GALC-SLR minus ASL is {mean:.1f} mAP on average",
        deviations=deviations(study),
        headline=headline("mAP, mean over the levels: galc_slr minus asl", paper, ahead),
    )


def curves_by_epoch(study: Study, series: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Curves in long form, `series` name -> fields of its runs, by `claims.curve`: series, seed, epoch, value."""
    frames = []
    for name, fields in series.items():
        long = curve(study, **fields).stack().rename("value").reset_index()
        frames.append(long.assign(series=name)[["series", "seed", "epoch", "value"]])
    return pd.concat(frames)


def figure_6(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 6: memorisation, the size of the gold set with estimated and true matrix, caps on single-label images."""
    shown = ("asl", "galc_slr", "galc_slr as written", "asl + clean gold", *study.own)
    (limited, styles), noise, of_methods = _caps(study), percent(study.ablation_noise), looks(study.methods)
    data = {
        "a": curves_by_epoch(study, {method: {"method": method} for method in shown}),
        "b": gold_sizes(study),
        "c": curves_by_epoch(study, limited),
    }
    with style():
        figure, axes = panels(1, 3, width=3.6, height=3.3)
        labels = {method: study.methods[method] for method in shown}
        lines_by_series(axes[0, 0], data["a"], x="epoch", labels=labels, looks=of_methods)
        for series, epoch in CONTRACT.published()["text"]["peak_epoch"].items():
            axes[0, 0].axvline(epoch, linewidth=1, linestyle=":", color=of_methods[series]["color"])
        _bars(axes[0, 1], data["b"])
        lines_by_series(axes[0, 2], data["c"], x="epoch", labels={name: name for name in styles}, looks=styles)
        axes[0, 0].set_title("(a) by epoch")
        axes[0, 1].set(title="(b) gold images, matrix", xlabel="gold (% of the training images)")
        axes[0, 2].set_title("(c) single-label images")
        for axis, what in zip(axes.flat, (None, None, "at most per class"), strict=True):
            axis.set(ylabel=f"mAP (%) at {noise} % noise", ylim=(0, None))
            axis.legend(title=what, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
    at = {"noise": study.ablation_noise}
    short = paired(*(study.in_draws("map", method=method, **at) for method in ("true matrix", "galc_slr")))
    return out.figure(
        "fig_6",
        figure,
        data,
        caption=f"Figure 6. At {noise} % noise: memorisation (dotted: the published peaks), gold and matrix, fewer "
        "regulators.",
        alt=f"True matrix minus estimated at {percent(study.gold)} % gold: {measured(short).mean():.2f} points of mAP",
        deviations=deviations(study),
        headline=headline("mAP: true matrix minus galc_slr, 10 % gold", published_behind(0.1), short),
    )


def _caps(study: Study) -> tuple[dict[str, dict], dict[str, dict]]:
    """The series of Figure 6c: their fields, and their looks; the lines coincide, so that later ones are thinner."""
    caps = sorted({cap for cap in study.scores.cap if cap}, reverse=True)
    fields = {"all": {"method": "galc_slr"}} | {str(cap): {"method": "galc_slr", "cap": cap} for cap in caps}
    styles = zip(series_style(list(fields)).items(), ("-", "--", ":"), (3.5, 2.2, 1.2), (0, 2, 4), strict=False)
    return fields, {
        name: look | {"linestyle": dash, "linewidth": width, "markevery": (first, 6)}
        for (name, look), dash, width, first in styles
    }


def gold_sizes(study: Study) -> pd.DataFrame:
    """Figure 6b in long form: series (whose matrix), seed, gold, value, published, the last three in percent."""
    paper, rows = CONTRACT.published()["fig_6b"], []
    for series, method in (
        ("estimated", "galc_slr"),
        ("estimated, as written", "galc_slr as written"),
        ("true", "true matrix"),
    ):
        for gold in sorted(study.scores.gold.unique()):
            said = paper.get(percent(gold), {}).get(series.split(",")[0])
            found = study.values("map", method=method, noise=study.ablation_noise, gold=gold)
            rows += [(series, seed, int(percent(gold)), value, said) for seed, value in found.items()]
    return pd.DataFrame(rows, columns=["series", "seed", "gold", "value", "published"])


def _bars(axis: Axes, data: pd.DataFrame) -> None:
    """Grouped bars with 95 % intervals; a black bar is the published value."""
    names, golds = list(dict.fromkeys(data.series)), sorted(data.gold.unique())
    shades = dict(zip(names, ("0.55", "0.85", "0.25"), strict=False))
    for place, name in enumerate(names):
        for group, gold in enumerate(golds):
            part = data[(data.series == name) & (data.gold == gold)]
            if part.empty:
                continue
            shown, x = estimate(part.value), group + 0.27 * (place - 1)
            label = name if group == 0 else None
            axis.bar(x, shown.mean, 0.25, color=shades[name], edgecolor="black", label=label)
            if shown.pairs > 1:
                axis.errorbar(x, shown.mean, shown.high - shown.mean, color="black", capsize=3)
            axis.scatter(x, part.published.iloc[0], marker="_", s=180, color="black", linewidths=2)
    axis.scatter([], [], marker="_", s=80, color="black", linewidths=2, label="published")
    axis.set_xticks(range(len(golds)), [str(gold) for gold in golds])


def clean_gold_figure(study: Study, out: ArtefactWriter) -> Figure:
    """Why, part two: how much of the gain over ASL the clean gold images bring by themselves."""
    shown = ("galc_slr", "galc_slr as written", "true matrix", "gold only", "asl + clean gold")
    shown = {method: study.methods[method] for method in (*shown, *study.own)}
    frames = []
    for method in shown:
        for noise in study.levels:
            found = measured(gain(study, "map", noise, method, "asl"))
            cells = {"series": method, "seed": found.index, "noise": int(percent(noise)), "value": found.to_numpy()}
            frames.append(pd.DataFrame(cells))
    data = pd.concat(frames)
    with style():
        figure, axes = panels(1, 1, width=5.4, height=3.6)
        lines_by_series(axes[0, 0], data, x="noise", labels=shown, looks=looks(study.methods))
        axes[0, 0].axhline(0, color="black", linewidth=0.8)
        axes[0, 0].set(xlabel=NOISE_AXIS, ylabel="mAP minus that of asl (points)")
        axes[0, 0].legend(fontsize=8)
    top = data[data.noise == data.noise.max()].groupby("series").value.mean()
    return out.figure(
        "why_clean_gold",
        figure,
        data,
        caption="Gain in mAP over plain ASL (95 % bands over the seeds): with a matrix, with clean gold images alone.",
        alt="; ".join(f"{name} {top[name]:+.1f} at {data.noise.max()} %" for name in shown if name in top),
        deviations=deviations(study),
    )


def calibration_figure(study: Study, out: ArtefactWriter) -> Figure:
    """Why, part three: what a silver classifier says of labels it has not seen, and how often they are there.

    The line is what ASL must say where a label is there with that chance, whatever the data (`asymmetric_calibration`).
    """
    frame = study.reliability.rename(columns={"silver_loss": "series"})
    epochs = study.protocol.epochs
    names = {"asl": f"silver classifier, ASL, {epochs} epochs", "bce": f"cross-entropy, {epochs} epochs"}
    line = np.linspace(0.001, 0.999, 300)
    with style():
        figure, axes = panels(1, 1, width=5.2, height=4.0)
        axis = axes[0, 0]
        axis.plot(line, calibrated(line), color="black", linewidth=1, label="ASL, trained to its end")
        axis.plot(line, line, color="black", linewidth=1, linestyle=":", label="cross-entropy, trained to its end")
        for name, look in series_style([name for name in names if name in set(frame.series)]).items():
            own = frame[frame.series == name]
            size = np.sqrt(own.cells)  # a mark of few cells says little
            marks = {key: look[key] for key in ("color", "marker")}
            axis.scatter(own.output, own.share, size, label=names[name], alpha=0.6, **marks)
        axis.set(xlabel="output p of the silver classifier", ylabel="share of the cells that have the label")
        axis.set_yscale("symlog", linthresh=0.01)
        axis.set_ylim(0, 1)
        axis.legend(fontsize=7)
    said = frame[frame.series == "asl"]
    apart = np.average(np.abs(calibrated(said.output.to_numpy()) - said.share), weights=said.cells)
    plain = np.average(np.abs(said.output - said.share), weights=said.cells)
    return out.figure(
        "asl_calibration",
        figure,
        frame,
        caption=f"Outputs of silver classifiers on gold images at {percent(study.ablation_noise)} %, and how often the "
        f"noisy label is there; a mark per seed and twentieth, the larger the more cells. ASL's outputs are off by "
        f"{plain:.3f} on average, by {apart:.3f} once its own bias is taken out.",
        alt=f"Share of cells with the label by output; ASL's outputs are off by {plain:.3f} on average",
        deviations=deviations(study),
    )


def surface_figure(study: Study, out: ArtefactWriter) -> Figure:
    """mAP at the ablation's noise by number of epochs and learning rate: one panel per number of epochs."""
    return surface_report.surface_figure(study.surface, surface_shown(study), out, deviations=deviations(study))
