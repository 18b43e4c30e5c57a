"""The paper's claims, decided for both variants of its algorithm: differences are paired within a seed.

A seed fixes the gold images, the noise, the initial weights and the order of the batches, the same for every method.
`galc_slr` is the repaired algorithm, `galc_slr as written` the printed one; the added baselines decide gs8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from nlcore.papers.galc_slr.protocol import CALIBRATED, CONTRACT, DEFAULTS, MIXUP, T_ESTIMATOR, VARIANTS
from nlcore.papers.galc_slr.study import Study
from nlcore.papers.surface import CHOSEN, at_chosen_points
from nlcore.report.atlas import reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.draws import by_column
from nlcore.report.intervals import estimate
from nlcore.report.ladder import Effect
from nlcore.report.verdicts import Part, decide, decide_within, not_run, not_testable
from nlcore.report.words import percent

NOT_RUN = "the profile does not run this comparison"
PLACES = {
    "diagonal": "on the diagonal",
    "off_diagonal": "on the off-diagonal",
    "contrast": "of the contrast, diagonal minus off-diagonal",
}
CLOSE_TO_TRUTH = 0.5  # points of mAP, as claimed
LITTLE = 1.0  # "only a minor impact", "slightly": our reading, in points
VACUOUS = 0.1  # a cap that drops a smaller share of the single-label images than this changes nothing


def decide_claims(study: Study, only: str | None = None) -> list[ClaimVerdict]:
    """All claims, in the contract's order, for the repaired algorithm, then for it as written; or one of these."""
    known, verdicts = CONTRACT.claims(), []
    for variant in VARIANTS:
        suffix = variant.removeprefix("galc_slr")
        for id, decider in DECIDERS.items():
            if only in (None, id + suffix):
                claim = replace(known[id], id=id + suffix)
                verdicts.append(ClaimVerdict(claim, tuple(decider(study, variant))))
    return verdicts


def headline_effects(study: Study) -> list[Effect]:
    """gs1, gs4 (that the true matrix is at most half a point ahead, or behind) and gs8, wherever there is noise."""
    said, effects = published_gains("map"), []
    for noise in [level for level in study.levels if level > 0]:
        at, printed = f"{percent(noise)} %", published_behind(study.gold) if noise == study.ablation_noise else None
        behind = paired(*(study.in_draws("map", method=name, noise=noise) for name in ("true matrix", "galc_slr")))
        beyond = gain(study, "map", noise, "galc_slr", "asl + clean gold")
        effects += [
            Effect("gs1", "GALC-SLR minus ASL", at, gain(study, "map", noise, "galc_slr", "asl"), said.get(noise)),
            Effect("gs4", "true matrix minus GALC-SLR", at, behind, printed, within=CLOSE_TO_TRUTH),
            Effect("gs8", "GALC-SLR minus ASL with clean gold", at, beyond),
        ]
    return effects


def published_behind(gold: float) -> float | None:
    """By how many points Figure 6b has the true matrix ahead, with such a share of gold images, at its one level."""
    said = CONTRACT.published()["fig_6b"].get(percent(gold))
    return said and round(said["true"] - said["estimated"], 2)


