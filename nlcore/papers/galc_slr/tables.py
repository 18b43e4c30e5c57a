"""The paper's table, and ours: each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pandas as pd

from nlcore.papers.counts import counts_table
from nlcore.papers.galc_slr.claims import curve, fall, gain, loss_per_level, paired, published_loss
from nlcore.papers.galc_slr.counts import exact_lines
from nlcore.papers.galc_slr.methods import WAYS
from nlcore.papers.galc_slr.protocol import CONTRACT, DEFAULTS, WITHOUT_GOLD
from nlcore.papers.galc_slr.study import STANDS_FOR, Study
from nlcore.papers.galc_slr.words import METRICS, PUBLISHED_AS, deviations, headline, published_value, surface_shown
from nlcore.papers.surface_report import gains_table, points_table
from nlcore.report.cells import Cell
from nlcore.report.draws import by_seed
from nlcore.report.intervals import estimate
from nlcore.report.words import percent
from nlcore.report.writer import ArtefactWriter

LOSS_BY_THE_TEXT = {"asl": 5.34, "galc_slr": 1.07}  # points of mAP per 10 % of noise (4.2); Table 1 gives others

# mAP on COCO with 0, 20 and 40 % mislabelled, of another group: BalanceMix (Song et al., AAAI 2024, arXiv 2312.07087),
# ResNet-50 at 448, last epoch, three runs. Its noise and network are not this paper's: what compares is what is lost.
ELSEWHERE = {
    "BCE": (83.4, 73.1, 63.8),
    "ASL": (85.0, 82.8, 80.3),
    "T-estimator": (84.3, 82.2, 80.5),
    "LL-R": (82.5, 80.7, 75.3),
    "LL-Ct": (79.4, 81.3, 77.4),
    "BalanceMix": (85.2, 84.3, 81.6),
}
ELSEWHERE_LEVELS = (0.0, 0.2, 0.4)
PUBLISHED_METRICS = [name for name, (_, place) in METRICS.items() if place is not None]
CALLED = {"silver_loss": "silver classifier", "estimate_on": "estimated on", "cap": "cap"}
USUAL = DEFAULTS | {"cap": 0}  # as the study's columns say it


def table_1(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 1, with every method and metric: our mean, the half width of its 95 % interval, the paper's number."""
    rows = []
    for metric in METRICS:
        for noise in study.levels:
            cells = {label: _cell(study, method, metric, noise) for method, label in study.methods.items()}
            rows.append({"metric": metric, "noise %": int(percent(noise)), **cells, "seeds": study.main.seed.nunique()})
    column = METRICS["mAP"][0]
    top = study.levels[-1]
    gap = gain(study, column, top, "galc_slr", "asl")
    return out.table(
        "table_1",
        pd.DataFrame(rows),
        caption="Table 1. Ours ± half of the 95 % interval (the paper's number). F1 at a threshold of 0.8 unless said.",
        deviations=deviations(study),
        headline=headline(f"mAP at {percent(top)} %: galc_slr minus asl", _published_gap(top), gap),
    )


def _cell(study: Study, method: str, metric: str, noise: float) -> str:
    found = study.values(METRICS[metric][0], method=method, noise=noise)
    if found.empty:
        return ""
    shown, paper = estimate(found), published_value(method, metric, noise)
    ours = f"{shown.mean:.1f}" + (f" ± {shown.high - shown.mean:.1f}" if shown.pairs > 1 else "")
    return ours if paper is None else f"{ours} ({paper:.2f})"


def _published_gap(noise: float) -> float:
    return published_value("galc_slr", "mAP", noise) - published_value("asl", "mAP", noise)


def published_cells(study: Study) -> Iterator[Cell]:
    """Table 1 and Figure 6b, cell by cell; GALC-SLR is the repaired algorithm."""
    for method, metric, noise in product(("asl", "galc_slr"), PUBLISHED_METRICS, study.levels):
        found = study.values(METRICS[metric][0], method=method, noise=noise)
        name = f"{method}, {metric} at {percent(noise)} %"
        yield Cell("table_1", name, found.to_numpy(), published_value(method, metric, noise), "%")
    for gold, said in CONTRACT.published()["fig_6b"].items():
        for name, method in (("estimated", "galc_slr"), ("true", "true matrix")):
            found = study.values("map", method=method, noise=study.ablation_noise, gold=int(gold) / 100)
            yield Cell("fig_6b", f"{name}, {gold} % gold", found.to_numpy(), said[name], "%")


