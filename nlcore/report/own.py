"""A method of one's own against each of a paper's, place by place: the table `own_method`."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nlcore.report.draws import DRAW
from nlcore.report.evidence import Evidence
from nlcore.report.verdicts import decide, said_on


def own_method_table(
    scores: pd.DataFrame, own: Mapping[str, str], beside: Mapping[str, str], evidence: Evidence
) -> pd.DataFrame:
    """A row per own method, metric, place and method of the paper: the mean of the paired differences, and a word.

    The word says whether the own method is ahead: *holds*, the whole 95 % interval lies above zero; *contradicted* (on
    evidence that cannot contradict, *not seen here*): below; *inconclusive*: on both sides.

    Args:
        scores: long: metric, at (a noise level, say), method, seed, value; and where values are known in draws of the
            test images, draw (`nlcore.report.draws`).
        own, beside: name -> label of the methods of one's own and of the paper's.
        evidence: what the profile stands on.
    """
    rows, unit = [], ["seed", DRAW] if DRAW in scores else "seed"
    for (metric, at), part in scores.groupby(["metric", "at"], sort=False):
        values = part.pivot_table(index=unit, columns="method", values="value")
        for name in (name for name in own if name in values):
            for other in (other for other in beside if other in values):
                decided = decide(f"{name} minus {other}", values[name] - values[other])
                rows.append({
                    "method": own[name], "metric": metric, "at": at, "minus": beside[other],
                    "difference [95 % interval]": str(decided.estimate or ""),
                    "pairs": decided.estimate.pairs if decided.estimate else 0,
                    "is ahead": said_on(evidence, decided.verdict).value,
                })  # fmt: skip
    return pd.DataFrame(rows)
