"""The paper's figures, each one function of the study."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.data.extended_coco import ExtendedCoco, class_statistics, label_quality
from nlcore.papers.teacher_student.problem import TEST, TRAIN, VALIDATION
from nlcore.papers.teacher_student.protocol import CONTRACT, METHODS
from nlcore.papers.teacher_student.study import SCORES, WITHOUT_FRACTION, Study
from nlcore.papers.teacher_student.words import deviations
from nlcore.report.figures import diagram, line_with_band, panels, series_style, style
from nlcore.report.writer import ArtefactWriter, Headline

OPEN = {"linestyle": "none", "markerfacecolor": "none", "markersize": 6}  # a published value


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
        deviations=deviations(study.source),
    )


def figure_5(study: Study, out: ArtefactWriter) -> Figure:
    """Figure 5: mAP and AP_all by share of clean labels, with 95 % bands; open markers are published (Table 2)."""
    names = [*CONTRACT.artefacts()["fig_5"]["series"], *study.own]
    looks, said = series_style([*METHODS, *study.own]), CONTRACT.published()["table_2"]
    fractions, parts = study.fractions(), {}
    with style():
        figure, axes = panels(1, 2, width=4.8, height=4.0)
        for axis, panel, metric, first in zip(axes[0], "ab", SCORES, (0, 3), strict=True):
            rows = []
            for name, aside in zip(names, np.linspace(-1, 1, len(names)), strict=True):
                values = np.stack([study.values(name, fraction, metric) for fraction in fractions], axis=1)
                line = {"linestyle": "--" if name in WITHOUT_FRACTION else "-", **looks[name]}
                line_with_band(axis, [100 * f for f in fractions], values, label=study.series[name], **line)
                rows += _long(name, study, fractions, metric)
                places = np.array([5, 30, 50]) + aside  # side by side: many values nearly coincide
                if name in said:
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
        deviations=deviations(study.source),
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


def correction_figure(study: Study, out: ArtefactWriter, *, count: int = 6) -> Figure:
    """Before and after: noisy and teacher labels of real training images, the largest changes first."""
    arrays, told = study.labels.arrays, study.qualitative["proposed"].arrays["teacher_labels"]
    better = (arrays["noisy"] != arrays["clean"]).sum(axis=1) - (told != arrays["clean"]).sum(axis=1)
    verified = study.problem(study.first_seed).verified(study.fractions()[0])[0]
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


def _pictured(study: Study, part: int) -> list[int]:
    """Rows of one part whose picture may be shown, in a fixed order, those with about three clean labels first."""
    arrays = study.labels.arrays
    usable = np.isin(arrays["parts"], [part, VALIDATION] if part == TRAIN else [part])
    usable &= np.isin(arrays["rows"], list(study.images.pictures))
    found = np.flatnonzero(usable)
    return found[np.argsort(abs(arrays["clean"][found].sum(axis=1) - 3), kind="stable")].tolist()


def _picture_grid(study: Study, rows: Sequence[int], *, columns: int, room: float = 0.0) -> tuple[Figure, np.ndarray]:
    """One picture per panel, at the left edge; `room` in inches below each."""
    figure, axes = panels(-(-len(rows) // columns), columns, width=3.2, height=2.7 + room)
    for axis in axes.flat:
        axis.axis("off")
        axis.set_anchor("NW")
    for axis, row in zip(axes.flat, rows, strict=False):
        axis.imshow(study.images.picture(_place(study, row)), interpolation="none")
    return figure, axes


def _wrapped(*lines: str, width: int = 46) -> str:
    return "\n".join(textwrap.fill(line, width) for line in lines)


def _class_names(study: Study) -> list[str]:
    return study.labels.values["class_names"]


def _names(study: Study, labels: np.ndarray) -> str:
    return ", ".join(_class_names(study)[k] for k in np.flatnonzero(labels))


def _place(study: Study, row: int) -> int:
    """Where an image of the labels stands in the source."""
    return int(study.labels.arrays["rows"][row])


def _image_id(study: Study, row: int) -> int:
    """The number of an image, which ends its file's name in COCO; where a file has another name, its place."""
    found = re.search(r"\d+$", study.images.pictures[_place(study, row)].stem)
    return int(found[0]) if found else _place(study, row)


def _credits(study: Study, rows: Sequence[int]) -> str:
    return "Pictures: " + "; ".join(study.images.credit(_place(study, row)) for row in rows) + "."