def closeness_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """How far each reading of the paper's two methods is from Table 1: mean absolute difference over the levels.

    `seeds` is how many stand behind a level: at other levels than the ablation's, a reading may have run for fewer.
    """
    readings = ["method", "gold", *DEFAULTS]
    rows = []
    for fields, part in study.scores.groupby(readings, sort=False):
        method, gold, *reading = fields
        said = STANDS_FOR.get(method)
        if said is None or gold != study.gold:
            continue
        means = part.groupby("noise")[[METRICS[name][0] for name in PUBLISHED_METRICS]].mean()
        apart = {
            name: [abs(means.at[noise, METRICS[name][0]] - published_value(said, name, noise)) for noise in means.index]
            for name in PUBLISHED_METRICS
        }
        cells = {name: pd.Series(found).mean() for name, found in apart.items()}
        whole = pd.DataFrame(apart).stack().mean()
        fields = zip(DEFAULTS, reading, strict=True)
        changed = [f"{CALLED[name]} {value}" for name, value in fields if value != USUAL[name]]
        name, seeds = ", ".join([method, *changed]), part.groupby("noise").seed.nunique()
        counts = {"levels": len(means), "seeds": " to ".join(map(str, sorted({seeds.min(), seeds.max()})))}
        rows.append({"published": said, "ours": name, **counts, **cells, "all": whole})
    return out.table(
        "closeness",
        pd.DataFrame(rows),
        caption="Mean absolute difference to Table 1, points, for every reading of its two methods that was run.",
        deviations=deviations(study),
    )


def elsewhere_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What noise costs ASL and its rivals in another group's paper, in this one, and here."""
    rows = [{"whose": "BalanceMix's authors", "method": name, "values": found} for name, found in ELSEWHERE.items()]
    for method in ("asl", "galc_slr"):
        said = tuple(published_value(method, "mAP", noise) for noise in ELSEWHERE_LEVELS)
        rows.append({"whose": "the paper", "method": method, "values": said})
    besides = {method: method for method in WITHOUT_GOLD if method in set(study.scores.method)}
    shown = {**study.methods, **besides} if set(ELSEWHERE_LEVELS) <= set(study.levels) else {}
    for method, label in shown.items():
        ours = tuple(study.values("map", method=method, noise=noise).mean() for noise in ELSEWHERE_LEVELS)
        rows.append({"whose": "ours", "method": label, "values": ours})
    levels = [f"{percent(noise)} %" for noise in ELSEWHERE_LEVELS]
    frame = pd.DataFrame(
        {"whose": row["whose"], "method": row["method"], **dict(zip(levels, row["values"], strict=True)),
         "lost at 40 %": row["values"][0] - row["values"][2]}
        for row in rows
    )  # fmt: skip
    caption = "mAP by noise: another group's (BalanceMix, arXiv 2312.07087), the paper's Table 1, and ours."
    return out.table("elsewhere", frame, caption=caption, deviations=deviations(study))


def transition_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What the T-estimator makes of the noise, beside what was counted: means over classes and seeds, per cent.

    It is not written where the T-estimator did not run.
    """
    frame = study.transitions.drop(columns="seed").groupby(["noise", "decided_by"], as_index=False, sort=False).mean()
    if frame.empty:
        return frame
    frame["noise"] = frame.noise.map(percent)
    renamed = {"noise": "noise %"} | {name: name.replace("_", " ") for name in frame.columns[1:]}
    caption = "How many labels noise added and took, per cent of the images without and with the class (T-estimator)."
    return out.table("transition_rates", frame.rename(columns=renamed), caption=caption, deviations=deviations(study))


def slope_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Points of mAP lost for every 10 % of noise: ours, by Table 1, and by the paper's text."""
    rows = []
    for method, label in study.methods.items():
        said, found = PUBLISHED_AS.get(method), loss_per_level(study, method)
        rows.append(
            {
                "method": label,
                "ours [95 % interval]": str(estimate(found)) if len(found) else "",
                "by Table 1": published_loss(said) if said else None,
                "by the text": LOSS_BY_THE_TEXT.get(said),
            }
        )
    return out.table("slopes", pd.DataFrame(rows), caption="Points of mAP lost per 10 % of noise.")


