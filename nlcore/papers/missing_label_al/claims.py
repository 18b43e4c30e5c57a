"""The paper's claims, decided: differences are paired within a seed (division, noise, first weights, order, ties)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from nlcore.papers.missing_label_al.protocol import CONTRACT, SPLIT_NOISE, UNKNOWN_AS
from nlcore.papers.missing_label_al.study import Study
from nlcore.papers.missing_label_al.words import BASELINE_SERIES, EQUAL_COST, FINAL, PER_LABEL
from nlcore.papers.surface import CHOSEN, at_chosen_points
from nlcore.report.atlas import reading_atlas
from nlcore.report.claims import ClaimVerdict
from nlcore.report.draws import DRAW, MOVED, by_column, in_draws
from nlcore.report.ladder import Effect
from nlcore.report.verdicts import Part, decide, decide_below, decide_within, not_testable
from nlcore.report.words import percent

EARLY, LATE = 3, 10  # iterations between which ml6 says the measures converge
LITTLE = 1.0  # points of mAP: "no significant difference", our reading
HIGH_COST = 10.0  # percent above Random's cost: what "without incurring a high relabelling cost" allows, our reading
SAME_AS_HARD = "by construction: the run of Hard+Medium is that of Hard at 20 %, and neither can be above the other"


OF_COST = ("ml9", "ml12")  # claims that no mAP has a part in
OF_ASL = ("ml1", "ml8", *OF_COST)  # what is read of plain ASL, or of costs, knows one mAP


def decide_claims(study: Study, only: str | None = None) -> list[ClaimVerdict]:
    """All claims of the paper, in the contract's order, or one; they are about its own measures."""
    known, study = CONTRACT.claims(), study.of_the_paper()
    return [ClaimVerdict(known[id], tuple(decider(study))) for id, decider in DECIDERS.items() if only in (None, id)]


def headline_effects(study: Study) -> list[Effect]:
    """ml1, against each thing that plain ASL may make of -1, and ml2, level by level."""
    said, last, effects = CONTRACT.published()["text"], study.final(), []
    for unknown_as in UNKNOWN_AS:
        for noise in study.noises:
            gain, size = study.gain_over_asl(noise, unknown_as), float(said["gain_over_asl"][percent(noise)])
            effects.append(Effect("ml1", f"Hard+entropy minus ASL ({unknown_as})", _at(noise), gain, size))
    for noise in study.noises:
        table = by_column(last[last.noise == noise], "measure", "map")
        size = float(said["gain_over_random_at_60"]) if noise == 0.6 else None
        effects.append(
            Effect("ml2", "Hard+entropy minus Random", _at(noise), table["hard_entropy"] - table["random"], size)
        )
    return effects


def readings_atlas(study: Study) -> pd.DataFrame:
    """What the other readings that were run do to the claims they touch."""
    study = study.of_the_paper()
    readings = {f"ASL: -1 {unknown_as}": {"ml1": over_asl(study, [unknown_as])} for unknown_as in UNKNOWN_AS}
    readings["% of ASL's mAP, not points"] = {"ml1": percent_over_asl(study)}
    for name in study.others.baseline.unique():
        readings[f"the baseline: {BASELINE_SERIES[name]}"] = {"ml1": over_baseline(study, name)}
    last = replace(study, active=study.active.assign(map=study.active.map_last))
    readings["mAP of the last epoch"] = {id: decider(last) for id, decider in DECIDERS.items() if id not in OF_COST}
    counted = replace(study, entropy_alone=True)
    readings["entropy alone is one of the measures"] = {id: DECIDERS[id](counted) for id in ("ml3", "ml4", "ml5")}
    own = {"map": study.active.map_without_person, "map" + MOVED: study.active["map_without_person" + MOVED]}
    others = replace(study, active=study.active.assign(**own))
    readings["mAP without person"] = {id: decider(others) for id, decider in DECIDERS.items() if id not in OF_ASL}
    product = (study.active.combination == "product") & (study.active.noise == 0.6)
    if product.any():
        ties = (study.active.measure == "hard_entropy") & (study.active.noise == 0.6) & ~product
        multiplied = replace(study, active=study.active.assign(
            combination=study.active.combination.mask(product, "ties").mask(ties, "product")
        ))  # fmt: skip
        readings["entropy by the product of ranks"] = {id: DECIDERS[id](multiplied) for id in ("ml2", "ml4")}
    if study.surface.held_out.notna().any():
        readings[CHOSEN] = {"ml1": over_asl_at_own_rates(study)}
    return reading_atlas(decide_claims(study), readings)


