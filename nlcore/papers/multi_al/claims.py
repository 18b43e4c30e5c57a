"""The paper's claims, decided: differences are paired within a seed (division, noise, first weights, order)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from nlcore.papers.multi_al.protocol import CONTRACT, SURFACE_NOISE
from nlcore.papers.multi_al.study import Study
from nlcore.papers.multi_al.words import BASELINE_SERIES
from nlcore.papers.surface import CHOSEN, at_chosen_points
from nlcore.report.atlas import reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.draws import by_column, mean_but
from nlcore.report.ladder import Effect
from nlcore.report.verdicts import Part, decide, decide_below, not_testable

LITTLE = 1.0  # points of mAP: "little", as the contract fixes it
EMPTY = "by construction: no image has a D2 below 0.1"


def decide_claims(study: Study, only: str | None = None) -> list[ClaimVerdict]:
    """All claims of the paper, in the contract's order, or one."""
    known = CONTRACT.claims()
    return [ClaimVerdict(known[id], tuple(_parts(study, id))) for id in known if only in (None, id)]


def _parts(study: Study, id: str) -> Iterable[Part]:
    if id in OF_FINAL:
        return OF_FINAL[id](study.in_draws())
    others = {
        "ma5": lambda: cleaner_with_lower_d1(study.bins),
        "ma6": lambda: d2_against_d1(study.bins),
        "ma7": lambda: longer_training(study),
    }
    return others[id]()


def gain_over_asl(final: pd.DataFrame) -> Iterable[Part]:
    """ma1: Multi-AL above plain ASL at every level, and by 28 points on average."""
    gain = final.multi_al_safe - final.asl
    for noise, part in gain.groupby("noise"):
        yield decide(f"{_at(noise)}: Multi-AL minus ASL", part)
    size = _text("gain_over_asl_points_mean_20_40_60")
    yield decide("mean over the levels: Multi-AL minus ASL", gain.pipe(mean_but, "noise"), published=size)


def safe_mode(final: pd.DataFrame) -> Iterable[Part]:
    """ma2: Safe mode helps entropy and random at 20 and 40 %, and less at 60 %."""
    for name, safe, plain in (("entropy", "multi_al_safe", "multi_al"), ("random", "random_safe", "random")):
        gain = (final[safe] - final[plain]).unstack("noise")
        for noise in (0.2, 0.4):
            yield decide(f"{name}, {_at(noise)}: with Safe minus without", gain[noise])
        yield decide(f"{name}: gain at 20 and 40 % minus gain at 60 %", gain[[0.2, 0.4]].mean(axis=1) - gain[0.6])


def entropy_over_random(final: pd.DataFrame) -> Iterable[Part]:
    """ma3: entropy above random at 20 and 40 %, like with like; and Multi-AL by 3 points above random.

    The 3 % of the abstract compare Multi-AL with random sampling, and Safe mode is part of Multi-AL.
    """
    pairs = {"without Safe": ("multi_al", "random"), "with Safe": ("multi_al_safe", "random_safe")}
    for name, (entropy, random) in pairs.items():
        gain = (final[entropy] - final[random]).unstack("noise")[[0.2, 0.4]]
        if (gain[0.2] == gain[0.4]).all():  # both train on relabelled images alone: noise elsewhere changes nothing
            yield decide(f"{name}, at both levels: entropy minus random", gain[0.2])
            continue
        for noise in gain:
            yield decide(f"{name}, {_at(noise)}: entropy minus random", gain[noise])
        yield decide(f"{name}, mean of 20 and 40 %: entropy minus random", gain.mean(axis=1))
    gain = (final.multi_al_safe - final.random).unstack("noise")[[0.2, 0.4]].mean(axis=1)
    size = _text("gain_over_random_20_40")
    yield decide("mean of 20 and 40 %: Multi-AL (with Safe) minus random (without)", gain, published=size)


