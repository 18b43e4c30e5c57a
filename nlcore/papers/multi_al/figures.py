"""The paper's figures, each one function of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from nlcore.data.source import Images
from nlcore.papers import surface_report
from nlcore.papers.multi_al.study import Study
from nlcore.papers.multi_al.words import BASELINE_SERIES, MAP, SERIES, SURFACE_SHOWN, WITHOUT, deviations
from nlcore.report.draws import mean_but
from nlcore.report.figures import bars_by_series, diagram, lines_by_series, panels, style
from nlcore.report.intervals import estimate
from nlcore.report.words import percent, title
from nlcore.report.writer import ArtefactWriter, Headline
from nlcore.scorers.mislabelling import conflicting_pairs, contribution_matrix

LEVEL_FIGURES = {0.2: "fig_7", 0.4: "fig_8", 0.6: "fig_9"}


def figure_1(study: Study, out: ArtefactWriter, *, noise: float = 0.4) -> Figure:
    """Figure 1: a real image with its true labels and with the ones it got."""
    data, example = study.images, study.examples[noise]
    row, given = int(example["example_row"][0]), example["example_given"]
    names, true = np.array(data.class_names), data.targets[row]
    shown = np.flatnonzero((true == 1) | (given == 1))
    frame = pd.DataFrame({"class": names[shown], "true": true[shown], "given": given[shown]})
    with style():
        figure, axes = panels(1, 2, width=2.9, height=3.4)
        for axis, labels, title in zip(axes.flat, (true, given), ("true labels", "given labels"), strict=True):
            _show(axis, data, row)
            words = [f"{names[k]}{'' if true[k] == 1 else '  (wrong)'}" for k in np.flatnonzero(labels == 1)]
            axis.set_title(title, fontsize=9)
            axis.set_xlabel("\n".join(words), fontsize=9)
    wrong = ", ".join(frame["class"][(frame.given == 1) & (frame.true == 0)])
    caption = f"Figure 1. Swapped labels ({percent(noise)} %). {data.credit(row)}"
    alt = f"One photograph twice, with true and with given labels; wrong are: {wrong}"
    return out.figure("fig_1", figure, frame, caption=caption, alt=alt)


def _show(axis: Axes, data: Images, row: int) -> None:
    """An image without axes; an empty panel where there is no picture of it."""
    if row in data.pictures:
        axis.imshow(data.picture(row), interpolation="none")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def figure_2(study: Study, out: ArtefactWriter, *, noise: float = 0.4) -> Figure:
    """Figure 2: plain ASL's test mAP by epoch at 40 % noise, and on clean labels."""
    whole = study.of_baseline("asl").loc[lambda rows: rows.noise.isin([0.0, noise])]
    frame = pd.DataFrame({
        "series": np.where(whole.noise == 0, "clean reference", "test mAP"), "seed": whole.seed, "epoch": whole.epoch,
        MAP: whole["map"]})  # fmt: skip
    labels = {"test mAP": f"test mAP, {percent(noise)} % of the labels swapped", "clean reference": "clean reference"}
    with style():
        figure, axes = panels(1, 1, width=5.5, height=3.2)
        lines_by_series(axes[0, 0], frame, x="epoch", value=MAP, labels=labels)
        axes[0, 0].set_ylabel("mAP (%)")
        axes[0, 0].legend()
    last = frame[frame.epoch == frame.epoch.max()].groupby("series")[MAP].mean()
    return out.figure(
        "fig_2", figure, frame, deviations=deviations(study.source),
        caption=f"Figure 2. ASL with {percent(noise)} % random label noise.",
        alt=f"mAP by epoch; at the end {last['test mAP']:.1f} with noise and {last['clean reference']:.1f} without",
    )  # fmt: skip


