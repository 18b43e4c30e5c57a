"""By how much the columns of every paper's CSVs differ between machines: written to papers/<paper>/tolerances.yaml.

    python scripts/measure_tolerances.py ONE_FIGURES ANOTHER_FIGURES

The two folders hold the same profile, computed from nothing on two machines. A column may differ by three times the
largest deviation seen under its name in the paper, rounded up to one digit. Texts that differ are printed and left to
a person: a verdict that changes must be seen, a list of the best images need not, and is then entered as .inf.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
import yaml

from nlcore.app.verification import deviation
from nlcore.files import write_atomically
from nlcore.papers import papers
from nlcore.places import home

FACTOR = 3.0
PROFILE = "embedded"  # which needs neither data nor a GPU, so that two machines have it
HEADER = """# By how much a cell may differ where its runs were computed on another machine (run_all.py verify). Column:
# absolute tolerance, three times the largest deviation seen between machines (scripts/measure_tolerances.py).
# Columns that are not listed must agree to the digit.
"""


def deviations(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """Column -> the largest deviation of its numbers; infinite where a text differs."""
    found = {}
    for column in one.columns.intersection(other.columns):
        for old, new in zip(one[column], other[column], strict=False):
            if old != new:
                found[column] = max(found.get(column, 0.0), deviation(old, new))
    return found


def rounded_up(value: float) -> float:
    """To one significant digit."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / power - 1e-9) * power:.1g}")


def main(
    first: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="figures of one machine")],
    second: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="figures of another")],
) -> None:
    """Measure, and write the tolerances of every paper."""
    for paper in papers():
        largest: dict[str, float] = {}
        for path in sorted((first / paper / PROFILE).glob("*.csv")):
            twin = second / paper / PROFILE / path.name
            if twin.is_file():
                one, other = (pd.read_csv(file, dtype=str, keep_default_na=False) for file in (path, twin))
                if one.shape != other.shape or list(one.columns) != list(other.columns):
                    print(f"{paper}/{path.name}: another shape; left out")
                    continue
                for column, value in deviations(one, other).items():
                    if math.isinf(value):
                        print(f"{paper}/{path.name}: text of column {column!r} differs")
                        continue
                    largest[column] = max(largest.get(column, 0.0), value)
        found = {column: rounded_up(FACTOR * value) for column, value in largest.items() if value}
        target = home() / "nlcore" / "papers" / paper / "tolerances.yaml"
        # What was measured between other machines: the larger holds.
        known = yaml.safe_load(target.read_text()) or {} if target.is_file() else {}
        listed = {column: max(found.get(column, 0.0), known.get(column, 0.0)) for column in sorted(found | known)}
        write_atomically(target, HEADER + yaml.safe_dump(listed, allow_unicode=True, sort_keys=False, width=120))


if __name__ == "__main__":
    typer.run(main)
