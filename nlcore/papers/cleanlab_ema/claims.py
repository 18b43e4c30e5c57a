"""The paper's claims, decided by panel (group and classifier): differences are paired within a dataset.

A dataset is one draw of a group; both classifiers learn from it. So over the panels each dataset counts once, panels
and groups weigh alike, and the published means are weighed in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from nlcore.papers.cleanlab_ema.protocol import CONTRACT, REVIEWED
from nlcore.papers.cleanlab_ema.published import published_table
from nlcore.papers.cleanlab_ema.review import injected_lifts
from nlcore.papers.cleanlab_ema.scoring import ALPHAS, HEADLINE, pooling_name
from nlcore.papers.cleanlab_ema.study import Study
from nlcore.papers.cleanlab_ema.words import CLASSIFIERS, METRICS
from nlcore.report.atlas import reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import Part, decide, decide_estimate, decide_within, not_run

if TYPE_CHECKING:
    from nlcore.papers.paper import Session

EMA = "ema(alpha=0.8)"
PANEL = ["group", "classifier"]
CLOSE = 0.01  # "similar": our reading of how near weighted cumulative pooling has to be to EMA
SHORT = 20  # examples: a list of fewer says little
LEAST = {"ap_at_t": 1, "ap_at_t_2": 2, "ap_at_t_3": 3}  # errors that make an example a hit
ERRORS = {"ap_at_t": "one or more errors", "ap_at_t_2": "two or more errors", "ap_at_t_3": "three or more errors"}


def decide_claims(study: Study, only: str | None = None) -> list[ClaimVerdict]:
    """All claims of the paper, in the contract's order, or one."""
    known, deciders = CONTRACT.claims(), DECIDERS | {"ce6": lift}
    return [ClaimVerdict(known[id], tuple(decider(study))) for id, decider in deciders.items() if only in (None, id)]


def readings_atlas(study: Study) -> pd.DataFrame:
    """What the other readings that were run do to the claims: the captions' T, and scores of few digits."""
    names = {
        "ap_at_t_2": "own count",
        "ap_at_t_2_all_t": "ap_at_t_2",
        "ap_at_t_3": "own count",
        "ap_at_t_3_all_t": "ap_at_t_3",
    }
    studies = {
        "T of the captions: the number of mislabelled examples": replace(
            study, scores=study.scores.assign(metric=study.scores.metric.replace(names))
        )
    }
    for digits, rounded in study.rounded.groupby("digits", sort=False):
        name = f"scores of annotations have {digits} digits (small datasets)"
        studies[name] = replace(study, scores=_in_place_of(study.scores, rounded.drop(columns="digits")))
    readings = {name: {id: decider(own) for id, decider in DECIDERS.items()} for name, own in studies.items()}
    return reading_atlas(decide_claims(study), readings)


