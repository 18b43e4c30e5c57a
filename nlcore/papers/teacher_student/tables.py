"""Tables of the paper, and ours: each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd

from nlcore.data.extended_coco import count_labels, label_quality
from nlcore.papers.counts import counts_table
from nlcore.papers.teacher_student.claims import CHOSEN, OWN, by_reading, other_rates
from nlcore.papers.teacher_student.counts import REMARK, exact_lines
from nlcore.papers.teacher_student.protocol import CONTRACT, HEAD_ON_VERIFIED, METHODS
from nlcore.papers.teacher_student.study import ABLATIONS, SCORES, TABLE_2, WITHOUT_FRACTION, Study
from nlcore.papers.teacher_student.words import NO_OPEN_IMAGES, deviations
from nlcore.report.cells import Cell
from nlcore.report.intervals import estimate
from nlcore.report.ladder import Place
from nlcore.report.words import title
from nlcore.report.writer import ArtefactWriter, Headline


def table_1(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 1: annotations by part, clean and noisy, beside the published counts."""
    said, rows = CONTRACT.published()["table_1"], []
    problem = study.problem(0)
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
        deviations=deviations(study.source),
    )


def quality_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Which share of the noisy labels is right, and of the true ones missing, beside the text's numbers."""
    said = CONTRACT.published()["text"]
    ours = label_quality(study.labels.arrays["clean"], study.labels.arrays["noisy"])
    counted = 1 - said["noisy_annotations"] * said["noisy_labels_right"] / 224107
    rows = [
        {"quantity": "noisy labels that are right", "published": said["noisy_labels_right"], "from Table 1": None,
         "ours": ours["noisy_labels_right"]},
        {"quantity": "true labels that are missing", "published": said["true_labels_missing"], "from Table 1": counted,
         "ours": ours["true_labels_missing"]},
    ]  # fmt: skip
    return out.table("label_quality", pd.DataFrame(rows), caption="Quality of the noisy labels.")


