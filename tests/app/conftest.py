"""One batch of the smallest profile, made once for all workers of pytest-xdist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


def command(folder, *more):
    """The batch as people run it, with its figures and its store in `folder`."""
    options = ["--papers", "cleanlab_ema", "--profile", "smoke", "--workers", "2"]
    places = ["--output", str(folder / "figures"), "--store", str(folder / "store")]
    return [sys.executable, "run_all.py", *options, *places, *more]


def run(folder, *more):
    return subprocess.run(command(folder, *more), cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A folder with the artefacts and the store of a batch that nothing disturbed, and what it printed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    with FileLock(f"{folder}.lock"):
        if not (folder / "printed").is_file():
            done = run(folder)
            assert done.returncode == 0, done.stderr
            (folder / "printed").write_text(done.stdout)
    return folder, (folder / "printed").read_text()
