"""One batch of the smallest profile, made once for all workers of pytest-xdist; and a browser, where there is one."""

import os
import shutil
import subprocess
import sys

import pytest
from filelock import FileLock

from tests.command_line import ROOT, run_all

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def options(folder, *more):
    """Of the batch, with its figures and its store in `folder`."""
    places = ["--output", str(folder / "figures"), "--store", str(folder / "store")]
    return ["--papers", "cleanlab_ema", "--profile", "smoke", "--workers", "2", *places, *more]


def command(folder, *more):
    """The batch as people type it."""
    return [sys.executable, "run_all.py", *options(folder, *more)]


def run(folder, *more):
    """What came of the batch."""
    return run_all(*options(folder, *more))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A folder with the artefacts and the store of a batch that nothing disturbed, and what it printed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    with FileLock(f"{folder}.lock"):
        if not (folder / "printed").is_file():
            done = subprocess.run(command(folder), cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            (folder / "printed").write_text(done.stdout)
    return folder, (folder / "printed").read_text()


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        message = "no browser on this machine (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield opened
        opened.close()
