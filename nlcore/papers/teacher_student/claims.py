"""The paper's claims, decided: differences are paired within a seed (the same images, division and noisy network)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from nlcore.papers.teacher_student.protocol import CONTRACT, METHODS
from nlcore.papers.teacher_student.study import ABLATIONS, SCORES, TABLE_2, TRAINED, Study
from nlcore.report.atlas import reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.ladder import Effect
from nlcore.report.verdicts import Part, decide, decide_within, not_run

BASELINES = tuple(name for name in METHODS if name not in ("proposed", "ground_truth"))
CLOSE = 0.01  # one point
SLIGHTLY = 0.02  # "can be slightly better": our reading; Table 2 has up to 0.0105
UNIT = "AP_all, a fraction"
OWN = "as run"  # the profile's own rates and passes, among other readings
CHOSEN = "rates by the validation part, for every method"


def decide_claims(study: Study, only: str | None = None) -> list[ClaimVerdict]:
    """All claims of the paper, in the contract's order, or one; ts7 from the runs on Open Images, if there are any."""
    deciders = {
        "ts1": beats_baselines,
        "ts2": overtaken,
        "ts3": lambda study: _ablation(study, "table_4", "proposed", ("linear",)),
        "ts4": lambda study: _ablation(study, "table_5", "both", ("none", "teacher_only", "student_only")),
        "ts5": lambda study: _ablation(study, "table_6", "hard", ("soft",)),
        "ts6": veit_stays_below,
        "ts7": lambda study: best_on_open_images(study.open_images),
        "ts8": activations,
    }
    known = CONTRACT.claims()
    return [ClaimVerdict(known[id], tuple(decider(study))) for id, decider in deciders.items() if only in (None, id)]


def headline_effects(study: Study) -> list[Effect]:
    """ts1 against the strongest baseline at every share, ts2 in AP_all, and ts3 where the linear variant ran."""
    effects, said = [], CONTRACT.published()
    for fraction in study.fractions():
        at = f"{fraction:.0%} clean"
        strongest = max(BASELINES, key=lambda name: study.values(name, fraction, "AP_all").mean())
        whole = _paired(study, "AP_all", fraction, "finetune_whole", "proposed")
        ours = _paired(study, "AP_all", fraction, "proposed", strongest)
        bent = _paired(study, "AP_all", fraction, "proposed", "linear")
        effects += [
            Effect("ts1", "proposed minus the strongest baseline", at, ours, _gap(fraction, "proposed"), UNIT),
            Effect("ts2", "whole network minus proposed", at, whole, _gap(fraction, "finetune_whole"), UNIT),
            Effect("ts3", "sigmoid minus linear", at, bent, _bend(said["table_4"], fraction), UNIT),
        ]
    return effects


def _gap(fraction: float, better: str) -> float | None:
    """AP_all of Table 2: `better` minus the proposed network, or the proposed network minus the strongest baseline."""
    if fraction not in TABLE_2:
        return None
    table, place = CONTRACT.published()["table_2"], len(TABLE_2) + TABLE_2.index(fraction)
    others = BASELINES if better == "proposed" else ("proposed",)
    return table[better][place] - max(table[other][place] for other in others)


def _bend(table: dict[str, list[float]], fraction: float) -> float | None:
    """AP_all of Table 4: the proposed network minus its linear variant."""
    if fraction not in ABLATIONS:
        return None
    place = len(ABLATIONS) + ABLATIONS.index(fraction)
    return table["proposed"][place] - table["linear"][place]


def readings_atlas(study: Study) -> pd.DataFrame:
    """What the other readings that were run do to the claims they touch."""
    deciders = {"ts1": beats_baselines, "ts2": overtaken}
    equal = study.scores[study.scores.equal_budget]
    studies = {"equal numbers of updates": equal.assign(equal_budget=False)}
    for name, variant in (("soft labels", "soft"), ("tanh in the heads", "tanh"), ("ReLU in the heads", "relu")):
        others = study.scores[(study.scores.series != "proposed") & ~study.scores.equal_budget]
        taken = study.scores[study.scores.series == variant].assign(series="proposed")
        studies[name] = pd.concat([others, taken])
    readings = {
        name: {id: decider(replace(study, scores=scores)) for id, decider in deciders.items()}
        for name, scores in studies.items()
    }
    for name, scores in other_rates(study).items():
        other = replace(study, scores=scores)
        readings[name] = {id: decide_claims(other, id)[0].parts for id in ("ts1", "ts3", "ts8")}
    return reading_atlas(decide_claims(study), readings)


def by_reading(study: Study) -> pd.DataFrame:
    """`Study.surface` with the profile's own runs of the same series, shares and seeds among them, as `OWN`.

    Where nothing ran with another protocol, the own ones of these series alone.
    """
    ran = ["series", "fraction", "seed"]
    own = study.scores[study.scores.series.isin(TRAINED) & ~study.scores.equal_budget].assign(reading=OWN)
    if study.surface.empty:
        return own
    return pd.concat([own.merge(study.surface[ran].drop_duplicates(), on=ran), study.surface])


