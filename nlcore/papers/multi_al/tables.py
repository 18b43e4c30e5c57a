"""The paper's tables, and ours: each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from nlcore.papers.counts import counts_table
from nlcore.papers.multi_al.counts import exact_lines
from nlcore.papers.multi_al.protocol import BINS, CONTRACT
from nlcore.papers.multi_al.study import Study
from nlcore.papers.multi_al.words import BASELINE_SERIES, MAP, SURFACE_SHOWN, WITHOUT, deviations
from nlcore.papers.surface_report import gains_table as surface_gains
from nlcore.papers.surface_report import points_table
from nlcore.report.cells import Cell
from nlcore.report.draws import DRAW, mean_but
from nlcore.report.intervals import Estimate, estimate
from nlcore.report.words import percent, title
from nlcore.report.writer import ArtefactWriter, Headline

MEASURED_IN = {"d1": "table_1", "d2": "table_2"}  # measure -> the table of its ratios
BIN_NAMES = [f"[{k / BINS:.1f}, {(k + 1) / BINS:.1f})" for k in range(BINS - 1)] + ["[0.9, 1]"]


def ratio_table(study: Study, out: ArtefactWriter, id: str, measure: str) -> pd.DataFrame:
    """Tables 1 and 2: clean to wrong images per interval of D1 or D2, all seeds together, beside the published.

    The interval is that of the seeds' mean share of clean images, written as a ratio.
    """
    said, rows = CONTRACT.published()[id], []
    for noise in sorted(study.bins.noise.unique()):
        part = study.bins[(study.bins.noise == noise) & (study.bins.measure == measure)]
        counts = part.groupby("bin")[["clean", "wrong"]].sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            pooled = counts.clean.to_numpy() / counts.wrong.to_numpy()
        low, high = np.transpose([_odds_interval(part[part.bin == place]) for place in range(BINS)])
        cells = {"published": said[percent(noise)], "ours": pooled, "ours, low": low, "ours, high": high}
        cells["images per seed"] = counts.sum(axis=1).to_numpy() / part.seed.nunique()
        rows += [
            {"noise": noise, "row": name, **dict(zip(BIN_NAMES, np.asarray(values, float), strict=True))}
            for name, values in cells.items()
        ]
    first = next(row for row in rows if row["row"] == "ours" and row["noise"] == 0.4)[BIN_NAMES[0]]
    what = f"clean : wrong in the lowest bin of {measure.upper()}, 40 %"
    headline = Headline(what, str(said["40"][0]), f"{first:.3g}", _sizes(first, said["40"][0]))
    caption = f"{title(id)} Ratio of clean to wrong images by interval of {measure.upper()}; 95 % intervals."
    return out.table(id, pd.DataFrame(rows), caption=caption, deviations=deviations(study.source), headline=headline)


def published_cells(study: Study) -> Iterator[Cell]:
    """Tables 1 and 2, as shares of clean images in a bin; the shares of Table 3; and the gains of the text."""
    said, final = CONTRACT.published(), study.final()
    for (noise, measure), part in study.bins.groupby(["noise", "measure"]):
        clean, wrong = (part.pivot_table(index="seed", columns="bin", values=name) for name in ("clean", "wrong"))
        ratios, counts = said[MEASURED_IN[measure]][percent(noise)], said["table_3"][percent(noise)][measure]
        for place, name in enumerate(BIN_NAMES):
            at = f"{measure.upper()} in {name}, {percent(noise)} %"
            share = (clean / (clean + wrong))[place].dropna().to_numpy()
            if counts[place]:  # the paper writes 0 for a bin without images
                yield Cell(MEASURED_IN[measure], at, share, ratios[place] / (1 + ratios[place]), "fraction")
            whole = (clean[place] / clean.sum(axis=1)).to_numpy()
            yield Cell("table_3", at, whole, counts[place] / sum(counts), "fraction")
    over_asl, over_random = ((final.multi_al_safe - final[name]).unstack("noise") for name in ("asl", "random"))
    gains = {
        "gain_over_asl_points_mean_20_40_60": over_asl,
        "gain_over_random_20_40": over_random[[0.2, 0.4]],
        "gain_over_random_all": over_random,
    }
    for name, gain in gains.items():
        yield Cell("text", name.replace("_", " "), gain.mean(axis=1).to_numpy(), said["text"][name], "points")


def _odds_interval(part: pd.DataFrame) -> tuple[float, float]:
    """The 95 % interval of the seeds' mean share of clean images, as clean : wrong."""
    images = part.clean + part.wrong
    shares = (part.clean[images > 0] / images[images > 0]).to_numpy()
    if len(shares) < 2:
        return np.nan, np.nan
    found = estimate(shares)
    low, high = np.clip([found.low, found.high], 0, 1)
    return low / (1 - low) if low < 1 else np.inf, high / (1 - high) if high < 1 else np.inf


