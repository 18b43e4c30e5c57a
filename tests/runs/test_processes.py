"""Workers that are forked from a server: what they have of it, and what they must not have."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nlcore.runs import processes
from nlcore.runs.processes import begin_server, environment, process_pool

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere workers are fresh processes")


def told():
    """What a worker knows: its parent's command, what is loaded, and its environment."""
    return psutil.Process().parent().cmdline(), set(sys.modules), dict(os.environ)


def test_a_worker_has_what_this_process_had_loaded_and_its_environment_of_now():
    import torch  # noqa: F401

    found = {}
    for value in ("one", "two"):
        with environment({"NLCORE_OF_THIS_TEST": value}), process_pool(1) as pool:
            found[value] = pool.submit(told).result()
    for value, (parent, loaded, variables) in found.items():
        assert "multiprocessing.forkserver" in " ".join(parent)
        assert {"torch", "nlcore.runs.execute"} <= loaded
        assert variables["NLCORE_OF_THIS_TEST"] == value
        assert "PYTHONSAFEPATH" not in variables, "that is the server's"
    with process_pool(1) as pool:
        assert "NLCORE_OF_THIS_TEST" not in pool.submit(told).result()[2]


def test_once_the_code_is_edited_workers_are_fresh(monkeypatch):
    assert begin_server().get_start_method() == "forkserver"
    monkeypatch.setattr(processes, "_sources", lambda: frozenset())
    assert begin_server().get_start_method() == "spawn"
    with environment({"NLCORE_OF_THIS_TEST": "fresh"}), process_pool(1) as pool:
        parent, _, variables = pool.submit(told).result()
    assert parent == psutil.Process().cmdline()
    assert variables["NLCORE_OF_THIS_TEST"] == "fresh"


def test_an_edit_is_seen_and_a_look_is_none(monkeypatch, tmp_path):
    (tmp_path / "one.py").write_text("")
    monkeypatch.setattr(processes, "PACKAGE", tmp_path)
    before = processes._sources()
    assert (tmp_path / "one.py").read_text() == "" and processes._sources() == before
    os.utime(tmp_path / "one.py", (1, 1))
    assert processes._sources() != before


SCRIPT = f"""
import sys
sys.path[0] = {str(ROOT)!r}
from nlcore.runs.processes import process_pool
from tests.runs.test_processes import where
with process_pool(1) as pool:
    print(pool.submit(where).result())
"""


def where():
    """The file of the package that a worker has."""
    import nlcore

    return nlcore.__file__


def test_another_package_of_the_name_in_the_folder_of_the_caller_is_not_loaded(tmp_path):
    (tmp_path / "nlcore").mkdir()
    (tmp_path / "nlcore" / "__init__.py").write_text("")
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ROOT / "nlcore" / "__init__.py")


def inner():
    """Whose child a worker's own worker is, beside the worker's own parent."""
    with process_pool(1) as pool:
        return os.getppid(), pool.submit(os.getppid).result()


def test_a_workers_own_workers_come_from_the_same_server():
    with process_pool(1) as pool:
        own, others = pool.submit(inner).result()
    assert own == others
