"""The paper's numbers as tables, and what may explain them: each one function of the study."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from nlcore.generators import generator
from nlcore.papers.counts import counts_table
from nlcore.papers.missing_label_al.counts import exact_lines
from nlcore.papers.missing_label_al.protocol import CONTRACT, DEFAULT_SHARE, PAPER, UNKNOWN_AS
from nlcore.papers.missing_label_al.study import Study
from nlcore.papers.missing_label_al.words import BASELINE_SERIES, HEURISTICS, SERIES, SURFACE_SHOWN, deviations
from nlcore.papers.surface_report import gains_table, points_table
from nlcore.report.cells import Cell
from nlcore.report.draws import by_column, measured
from nlcore.report.intervals import estimate
from nlcore.report.words import percent
from nlcore.report.writer import ArtefactWriter


def heuristics_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """The three heuristics by measure and noise with 95 % intervals, and the final epoch's mAP beside."""
    rows, last = [], study.final()
    for noise in study.noises:
        found = study.heuristics(study.defaults(), noise)
        for measure, label in study.series.items():
            own, end = found[found.measure == measure], last[(last.measure == measure) & (last.noise == noise)]
            cell = {name: str(estimate(own[name])) for name in HEURISTICS}
            rows.append({"noise": noise, "measure": label, **cell, "last epoch": end.map_last.mean(),
                         "without person": end.map_without_person.mean(), "cost": end.cost.mean(),
                         "seeds": len(own)})  # fmt: skip
    caption = (
        "The three heuristics; mean over the seeds [95 % interval]; mAP of an iteration is the mean over its epochs."
    )
    return out.table("heuristics", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def published_cells(study: Study) -> Iterator[Cell]:
    """The numbers of the text: the mAP of the start, what Hard+entropy gains, and what is paid."""
    said, runs, last = CONTRACT.published()["text"], study.defaults(), study.final()
    start = runs[(runs.iteration == 0) & (runs.measure == "random") & (runs.noise == study.noises[0])]
    yield Cell("text", "mAP of the start", start["map"].to_numpy(), said["initial_map"], "%")
    for noise, unknown_as in product(study.noises, UNKNOWN_AS):
        gain = study.gain_over_asl(noise, unknown_as)
        name = f"Hard+entropy over ASL ({unknown_as}), {percent(noise)} %"
        yield Cell("text", name, measured(gain).to_numpy(), said["gain_over_asl"][percent(noise)], "points")
    at = last[last.noise == 0.6].pivot_table(index="seed", columns="measure", values="map")
    gain = (at["hard_entropy"] - at["random"]).to_numpy()
    yield Cell("text", "Hard+entropy over Random, 60 %", gain, said["gain_over_random_at_60"], "points")
    costs = last.pivot_table(index="seed", columns=["measure", "noise"], values="cost")
    for measure, noise, paper in (("random", 0.2, said["cost_of_random"]["20"]),
                                  ("medium", 0.6, said["comparison_cost_at_60"])):  # fmt: skip
        name = f"cost of {measure.title()}, {percent(noise)} %"
        yield Cell("text, costs", name, costs[measure, noise].to_numpy(), paper, "cells")


def cost_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Cost: what arithmetic says of 500 random images of 80 classes, what the paper says, what was paid."""
    said, last = CONTRACT.published()["text"], study.final()
    paper = {
        0.2: said["cost_of_random"]["20"],
        0.4: "8,000 in the caption: must be 16,000",
        0.6: said["comparison_cost_at_60"],
    }
    rows = []
    for noise in study.noises:
        costs = last[last.noise == noise].groupby("measure").cost.mean()
        rows.append({"noise": noise, "500 x 80 x rate": 500 * 80 * noise, "paper": str(paper[noise]),
                     **{label: costs[name] for name, label in study.series.items()}})  # fmt: skip
    return out.table("costs", pd.DataFrame(rows), caption="Relabelled cells after the last iteration.")


def exact_counts(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What follows from the labels at the paper's size (4.1), at the noise levels of the study; see `counts`."""
    return counts_table(exact_lines(study.noises), out)


def sign_flip_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Can the measures that do not look at the image differ from Random in mAP? Names are swapped within seeds.

    Uniform noise makes the number of unknown cells independent of the image, so Medium, Hard and Hard+Medium draw
    images at random as Random does, and training sees completed images only: within a seed, Random and any of them
    could change their names. The statistic is the mean difference, over all swaps. Measures that are one run are one
    row.
    """
    rows = []
    for noise in study.noises:
        table = by_column(study.blind[study.blind.noise == noise], "measure", "map")
        for names, values in _distinct(table.drop(columns="random")):
            drawn = values - table["random"]
            difference = measured(drawn).to_numpy()
            rows.append({"noise": noise, "measure": ", ".join(SERIES[name] for name in names),
                         "minus Random, points [95 % interval]": str(estimate(drawn)),
                         "p": sign_flip_chance(difference), "smallest p possible": 2.0 ** (1 - len(difference)),
                         "seeds": len(difference)})  # fmt: skip
    caption = "Sign-flip test: the measures that only count missing labels differ from Random no more than chance does."
    return out.table("why_sign_flips", pd.DataFrame(rows), caption=caption)


def _distinct(table: pd.DataFrame) -> Iterator[tuple[list[str], pd.Series]]:
    """The columns, those that are the same in all rows together."""
    same: dict[bytes, list[str]] = {}
    for name in [name for name in SERIES if name in table]:
        same.setdefault(table[name].to_numpy().tobytes(), []).append(name)
    yield from ((names, table[names[0]]) for names in same.values())


def sign_flip_chance(differences: np.ndarray, *, most: int = 16) -> float:
    """How likely the mean of paired differences (n,) is as far from zero, if each could as well have the other sign.

    Exact, over all 2^n signs, up to `most` pairs; beyond, over 2^most drawn ones.

    >>> sign_flip_chance(np.array([1.0, 2.0, 3.0]))
    0.25
    """
    n = len(differences)
    if n <= most:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = generator(PAPER, "sign flips").choice([-1, 1], size=(2**most, n))
    means = np.abs(signs @ differences) / n
    return float(np.mean(means >= np.abs(differences.mean()) - 1e-12))


def chosen_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """How many of the images that a measure completes Random, Medium and Hard complete too, and by chance would."""
    rows, pool = [], study.pool_size
    for noise, (measure, label) in product(study.noises, study.series.items()):
        row: dict[str, object] = {"noise": noise, "measure": label}
        seeds = [seed for name, level, seed in study.chosen if (name, level) == (measure, noise)]
        own = {seed: study.chosen[measure, noise, seed] for seed in seeds}
        for other in ("random", "medium", "hard"):
            common = [len(np.intersect1d(own[seed], study.chosen[other, noise, seed])) for seed in seeds]
            row[f"also {SERIES[other]}'s"] = np.mean(common)
        number = len(own[seeds[0]])
        rows.append({**row, "of": number, "by chance": number**2 / pool})
    caption = "How many of the completed images two measures share, mean over the seeds; and what chance would give."
    return out.table("chosen", pd.DataFrame(rows), caption=caption)


def fair_gains_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """By how much Hard+entropy ends above each of the other baselines."""
    rows = []
    for name in study.others.baseline.unique():
        gains = {f"{percent(noise)} %": str(estimate(study.gain_over(name, noise))) for noise in study.noises}
        rows.append({"Hard+entropy minus, points": BASELINE_SERIES[name], **gains})
    caption = "What is left of the gain when the baseline has the clean images too, or a loss for missing labels."
    return out.table("fair_gains", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


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
    """How much of the gap to ASL is what ASL makes of -1: Hard+entropy minus each ASL."""
    said = CONTRACT.published()["text"]["gain_over_asl"]
    rows = [
        {"noise": noise, "ASL": unknown_as, "paper": said[percent(noise)],
         "ours [95 % interval]": str(estimate(study.gain_over_asl(noise, unknown_as)))}
        for noise in study.noises for unknown_as in UNKNOWN_AS
    ]  # fmt: skip
    caption = "Points of mAP by which Hard+entropy ends above plain ASL on the whole partly labelled set."
    return out.table("why_asl", pd.DataFrame(rows), caption=caption, deviations=deviations(study.source))


def rates_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """What every method reaches at other rates and lengths, and which of them images held out choose for it."""
    return points_table(study.surface, SURFACE_SHOWN, out, deviations=deviations(study.source))


def surface_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """ml1 at other rates and lengths, and with each method at its own choice."""
    pairs = [("hard_entropy", other) for other in SURFACE_SHOWN.labels if other != "hard_entropy"]
    return gains_table(study.surface, SURFACE_SHOWN, pairs, out, deviations=deviations(study.source))