def exact_counts(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What follows from the labels at the paper's size (4.1), at the study's shares of clean labels; see `counts`."""
    return counts_table(exact_lines(study.fractions()), out, remark=REMARK)


def table_2(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 2: every method at 5, 30 and 50 % clean labels."""
    names = (*METHODS, *study.own)
    return _score_table(study, out, "table_2", names, TABLE_2, "Table 2. All methods by share of clean labels.")


def table_3(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 3: Open Images V1. Without its runs: the published values, and empty places for ours."""
    said, rows = CONTRACT.published()["table_3"], []
    for method in METHODS[:-1]:
        row = {"series": method}
        for metric, paper in zip(SCORES, said[method], strict=True):
            row |= {f"{metric}, published": paper, **_cell(study.open_images, method, 1.0, metric)}
        rows.append(row)
    missing = "" if study.open_images else NO_OPEN_IMAGES
    caption = "Table 3. Open Images V1." + (f" Not run: {missing}" if missing else "")
    return out.table("table_3", pd.DataFrame(rows), caption=caption, deviations=missing)


def ablation_table(study: Study, out: ArtefactWriter, id: str) -> pd.DataFrame:
    """One of Tables 4, 5, 6: a choice in the proposed network, at 5 and 10 %; proposed = both = hard."""
    series = {"table_4": ("linear", "proposed"), "table_5": ("none", "teacher_only", "student_only", "both"),
              "table_6": ("soft", "hard")}[id]  # fmt: skip
    what = {"table_4": "Linear against non-linear", "table_5": "Pre-training", "table_6": "Soft against hard labels"}
    return _score_table(study, out, id, series, ABLATIONS, f"{title(id)} {what[id]}.")


def activation_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """The non-linear maps that the paper says differ little; it prints no numbers."""
    rows = []
    for series in ("proposed", "tanh", "relu"):
        row = {"series": "sigmoid" if series == "proposed" else series}
        for metric in SCORES:
            for fraction in ABLATIONS:
                row |= _cell(study, series, fraction, metric, f"{metric} {fraction:.0%}")
        rows.append(row)
    return out.table("activations", pd.DataFrame(rows), caption="Sigmoid, tanh and ReLU in both heads.")


def _score_table(
    study: Study, out: ArtefactWriter, id: str, names: Sequence[str], fractions: Sequence[float], caption: str
) -> pd.DataFrame:
    """Rows: series. Columns: mAP, then AP_all, at each share: published, ours, half width of the 95 % interval."""
    said, rows = CONTRACT.published()[id], []
    for series in names:
        row = {"series": study.own.get(series, series)}
        places = [(metric, fraction) for metric in SCORES for fraction in fractions]
        for (metric, fraction), paper in zip(places, said.get(series, [np.nan] * len(places)), strict=True):
            name = f"{metric} {fraction:.0%}"
            row |= {f"{name}, published": paper, **_cell(study, _run_name(series), fraction, metric, name)}
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["seeds"] = [len(study.values(_run_name(name), fractions[0], "mAP")) for name in names]
    name = f"mAP {fractions[0]:.0%}"
    best = frame.set_index("series").loc[names[-1] if id != "table_2" else "proposed"]
    ours, paper = best[name], best[f"{name}, published"]
    headline = Headline(f"proposed, {name} clean", f"{paper:.4f}", f"{ours:.4f}", f"{ours - paper:+.4f}")
    return out.table(id, frame, caption=caption, deviations=deviations(study.source), headline=headline)


def published_cells(study: Study) -> Iterator[Cell]:
    """Tables 2 and 4 to 6, cell by cell; Table 3 where Open Images was run."""
    shares = {"table_2": TABLE_2} | dict.fromkeys(("table_4", "table_5", "table_6"), ABLATIONS)
    for id, fractions in shares.items():
        for series, said in CONTRACT.published()[id].items():
            for (metric, fraction), paper in zip(product(SCORES, fractions), said, strict=True):
                found = study.values(_run_name(series), fraction, metric)
                yield Cell(id, f"{series}, {metric} at {fraction:.0%}", found.to_numpy(), paper, "fraction")
    for series, said in CONTRACT.published()["table_3"].items() if study.open_images else ():
        for metric, paper in zip(SCORES, said, strict=True):
            found = study.open_images.values(series, 1.0, metric)
            yield Cell("table_3", f"{series}, {metric}", found.to_numpy(), paper, "fraction")


def _run_name(series: str) -> str:
    return "proposed" if series in ("both", "hard") else series


def _cell(study: Study | None, series: str, fraction: float, metric: str, name: str | None = None) -> dict[str, float]:
    values = [] if study is None else study.values(series, fraction, metric)
    if not len(values):
        return {name or metric: np.nan, f"{name or metric} ±": np.nan}
    found = estimate(values)
    return {name or metric: found.mean, f"{name or metric} ±": found.high - found.mean if found.pairs > 1 else np.nan}


def corrections(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What the teacher does to the labels of the training images of T: which errors it removes, which it makes."""
    arrays, told = study.labels.arrays, study.qualitative["proposed"].arrays["teacher_labels"]
    problem = study.problem(study.first_seed)
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


def room_by_label_quality(studies: Sequence[tuple[Place, Study]], out: ArtefactWriter) -> pd.DataFrame:
    """What noisy labels cost, by how many of them are right: from the noisy network to the one on clean labels.

    studies: of one profile's labels, and of others, each with its place; a metric is the mean over its seeds.
    """
    rows = []
    for metric, (place, study) in product(SCORES, sorted(studies, key=lambda found: found[0].right)):
        noisy, clean = (study.values(series, 0.0, metric) for series in WITHOUT_FRACTION)
        share = study.fractions()[0]
        rows.append({
            "metric": metric, "labels": place.data, "images": place.images, "noisy labels right, %": place.right,
            "noisy": noisy.mean(), f"proposed, {share:.0%} clean": study.values("proposed", share, metric).mean(),
            "ground_truth": clean.mean(), "room [95 % interval]": str(estimate(clean - noisy)),
        })  # fmt: skip
    for metric, column in zip(SCORES, (0, 3), strict=True):  # of Table 2: at 5 % clean, mAP then AP_all
        said = {series: CONTRACT.published()["table_2"][series][column] for series in (*WITHOUT_FRACTION, "proposed")}
        rows.append({
            "metric": metric, "labels": "published", "images": "",
            "noisy labels right, %": 100 * CONTRACT.published()["text"]["noisy_labels_right"], "noisy": said["noisy"],
            "proposed, 5% clean": said["proposed"], "ground_truth": said["ground_truth"],
            "room [95 % interval]": f"{said['ground_truth'] - said['noisy']:.4f}",
        })  # fmt: skip
    caption = "Room for cleaning: the network on clean labels minus the noisy one, by the share of noisy labels right."
    return out.table("room_by_label_quality", pd.DataFrame(rows), caption=caption)


def stages_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Section "Why": every stage on the way to the student, and a plain head that V alone has taught."""
    stages = (
        ("noisy network (stage 0)", "noisy", ""),
        ("student, pre-trained (stage 1)", "proposed", "student_{}_before"),
        ("teacher, pre-trained (stage 1)", "proposed", "teacher_{}_before"),
        ("plain head: the student on V alone", HEAD_ON_VERIFIED, ""),
        ("teacher after stage 2", "proposed", "teacher_{}"),
        ("student after stage 2: proposed", "proposed", ""),
        ("network on clean labels", "ground_truth", ""),
    )
    rows = []
    places = product(study.fractions(HEAD_ON_VERIFIED), SCORES)
    for (fraction, metric), (name, series, value) in product(places, stages):
        found = study.values(series, fraction, value.format(metric) if value else metric)
        row = {"share of clean labels": f"{fraction:.0%}", "metric": metric, "stage": name}
        rows.append(row | {"ours [95 % interval]": str(estimate(found)) if len(found) else ""})
    caption = "What each stage reaches on the test part."
    return out.table("stages", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def verified_positives(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """How many verified images show a class, at each share: what the clean labels can teach of it."""
    rows = []
    for fraction in study.fractions():
        by_seed = []
        for seed in sorted(study.scores.seed.unique()):
            problem = study.problem(int(seed))
            verified, _ = problem.verified(fraction)
            by_seed.append(problem.clean[verified].clamp(min=0).sum(dim=0).numpy())
        counts = np.stack(by_seed)
        rows.append({
            "share of clean labels": f"{fraction:.0%}", "verified images": len(verified),
            "positives of a class, mean": counts.mean(), "median": np.median(counts),
            "classes without any": (counts == 0).sum(axis=1).mean(), "classes": counts.shape[1],
        })  # fmt: skip
    caption = "Verified images that show a class, over the classes and seeds. The paper has about 135 at 5 %."
    return out.table("verified_positives", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def rates_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Section "Why": what every method reaches at other rates and passes, and which the validation part chooses.

    Means over the seeds of the surface; chosen by AP_all on the validation part, where the best pass is kept, and the
    profile's own of two that are equal there.
    """
    frame, place = by_reading(study), ["fraction", "series"]
    means = frame.groupby([*place, "reading", "metric"]).value.mean().unstack("metric")
    best = other_rates(study).get(CHOSEN, frame[frame.reading == OWN])
    chosen = set(best[[*place, "reading"]].itertuples(index=False, name=None))
    order = product(*(dict.fromkeys(frame[name]) for name in (*place, "reading")))
    rows = [
        {"share of clean labels": f"{run[0]:.0%}", "series": run[1], "rates": run[2],
         **means.loc[run, list(SCORES)], "AP_all, validation part": means.at[run, "validation_AP_all"],
         "chosen": "yes" if run in chosen else ""}
        for run in order if run in means.index
    ]  # fmt: skip
    caption = f"Other rates and passes, means over {frame.seed.nunique()} seeds."
    return out.table("rates", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


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