def distance_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """How far each matrix is from the printed true one, and what it had to borrow, at the ablation's noise."""
    frame = study.distances[(study.distances.noise == study.ablation_noise) & (study.distances.gold == study.gold)]
    rows = []
    for fields, part in frame.groupby(["silver_loss", "estimate_on", "matrix"], sort=False):
        silver_loss, estimate_on, name = fields
        if name in ("true", "counted", "gold count") and (silver_loss, estimate_on) != ("asl", "gold"):
            continue  # these do not depend on the silver classifier
        rows.append(
            {
                "matrix": name,
                "silver classifier": silver_loss,
                "estimated on": estimate_on,
                "error on the diagonal": str(estimate(part.diagonal)),
                "error off the diagonal": str(estimate(part.off_diagonal)),
                "error of the contrast": str(estimate(part.contrast)),
                "identity rows": part.identity_rows.mean(),
                "borrowed regulators": part.borrowed_regulators.mean(),
                "single-label images": part.single_label_images.mean(),
            }
        )
    noise = percent(study.ablation_noise)
    caption = f"Mean absolute error of each matrix against the printed truth at {noise} %, over the seeds."
    return out.table("matrix_distances", pd.DataFrame(rows), caption=caption, deviations=deviations(study))


def exact_counts(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What follows from the labels at the paper's size (4.1), at the noise levels of the study; see `counts`."""
    return counts_table(exact_lines(study.levels), out)


def memorisation_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Where each curve of Figure 6a peaks, how far it falls, and where it ends, beside the published epochs."""
    said, rows = CONTRACT.published()["text"]["peak_epoch"], []
    for method, label in study.methods.items():
        table = curve(study, method)
        if table.empty:
            continue
        falls = fall(table)
        rows.append(
            {
                "method": label,
                "epoch of the peak": str(estimate(table.idxmax(axis=1))),
                "published": said.get(PUBLISHED_AS.get(method)),
                "highest mean": table.mean().max(),
                "last": str(estimate(table.iloc[:, -1])),
                "fall (peak by the other seeds)": str(estimate(falls)) if len(falls) else "",
                "epochs": int(table.columns.max()),
            }
        )
    return out.table("memorisation", pd.DataFrame(rows), caption="Memorisation: peaks and falls of mAP by epoch.")


def sigmoid_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Why, part one: what the final sigmoid does to C'g and to the gradient of the silver loss."""
    names = {
        "row_sum": "mean row sum of C",
        "mean": "mean of C'g",
        "above_one": "share of C'g above 1",
        "with_gradient": "share of cells with a gradient",
        "from_absent": "share of the gradient from absent labels",
    }
    frame = study.sigmoid.groupby("correction", sort=False)[list(names)].mean().rename(columns=names).reset_index()
    noise = percent(study.ablation_noise)
    caption = f"What the corrected loss sees on silver images at {noise} %, mean over the seeds."
    return out.table("why_sigmoid", frame, caption=caption)


def surface_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """GALC-SLR minus ASL, and minus ASL with clean gold, by epochs and learning rate; last, each at its own choice."""
    pairs = product(("galc_slr", "galc_slr, second sigmoid"), ("asl", "asl + clean gold"))
    return gains_table(study.surface, surface_shown(study), pairs, out, deviations=deviations(study))


def rates_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What every method reaches at other rates and lengths, and which of them images held out choose for it."""
    return points_table(study.surface, surface_shown(study), out, deviations=deviations(study))


def readings_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Every reading that ran at the ablation's noise: its mAP, and against the three baselines (atlas)."""
    at = {"noise": study.ablation_noise, "gold": study.gold}
    frame = study.scores[(study.scores.noise == at["noise"]) & (study.scores.gold == at["gold"])]
    rows = []
    for fields, part in frame.groupby(["method", *DEFAULTS], sort=False):
        method, silver_loss, cap, estimate_on = fields
        asked = WAYS[method].readings if method in WAYS else DEFAULTS  # no estimate: nothing to say of it
        values = by_seed(part, "map")
        against = {
            f"minus {baseline}": str(estimate(found))
            for baseline in ("asl", "asl + clean gold", "gold only", *WITHOUT_GOLD)
            if len(found := paired(values, study.in_draws("map", method=baseline, **at)))
        }
        rows.append(
            {
                "method": method,
                "silver classifier": silver_loss if "silver_loss" in asked else "",
                "estimated on": estimate_on if "estimate_on" in asked else "",
                "cap": cap or "",
                "mAP": str(estimate(part["map"])),
                **against,
            }
        )
    caption = f"Readings at {percent(study.ablation_noise)} % noise: mAP and paired differences with 95 % intervals."
    return out.table("why_readings", pd.DataFrame(rows), caption=caption, deviations=deviations(study))
