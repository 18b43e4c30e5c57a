"""Tables and figures of the paper, each one function of the study; the published values stand beside ours."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from nlcore.data.extended_coco import ExtendedCoco, class_statistics, count_labels, label_quality
from nlcore.papers.teacher_student.data import TEST, TRAIN, VALIDATION, embedded_once, load_source, make_problem
from nlcore.papers.teacher_student.methods import METHODS
from nlcore.papers.teacher_student.study import SCORES, WITHOUT_FRACTION, Study
from nlcore.report.contract import artefacts, published
from nlcore.report.figures import diagram, line_with_band, panels, series_style, style
from nlcore.report.verdicts import estimate
from nlcore.report.writer import ArtefactWriter, Headline

NAMES = {
    "noisy": "noisy labels only",
    "finetune_whole": "fine-tune whole network",
    "finetune_last": "fine-tune last layer",
    "finetune_mixed": "last layer, mixed labels",
    "veit_pretrained": "Veit et al., pre-trained",
    "veit_joint": "Veit et al., joint",
    "proposed": "proposed",
    "ground_truth": "ground truth",
}
OPEN = {"linestyle": "none", "markerfacecolor": "none", "markersize": 6}  # a published value
FROZEN = (
    "Features of a frozen ImageNet MobileNetV2 stand for the pixels; the network is a multi-layer head on them (512 "
    "ReLU units, the shared features f), so 'whole network' means that head. Rates are ten times the paper's, "
    "since a pass has 23 batches instead of 1,066. A fifth of the training part is for validation."
)


def table_1(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 1: annotations by part, clean and noisy, beside the published counts."""
    said, rows = published("teacher_student")["table_1"], []
    problem = make_problem(study.setting, 0, study.labels)
    for part in ("train", "validation", "test"):
        index = getattr(problem, part).numpy()
        for kind in ("clean", "noisy"):
            ours = count_labels(getattr(problem, kind).numpy()[index])
            paper = dict(zip(ours, said[part][kind], strict=True))
            row = {"part": part, "labels": kind, "images": len(index)}
            for name in ours:
                row |= {f"{name}, published": paper[name], name: ours[name]}
            rows.append(row)
    ours = rows[1]["labels per image"]
    return out.table(
        "table_1",
        pd.DataFrame(rows),
        caption="Table 1. Extended COCO: what the paper has, and what is used here (division of seed 0).",
        headline=Headline("noisy labels per training image", "1.67", f"{ours:.2f}", f"{ours - 1.67:+.2f}"),
        deviations=_deviations(study),
    )


def quality_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Which share of the noisy labels is right, and of the true ones missing, beside the text's numbers."""
    said = published("teacher_student")["text"]
    ours = label_quality(study.labels.arrays["clean"], study.labels.arrays["noisy"])
    counted = 1 - said["noisy_annotations"] * said["noisy_labels_right"] / 224107
    rows = [
        {"quantity": "noisy labels that are right", "published": said["noisy_labels_right"], "from Table 1": None,
         "ours": ours["noisy_labels_right"]},
        {"quantity": "true labels that are missing", "published": said["true_labels_missing"], "from Table 1": counted,
         "ours": ours["true_labels_missing"]},
    ]  # fmt: skip
    return out.table("label_quality", pd.DataFrame(rows), caption="Quality of the noisy labels.")