def figure_3(out: ArtefactWriter) -> Figure:
    """Figure 3: one round of Multi-AL."""
    nodes = {
        "classifier (ASL)": ("classifier\n(ASL)", 0, 1),
        "mislabelling analysis: D1": ("mislabelling\nanalysis: D1", 1, 1),
        "probably clean images": ("probably clean\nimages", 2, 1),
        "noisy pool": ("noisy pool", 0, 0),
        "selection: entropy": ("selection:\nentropy", 1, 0),
        "relabelled images": ("relabelled\nimages", 2, 0),
    }
    arrows = [
        ("classifier (ASL)", "mislabelling analysis: D1", "predictions"),
        ("noisy pool", "mislabelling analysis: D1", "given labels"),
        ("mislabelling analysis: D1", "probably clean images", "25 i lowest D1"),
        ("noisy pool", "selection: entropy", "all images"),
        ("mislabelling analysis: D1", "selection: entropy", "pairs (CBIM only)"),
        ("selection: entropy", "relabelled images", "50 to the expert"),
    ]
    with style():
        figure = diagram(nodes, arrows)
        figure.axes[0].set_title("both train the classifier for 20 epochs: next round", loc="right", fontsize=8, pad=0)
    rows = [("node", name, "", "") for name in nodes] + [("arrow", *arrow) for arrow in arrows]
    frame = pd.DataFrame(rows, columns=["kind", "name", "to", "label"])
    return out.figure("fig_3", figure, frame, caption="Figure 3. Pipeline of a training round, redrawn.",
                      alt="Boxes and arrows: analysis, selection and training, as listed in the CSV")  # fmt: skip


def figure_4(study: Study, out: ArtefactWriter, *, noise: float = 0.4) -> Figure:
    """Figure 4: the pairs of conflicting labels of a real image, with each pair's D1 (Eq. 2)."""
    data, example = study.images, study.examples[noise]
    pairs = conflicting_pairs(example["example_probabilities"][None], example["example_given"][None])
    names, chance = data.class_names, example["example_probabilities"]
    frame = pd.DataFrame({
        "predicted": [names[k] for k in pairs.predicted], "given": [names[k] for k in pairs.given],
        "P(predicted)": chance[pairs.predicted], "P(given)": chance[pairs.given], "D1": pairs.likelihood})  # fmt: skip
    with style():
        figure, axes = panels(1, 2, width=3.4, height=3.2, gridspec_kw={"width_ratios": [1, 2]})
        _show(axes[0, 0], data, int(example["example_row"][0]))
        _draw_pairs(axes[0, 1], frame)
    return out.figure(
        "fig_4", figure, frame, caption=f"Figure 4. Label pairs. {data.credit(int(example['example_row'][0]))}",
        alt=f"{len(frame)} pairs of predicted and given labels in conflict; the largest D1 is {frame.D1.max():.2f}",
    )  # fmt: skip


def _draw_pairs(axis: Axes, frame: pd.DataFrame) -> None:
    """Predicted labels on the left, given ones on the right, a line with its D1 for every pair."""
    axis.axis("off")
    sides = {side: list(dict.fromkeys(frame[side])) for side in ("predicted", "given")}
    height = {side: {name: -place for place, name in enumerate(names)} for side, names in sides.items()}
    for side, x in (("predicted", 0), ("given", 1)):
        for name in sides[side]:
            chance = frame.loc[frame[side] == name, f"P({side})"].iloc[0]
            align = "right" if x == 0 else "left"
            axis.text(x, height[side][name], f" {name} ({chance:.2f}) ", ha=align, va="center", fontsize=9)
        axis.text(x, 0.6, side, ha="right" if x == 0 else "left", fontsize=9, weight="bold")
    for row in frame.itertuples():
        y0, y1 = height["predicted"][row.predicted], height["given"][row.given]
        axis.plot([0, 1], [y0, y1], color="black", linewidth=0.6 + 1.6 * row.D1)
        # Lines cross in the middle: numbers stand before it.
        axis.text(0.25, y0 + 0.25 * (y1 - y0), f"{row.D1:.2f}", fontsize=8, ha="center", va="center",
                  bbox={"fc": "white", "ec": "none", "pad": 0.8})  # fmt: skip
    axis.set(xlim=(-0.9, 1.9), ylim=(-max(map(len, sides.values())) + 0.4, 0.9))