def table_3(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 3: clean images per interval of D1 and D2: the seeds' mean with its 95 % interval, and as shares."""
    said, rows = CONTRACT.published()["table_3"], []
    for (noise, measure), part in study.bins.groupby(["noise", "measure"]):
        by_seed = part.pivot_table(index="seed", columns="bin", values="clean")
        found = [estimate(by_seed[place]) for place in range(BINS)]
        paper = np.array(said[percent(noise)][measure], float)
        mean = np.array([e.mean for e in found])
        cells = {"published": paper, "ours": mean}
        cells |= {"ours, low": [e.low for e in found], "ours, high": [e.high for e in found]}
        cells["published, % of the clean"] = 100 * paper / paper.sum()
        cells["ours, % of the clean"] = 100 * mean / mean.sum()
        rows += [
            {"noise": noise, "measure": measure.upper(), "row": name, **dict(zip(BIN_NAMES, values, strict=True))}
            for name, values in cells.items()
        ]
    caption = "Table 3. Number of clean images by interval of D1 and D2."
    return out.table("table_3", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def exact_counts(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What follows from the labels at the paper's size (5.1), at the noise levels of the study; see `counts`."""
    return counts_table(exact_lines(study.noises), out)


def gains_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Gains over ASL in points and in percent of ASL's mAP, with and without the class `person`."""
    rows = []
    for metric, name in (("map", MAP), ("map_without_person", WITHOUT)):
        for noise, drawn in study.in_draws(metric=metric).groupby("noise"):
            part = drawn.xs(0, level=DRAW)
            for strategy in (name for name in study.series if name in part):
                gain = estimate(drawn[strategy] - drawn.asl)
                cell = {"metric": name, "noise": noise, "strategy": strategy}
                cell |= {MAP: part[strategy].mean(), "ASL": part.asl.mean(), "gain, points": gain.mean}
                cell |= {"low": gain.low, "high": gain.high, "seeds": gain.pairs}
                rows.append(cell | {"gain, %": 100 * (part[strategy] / part.asl - 1).mean()})
    caption = "Final mAP and the gain over plain ASL on the whole noisy set, in points and relative to ASL."
    return out.table("gains", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def selection_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What the strategies chose, over all iterations and seeds (`study.of_choice`)."""
    chosen = study.defaults()
    chosen = chosen[chosen.iteration > 0]
    what = ["chosen_wrong", "chosen_labels", "chosen_length", "safe_clean"]
    table = chosen.groupby(["noise", "strategy"])[what].mean().reset_index()
    caption = (
        "Of the relabelled images: the share that had a wrong label, how many labels one has, and how long its "
        "features are beside the pool's (from the mean). Of the Safe ones: the share that had no wrong label."
    )
    return out.table("selection", table, caption=caption)


def why_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """ma1 when the classifier has seen clean labels of the training images before: the leak of a COCO checkpoint."""
    plain, rows = study.in_draws(), []
    if (study.active.start == "clean_coco").any():
        leaked = study.in_draws(start="clean_coco")
        gains = {
            "both from ImageNet (default)": plain.multi_al_safe - plain.asl,
            "Multi-AL from the leak, ASL from ImageNet": leaked.multi_al_safe - plain.asl,
            "both from the leak": leaked.multi_al_safe - leaked.asl,
            "(what the leak alone adds to Multi-AL)": leaked.multi_al_safe - plain.multi_al_safe,
        }
        for name, gain in gains.items():
            levels = {f"{percent(noise)} %": estimate(part).mean for noise, part in gain.groupby("noise")}
            mean = estimate(mean_but(gain, "noise"))
            rows.append({"gain over ASL, points": name, **levels, **_interval(mean)})
    caption = "Why 28 points? The gain over ASL if clean labels of the training images were in the first weights."
    return out.table("why_start", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def fair_gains_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """By how much Multi-AL is ahead of each baseline, level by level and on average over the levels."""
    ours, rows = study.in_draws().multi_al_safe, []
    for name, baseline in study.baselines_in_draws().items():
        gain = ours - baseline
        levels = {f"{percent(noise)} %": estimate(part).mean for noise, part in gain.groupby("noise")}
        row = {"Multi-AL minus, points": BASELINE_SERIES[name], **levels}
        rows.append(row | _interval(estimate(mean_but(gain, "noise"))))
    caption = (
        "What is left of the gain over ASL when the baseline sees clean images as the method does. Intervals over "
        "seeds and test images; of ASL that is stopped over the seeds alone."
    )
    return out.table("fair_gains", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def start_bins_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Which checkpoint Table 3 speaks for: the share of the clean images in D1's lowest bin, by the first weights."""
    said, rows = CONTRACT.published()["table_3"], []
    for noise in sorted(study.leaked_bins.noise.unique()) if len(study.leaked_bins) else ():
        counts = said[percent(noise)]["d1"]
        row = {"noise": noise, "published, %": 100 * counts[0] / sum(counts)}
        for name, bins in (("ImageNet", study.bins), ("clean COCO labels", study.leaked_bins)):
            part = bins[(bins.noise == noise) & (bins.measure == "d1")]
            clean = part.pivot_table(index="seed", columns="bin", values="clean")
            row[f"from {name}, %"] = str(estimate(100 * clean[0] / clean.sum(axis=1)))
        rows.append(row)
    caption = "Share of the clean images that lie in the lowest bin of D1, by what the classifier has seen before."
    return out.table("why_start_bins", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def rates_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What every method reaches at other rates and lengths, and which of them images held out choose for it."""
    return points_table(study.surface, SURFACE_SHOWN, out, deviations=deviations(study.source))


def surface_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """ma1 to ma3 at other rates and lengths, and with each method at its own choice."""
    multi_al = [("multi_al_safe", other) for other in ("asl", "asl + relabelled", "multi_al", "random")]
    pairs = [*multi_al, ("multi_al", "random")]
    return surface_gains(study.surface, SURFACE_SHOWN, pairs, out, deviations=deviations(study.source))


def _interval(found: Estimate) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _sizes(ours: float, paper: float) -> str:
    return "same side of 1" if (ours > 1) == (paper > 1) else "other side of 1"