def table_2(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 2: every method at 5, 30 and 50 % clean labels."""
    return _score_table(
        study, out, "table_2", METHODS, (0.05, 0.3, 0.5), "Table 2. All methods by share of clean labels."
    )


def table_3(study: Study | None, out: ArtefactWriter, *, missing: str = "") -> pd.DataFrame:
    """Table 3: Open Images V1. Without the data: the published values, and empty places for ours."""
    said, rows = published("teacher_student")["table_3"], []
    for method in METHODS[:-1]:
        row = {"series": method}
        for metric, paper in zip(SCORES, said[method], strict=True):
            row |= {f"{metric}, published": paper, **_cell(study, method, 1.0, metric)}
        rows.append(row)
    caption = "Table 3. Open Images V1." + (f" Not run: {missing}" if missing else "")
    return out.table("table_3", pd.DataFrame(rows), caption=caption, deviations=missing)


def ablation_table(study: Study, out: ArtefactWriter, id: str) -> pd.DataFrame:
    """One of Tables 4, 5, 6: a choice in the proposed network, at 5 and 10 %; proposed = both = hard."""
    series = {"table_4": ("linear", "proposed"), "table_5": ("none", "teacher_only", "student_only", "both"),
              "table_6": ("soft", "hard")}[id]  # fmt: skip
    what = {"table_4": "Linear against non-linear", "table_5": "Pre-training", "table_6": "Soft against hard labels"}[
        id
    ]
    return _score_table(study, out, id, series, (0.05, 0.1), f"Table {id[-1]}. {what}.")


def activation_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """The non-linear maps that the paper says differ little; it prints no numbers."""
    rows = []
    for series in ("proposed", "tanh", "relu"):
        row = {"series": "sigmoid" if series == "proposed" else series}
        for metric in SCORES:
            for fraction in (0.05, 0.1):
                row |= _cell(study, series, fraction, metric, f"{metric} {fraction:.0%}")
        rows.append(row)
    return out.table("activations", pd.DataFrame(rows), caption="Sigmoid, tanh and ReLU in both heads.")


def _score_table(
    study: Study, out: ArtefactWriter, id: str, names: Sequence[str], fractions: Sequence[float], caption: str
) -> pd.DataFrame:
    """Rows: series. Columns: mAP, then AP_all, at each share: published, ours, half width of the 95 % interval."""
    said, rows = published("teacher_student")[id], []
    for series in names:
        row = {"series": series}
        places = [(metric, fraction) for metric in SCORES for fraction in fractions]
        for (metric, fraction), paper in zip(places, said[series], strict=True):
            name = f"{metric} {fraction:.0%}"
            row |= {f"{name}, published": paper, **_cell(study, _run_name(series), fraction, metric, name)}
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["seeds"] = [len(study.values(_run_name(name), fractions[0], "mAP")) for name in names]
    name = f"mAP {fractions[0]:.0%}"
    best = frame.set_index("series").loc[names[-1] if id != "table_2" else "proposed"]
    ours, paper = best[name], best[f"{name}, published"]
    headline = Headline(f"proposed, {name} clean", f"{paper:.4f}", f"{ours:.4f}", f"{ours - paper:+.4f}")
    return out.table(id, frame, caption=caption, deviations=_deviations(study), headline=headline)


def _run_name(series: str) -> str:
    return "proposed" if series in ("both", "hard") else series


def _cell(study: Study | None, series: str, fraction: float, metric: str, name: str | None = None) -> dict[str, float]:
    values = [] if study is None else study.values(series, fraction, metric)
    if not len(values):
        return {name or metric: np.nan, f"{name or metric} ±": np.nan}
    found = estimate(values)
    return {name or metric: found.mean, f"{name or metric} ±": found.high - found.mean if found.seeds > 1 else np.nan}


def figure_1(study: Study, out: ArtefactWriter, *, count: int = 6) -> Figure:
    """Figure 1: real images with their clean and their noisy labels."""
    rows = _pictured(study, TRAIN)[:count]
    clean, noisy = study.labels.arrays["clean"], study.labels.arrays["noisy"]
    data = pd.DataFrame(
        [
            {"image": _image_id(study, i), "clean": _names(study, clean[i]), "noisy": _names(study, noisy[i])}
            for i in rows
        ]
    )
    with style():
        figure, axes = _picture_grid(study, rows, columns=3)
        for axis, row in zip(axes.flat, data.itertuples(), strict=False):
            axis.set_title(_wrapped(f"clean: {row.clean or '(none)'}", f"noisy: {row.noisy}"), fontsize=8, loc="left")
    caption = f"Figure 1. Images with clean and noisy labels. {_credits(study, rows)}"
    alt = "; ".join(f"clean {row.clean}, noisy {row.noisy}" for row in data.itertuples())
    return out.figure("fig_1", figure, data, caption=caption, alt=alt)


def figure_2(out: ArtefactWriter) -> Figure:
    """Figure 2: shared features, two heads, and what supervises each."""
    nodes = {
        "images": ("images of V and T\n(1 : 9)", 0, 1),
        "f": ("base network f\n(frozen)", 1, 1),
        "teacher": ("teacher g\nlinear, sigmoid, linear", 2, 2),
        "student": ("student h\nlinear, sigmoid, linear", 2, 0),
        "clean": ("clean labels v\nof V", 3, 2),
        "hard": ("hard labels:\nc ≥ 0.4 (constant)", 3, 1),
        "mixed": ("mixed labels\nclean on V, hard on T", 3, 0),
    }
    arrows = [
        ("images", "f", ""),
        ("f", "teacher", ""),
        ("f", "student", ""),
        ("teacher", "hard", "on T"),
        ("clean", "teacher", "0.1 · Eq. 3"),
        ("hard", "mixed", ""),
        ("mixed", "student", "1.0 · Eq. 4"),
    ]
    return _diagram(out, "fig_2", nodes, arrows, "Figure 2. Shared features, two heads, and their supervision.")


def figure_3(out: ArtefactWriter) -> Figure:
    """Figure 3: the training stages."""
    nodes = {
        "backbone": ("stage 0: base network\nnoisy labels of V and T", 0, 1),
        "pretrain_g": ("stage 1: teacher g\nnoisy labels (Eq. 2)", 1, 2),
        "pretrain_h": ("stage 1: student h\nnoisy labels (Eq. 2)", 1, 0),
        "joint_g": ("stage 2: teacher g\nclean labels of V (Eq. 3)", 2, 2),
        "joint_h": ("stage 2: student h\nmixed labels (Eq. 4)", 2, 0),
        "test": ("prediction\nby the student", 3, 0),
    }
    arrows = [
        ("backbone", "pretrain_g", "features"),
        ("backbone", "pretrain_h", "features"),
        ("pretrain_g", "joint_g", ""),
        ("pretrain_h", "joint_h", ""),
        ("joint_g", "joint_h", "hard labels"),
        ("joint_h", "test", ""),
    ]
    return _diagram(out, "fig_3", nodes, arrows, "Figure 3. The training stages.")


def _diagram(out: ArtefactWriter, id: str, nodes: dict[str, tuple], arrows: list[tuple], caption: str) -> Figure:
    with style():
        figure = diagram(nodes, arrows)
    boxes = pd.DataFrame(
        [("node", name, *box) for name, box in nodes.items()], columns=["kind", "node", "text", "x", "y"]
    )
    joins = pd.DataFrame([("arrow", *join) for join in arrows], columns=["kind", "from", "to", "text"])
    data = pd.concat([boxes, joins])[["kind", "node", "from", "to", "text", "x", "y"]]
    said = ", ".join(f"{a} to {b}" for a, b, _ in arrows)
    return out.figure(id, figure, data, caption=caption, alt=f"Boxes joined by arrows: {said}")


def figure_4(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 4: class frequency, clean and noisy, and the share of noisy labels that are right."""
    arrays = study.labels.arrays
    names = tuple(study.labels.values["class_names"])
    frame = class_statistics(ExtendedCoco(arrays["rows"], arrays["clean"], arrays["noisy"], names))
    looks, place = series_style(["clean", "noisy"]), np.arange(len(frame))
    with style():
        figure, axes = panels(2, 1, width=9, height=2.9, sharex=True)
        for name, look in looks.items():
            axes[0, 0].plot(place, frame[name], label=f"{name} labels", linestyle="none", markersize=4, **look)
        axes[0, 0].set(yscale="symlog", ylabel="annotations (log scale)", title="(a)")
        axes[0, 0].legend(loc="upper right")
        total = label_quality(arrays["clean"], arrays["noisy"])["noisy_labels_right"]
        axes[1, 0].bar(place, frame.right, color=looks["noisy"]["color"], width=0.7)
        axes[1, 0].axhline(total, color="black", linestyle="--", label=f"over all classes: {total:.1%} (paper: 91.5%)")
        axes[1, 0].set(ylabel="share of noisy labels\nthat are right", title="(b)")
        axes[1, 0].set(ylim=(0, 1.2), yticks=np.linspace(0, 1, 6))  # a share ends at 1; above is the legend
        axes[1, 0].set_xticks(place, frame["class"], rotation=90, fontsize=7)
        axes[1, 0].set_xlim(-1, len(frame))
        axes[1, 0].legend(loc="upper right")
    frequency = frame.melt(id_vars="class", value_vars=["clean", "noisy"], var_name="series", value_name="annotations")
    parts = {"a": frequency, "b": frame[["class", "right", "missing"]].assign(series="noisy")}
    return out.figure(
        "fig_4",
        figure,
        parts,
        caption="Figure 4. Annotations by class (a), share of noisy labels that are right (b); one order of classes.",
        alt=f"Annotations fall from {frame.clean.max()} to {frame.clean.min()}; {total:.1%} of noisy labels are right",
        headline=Headline(
            "noisy labels that are right", "91.5%", f"{total:.1%}", f"{100 * (total - 0.915):+.1f} points"
        ),
        deviations=_deviations(study),
    )


def figure_5(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 5: mAP and AP_all by share of clean labels, with 95 % bands; open markers are published (Table 2)."""
    names = artefacts("teacher_student")["fig_5"]["series"]
    looks, said = series_style(METHODS), published("teacher_student")["table_2"]
    fractions, parts = study.fractions(), {}
    with style():
        figure, axes = panels(1, 2, width=4.8, height=4.0)
        for axis, panel, metric, first in zip(axes[0], "ab", SCORES, (0, 3), strict=True):
            rows = []
            for name, aside in zip(names, np.linspace(-1, 1, len(names)), strict=True):
                values = np.stack([study.values(name, fraction, metric) for fraction in fractions], axis=1)
                line = {"linestyle": "--" if name in WITHOUT_FRACTION else "-", **looks[name]}
                line_with_band(axis, [100 * f for f in fractions], values, label=NAMES[name], **line)
                rows += _long(name, study, fractions, metric)
                places = np.array([5, 30, 50]) + aside  # side by side: many values nearly coincide
                axis.plot(places, said[name][first : first + 3], **looks[name], **OPEN)
            what = metric.replace("AP_all", "AP over all cells")
            axis.set(xlabel="images with clean labels, %", ylabel=what, title=f"({panel})")
            parts[panel] = pd.DataFrame(rows)
        axes[0, 0].plot([], [], "ko", label="published (same marker, open; moved sideways)", **OPEN)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    ours = {name: study.values(name, fractions[0], "mAP").mean() for name in names}
    gap = ours["proposed"] - ours["finetune_whole"]
    headline = Headline("proposed minus whole, mAP at 5 %", "+0.0304", f"{gap:+.4f}", f"{gap - 0.0304:+.4f}")
    return out.figure(
        "fig_5",
        figure,
        parts,
        caption="Figure 5. mAP (a) and AP_all (b) by share of clean labels; bands are 95 % intervals over the seeds.",
        alt=f"At {fractions[0]:.0%} clean the order by mAP is {', '.join(sorted(ours, key=ours.get, reverse=True))}",
        headline=headline,
        deviations=_deviations(study),
    )


def _long(name: str, study: Study, fractions: Sequence[float], metric: str) -> list[dict]:
    return [
        {"series": name, "seed": seed, "fraction": fraction, metric: value}
        for fraction in fractions
        for seed, value in study.values(name, fraction, metric).items()
    ]


def figure_6(study: Study, out: ArtefactWriter, *, count: int = 6) -> Figure:
    """Figure 6: the five likeliest classes by three methods on real test images; true ones in brackets and bold."""
    shown = ("noisy", "finetune_whole", "proposed")
    tested = np.flatnonzero(study.labels.arrays["parts"] == TEST)
    many = study.labels.arrays["clean"].sum(axis=1) >= 2
    rows = [i for i in _pictured(study, TEST) if many[i]][:count]
    table = []
    for i in rows:
        for method in shown:
            scores = study.qualitative[method].arrays["probabilities"][np.searchsorted(tested, i)]
            for rank, k in enumerate(np.argsort(-scores, kind="stable")[:5], start=1):
                table.append(
                    {"image": _image_id(study, i), "series": method, "rank": rank, "class": _class_names(study)[k],
                     "probability": scores[k], "true": bool(study.labels.arrays["clean"][i, k])}
                )  # fmt: skip
    data = pd.DataFrame(table)
    with style():
        figure, axes = _picture_grid(study, rows, columns=3, room=0.9)
        for axis, (_, part) in zip(axes.flat, data.groupby("image", sort=False), strict=False):
            for place, (method, top) in enumerate(part.groupby("series", sort=False)):
                _prediction_list(axis, place, method, top)
    return out.figure(
        "fig_6",
        figure,
        data,
        caption=f"Figure 6. Top-5 predictions, smallest share of clean labels, first seed; [true] ones in brackets. "
        f"{_credits(study, rows)}",
        alt=", ".join(
            f"{m}: {part.true.mean():.0%} of the top five are true" for m, part in data.groupby("series", sort=False)
        ),
    )


def _prediction_list(axis: Axes, place: int, method: str, top: pd.DataFrame) -> None:
    """Five classes below a picture, in one of three columns that are as wide as the longest class name."""
    title = {"noisy": "noisy", "finetune_whole": "whole", "proposed": "proposed"}[method]
    look = {"xycoords": ("axes fraction", "axes fraction"), "textcoords": "offset points", "va": "top", "fontsize": 7}
    axis.annotate(title, (0, 0), (72 * place, -4), style="italic", **look)
    for line, row in enumerate(top.itertuples(), start=1):
        text, weight = (f"[{row[4]}]", "bold") if row.true else (row[4], "normal")
        axis.annotate(text, (0, 0), (72 * place, -4 - 10 * line), weight=weight, **look)


def corrections(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What the teacher does to the labels of the training images of T: which errors it removes, which it makes."""
    arrays, told = study.labels.arrays, study.qualitative["proposed"].arrays["teacher_labels"]
    problem = make_problem(study.setting, _first_seed(study), study.labels)
    rest = problem.verified(study.fractions()[0])[1].numpy()
    clean, noisy, told = arrays["clean"][rest], arrays["noisy"][rest], told[rest]
    cells = [
        (
            "noisy label wrong, teacher removes it",
            (noisy == 1) & (clean == 0) & (told == 0),
            (noisy == 1) & (clean == 0),
        ),
        (
            "noisy label right, teacher removes it",
            (noisy == 1) & (clean == 1) & (told == 0),
            (noisy == 1) & (clean == 1),
        ),
        ("true label missing, teacher adds it", (noisy == 0) & (clean == 1) & (told == 1), (noisy == 0) & (clean == 1)),
        (
            "label rightly absent, teacher adds it",
            (noisy == 0) & (clean == 0) & (told == 1),
            (noisy == 0) & (clean == 0),
        ),
    ]
    rows = [
        {"what": name, "cells": int(hit.sum()), "of": int(of.sum()), "share": hit.sum() / of.sum()}
        for name, hit, of in cells
    ]
    before, after = label_quality(clean, noisy), label_quality(clean, told)
    for name in before:
        rows.append({"what": f"{name.replace('_', ' ')}: before", "share": before[name]})
        rows.append({"what": f"{name.replace('_', ' ')}: by the teacher", "share": after[name]})
    caption = f"The teacher's labels for the other training images, {study.fractions()[0]:.0%} verified, first seed."
    return out.table("corrections", pd.DataFrame(rows), caption=caption)


def correction_figure(study: Study, out: ArtefactWriter, *, count: int = 6) -> Figure:
    """Before and after: noisy and teacher labels of real training images, the largest changes first."""
    arrays, told = study.labels.arrays, study.qualitative["proposed"].arrays["teacher_labels"]
    better = (arrays["noisy"] != arrays["clean"]).sum(axis=1) - (told != arrays["clean"]).sum(axis=1)
    verified = make_problem(study.setting, _first_seed(study), study.labels).verified(study.fractions()[0])[0]
    pictured = np.setdiff1d(_pictured(study, TRAIN), verified.numpy())  # what the teacher was told does not count
    order = pictured[np.argsort(-better[pictured], kind="stable")]
    rows = [*order[: count // 2], *order[::-1][: count - count // 2]]
    data = pd.DataFrame(
        [{"image": _image_id(study, i), "clean": _names(study, arrays["clean"][i]),
          "before": _names(study, arrays["noisy"][i]), "after": _names(study, told[i]), "fewer_errors": better[i]}
         for i in rows]
    )  # fmt: skip
    with style():
        figure, axes = _picture_grid(study, rows, columns=3)
        for axis, row in zip(axes.flat, data.itertuples(), strict=False):
            lines = (f"clean: {row.clean or '(none)'}", f"before: {row.before}", f"teacher: {row.after or '(none)'}")
            axis.set_title(_wrapped(*lines), fontsize=8, loc="left")
    caption = f"Largest improvements (top) and damages (bottom) by the teacher. {_credits(study, rows)}"
    alt = f"Errors removed per image: {', '.join(str(n) for n in data.fewer_errors)}"
    return out.figure("teacher_before_after", figure, data, caption=caption, alt=alt)


def equal_budgets(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Section "Why": the same methods after equal numbers of updates, beside the paper's unequal ones."""
    rows = []
    used = study.scores[study.scores.equal_budget]
    for fraction in sorted(used.fraction.unique()):
        for series in ("proposed", "finetune_whole", "finetune_last"):
            row = {"share of clean labels": f"{fraction:.0%}", "series": series}
            for equal, name in ((False, "paper's budgets"), (True, "equal budgets")):
                for metric in (*SCORES, "updates"):
                    row[f"{metric}, {name}"] = study.values(series, fraction, metric, equal_budget=equal).mean()
            rows.append(row)
    caption = (
        "Paper's budgets with early stopping, and equal numbers of updates without it (best validation pass kept)."
    )
    return out.table("why_equal_budgets", pd.DataFrame(rows), caption=caption)


def _pictured(study: Study, part: int) -> list[int]:
    """Rows of one part whose picture may be shown, in a fixed order, those with about three clean labels first."""
    arrays = study.labels.arrays
    usable = np.isin(arrays["parts"], [part, VALIDATION] if part == TRAIN else [part])
    if study.setting.dataset == "embedded":
        usable &= np.isin(arrays["rows"], list(embedded_once().thumbnails))
    found = np.flatnonzero(usable)
    return found[np.argsort(abs(arrays["clean"][found].sum(axis=1) - 3), kind="stable")].tolist()


def _picture(study: Study, row: int) -> np.ndarray:
    place = int(study.labels.arrays["rows"][row])
    if study.setting.dataset == "embedded":
        return np.asarray(Image.open(embedded_once().thumbnails[place]).convert("RGB"))
    return load_source(study.setting).inputs[place]


def _picture_grid(study: Study, rows: Sequence[int], *, columns: int, room: float = 0.0) -> tuple[Figure, np.ndarray]:
    """One picture per panel, at the left edge; `room` in inches below each."""
    figure, axes = panels(-(-len(rows) // columns), columns, width=3.2, height=2.7 + room)
    for axis in axes.flat:
        axis.axis("off")
        axis.set_anchor("NW")
    for axis, row in zip(axes.flat, rows, strict=False):
        axis.imshow(_picture(study, row))
    return figure, axes


def _wrapped(*lines: str, width: int = 46) -> str:
    return "\n".join(textwrap.fill(line, width) for line in lines)


def _class_names(study: Study) -> list[str]:
    return study.labels.values["class_names"]


def _names(study: Study, labels: np.ndarray) -> str:
    return ", ".join(_class_names(study)[k] for k in np.flatnonzero(labels))


def _image_id(study: Study, row: int) -> int:
    place = int(study.labels.arrays["rows"][row])
    return int(embedded_once().coco_ids[place]) if study.setting.dataset == "embedded" else place


def _credits(study: Study, rows: Sequence[int]) -> str:
    if study.setting.dataset != "embedded":
        return ""
    return "Pictures: " + "; ".join(embedded_once().credit(int(study.labels.arrays["rows"][i])) for i in rows) + "."


def _first_seed(study: Study) -> int:
    return int(study.scores.seed.min())


def _deviations(study: Study) -> str:
    return FROZEN if study.setting.dataset == "embedded" else ""