def over_asl_at_own_rates(study: Study) -> Iterable[Part]:
    """ml1 at one level, every method at the rate and length that images held out choose for it."""
    last, noise = by_column(at_chosen_points(study.surface), "method", "map"), SPLIT_NOISE
    size = float(CONTRACT.published()["text"]["gain_over_asl"][percent(noise)])
    for unknown_as in UNKNOWN_AS:
        if {"hard_entropy", f"asl {unknown_as}"} <= set(last):
            gain = last["hard_entropy"] - last[f"asl {unknown_as}"]
            yield decide(f"{_at(noise)}: Hard+entropy minus ASL ({unknown_as})", gain, published=size)


def over_asl(study: Study, baselines: Sequence[str] = UNKNOWN_AS) -> Iterable[Part]:
    """ml1: Hard+entropy above ASL, whatever that makes of -1."""
    said = CONTRACT.published()["text"]["gain_over_asl"]
    for unknown_as in baselines:
        for noise in study.noises:
            gain, size = study.gain_over_asl(noise, unknown_as), float(said[percent(noise)])
            yield decide(f"{_at(noise)}: Hard+entropy minus ASL ({unknown_as})", gain, published=size)


def percent_over_asl(study: Study) -> Iterable[Part]:
    """ml1, if its "%" are of what ASL reaches and not points of mAP."""
    said = CONTRACT.published()["text"]["gain_over_asl"]
    for unknown_as in UNKNOWN_AS:
        for noise in study.noises:
            gain, size = study.percent_over_asl(noise, unknown_as), float(said[percent(noise)])
            yield decide(f"{_at(noise)}: Hard+entropy over ASL ({unknown_as}), in % of it", gain, published=size)


def over_baseline(study: Study, baseline: str) -> Iterable[Part]:
    """ml1 against a baseline that sees the clean images too, or that has another loss."""
    said = CONTRACT.published()["text"]["gain_over_asl"]
    for noise in study.noises:
        gain, size = study.gain_over(baseline, noise), float(said[percent(noise)])
        yield decide(f"{_at(noise)}: Hard+entropy minus {BASELINE_SERIES[baseline]}", gain, published=size)


def over_random(study: Study) -> Iterable[Part]:
    """ml2: Hard+entropy above Random at 60 %."""
    table = _table(study, 0.6, FINAL)
    size = CONTRACT.published()["text"]["gain_over_random_at_60"]
    yield decide("60 %: Hard+entropy minus Random", table["hard_entropy"] - table["random"], published=float(size))


def random_per_label(study: Study) -> Iterable[Part]:
    """ml3: Random has the highest increase per label at 20 and 40 %."""
    for noise in (0.2, 0.4):
        yield from _best(study, noise, PER_LABEL, "random")


def best_at_60(study: Study) -> Iterable[Part]:
    """ml4: each heuristic has its own winner at 60 %."""
    for heuristic, measure in ((FINAL, "hard"), (PER_LABEL, "medium"), (EQUAL_COST, "hard_medium")):
        yield from _best(study, 0.6, heuristic, measure)


def best_at_20(study: Study) -> Iterable[Part]:
    """ml5: at 20 % Hard+Medium wins two heuristics; per label it is below the median of the others.

    With a fifth of the labels missing the ratio of Hard+Medium orders images as Hard's does, and the two are one run.
    """
    for heuristic in (FINAL, EQUAL_COST):
        table = _table(study, 0.2, heuristic)
        same = table["hard_medium"].equals(table["hard"].rename("hard_medium"))
        name = f"20 %, {heuristic}: hard_medium minus hard"
        yield from [not_testable(name, SAME_AS_HARD)] if same else _best(study, 0.2, heuristic, "hard_medium")
    table = _table(study, 0.2, PER_LABEL)
    others = table.drop(columns="hard_medium").median(axis=1)
    yield decide(f"20 %, {PER_LABEL}: median of the others minus hard_medium", others - table["hard_medium"])


def convergence(study: Study) -> Iterable[Part]:
    """ml6: the spread of the measures is smaller at the last iteration than at the third."""
    runs = study.defaults()
    late = min(LATE, runs.iteration.max())
    early = min(EARLY, late - 1)
    compared = in_draws(runs[runs.iteration.isin([early, late])], "map", "map" + MOVED)
    for noise in study.noises:
        own = compared[compared.noise == noise]
        table = own.pivot_table(index=["seed", DRAW, "iteration"], columns="measure", values="map")
        spread = (table.max(axis=1) - table.min(axis=1)).unstack("iteration")
        yield decide(f"{_at(noise)}: spread at iteration {early} minus at {late}", spread[early] - spread[late])