def conflict_below_random(final: pd.DataFrame) -> Iterable[Part]:
    """ma4: CBIM below random at every level."""
    for noise, part in (final.random - final.cbim).groupby("noise"):
        yield decide(f"{_at(noise)}: random minus CBIM", part)


def cleaner_with_lower_d1(bins: pd.DataFrame) -> Iterable[Part]:
    """ma5: the share of clean images falls from bin to bin of D1 (Spearman over the bins that hold images).

    The paper's table gives one correlation, of images of all its draws: no size to hold the mean of the seeds' against.
    """
    for noise, part in bins[bins.measure == "d1"].groupby("noise"):
        falls = [-_rank_correlation(own.clean / (own.clean + own.wrong)) for _, own in part.groupby("seed")]
        yield decide(f"{_at(noise)}: falls with D1 (rank correlation, sign turned)", falls)


def d2_against_d1(bins: pd.DataFrame) -> Iterable[Part]:
    """ma6: D2's lowest bin is as clean as D1's or cleaner, but holds a smaller share of the clean images."""
    said = CONTRACT.published()
    for noise, part in bins.groupby("noise"):
        percent = f"{100 * noise:.0f}"
        table = part.pivot_table(index=["seed", "bin"], columns="measure", values=["clean", "wrong"])
        lowest = table.xs(0, level="bin")
        clean = lowest["clean"] / (lowest["clean"] + lowest["wrong"])
        ratios = [np.array(said[name][percent][0]) for name in ("table_1", "table_2")]
        paper = float(np.subtract(*[ratio / (1 + ratio) for ratio in reversed(ratios)]))
        both = (clean.d2 - clean.d1).dropna()
        name = f"{_at(noise)}: clean share of bin 0, D2 minus D1"
        yield decide(name, both, published=paper) if len(both) else not_testable(name, EMPTY, published=paper)
        counts = said["table_3"][percent]
        paper = float(np.subtract(*[counts[m][0] / sum(counts[m]) for m in ("d1", "d2")]))
        share = lowest["clean"] / part.pivot_table(index="seed", columns="measure", values="clean", aggfunc="sum")
        name = f"{_at(noise)}: share of the clean images in bin 0, D1 minus D2"
        yield decide(name, share.d1 - share.d2, published=paper)


def longer_training(study: Study) -> Iterable[Part]:
    """ma7: validation mAP at the end of the longer training no more than 1 point above that at the stop."""
    table = study.initial.pivot_table(index="seed", columns="epoch", values="validation")
    late, early = table.columns.max(), study.protocol.epochs
    name = f"mAP after {late} epochs minus after {early}, below one point"
    yield decide_below(name, table[late] - table[early], LITTLE)


def entropy_over_conflict(final: pd.DataFrame) -> Iterable[Part]:
    """ma8: entropy above CBIM at every level, both without Safe mode."""
    for noise, part in (final.multi_al - final.cbim).groupby("noise"):
        yield decide(f"{_at(noise)}: entropy minus CBIM", part)


def over_random_everywhere(final: pd.DataFrame) -> Iterable[Part]:
    """ma9: Multi-AL, which has Safe mode, above random sampling by 2 points on average over the levels."""
    gain = (final.multi_al_safe - final.random).pipe(mean_but, "noise")
    name = "mean over the levels: Multi-AL (with Safe) minus random (without)"
    yield decide(name, gain, published=_text("gain_over_random_all"))


def safe_mode_at_most_noise(final: pd.DataFrame) -> Iterable[Part]:
    """ma10: Safe mode still helps entropy at 60 %."""
    gain = (final.multi_al_safe - final.multi_al).unstack("noise")[0.6]
    yield decide(f"entropy, {_at(0.6)}: with Safe minus without", gain)