def readings_atlas(study: Study) -> pd.DataFrame:
    """What the other readings that were run do to the claims they touch; the estimate's ran at one noise level."""
    repaired, written = VARIANTS
    at_one_level = ("gs1", "gs4", "gs6", "gs8")
    changed = {
        "ASL sees the clean gold labels": (
            _stand_in(study, "asl", method="asl + clean gold"),
            ("gs1", "gs2", "gs3", "gs7"),
        ),
        "ASL trains on mixtures of two images": (_stand_in(study, "asl", method=MIXUP), ("gs1",)),
        "ASL is reweighted by rates that no gold label tells": (_stand_in(study, "asl", method=T_ESTIMATOR), ("gs1",)),
        "C is estimated on silver images": (_stand_in(study, repaired, estimate_on="silver"), at_one_level),
        "silver classifier trained with BCE": (
            _stand_in(_stand_in(study, repaired, silver_loss="bce"), "glc", silver_loss="bce"),
            at_one_level,
        ),
        "as written, C'g clipped to [0, 1]": (_stand_in(study, repaired, method=f"{written}, clipped"), ("gs1", "gs8")),
        "ASL's bias taken out before the estimate": (_stand_in(study, repaired, method=CALIBRATED), at_one_level),
        "the true matrix counted on gold images": (_stand_in(study, "true matrix", method="gold count"), ("gs4",)),
    }
    second = {name: f"{name}, second sigmoid" for name in (repaired, "true matrix")}
    bounded = _stand_in(study, repaired, method=second[repaired])
    both = _stand_in(bounded, "true matrix", method=second["true matrix"])
    changed |= {
        "a second sigmoid on C'g": (bounded, ("gs1", "gs2", "gs3", "gs8")),
        "a second sigmoid on C'g, whichever C": (both, ("gs4",)),
    }
    readings = {"the algorithm as written": {id: decider(study, written) for id, decider in DECIDERS.items()}}
    over_silver = _stand_in(study, written, estimate_on="silver")
    readings["the algorithm as written, over silver images as it is printed"] = {
        id: DECIDERS[id](over_silver, written) for id in ("gs1", "gs4", "gs6", "gs8")
    }
    readings["CF1 and OF1 at threshold 0.5"] = {"gs2": asl_ahead_without_noise(study, repaired, threshold=0.5)}
    for name, (own, ids) in changed.items():
        readings[name] = {id: DECIDERS[id](own, repaired) for id in ids}
    if study.surface.held_out.notna().any():
        readings[CHOSEN] = at_own_rates(study, repaired)
    return reading_atlas([d for d in decide_claims(study) if d.claim.id in DECIDERS], readings)


def at_own_rates(study: Study, variant: str) -> dict[str, list[Part]]:
    """gs1, gs7 and gs8 at the ablation's noise, every method at the rate and epochs that images held out choose."""
    last, noise = by_column(at_chosen_points(study.surface), "method", "map"), study.ablation_noise
    at, size = f"mAP at {percent(noise)} %", published_gains("map")[noise]
    compared = {"gs1": (at, "asl", size), "gs7": ("last mAP", "asl", None), "gs8": (at, "asl + clean gold", None)}
    return {
        id: [decide(f"{what}: {variant} minus {other}", last[variant] - last[other], published=said)]
        for id, (what, other, said) in compared.items()
        if {variant, other} <= set(last)
    }


def _stand_in(study: Study, name: str, /, **fields: str) -> Study:
    """The study with the runs of `fields` in the place of method `name`'s own, as if they had been the defaults.

    Levels that fewer of the seeds ran than others are left out: there a reading stands beside Table 1 only.
    """

    def replaced(frame: pd.DataFrame, column: str) -> pd.DataFrame:
        own = {column: name} if "method" not in fields else {column: fields["method"]}
        wanted = {"cap": 0, **own, **{field: value for field, value in fields.items() if field != "method"}}
        taken = frame[np.logical_and.reduce([frame[field] == value for field, value in wanted.items()])]
        seeds = taken.groupby("noise").seed.transform("nunique")
        taken = taken[seeds == seeds.max()]
        return pd.concat([frame[frame[column] != name], taken.assign(**{column: name, **DEFAULTS, "cap": 0})])

    return replace(study, scores=replaced(study.scores, "method"), curves=replaced(study.curves, "method"),
                   distances=replaced(study.distances, "matrix"))  # fmt: skip


def paired(larger: pd.Series, smaller: pd.Series) -> pd.Series:
    """Differences of two series with the same index, where both ran."""
    return (larger - smaller).dropna()


def beats_asl(study: Study, variant: str) -> Iterable[Part]:
    """gs1: mAP above ASL's at every level, by the published sizes; and on average over the levels."""
    gains = {}
    for noise, paper in published_gains("map").items():
        gains[noise] = gain(study, "map", noise, variant, "asl")
        yield _decided(f"mAP at {percent(noise)} %: {variant} minus asl", gains[noise], decide, published=paper)
    average = pd.concat(list(gains.values()), axis=1).dropna().mean(axis=1) if _all(gains.values()) else pd.Series()
    paper = float(np.mean(list(published_gains("map").values())))
    yield _decided(f"mAP on average over the levels: {variant} minus asl", average, decide, published=paper)


def asl_ahead_without_noise(study: Study, variant: str, *, threshold: float = 0.8) -> Iterable[Part]:
    """gs2: without noise, CF1 and OF1 of ASL above GALC-SLR's, and by less than a point ("slightly")."""
    for metric in ("cf1", "of1"):
        ahead = -gain(study, f"{metric}_{threshold}", 0.0, variant, "asl")
        paper = -published_gains(metric)[0.0]
        yield _decided(f"{metric.upper()} at 0 %: asl minus {variant}", ahead, decide, published=paper, at_most=LITTLE)


