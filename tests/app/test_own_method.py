"""`run_all.py --method` as people run it: workers of their own, the notebook, a folder beside the profile's."""

import json
import shutil

import pandas as pd
import pytest

from tests.app import conftest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TEXT = '''import numpy as np


def second(scores):
    """Second lowest."""
    return np.sort(scores, axis=1)[:, 1]
'''


def run(folder, reference, *more):
    return conftest.run(folder, "--method", reference, *more)


def test_a_method_runs_beside_the_papers_which_are_taken_from_the_store(undisturbed, tmp_path):
    before, _ = undisturbed
    shutil.copytree(before / "store", tmp_path / "store")
    (tmp_path / "own.py").write_text(TEXT)
    done = run(tmp_path, f"{tmp_path}/own.py:second")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 runs computed, "), done.stdout
    assert [path.name for path in (tmp_path / "figures" / "cleanlab_ema").iterdir()] == ["smoke.method-second"]
    made = tmp_path / "figures" / "cleanlab_ema" / "smoke.method-second"
    assert f"held against the paper's: {made / 'own_method.md'}" in done.stdout
    table = pd.read_csv(made / "own_method.csv")
    assert set(table.method) == {"Second lowest"} and "EMA 0.8" in set(table["minus"])
    assert "own_method" in json.loads((made / "manifest.json").read_text())["artefacts"]
    (named,) = json.loads((made / "provenance.json").read_text())["methods"]
    assert (named["function"], named["file"]) == ("second", str(tmp_path / "own.py"))
    kept = before / "figures" / "cleanlab_ema" / "smoke" / "verdicts.csv"
    assert (made / "verdicts.csv").read_text() == kept.read_text()
    plan = run(tmp_path, f"{tmp_path}/own.py:second", "--plan").stdout
    assert "OwnPoolingScores" in plan


def test_a_method_that_does_not_fit_is_one_line_and_nothing_is_written(tmp_path):
    (tmp_path / "own.py").write_text(TEXT.replace("[:, 1]", "[:, :1]"))
    done = run(tmp_path, f"{tmp_path}/own.py:second")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: method second: gave ndarray of shape (6, 1)")
    assert not (tmp_path / "figures").exists() and not (tmp_path / "store").exists()