# Claims about the last models alone.
OF_FINAL = {
    "ma1": gain_over_asl,
    "ma2": safe_mode,
    "ma3": entropy_over_random,
    "ma4": conflict_below_random,
    "ma8": entropy_over_conflict,
    "ma9": over_random_everywhere,
    "ma10": safe_mode_at_most_noise,
}


def headline_effects(study: Study) -> list[Effect]:
    """ma1 and ma4, level by level, and ma3, once, at the middle one.

    ma3 is without Safe mode (the paper's 3 % are of Multi-AL, which has it): then every label that is trained on is
    bought, and nothing depends on the noise. What is published of ma1 is a mean over the levels.
    """
    final, mean = study.in_draws(), "points of mAP; published is the mean of the levels"
    levels = sorted(final.index.unique("noise"))
    compared = [
        ("ma1", "Multi-AL minus ASL", final.multi_al_safe - final.asl, levels),
        ("ma3", "entropy minus random", final.multi_al - final.random, levels[len(levels) // 2 :][:1]),
        ("ma4", "random minus CBIM", final.random - final.cbim, levels),
    ]
    published = {"ma1": {"published": _text("gain_over_asl_points_mean_20_40_60"), "unit": mean}}
    return [
        Effect(claim, what, _at(noise), gain.xs(noise, level="noise"), **published.get(claim, {}))
        for claim, what, gain, shown in compared
        for noise in shown
    ]


def readings_atlas(study: Study) -> pd.DataFrame:
    """What the other readings that were run do to the claims they touch."""
    default = study.in_draws()
    finals = {"mAP without person": study.in_draws(metric="map_without_person")}
    if study.active.safe_kept.any():
        finals["Safe images are kept"] = default.assign(multi_al_safe=study.in_draws(safe_kept=True).multi_al_safe)
    if (study.active.start == "clean_coco").any():
        leaked = study.in_draws(start="clean_coco")
        finals["both start from clean COCO labels"] = leaked
        finals["Multi-AL alone starts from clean COCO labels"] = leaked.assign(asl=default.asl)
    readings = {
        name: {id: OF_FINAL[id](final) for id in ("ma1", "ma2", "ma3", "ma4") if id == "ma1" or "random" in final}
        for name, final in finals.items()
    }
    for name, baseline in study.baselines_in_draws().drop(columns="asl").items():
        readings[f"the baseline: {BASELINE_SERIES[name]}"] = {"ma1": gain_over_asl(default.assign(asl=baseline))}
    for name in study.readings:
        final = study.under(name)
        readings[name] = {id: decider(final) for id, decider in OF_FINAL.items()}
    if study.surface.held_out.notna().any():
        readings[CHOSEN] = at_own_rates(study)
    return reading_atlas(decide_claims(study), readings)


def at_own_rates(study: Study) -> dict[str, list[Part]]:
    """The parts of ma1 to ma3 at the surface's level of noise, each method at the rate and length it would choose."""
    last, at = by_column(at_chosen_points(study.surface), "method", "map"), _at(SURFACE_NOISE)
    compared = {
        "ma1": (f"{at}: Multi-AL minus ASL", "multi_al_safe", "asl"),
        "ma2": (f"entropy, {at}: with Safe minus without", "multi_al_safe", "multi_al"),
        "ma3": ("without Safe, at both levels: entropy minus random", "multi_al", "random"),
    }
    both = {id: own for id, own in compared.items() if {*own[1:]} <= set(last)}
    return {id: [decide(name, last[ours] - last[other])] for id, (name, ours, other) in both.items()}


def _at(noise: float) -> str:
    return f"{100 * noise:.0f} %"


def _text(name: str) -> float:
    return CONTRACT.published()["text"][name]


def _rank_correlation(values: pd.Series) -> float:
    """Spearman's correlation with the bins, those without images left out; 0 where nothing moves."""
    known = values.dropna()
    if len(known) < 2 or known.nunique() < 2:
        return 0.0
    return float(stats.spearmanr(np.flatnonzero(values.notna()), known).statistic)