def _in_place_of(scores: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Scores with others in the place of those of the same panel and dataset."""
    place = [*PANEL, "seed"]
    anew = pd.MultiIndex.from_frame(scores[place]).isin(pd.MultiIndex.from_frame(others[place]))
    return pd.concat([scores[~anew], others[scores.columns]], ignore_index=True)


def published_by_cell(study: Study) -> pd.DataFrame:
    """The published means in the shape of `Study.by_dataset`, for the cells there are results for."""
    table = _published_by_panel()
    return table[[row[:2] in study.cells for row in table.index]]


@cache
def _published_by_panel() -> pd.DataFrame:
    return published_table().pivot_table(index=[*PANEL, "metric"], columns="pooling", values="mean")


def ranks(study: Study) -> Iterable[Part]:
    """ce1: the mean and the worst rank of EMA over the six metrics, against those of every other pooling.

    The paper names no size, so the sign decides; the published ranks stand in the notebook's table of ranks.
    """
    ranked = study.by_dataset[list(HEADLINE)].rank(axis=1, ascending=False)
    datasets = shared_datasets(ranked).groupby([*PANEL, "seed"])
    for other in HEADLINE[1:]:
        for name, found in (("mean rank", datasets.mean()), ("worst rank", datasets.max())):
            yield decide(f"{name}: {other} minus EMA", found[other] - found[EMA], **_shared(found.index))


def minimum_like(study: Study) -> Iterable[Part]:
    """ce2: min and softmin above EMA for any error, below it for severe ones."""
    for pooling in ("min", "softmin(temperature=0.1)"):
        yield from _by_panel(study, "ap_at_t", pooling, EMA)
        for metric in ("ap_at_t_2", "ap_at_t_3"):
            yield from _by_panel(study, metric, EMA, pooling)


def weighted_cumulative(study: Study) -> Iterable[Part]:
    """ce3: EMA above weighted cumulative pooling on every metric, yet close to it on average."""
    for metric in METRICS:
        yield from _by_panel(study, metric, EMA, "weighted_cumulative")
    table, said = study.by_dataset, published_by_cell(study)
    gaps = shared_datasets((table[EMA] - table["weighted_cumulative"]).groupby([*PANEL, "seed"]).mean())
    paper = (said[EMA] - said["weighted_cumulative"]).groupby(PANEL).mean()
    name = f"mean over the metrics within {CLOSE:g}"
    yield decide_within(name, gaps, CLOSE, published=_published(paper, gaps), **_shared(gaps.index))


def log_pooling(study: Study) -> Iterable[Part]:
    """ce4: EMA above log pooling, the training loss, on every metric."""
    for metric in METRICS:
        yield from _by_panel(study, metric, EMA, "log")


def alphas(study: Study) -> Iterable[Part]:
    """ce5: with alpha, any error is found better and severe errors worse (rank correlation within a dataset).

    What is published are mean curves, whose correlation is another thing than the mean of the datasets': no size.
    """
    names = [pooling_name("ema", {"alpha": alpha}) for alpha in ALPHAS]
    table = study.by_dataset[names]
    for metric, sign in (("ap_at_t", 1), ("ap_at_t_2", -1), ("ap_at_t_3", -1)):
        word = "rises" if sign > 0 else "falls"
        short = short_lists(study, metric)
        ours = sign * table.xs(metric, level="metric").apply(_correlation, axis=1)
        yield from _panels(f"{ERRORS[metric]}: {word} with alpha", ours, None, short)


# Those that other readings touch.
DECIDERS = {"ce1": ranks, "ce2": minimum_like, "ce3": weighted_cumulative, "ce4": log_pooling, "ce5": alphas}


def lift(study: Study) -> Iterable[Part]:
    """ce6: Lift@100 above 1, by a person's review of the images; on injected errors it is known without one."""
    name, published = "injected errors: Lift@100 minus 1", CONTRACT.claims()["ce6"].published
    if study.tagging is None:
        yield not_run(name, "section 5.2 was not run", published=published - 1)
    else:
        lifts = injected_lifts(study.tagging)
        found = lifts[lifts.k == REVIEWED].lift
        few = not_run(name, f"fewer than {REVIEWED} images", published=published - 1)
        yield decide(name, found - 1, published=published - 1) if len(found) else few
    by_review = f"{'CelebA' if study.tagging and study.tagging.of_celeba else 'these images'}, by review: log Lift@100"
    if study.review is not None:
        yield decide_estimate(by_review, study.review.lift, published=np.log(published))
        return
    reason = "needs CelebA's images and a person's review of 200 of them (review_sheet, parameter `review`)"
    yield not_run("CelebA, by review: Lift@100", reason, published=published)


def with_review(session: Session, path: str | Path) -> Session:
    """The session with a review sheet that was filled in. It decides ce6, and of CelebA's own images exactly.

    Raises:
        InputError: as `Study.reviewed`.
    """
    study, stated = session.study.reviewed(path), session.evidence
    if study.tagging.on_celeba:
        stated = replace(stated, by_claim={**stated.by_claim, "ce6": Evidence.EXACT})
    return replace(session, study=study, evidence=stated)


def _by_panel(study: Study, metric: str, better: str, worse: str) -> Iterable[Part]:
    """One pooling against another on one metric, in every panel and over them."""
    table = study.by_dataset.xs(metric, level="metric")
    paper = published_by_cell(study).xs(metric, level="metric")
    name, short = f"{METRICS[metric][1]}: {better} minus {worse}", short_lists(study, metric)
    yield from _panels(name, table[better] - table[worse], paper[better] - paper[worse], short)


def short_lists(study: Study, metric: str) -> dict[str, str]:
    """Group -> how long the lists of a metric are, where some have fewer than 20 examples: little but noise.

    Average precision counts within as many examples as there are hits.
    """
    if metric not in LEAST or study.datasets.empty:
        return {}
    hits = (study.datasets.train * study.datasets[f"share_with_{LEAST[metric]}_errors"]).round()
    told = hits.groupby(study.datasets.group).agg(["min", "max"]).astype(int)
    return {group: f"; lists of {row['min']} to {row['max']}" for group, row in told.iterrows() if row["min"] < SHORT}


def _panels(
    name: str, ours: pd.Series, paper: pd.Series | None, more: Mapping[str, str] | None = None
) -> Iterable[Part]:
    """A part for every panel, and one over all of them where there are several.

    ours: by (group, classifier, seed). paper: by (group, classifier), the published difference, if there is one. more:
    what the name of a group's panels says besides.
    """
    for group, classifier in _of_several(ours):
        place = f"{group}, {CLASSIFIERS[classifier]}{(more or {}).get(group, '')}"
        said = None if paper is None else float(paper[group, classifier])
        yield decide(f"{name} ({place})", ours[group, classifier], published=said)
    shared = shared_datasets(ours)
    if shared.index.droplevel("seed").nunique() > 1:
        said = None if paper is None else _published(paper, shared)
        yield decide(f"{name} (all panels)", shared, published=said, **_shared(shared.index))


def _of_several(table: pd.Series | pd.DataFrame) -> list[tuple[str, str]]:
    """The panels of two datasets or more, (group, classifier): a single one has no interval. All, if there are none."""
    seeds = table.index.to_frame(index=False).drop_duplicates([*PANEL, "seed"])
    sizes = seeds.groupby(PANEL, sort=False).size()
    return list((sizes[sizes > 1] if (sizes > 1).any() else sizes).index)


def shared_datasets(table: pd.Series | pd.DataFrame) -> pd.Series | pd.DataFrame:
    """Rows of the datasets on which all panels of their group were measured, so that panels weigh alike.

    table: its index has the levels group, classifier and seed.
    """
    used = _of_several(table)
    rows = table.index.to_frame(index=False)
    kept = pd.Series(list(zip(rows.group, rows.classifier, strict=True))).isin(used).to_numpy()
    wanted = rows.group.map(pd.Series([group for group, _ in used]).value_counts())
    found = rows[kept].groupby(["group", "seed"]).classifier.nunique()
    there = pd.MultiIndex.from_frame(rows[["group", "seed"]]).map(found)
    return table[kept & (there.to_numpy() == wanted.to_numpy())]


def _published(paper: pd.Series, ours: pd.Series) -> float:
    """A published difference over the panels that ours has, weighed as ours are: panels and groups alike."""
    panels = ours.index.droplevel("seed").unique()
    said = pd.Series({panel: float(paper[panel[0], panel[1]]) for panel in panels})
    return float(said.groupby(level=0).mean().mean())


def _shared(index: pd.MultiIndex) -> dict[str, pd.Index]:
    """Datasets are what was drawn independently, in groups that weigh alike; for `decide`."""
    groups, seeds = index.get_level_values("group"), index.get_level_values("seed")
    return {"clusters": list(zip(groups, seeds, strict=True)), "strata": groups}


def _correlation(values: np.ndarray) -> float:
    """Spearman's correlation with alpha; 0 where the metric does not move at all."""
    return 0.0 if np.ptp(values) == 0 else float(stats.spearmanr(ALPHAS, values).statistic)
