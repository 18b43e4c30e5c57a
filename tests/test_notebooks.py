"""The notebooks as texts to learn from: code that does something, and a word on what each figure shows."""

import json
from pathlib import Path
from statistics import median

import pytest

NOTEBOOKS = sorted(Path(__file__).resolve().parents[1].glob("notebooks/0[1-5]_*.ipynb"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_half_of_the_code_cells_have_four_lines_or_more(path):
    lines = [sum(map(bool, source(cell).splitlines())) for cell in cells(path) if cell["cell_type"] == "code"]
    assert median(lines) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_under_every_figure_stands_what_to_see(path):
    below = dict(zip(map(source, cells(path)), map(source, cells(path)[1:]), strict=False))
    figures = [
        source(cell)
        for cell in cells(path)
        if any("image/" in kind for output in cell.get("outputs", []) for kind in output.get("data", {}))
    ]
    assert len(figures) >= 5
    assert [figure for figure in figures if not below[figure].startswith("**What to see:**")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_hosts_show_it(path):
    assert path.stat().st_size < 1_000_000