def figure_5(study: Study, out: ArtefactWriter, *, noise: float = 0.4, shown: int = 16) -> Figure:
    """Figure 5 and Eq. 3: what each feature contributes to the labels in conflict; the strongest features are drawn."""
    data, example = study.images, study.examples[noise]
    matrix = contribution_matrix(example["example_weights"], example["example_features"])
    pairs = conflicting_pairs(example["example_probabilities"][None], example["example_given"][None])
    labels = list(dict.fromkeys([*pairs.predicted.tolist(), *pairs.given.tolist()]))
    strongest = np.argsort(-np.abs(matrix[labels]).max(axis=0), kind="stable")[:shown]
    frame = pd.DataFrame([
        {"class": data.class_names[k], "predicted": k in pairs.predicted, "feature": int(i),
         "weight": example["example_weights"][k, i], "z": example["example_features"][i], "contribution": matrix[k, i]}
        for k in labels for i in strongest])  # fmt: skip
    with style():
        figure, axes = panels(2, 1, width=8, height=2.4)
        _draw_layers(axes[0, 0])
        words = [f"{data.class_names[k]} ({'predicted' if k in pairs.predicted else 'given'})" for k in labels]
        image = _draw_contributions(axes[1, 0], matrix[np.ix_(labels, strongest)], words, strongest)
        figure.colorbar(image, ax=axes[1, 0], label="contribution")
    caption = "Figure 5. The last two layers, and the contributions of the strongest features in the image of Figure 4."
    alt = f"Contributions of {shown} features to {len(labels)} labels; the largest is {image.norm.vmax:.2f}"
    return out.figure("fig_5", figure, frame, caption=caption, alt=alt)


def _draw_contributions(axis: Axes, values: np.ndarray, labels: list[str], features: np.ndarray) -> AxesImage:
    """A heat map of labels by features with its numbers, white on dark cells."""
    reach = np.abs(values).max()
    image = axis.imshow(values, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xticks(range(len(features)), features, fontsize=7)
    axis.set_xlabel("feature")
    axis.grid(False)
    for (y, x), value in np.ndenumerate(values):
        luminance = np.dot(image.cmap(image.norm(value))[:3], (0.299, 0.587, 0.114))
        number = f"{round(value, 2) + 0:.2f}"  # + 0: no negative zero
        look = {"fontsize": 6, "color": "white" if luminance < 0.5 else "black"}
        axis.text(x, y, number, ha="center", va="center", **look)
    return image


def _draw_layers(axis: Axes) -> None:
    boxes = {"$z_1$": (0.2, 0.85), "$z_2$": (0.2, 0.5), r"$z_\lambda$": (0.2, 0.15),
             "$y_1$": (0.8, 0.75), "$y_L$": (0.8, 0.25)}  # fmt: skip
    axis.axis("off")
    for name, place in boxes.items():
        axis.text(*place, name, ha="center", va="center", bbox={"boxstyle": "circle", "fc": "white", "ec": "black"})
    for left, right in ((a, b) for a in list(boxes)[:3] for b in list(boxes)[3:]):
        arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 14, "shrinkB": 14, "linewidth": 0.7}
        axis.annotate("", boxes[right], boxes[left], arrowprops=arrow)
    axis.text(0.5, 0.98, r"$w_{1,1} z_1$", ha="center", fontsize=8)
    axis.text(0.5, 0.02, r"$w_{\lambda,L} z_\lambda$", ha="center", fontsize=8)
    axis.set(xlim=(0, 1), ylim=(0, 1.08))
    axis.set_title("second-to-last layer (features z)  →  last layer (labels y)", fontsize=9)