def split(study: Study) -> Iterable[Part]:
    """ml7: the 10/90 split has the highest increase per label at 40 %."""
    table = by_column(study.splits(), "series", PER_LABEL)
    yield from _against_each(table, "10/90", f"40 %, {PER_LABEL}")


def asl_suffers(study: Study) -> Iterable[Part]:
    """ml8: plain ASL on the incomplete labels ends lower the more of them are missing, whatever it makes of -1."""
    fewest, most = study.noises[0], study.noises[-1]
    for unknown_as in UNKNOWN_AS:
        own = by_column(study.whole[study.whole.unknown_as == unknown_as], "noise", "map")
        name = f"ASL ({unknown_as}): mAP at {_at(fewest)} minus at {_at(most)}"
        yield decide(name, own[fewest] - own[most], at_least=LITTLE)


def order_of_costs(study: Study) -> Iterable[Part]:
    """ml9: below 50 % Random relabels fewest cells of the measures that count missing labels, above it Medium."""
    last, counting = study.final(), ["random", "medium", "hard", "hard_medium"]
    for noise in study.noises:
        costs = last[last.noise == noise].pivot_table(index="seed", columns="measure", values="cost")[counting]
        cheapest = "random" if noise < 0.5 else "medium"
        others = costs.drop(columns=cheapest).min(axis=1)
        yield decide(f"{_at(noise)}, cells: the cheapest other minus {cheapest}", others - costs[cheapest])


def splits_alike(study: Study) -> Iterable[Part]:
    """ml10: no other split ends a point or more from the 10/90 split, in mAP."""
    table = by_column(study.splits(), "series", FINAL)
    for other in table.columns.drop("10/90"):
        name = f"40 %, {FINAL}: {other} minus 10/90, within one point"
        yield decide_within(name, table[other] - table["10/90"], LITTLE)


def random_falls_behind(study: Study) -> Iterable[Part]:
    """ml11: Random gets worse with noise: its own mAP, and against the mean of the other measures."""
    fewest, most = study.noises[0], study.noises[-1]
    few, many = (_table(study, noise, FINAL) for noise in (fewest, most))
    levels = f"{_at(fewest)} minus at {_at(most)}"
    yield decide(f"{FINAL} of Random: at {levels}", few["random"] - many["random"])
    ahead = [table["random"] - table.drop(columns="random").mean(axis=1) for table in (few, many)]
    yield decide(f"{FINAL}, Random minus the mean of the others: at {levels}", ahead[0] - ahead[1])


def cost_of_the_best(study: Study) -> Iterable[Part]:
    """ml12: Hard+entropy relabels hardly more cells than Random does."""
    last = study.final()
    for noise in study.noises:
        costs = last[last.noise == noise].pivot_table(index="seed", columns="measure", values="cost")
        more = 100 * (costs["hard_entropy"] / costs["random"] - 1)
        yield decide_below(f"{_at(noise)}, cells: Hard+entropy above Random, in %", more, HIGH_COST)


DECIDERS = {
    "ml1": over_asl,
    "ml2": over_random,
    "ml3": random_per_label,
    "ml4": best_at_60,
    "ml5": best_at_20,
    "ml6": convergence,
    "ml7": split,
    "ml8": asl_suffers,
    "ml9": order_of_costs,
    "ml10": splits_alike,
    "ml11": random_falls_behind,
    "ml12": cost_of_the_best,
}


def _best(study: Study, noise: float, heuristic: str, measure: str) -> Iterable[Part]:
    return _against_each(_table(study, noise, heuristic), measure, f"{_at(noise)}, {heuristic}")


def _against_each(table: pd.DataFrame, name: str, what: str) -> Iterable[Part]:
    """One column against each of the others: the best is ahead of all."""
    for other in table.columns.drop(name):
        yield decide(f"{what}: {name} minus {other}", table[name] - table[other])


def _table(study: Study, noise: float, heuristic: str) -> pd.DataFrame:
    """Rows: seeds and draws; columns: the paper's measures, and entropy alone where a reading counts it among them."""
    table = by_column(study.heuristics(study.defaults(), noise), "measure", heuristic)
    return table if study.entropy_alone else table.drop(columns="entropy", errors="ignore")


def _at(noise: float) -> str:
    return f"{percent(noise)} %"
