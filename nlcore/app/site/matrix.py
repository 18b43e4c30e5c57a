"""A claim as a matrix: what is compared against where, a level of noise, a share of gold, a group of data sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nlcore.report.verdict_file import Decided, DecidedPart

LEVEL = r"(?<!and )\d+ ?%(?: gold)?|mean (?:of|over) [^:,]+|on average over [^:,]+"
NAMED = (
    re.compile(r"(?P<rest>.+) \((?P<panel>all panels|(?:small|large), [^()]+)\)"),
    re.compile(rf"(?P<before>.+?)(?: at|,)? (?P<panel>{LEVEL})(?P<after>(?:, [^:]+)?: .+)"),
    re.compile(rf"(?P<panel>{LEVEL})(?:,|:) (?P<rest>.+)"),
)


@dataclass(frozen=True)
class Matrix:
    """Parts of a claim by what they compare and where; None in a cell where the claim has no such part.

    others: the parts whose names tell no place in it.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[DecidedPart | None]]
    others: Sequence[DecidedPart]


def place(name: str) -> tuple[str, str] | None:
    """What a part compares, and its panel; None where its name tells of none.

    >>> place("mAP at 40 %: galc_slr minus asl"), place("entropy, 20 %: with Safe minus without")
    (('mAP: galc_slr minus asl', '40 %'), ('entropy: with Safe minus without', '20 %'))
    >>> place("AP@T: min minus ema(alpha=0.8) (small, random forest)"), place("mAP: proposed minus noisy")
    (('AP@T: min minus ema(alpha=0.8)', 'small, random forest'), None)
    """
    found = next(filter(None, (pattern.fullmatch(name) for pattern in NAMED)), None)
    if found is None:
        return None
    told = found.groupdict()
    return told["rest"] if "rest" in told else told["before"] + told["after"], told["panel"]


def measured(name: str) -> tuple[str, str] | None:
    """What a part compares, and by which measure, where its name tells both.

    >>> measured("mean rank: min minus EMA"), measured("half of the epochs")
    (('min minus EMA', 'mean rank'), None)
    """
    measure, colon, what = name.partition(": ")
    return (what, measure) if colon else None


def matrix(claim: Decided) -> Matrix | None:
    """The claim's parts by panel, else by measure, the longer side downwards; None where a list shows them as well."""
    return next(filter(None, (_matrix(claim.parts, axis) for axis in (place, measured))), None)


def _matrix(parts: Sequence[DecidedPart], axis: Callable[[str], tuple[str, str] | None]) -> Matrix | None:
    found: dict[tuple[str, str], DecidedPart] = {}
    others = [part for part in parts if (at := axis(part.name)) is None or found.setdefault(at, part) is not part]
    rows, columns = (list(dict.fromkeys(at[side] for at in found)) for side in (0, 1))
    if len(columns) < 2 or len(found) < 3 or 2 * len(found) < len(rows) * len(columns):
        return None
    if len(rows) < len(columns):
        rows, columns = columns, rows
        found = {at[::-1]: part for at, part in found.items()}
    cells = [[found.get((row, column)) for column in columns] for row in rows]
    return Matrix(rows, columns, cells, others)
