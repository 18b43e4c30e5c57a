"""The script for a machine with a GPU: what it asks for, and that it goes on where it stopped. Nothing is trained."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "on_a_gpu.sh"


def call(*arguments, **environment):
    given = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run([SCRIPT, *map(str, arguments)], env=given, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["out"], {}, "arguments: 1 given; expected OUT and COCO"),
        (["out", "nowhere"], {}, "nowhere: no such folder; expected images and labels in COCO's format"),
        (["out", "."], {"PYTHON": "no-such-python"}, "no-such-python: no such program; expected what make"),
        (["out", "."], {"PARTS": "tests dancing"}, "part dancing: unknown; expected tests, throughput"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, arguments, environment, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tests.done").touch()
    found = call(*arguments, **environment)
    assert found.returncode == 2
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_part_that_is_marked_is_left_out_and_one_that_fails_is_not_marked(tmp_path):
    for part in ("tests", "throughput", "finetune"):
        (tmp_path / f"{part}.done").touch()
    found = call(tmp_path, tmp_path, PARTS="tests throughput finetune")
    assert (found.returncode, found.stdout.count("done before")) == (0, 3)
    (tmp_path / "finetune.done").unlink()  # a folder without labels: the batch says so, in the log
    found = call(tmp_path, tmp_path, PARTS="throughput finetune", TOY="1")
    assert found.returncode == 1
    assert "finetune: not finished" in found.stdout and "no such file; expected it" in found.stdout
    assert not (tmp_path / "finetune.done").exists()