def figure_6(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 6: the initial classifier by training length, on its 100 images and on the test images."""
    frame = study.initial.melt(["seed", "epoch"], ["train", "validation"], "series", MAP)
    with style():
        figure, axes = panels(1, 1, width=5.5, height=3.2)
        lines_by_series(axes[0, 0], frame, x="epoch", value=MAP, labels={"train": "train", "validation": "validation"})
        axes[0, 0].axvline(study.protocol.epochs, color="black", linestyle="--", linewidth=1, label="stop")
        axes[0, 0].set_ylabel("mAP (%)")
        axes[0, 0].legend(loc="center right")
    table = study.initial.groupby("epoch").validation.mean()
    early, late = table[study.protocol.epochs], table.iloc[-1]
    return out.figure(
        "fig_6", figure, frame[["series", "seed", "epoch", MAP]],
        caption="Figure 6. Training and validation accuracy of the initial classifier. The dashed line: the stop.",
        alt=f"validation mAP {early:.1f} at the stop and {late:.1f} at the end",
        headline=Headline("validation mAP gained by training on past 20 epochs", "little", f"{late - early:+.2f}", ""),
    )  # fmt: skip


def level_figure(study: Study, out: ArtefactWriter, noise: float) -> Figure:
    """Figures 7 to 9: the strategies at one noise level, along the way and at the end."""
    cell = study.defaults()
    columns = {"strategy": "series", "labelled": "labelled images", "map": MAP, "map_without_person": WITHOUT}
    frame = cell[cell.noise == noise].rename(columns=columns)[["series", "seed", "labelled images", MAP, WITHOUT]]
    final = frame[frame["labelled images"] == frame["labelled images"].max()].drop(columns="labelled images")
    with style():
        figure, axes = panels(1, 2, width=4.6, height=3.6)
        lines_by_series(axes[0, 0], frame, x="labelled images", value=MAP, labels=study.series)
        bars_by_series(axes[0, 1], final, value=MAP, labels=study.series)
        axes[0, 0].set(title="(a) along the way", ylabel="mAP (%)")
        axes[0, 1].set(title="(b) at the end", ylabel="final mAP (%)")
        axes[0, 0].legend(fontsize=8)
    id, means = LEVEL_FIGURES[noise], final.groupby("series")[MAP].mean()
    gain = means["multi_al_safe"] - means["random"]
    said = "+3 (20 and 40 %)" if noise < 0.6 else "about +2 (all levels)"
    return out.figure(
        id, figure, {"a": frame, "b": final}, deviations=deviations(study.source),
        caption=f"{title(id)} {percent(noise)} % label noise: mAP of the strategies, 95 % intervals.",
        alt="final mAP: "
        + ", ".join(f"{label} {means[name]:.1f}" for name, label in study.series.items() if name in means),
        headline=Headline(f"Multi-AL minus random, final mAP, {percent(noise)} %", said, f"{gain:+.2f}", ""),
    )  # fmt: skip


def figure_10(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 10: plain ASL on the whole noisy set against Multi-AL, by noise."""
    final = study.final().reset_index()
    frame = final.melt(["noise", "seed"], ["asl", "multi_al_safe"], "series", MAP)
    frame["noise %"] = (100 * frame.noise).round().astype(int)
    labels = {"multi_al_safe": "Multi-AL (600 relabelled, 250 Safe)", "asl": "ASL on the whole noisy set"}
    with style():
        figure, axes = panels(1, 1, width=5.5, height=3.2)
        lines_by_series(axes[0, 0], frame, x="noise %", value=MAP, labels=labels)
        axes[0, 0].set(xlabel="swapped labels (%)", xticks=sorted(frame["noise %"].unique()), ylabel="mAP (%)")
        axes[0, 0].legend()
    drawn = study.in_draws()
    gain = estimate(mean_but(drawn.multi_al_safe - drawn.asl, "noise"))
    return out.figure(
        "fig_10", figure, frame[["series", "seed", "noise %", MAP]], deviations=deviations(study.source),
        caption="Figure 10. Plain ASL on the whole noisy set against Multi-AL; 95 % intervals.",
        alt=f"mAP by noise; Multi-AL gains {gain.mean:.1f} points over ASL on average",
        headline=Headline("gain over ASL, mean over the noise levels, points", "28", str(gain), ""),
    )  # fmt: skip


def figure_fair_baselines(study: Study, out: ArtefactWriter) -> Figure:
    """Multi-AL against ASL that has seen clean images too: 100, 600, or the 100 as what it is stopped on; and mixup."""
    found = study.baselines().join(study.final().multi_al_safe)
    frame = found.reset_index().melt(["noise", "seed"], var_name="series", value_name=MAP)
    frame["noise %"] = (100 * frame.noise).round().astype(int)
    labels = {"multi_al_safe": SERIES["multi_al_safe"]} | BASELINE_SERIES
    with style():
        figure, axes = panels(1, 1, width=6.5, height=4.2)
        lines_by_series(axes[0, 0], frame, x="noise %", value=MAP, labels=labels)
        axes[0, 0].set(xlabel="swapped labels (%)", xticks=sorted(frame["noise %"].unique()), ylabel="mAP (%)")
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    means = found.mean()
    return out.figure(
        "fair_baselines", figure, frame[["series", "seed", "noise %", MAP]], deviations=deviations(study.source),
        caption="Multi-AL against baselines that see clean images as it does; 95 % intervals.",
        alt="mean mAP over the noise levels: "
        + ", ".join(f"{labels[name]} {means[name]:.1f}" for name in labels if name in means),
    )  # fmt: skip


def surface_figure(study: Study, out: ArtefactWriter) -> Figure:
    """mAP by learning rate: one panel for each number of epochs of a training."""
    return surface_report.surface_figure(study.surface, SURFACE_SHOWN, out, deviations=deviations(study.source))
