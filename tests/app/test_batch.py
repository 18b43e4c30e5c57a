"""`run_all.py` as people run it: whole, killed at any moment, and again."""

import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import psutil
import pytest
from safetensors import safe_open

from tests.app.conftest import command, run
from tests.command_line import ROOT

RUNS = 54
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def tables(folder):
    return {path.name: path.read_bytes() for path in (folder / "figures").rglob("*.csv")}


def results(folder):
    """Every record of the store, by its key: what the run gave, and not when or for how long."""
    records = {}
    for path in (folder / "store").rglob("*.safetensors"):
        with safe_open(path, "np") as file:
            records[path.stem] = file.metadata()["checksum"]
    return records


def finished(folder):
    return len(list((folder / "store").rglob("*.safetensors")))


def test_a_run_ends_with_what_was_made_and_what_holds(undisturbed):
    folder, printed = undisturbed
    assert finished(folder) == RUNS
    made = {path.name for path in (folder / "figures" / "cleanlab_ema" / "smoke").iterdir()}
    for name in (
        "table_s2.csv",
        "table_s2.md",
        "fig_2.csv",
        "fig_2.png",
        "fig_2.svg",
        "manifest.json",
        "notebook.ipynb",
    ):
        assert name in made
    for text in ("fig_2", "EMA(0.8), AP@T", "0.7793", "ce1", "inconclusive", "figures/cleanlab_ema/smoke"):
        assert text in printed.replace("\n", "")


def test_the_second_time_nothing_is_computed(undisturbed):
    folder, _ = undisturbed
    before = tables(folder)
    assert "nothing to compute" in run(folder).stdout
    assert tables(folder) == before


def test_damaged_records_are_computed_again_to_the_same_bytes(undisturbed, tmp_path):
    """Also those that only other runs needed: half of the store with a flipped bit, then the same command.

    Tables follow from the records, as those of a killed batch show below.
    """
    folder, _ = undisturbed
    shutil.copytree(folder / "store", tmp_path / "store")
    for number, path in enumerate(sorted((tmp_path / "store").rglob("*.safetensors"))):
        if number % 2:
            data = bytearray(path.read_bytes())
            data[len(data) * number // RUNS - 1] ^= 4
            path.write_bytes(bytes(data))
    done = run(tmp_path, "--runs-only")
    assert done.returncode == 0, done.stderr
    assert f"{RUNS // 2} runs computed" in done.stdout
    assert results(tmp_path) == results(folder)


@pytest.mark.parametrize(("after", "more"), [(1, ["--runs-only"]), (40, [])])
def test_a_killed_batch_goes_on_to_the_same_bytes(undisturbed, tmp_path, after, more):
    """SIGKILL of run_all.py once so many runs are finished, then the same command."""
    with started(tmp_path) as driver:
        _wait_for(lambda: finished(tmp_path) >= after)
        driver.kill()
    assert finished(tmp_path) <= RUNS
    assert run(tmp_path, *more).returncode == 0
    assert results(tmp_path) == results(undisturbed[0])
    assert tables(tmp_path) == ({} if more else tables(undisturbed[0]))


def test_a_killed_worker_costs_nothing_but_its_run(undisturbed, tmp_path):
    with started(tmp_path, "--runs-only") as driver:
        _wait_for(lambda: finished(tmp_path) >= 5)
        server = next(c for c in psutil.Process(driver.pid).children() if "forkserver" in " ".join(c.cmdline()))
        server.children()[0].kill()  # a worker
        assert driver.wait() == 0
    assert results(tmp_path) == results(undisturbed[0])


@contextmanager
def started(folder, *more):
    """The batch, running; its end is waited for."""
    driver = subprocess.Popen(command(folder, *more), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield driver
    finally:
        driver.wait()


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "a time limit")]
)
def test_an_interrupt_or_a_time_limit_is_answered_with_how_to_go_on(tmp_path, number, code, said):
    # A shell that runs the tests in the background has them ignore Ctrl-C, and so would their children.
    heeded = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    driver = subprocess.Popen(command(tmp_path), cwd=ROOT, **pipes, **heeded)
    _wait_for(lambda: finished(tmp_path) >= 3)
    driver.send_signal(number)
    _, error = driver.communicate(timeout=60)
    assert driver.returncode == code
    assert said in error
    assert error.strip().endswith("the same command goes on from there.")
    assert "Traceback" not in error


def _wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