def other_rates(study: Study) -> dict[str, pd.DataFrame]:
    """Reading -> scores of the shares and seeds of `Study.surface`; and those that the validation part chooses.

    What a reading leaves as it is, is the profile's own. Chosen is, for every method by itself, what brings it the
    highest AP_all on the validation part, on average over the seeds; the profile's own where nothing brings more.
    """
    if study.surface.empty:
        return {}
    frame, place = by_reading(study), ["series", "fraction"]
    own = frame[frame.reading == OWN]
    readings = {
        name: pd.concat([part, own[~own.series.isin(part.series)]])
        for name, part in study.surface.groupby("reading", sort=False)
    }
    judged = frame[frame.metric == "validation_AP_all"].groupby([*place, "reading"], sort=False).value.mean()
    chosen = judged.groupby(place).idxmax().map(lambda found: found[-1]).rename("reading").reset_index()
    return readings | {CHOSEN: frame.merge(chosen, on=[*place, "reading"])}


def beats_baselines(study: Study) -> Iterable[Part]:
    """ts1: at 5 % the proposed network above each baseline. The ground truth is an upper bound, no baseline."""
    for metric in SCORES:
        for other in BASELINES:
            yield _difference(study, "table_2", metric, 0.05, TABLE_2, "proposed", other)


def overtaken(study: Study) -> Iterable[Part]:
    """ts2: the whole network slightly ahead of the proposed in AP_all from 30 %, in mAP at 50 %, and not before."""
    for metric, fraction, ahead in (
        ("AP_all", 0.05, "proposed"),
        ("AP_all", 0.3, "finetune_whole"),
        ("AP_all", 0.5, "finetune_whole"),
        ("mAP", 0.05, "proposed"),
        ("mAP", 0.3, "proposed"),
        ("mAP", 0.5, "finetune_whole"),
    ):
        behind = "finetune_whole" if ahead == "proposed" else "proposed"
        most = SLIGHTLY if ahead == "finetune_whole" else np.inf
        yield _difference(study, "table_2", metric, fraction, TABLE_2, ahead, behind, at_most=most)


def veit_stays_below(study: Study) -> Iterable[Part]:
    """ts6: both fine-tuned networks above both variants of Veit et al., at every share of Table 2."""
    for metric in SCORES:
        for fraction in TABLE_2:
            for better in ("finetune_whole", "finetune_last"):
                for worse in ("veit_pretrained", "veit_joint"):
                    yield _difference(study, "table_2", metric, fraction, TABLE_2, better, worse)


def best_on_open_images(study: Study | None) -> Iterable[Part]:
    """ts7: as ts1, on Open Images, all of whose verified set is used."""
    said = CONTRACT.published()["table_3"]
    for place, metric in enumerate(SCORES):
        for other in BASELINES:
            gap = said["proposed"][place] - said[other][place]
            name = f"{metric}: proposed minus {other}"
            if study is None:
                yield not_run(name, "needs the images and labels of Open Images V1", published=gap)
            else:
                yield _decided(name, _paired(study, metric, 1.0, "proposed", other), gap)


def activations(study: Study) -> Iterable[Part]:
    """ts8: sigmoid, tanh and ReLU within one point of each other, in mAP."""
    names = {"proposed": "sigmoid", "tanh": "tanh", "relu": "relu"}
    for fraction in ABLATIONS:
        for one, other in combinations(names, 2):
            name = f"mAP at {fraction:.0%}: {names[one]} minus {other}, within one point"
            differences = _paired(study, "mAP", fraction, one, other)
            yield decide_within(name, differences, CLOSE) if len(differences) else not_run(name, "not run")


def _ablation(study: Study, table: str, better: str, others: Iterable[str]) -> Iterable[Part]:
    for metric in SCORES:
        for fraction in ABLATIONS:
            for worse in others:
                yield _difference(study, table, metric, fraction, ABLATIONS, better, worse)


def _difference(
    study: Study,
    table: str,
    metric: str,
    fraction: float,
    fractions: tuple[float, ...],
    better: str,
    worse: str,
    at_most: float = np.inf,
) -> Part:
    """One part, held against the difference of the published values: mAP at each share, then AP_all."""
    said = CONTRACT.published()[table]
    place = SCORES.index(metric) * len(fractions) + fractions.index(fraction)
    name = f"{metric} at {fraction:.0%}: {better} minus {worse}"
    gap = said[better][place] - said[worse][place]
    return _decided(name, _paired(study, metric, fraction, better, worse), gap, at_most)


def _decided(name: str, differences: pd.Series, published: float, at_most: float = np.inf) -> Part:
    if not len(differences):
        return not_run(name, "not run at this profile", published=published)
    return decide(name, differences, published=published, at_most=at_most)


def _paired(study: Study, metric: str, fraction: float, better: str, worse: str) -> pd.Series:
    ours = {"both": "proposed", "hard": "proposed"}
    one, other = (study.in_draws(ours.get(name, name), fraction, metric) for name in (better, worse))
    return (one - other).dropna()
