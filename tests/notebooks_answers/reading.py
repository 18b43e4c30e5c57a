"""What the tests read from a notebook: its exercises, their folded answers, and the examples of its early sections."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {int(path.name[:2]): path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
ITEM = re.compile(r"^(\d+)\. ", re.MULTILINE)
FOLDED = re.compile(
    r"^   <details><summary>Answer</summary>\n\n(?P<text>.*?)\n\n   </details>$", re.MULTILINE | re.DOTALL
)
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """A question and its answer, both without the indentation of the list."""

    question: str
    answer: str

    @property
    def code(self) -> str:
        """The answer's fenced code, all blocks together."""
        return "\n".join(FENCED.findall(self.answer))


def exercise_cell(number: int) -> str:
    """The Markdown of the cell with the exercises of notebook `number`."""
    cells = json.loads(NOTEBOOKS[number].read_text())["cells"]
    (found,) = (text for cell in cells if re.match(r"## \d+\. Exercises\n", text := "".join(cell["source"])))
    return found


def exercises(number: int) -> dict[int, Exercise]:
    """Exercise number -> question and answer."""
    parts = ITEM.split(exercise_cell(number))[1:]
    found = {}
    for place, text in zip(parts[::2], parts[1::2], strict=True):
        folded = FOLDED.search(text)
        assert folded, f"notebook {number}, exercise {place}: no folded answer"
        unindented = re.sub(r"^   ", "", folded["text"], flags=re.MULTILINE)
        found[int(place)] = Exercise(text[: folded.start()].strip(), unindented)
    return found


@cache
def _examples(number: int) -> dict[str, Any]:
    names: dict[str, Any] = {"np": np, "pd": pd, "torch": torch}
    begun = False
    for cell in json.loads(NOTEBOOKS[number].read_text())["cells"]:
        source = "".join(cell["source"])
        begun = begun or source.startswith("## 1. ")
        if "PAPER.open(" in source:
            return names
        if begun and cell["cell_type"] == "code":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, f"{NOTEBOOKS[number].name}: {source[:40]!r}", "exec"), names)
    raise AssertionError(f"notebook {number}: no cell opens the paper")


def examples(number: int) -> dict[str, Any]:
    """All names that the code cells before the experiments leave, in a dictionary of the caller's own."""
    return dict(_examples(number))


def answer(number: int, place: int, **given: Any) -> tuple[dict[str, Any], str]:
    """The names after an answer's code was executed as it stands, behind the notebook's examples; and what it printed.

    given: names that it finds besides.
    """
    names, told = examples(number) | given, io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(compile(exercises(number)[place].code, f"notebook {number}, answer {place}", "exec"), names)
    return names, told.getvalue()


def artefact(paper: str, name: str) -> pd.DataFrame:
    """A committed table of the embedded run."""
    return pd.read_csv(ROOT / "figures" / paper / "embedded" / f"{name}.csv")
