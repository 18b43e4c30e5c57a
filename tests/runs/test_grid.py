"""Grids: resumed after any death, the same bytes whatever the workers, nothing computed twice."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from nlcore.errors import InputError
from nlcore.runs import RunFailedError, Store, make_engine, plan_grid, run_grid, run_grids
from nlcore.runs.progress import Log
from nlcore.runs.store import _metadata
from tests.runs.trivial import Deadly, Failing, NeedsFailing, Square, Total

DRIVER = """
import sys
from nlcore.runs import Store, run_grid
from tests.runs.trivial import Total
run_grid([Total(number=12, pause=0.15)], Store(sys.argv[1]), workers=2)
"""


UNGUARDED = """
import sys
from nlcore.runs import Store, run_grid
from tests.runs.trivial import Total
run_grid(
    [Total(number=12)], Store(sys.argv[1]), workers=2
)
"""


def records(root):
    """The checksum of every record: over its values and all its arrays."""
    return {path.name: _metadata(path.read_bytes())["checksum"] for path in root.rglob("*.safetensors")}


def test_requirements_are_computed_first_and_handed_over_in_order(tmp_path):
    store = Store(tmp_path)
    run_grid([Total(number=4)], store, workers=0)
    assert store.result(Total(number=4)).values == {"total": 1 + 4 + 9 + 16}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_do_not_depend_on_the_number_of_workers(tmp_path, workers):
    run_grid([Total(number=6)], Store(tmp_path / "here"), workers=0)
    run_grid([Total(number=6)], Store(tmp_path / "pool"), workers=workers)
    assert records(tmp_path / "here") == records(tmp_path / "pool")
    assert len(records(tmp_path / "here")) == 7


def test_a_finished_grid_is_not_computed_again(tmp_path, monkeypatch):
    store = Store(tmp_path)
    run_grid([Total(number=3)], store, workers=0)
    monkeypatch.setattr(Total, "compute", lambda *_: pytest.fail("computed again"))
    assert run_grid([Total(number=3)], store, workers=0).missing == frozenset()


def test_a_finished_run_does_not_bring_back_what_it_required(tmp_path):
    store = Store(tmp_path)
    run_grid([Total(number=3)], store, workers=0)
    store.forget(Square(number=2))
    assert plan_grid([Total(number=3)], store).missing == frozenset()


def test_fresh_computes_everything_again(tmp_path):
    store = Store(tmp_path)
    run_grid([Total(number=3)], store, workers=0)
    assert len(run_grid([Total(number=3)], store, workers=0, fresh=True).missing) == 4


def test_a_failure_spares_the_other_runs_and_is_named(tmp_path):
    store = Store(tmp_path)
    for workers in (0, 2):
        with pytest.raises(RunFailedError) as caught:
            run_grid([Failing(kind="other"), NeedsFailing(), Square(number=workers + 2)], store, workers=workers)
        assert "by design" in str(caught.value)
        assert "NeedsFailing()" in str(caught.value)
        assert store.result(Square(number=workers + 2)).values == {"square": (workers + 2) ** 2}


@pytest.mark.parametrize("workers", [0, 1])
def test_unusable_input_found_by_a_run_stops_the_grid_with_its_line(tmp_path, workers):
    with pytest.raises(InputError, match="rate 3: expected 0 to 1"):
        run_grid([Failing(kind="input")], Store(tmp_path), workers=workers)


def test_a_worker_that_is_killed_once_costs_only_the_runs_in_flight(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    store = Store(tmp_path / "store")
    deadly = Deadly(folder=str(marks), times=1)
    run_grid([deadly, *(Square(number=n) for n in range(5))], store, workers=2)
    assert store.result(deadly).values == {"survived": 1}
    assert store.result(Square(number=4)).values == {"square": 16}


def test_a_run_whose_worker_dies_every_time_is_given_up_by_name(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    store = Store(tmp_path / "store")
    with pytest.raises(RunFailedError, match=r"Deadly.*its worker died 3 times"):
        run_grid([Deadly(folder=str(marks), times=99), *(Square(number=n) for n in range(5))], store, workers=1)
    assert store.result(Square(number=4)).values == {"square": 16}


def run_script(folder, text):
    (folder / "script.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(folder / "script.py"), str(folder / "store")]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_script_without_a_guard_is_told_so_in_one_line(tmp_path):
    done = run_script(tmp_path, UNGUARDED)
    lines = done.stderr.splitlines()
    assert done.returncode != 0
    assert lines[-1].startswith("nlcore.runs.processes.UnguardedScriptError: ")
    assert f"{tmp_path}/script.py: begins workers" in lines[-1]
    assert 'if __name__ == "__main__":' in lines[-1]
    assert "died" not in done.stderr
    assert len(lines) < 10, done.stderr
    assert records(tmp_path) == {}


def test_a_script_with_a_guard_computes_also_runs_of_its_own(tmp_path):
    """A worker knows the script by another name than the driver does; the keys are the same."""
    own = "class Own(Total):\n    pass\n"
    guarded = UNGUARDED.replace("run_grid(\n", f'{own}if __name__ == "__main__": run_grid(\n')
    done = run_script(tmp_path, guarded.replace("[Total(", "[Own("))
    assert done.returncode == 0, done.stderr
    assert len(records(tmp_path)) == 13


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 3, 9])
def test_a_killed_driver_takes_its_workers_along_and_the_next_one_resumes(tmp_path, finished):
    """SIGKILL of the driver once so many runs are done; the same command then ends with the same bytes."""
    interrupted, undisturbed = tmp_path / "interrupted", tmp_path / "undisturbed"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(interrupted)], start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(interrupted.rglob("*.safetensors"))) < finished and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    _wait_until(lambda: not _alive(driver.pid))
    survivors = set(records(interrupted))
    assert len(survivors) < 13
    for folder in (interrupted, undisturbed):
        subprocess.run([sys.executable, "-c", DRIVER, str(folder)], check=True)
    assert survivors <= set(records(interrupted))
    assert records(interrupted) == records(undisturbed)
    assert list(interrupted.rglob("*.damaged")) == []


def _alive(session):
    """Processes of a session that still run: the driver began one, and its workers are in it."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if "Z" not in line]


def _wait_until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "workers outlived their driver"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_large_grid_does_not_grow_in_memory(tmp_path):
    """Three thousand runs: what is finished is let go, in the driver and in its workers."""
    sizes = []

    class Watching(Log):
        def advance(self, label, seconds):
            super().advance(label, seconds)
            if self.clock.steps_done in (1000, 3000):
                me = psutil.Process()
                sizes.append(sum(process.memory_info().rss for process in (me, *me.children(recursive=True))))

    store = Store(tmp_path)
    plan = plan_grid([Square(number=n) for n in range(3000)], store)
    run_grids({"runs": plan}, store, make_engine(workers=2), report=Watching({"runs": plan.part()}))
    assert len(records(tmp_path)) == 3000
    assert sizes[1] - sizes[0] < 40 * 2**20


@pytest.mark.slow
def test_two_drivers_at_once_share_the_work(tmp_path):
    """Each run is computed by one of them, and both end with the whole grid."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: subprocess.run(command, check=True), range(2)))
    assert len(records(tmp_path)) == 13
    assert list(tmp_path.rglob("*.damaged")) == list(tmp_path.rglob("*.part")) == []
