"""Tables as a page shows them: mean, spread and the published number in one cell, in as many digits as were published.

The CSV beside each keeps a column, or a row, for every one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup, escape

PUBLISHED, OURS, LOW, HIGH = "published", "ours", "ours, low", "ours, high"  # of a column named "row"
NO_BREAK = "\u00a0"


class Names(NamedTuple):
    """The columns that make one."""

    name: str
    ours: str
    spread: str
    published: str


def condensed(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, of text, with fewer columns and rows; a published number is marked as such.

    >>> condensed(pd.DataFrame({"mAP, published": ["0.6"], "mAP": ["0.4391"], "mAP ±": ["0.0035"]})).loc[0, "mAP"]
    Markup('0.4 ±\\xa00.0035 <span class="published">0.6</span>')
    """
    return _bounds_joined(_rows_joined(_columns_joined(table)))


def _columns_joined(table: pd.DataFrame) -> pd.DataFrame:
    """One column of "mAP, published", "mAP" and "mAP ±", and of "F1 published", "F1 ours" and "F1 std"."""
    joined = {names.ours: names for names in _triples(list(table.columns))}
    gone = {column for names in joined.values() for column in (names.spread, names.published)}
    columns = {}
    for column in table.columns:
        if column in joined:
            columns[joined[column].name] = _cells(table, joined[column])
        elif column not in gone:
            columns[column] = table[column]
    return pd.DataFrame(columns)


def _triples(columns: Sequence[str]) -> Iterable[Names]:
    for column in columns:
        stem, _, last = column.rpartition(" ")
        if last != PUBLISHED or not stem:
            continue
        if stem.removesuffix(",") in columns:
            name = stem.removesuffix(",")
            yield Names(name, name, f"{name} ±", column)
        elif f"{stem} ours" in columns:
            yield Names(stem.removesuffix(","), f"{stem} ours", f"{stem} std", column)


def _cells(table: pd.DataFrame, names: Names) -> list[Markup]:
    digits = decimals(table[names.published])
    given = table[names.spread] if names.spread in table else [""] * len(table)
    spreads = [f"±{NO_BREAK}{rounded(spread, digits)}" if spread else "" for spread in given]
    rows = zip(table[names.ours], spreads, table[names.published], strict=True)
    return [_cell(*row, digits) for row in rows]


def _rows_joined(table: pd.DataFrame) -> pd.DataFrame:
    """One row of those that a column named "row" calls published, ours, and the bounds of ours; others stay."""
    if "row" not in table or OURS not in set(table.row):
        return table
    at = list(table.columns).index("row")
    keys, values = list(table.columns[:at]), list(table.columns[at + 1 :])
    groups = table.groupby(keys, sort=False) if keys else [((), table)]
    rows = [row for key, group in groups for row in _of_group(list(key), group, values)]
    return pd.DataFrame(rows, columns=[*keys, "row", *values])


def _of_group(key: list[str], group: pd.DataFrame, values: Sequence[str]) -> Iterable[list[str]]:
    """The rows of a group: ours with what belongs to it where ours stands, and all that are neither."""
    of = {name: list(own[values].iloc[0]) for name, own in group.groupby("row")}
    nothing = [""] * len(values)
    digits = decimals(of[PUBLISHED]) if PUBLISHED in of else None
    for name, own in zip(group.row, group[values].to_numpy(), strict=True):
        if name == OURS:
            cells = zip(own, of.get(LOW, nothing), of.get(HIGH, nothing), of.get(PUBLISHED, nothing), strict=True)
            joined = (_cell(ours, interval(low, high, digits), it, digits) for ours, low, high, it in cells)
            yield [*key, name, *joined]
        elif OURS not in of or name not in (PUBLISHED, LOW, HIGH):
            yield [*key, name, *own]


def _bounds_joined(table: pd.DataFrame) -> pd.DataFrame:
    """Columns "low" and "high" go into the one before them."""
    columns = list(table.columns)
    if "low" not in columns or columns.index("low") == 0 or columns[columns.index("low") + 1 :][:1] != ["high"]:
        return table
    name = columns[columns.index("low") - 1]
    rows = table[[name, "low", "high"]].to_numpy()
    cells = [Markup(" ").join(filter(None, (mean, interval(low, high, None)))) for mean, low, high in rows]
    return table.assign(**{name: cells}).drop(columns=["low", "high"])


def interval(low: str, high: str, digits: int | None) -> str:
    """Both bounds in brackets; of one that is missing, a dash; nothing where both are."""
    return f"[{rounded(low, digits) or '–'}, {rounded(high, digits) or '–'}]" if low or high else ""


def _cell(ours: str, spread: str, published: str, digits: int | None) -> Markup:
    told = [escape(text) for text in (rounded(ours, digits), spread) if text]
    if published:
        told.append(Markup('<span class="published">{}</span>').format(rounded(published, digits)))
    return Markup(" ").join(told)


def decimals(published: Iterable[str]) -> int | None:
    """How many digits behind the point the published numbers have, the longest deciding; None for whole numbers.

    >>> decimals(["0.45", "0.453", ""]), decimals(["449"])
    (3, None)
    """
    return max((len(text.partition(".")[2]) for text in published if _number(text) is not None), default=0) or None


def rounded(text: str, digits: int | None) -> str:
    """A number in so many digits behind the point, or, for None, as it is; anything else stays.

    >>> rounded("0.4391", 2), rounded("52.96", None), rounded("none", 2), rounded("1e-05", 2)
    ('0.44', '52.96', 'none', '1e-05')
    """
    value = _number(text)
    if digits is None or value is None:
        return text
    short = f"{value:.{digits}f}"
    return text if value and not float(short) else short


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