def slopes(study: Study, variant: str) -> Iterable[Part]:
    """gs3: points of mAP lost for every 10 % of noise, from the lowest to the highest level, ASL against GALC-SLR.

    What is low everywhere loses little: so GALC-SLR must also end above ASL at the highest level.
    """
    lost = {method: loss_per_level(study, method) for method in ("asl", variant)}
    paper = {name: published_loss(name) for name in ("asl", "galc_slr")}
    difference = paired(lost["asl"], lost[variant])
    name = f"points of mAP lost per 10 %: asl minus {variant}"
    yield _decided(name, difference, decide, published=paper["asl"] - paper["galc_slr"])
    last = study.levels[-1]
    name = f"mAP at {percent(last)} %: {variant} minus asl"
    yield _decided(name, gain(study, "map", last, variant, "asl"), decide, published=published_gains("map").get(last))


def near_the_true_matrix(study: Study, variant: str) -> Iterable[Part]:
    """gs4: training with the estimate within 0.5 points of training with the true matrix, at both gold fractions."""
    for gold in (0.05, 0.1):
        at = {"noise": study.ablation_noise, "gold": gold}
        difference = paired(*(study.in_draws("map", method=method, **at) for method in ("true matrix", variant)))
        name = f"mAP at {percent(gold)} % gold: true matrix minus {variant}"
        yield _decided(name, difference, decide_within, CLOSE_TO_TRUTH, published=published_behind(gold))


def few_single_label_images(study: Study, variant: str) -> Iterable[Part]:
    """gs5: at most 50 or 10 single-label images of a class, against all of them."""
    at = {"noise": study.ablation_noise, "method": variant}
    for cap in (50, 10):
        difference = paired(study.in_draws("map", **at), study.in_draws("map", cap=cap, **at))
        name, dropped = f"mAP: all single-label images minus {cap} of a class, within one point", study.dropped_by(cap)
        if dropped < VACUOUS:
            yield not_testable(name, f"by construction: the cap drops {dropped:.1%} of the single-label images")
        else:
            yield _decided(name, difference, decide_within, LITTLE)


def nearer_than_glc(study: Study, variant: str) -> Iterable[Part]:
    """gs6: mean absolute error against the printed true matrix, GLC's minus GALC-SLR's; and of the contrast.

    Most entries off the diagonal are near zero whatever the estimate: what the paper points at is how far the diagonal
    stands out from them. As written there are two: with the last sigmoid, and without it, as in the paper's Fig. 4.
    """
    names = [variant] if variant == "galc_slr" else [variant, "galc_slr unscaled"]
    for name in names:
        for column, where in PLACES.items():
            errors = [
                study.runs(study.distances, noise=study.ablation_noise, matrix=matrix).set_index("seed")[column]
                for matrix in ("glc", name)
            ]
            yield _decided(f"error {where}: glc minus {name}", paired(*errors), decide)


def memorisation(study: Study, variant: str) -> Iterable[Part]:
    """gs7: both curves peak in the first half and then fall; GALC-SLR ends higher and peaks later.

    A seed's fall is measured from the epoch at which the *other* seeds' mean is highest: a seed's own maximum lies
    above its last value by construction. A mean curve that is highest at the last epoch has not peaked yet: where it
    would peak, and how far it would fall, more epochs alone could tell. Nor can a peak be dated on a plateau that
    lasts to the end, where thousandths of a point decide which epoch is highest.
    """
    curves = {method: curve(study, method) for method in ("asl", variant)}
    said = CONTRACT.published()["text"]["peak_epoch"]
    peaks, undated = {}, {}
    for method, table in curves.items():
        undated[method] = _why_undated(method, table)
        peaks[method] = table.idxmax(axis=1) if len(table) else pd.Series(dtype=float)
        half = table.columns.max() / 2 if len(table) else 0
        names = f"{method}: half of the epochs minus the peak's", f"{method}: mAP at the peak minus the last"
        if undated[method]:
            yield not_testable(names[0], undated[method])
        else:
            yield _decided(names[0], half - peaks[method], decide)
        if censored(table):
            yield not_testable(names[1], undated[method])
        else:
            yield _decided(names[1], fall(table), decide)
    last = gain(study, "map", study.ablation_noise, variant, "asl")
    yield _decided(f"last mAP: {variant} minus asl", last, decide)
    later, name = paired(peaks[variant], peaks["asl"]), f"epoch of the peak: {variant} minus asl"
    size = None if any(undated.values()) else said["galc_slr"] - said["asl"]
    yield _decided(name, later, decide, published=size)


