"""Tables of what labels alone decide: a quantity as published, and as counted in the label sets of COCO train2014."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from nlcore.data.label_sets import label_sets
from nlcore.data.source import Images
from nlcore.report.digits import rounded
from nlcore.report.words import percent
from nlcore.report.writer import ArtefactWriter

COLUMNS = ("quantity", "at", "published", "ours", "low", "high", "draws")
WHOLE = 1000  # numbers from here on are shown as whole ones
CAPTION = "From the labels of COCO train2014 alone, at the paper's size. low, high: the smallest and the largest draw."


def train2014(*, min_labels: int) -> Images:
    """COCO train2014 as labels without pictures: all with so many labels are for training, none for tests.

    What divides images and adds noise takes it like any other set; what looks at them cannot.
    """
    sets = label_sets()
    return Images(
        inputs=None,
        targets=sets.targets,
        train=np.flatnonzero(sets.targets.sum(axis=1) >= min_labels),
        test=np.arange(0),
        class_names=sets.class_names,
        official=True,
        pictures={},
        credit=lambda row: f"COCO {sets.image_ids[row]}",
    )


def count(
    quantity: str,
    ours: float | None = None,
    *,
    at: str = "",
    published: float | None = None,
    draws: Sequence[float] = (),
) -> dict[str, Any]:
    """A line of the table.

    Args:
        quantity: what is counted.
        ours: the exact number, or the exact expectation; None is the mean of the draws.
        at: the noise, share or cap.
        published: the paper's, where it prints one.
        draws: what so many draws of chance gave; empty where there is none.

    >>> count("clean images", at="40 %", published=5254, draws=[5200, 5300])
    {'quantity': 'clean images', 'at': '40 %', 'published': 5254, 'ours': 5250, 'low': 5200, 'high': 5300, 'draws': 2}
    """
    spread = (min(draws), max(draws), len(draws)) if len(draws) else (None, None, None)
    ours = float(np.mean(draws)) if ours is None else ours
    values = (quantity, at, *map(_shown, (published, ours, *spread)))
    return dict(zip(COLUMNS, values, strict=True))


def level(noise: float, what: str = "") -> str:
    """How the column `at` names a share, and what it is a share of.

    >>> level(0.4), level(0.05, "gold")
    ('40 %', '5 % gold')
    """
    return f"{percent(noise)} % {what}".strip()


def counts_table(lines: Iterable[dict[str, Any]], out: ArtefactWriter, *, remark: str = "") -> pd.DataFrame:
    """Write the lines as the artefact `exact_counts`; the remark says what else its reader has to know."""
    frame = pd.DataFrame(list(lines), columns=list(COLUMNS), dtype=object)  # whole numbers stay whole beside fractions
    return out.table("exact_counts", frame, caption=f"{CAPTION} {remark}".strip())


def _shown(value: float | None) -> int | float | None:
    if value is None or isinstance(value, Integral):
        return None if value is None else int(value)
    return round(value) if abs(value) >= WHOLE else rounded(float(value))