def _why_undated(method: str, curves: pd.DataFrame) -> str | None:
    """Why it cannot be said when a method's curve is highest; None where it can."""
    if censored(curves):
        return f"by censoring: {method} is highest at the last epoch"
    return f"by censoring: {method}'s highest cannot be told from its last epoch" if on_a_plateau(curves) else None


def beyond_clean_gold(study: Study, variant: str) -> Iterable[Part]:
    """gs8 (ours): mAP above both baselines that use the clean gold images and no matrix, wherever there is noise."""
    for baseline in ("asl + clean gold", "gold only"):
        for noise in [level for level in study.levels if level > 0]:
            difference = gain(study, "map", noise, variant, baseline)
            yield _decided(f"mAP at {percent(noise)} %: {variant} minus {baseline}", difference, decide)


DECIDERS = {
    "gs1": beats_asl,
    "gs2": asl_ahead_without_noise,
    "gs3": slopes,
    "gs4": near_the_true_matrix,
    "gs5": few_single_label_images,
    "gs6": nearer_than_glc,
    "gs7": memorisation,
    "gs8": beyond_clean_gold,
}


def gain(study: Study, metric: str, noise: float, method: str, baseline: str) -> pd.Series:
    """A metric of `method` minus that of `baseline` at one noise level, by seed and draw of the test images."""
    return paired(*(study.in_draws(metric, method=name, noise=noise) for name in (method, baseline)))


def loss_per_level(study: Study, method: str) -> pd.Series:
    """Points of mAP lost per 10 % of noise between the first and the last level, by seed and draw."""
    first, last = study.levels[0], study.levels[-1]
    if first == last:
        return pd.Series(dtype=float)
    ends = (study.in_draws("map", method=method, noise=noise) for noise in (first, last))
    return paired(*ends) / (100 * (last - first)) * 10


def curve(study: Study, method: str, **fields: Any) -> pd.DataFrame:
    """mAP by epoch at the ablation's noise: one row per seed, one column per epoch."""
    rows = study.runs(study.curves, method=method, noise=study.ablation_noise, **fields)
    return rows.pivot_table(index="seed", columns="epoch", values="map")


def fall(curves: pd.DataFrame) -> pd.Series:
    """Each seed's mAP at the epoch where the other seeds are best, minus its last; (seeds, epochs) -> by seed."""
    if len(curves) < 2:
        return pd.Series(dtype=float)
    best = {seed: curves.drop(index=seed).mean().idxmax() for seed in curves.index}
    return pd.Series({seed: curves.loc[seed, epoch] - curves.loc[seed].iloc[-1] for seed, epoch in best.items()})


def censored(curves: pd.DataFrame) -> bool:
    """Whether the mean over the seeds is highest at the last epoch; (seeds, epochs)."""
    return len(curves) > 0 and bool(curves.mean().iloc[-1] >= curves.mean().max())


def on_a_plateau(curves: pd.DataFrame) -> bool:
    """Whether the seeds cannot tell the highest epoch from the last: the interval of the fall takes in zero."""
    falls = fall(curves)
    if falls.empty:
        return False
    found = estimate(falls)
    return found.low <= 0 <= found.high


def published_gains(metric: str) -> dict[float, float]:
    """Noise level -> GALC-SLR minus ASL in Table 1, in points; `metric` is map, cf1 or of1."""
    table, column = CONTRACT.published()["table_1"], ("map", "cf1", "of1").index(metric)
    return {int(noise) / 100: table["galc_slr"][noise][column] - table["asl"][noise][column] for noise in table["asl"]}


def published_loss(method: str) -> float:
    """Points of mAP that `method` loses for every 10 % of noise, by Table 1."""
    row = CONTRACT.published()["table_1"][method]
    return (row["0"][0] - row["60"][0]) / 6


def _decided(name: str, differences: pd.Series, decider: Callable[..., Part], *margin: float, **more: Any) -> Part:
    if len(differences):
        return decider(name, differences, *margin, **more)
    return not_run(name, NOT_RUN, published=more.get("published"))


def _all(parts: Iterable) -> bool:
    return all(len(part) for part in parts)
