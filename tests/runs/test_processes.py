"""Workers that are forked from a server: what they have of it, and what they must not have."""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nlcore.runs import processes
from nlcore.runs.fingerprint import code_fingerprint
from nlcore.runs.processes import begin_server, environment, give_memory_back, process_pool

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere workers are fresh processes")


@pytest.fixture(autouse=True)
def vouched():
    """Nothing of what runs these tests needs its environment while it is imported."""
    begin_server()


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


def test_a_session_whose_server_would_have_no_place_has_fresh_workers(monkeypatch):
    from multiprocessing import forkserver

    def refuse():
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", refuse)
    assert begin_server().get_start_method() == "spawn"


def test_an_edit_is_seen_and_a_look_is_none(monkeypatch, tmp_path):
    (tmp_path / "one.py").write_text("")
    monkeypatch.setattr(processes, "PACKAGE", tmp_path)
    before = processes._sources()
    assert (tmp_path / "one.py").read_text() == "" and processes._sources() == before
    os.utime(tmp_path / "one.py", (1, 1))
    assert processes._sources() != before
    (tmp_path / ".#one.py").symlink_to(tmp_path / "nobody@nowhere.1")  # an editor's
    assert len(processes._sources()) == 2


SCRIPT = f"""
import sys
import time
sys.path[0] = {str(ROOT)!r}
from nlcore.runs.processes import process_pool
from tests.runs.test_processes import where
with process_pool(1) as pool:
    print(pool.submit(where).result())
"""


# A batch at work, in a copy of the package, of which a file is edited that a class of runs reaches.
EDITED = """
import sys
import time
from pathlib import Path
sys.path[0] = sys.argv[1]
from nlcore.runs.fingerprint import code_fingerprint
from nlcore.runs.processes import begin_server, process_pool
def key():
    from nlcore.papers.galc_slr.runs import GoldClassifier
    return code_fingerprint(GoldClassifier)
if __name__ == "__main__":
    begin_server("nlcore.papers.galc_slr.runs")
    with process_pool(1) as pool:
        pool.submit(len, []).result()
        losses = Path(sys.argv[1]) / "nlcore" / "losses.py"
        losses.write_text(losses.read_text().replace("SMALLEST_PROBABILITY = 1e-8", "SMALLEST_PROBABILITY = 2e-8"))
        print(pool.submit(key).result(), key())
"""


def test_a_worker_names_what_it_computes_by_the_code_that_it_has_and_not_by_an_edited_file(tmp_path):
    from nlcore.papers.galc_slr.runs import GoldClassifier

    data = shutil.ignore_patterns("*.npz", "*.safetensors", "*.jpg", "__pycache__")
    shutil.copytree(ROOT / "nlcore", tmp_path / "nlcore", ignore=data)
    (tmp_path / "script.py").write_text(EDITED)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    of_worker, of_files = done.stdout.split()
    assert of_worker == code_fingerprint(GoldClassifier) != of_files


def where():
    """The file of the package that a worker has."""
    import nlcore

    return nlcore.__file__


def test_another_package_of_the_name_in_the_folder_of_the_caller_is_not_loaded(tmp_path):
    (tmp_path / "nlcore").mkdir()
    (tmp_path / "nlcore" / "__init__.py").write_text("")
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ROOT / "nlcore" / "__init__.py")


GPUS = """
import os, sys
SEEN = os.environ.get("CUDA_VISIBLE_DEVICES")
sys.path.insert(0, sys.argv[1])
from nlcore.runs.processes import environment, process_pool
def seen():
    return SEEN
if __name__ == "__main__":
    found = []
    for number in ("3", "5"):
        with environment({"CUDA_VISIBLE_DEVICES": number}), process_pool(1) as pool:
            found.append(pool.submit(seen).result())
    print(*found)
"""


def test_a_script_that_looks_for_gpus_at_its_top_finds_those_of_its_worker(tmp_path):
    (tmp_path / "script.py").write_text(GPUS)
    command = [sys.executable, str(tmp_path / "script.py"), str(ROOT)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["3", "5"]


HANDLERS = """
import atexit, os, signal, sys
from multiprocessing import util
from nlcore.runs.processes import begin_server
if __name__ == "__main__":
    process = begin_server().Process(target=atexit._run_exitfuncs)
    process.start()
    process.join()
    print(util.get_temp_dir(), os.path.isdir(util.get_temp_dir()))
    sys.stdout.flush()
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["by itself", "killed"])
def test_the_folder_of_the_servers_socket_goes_with_its_driver_and_not_with_a_fork(tmp_path, end):
    (tmp_path / "script.py").write_text(HANDLERS)
    variables = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "script.py"), end]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    folder, there = done.stdout.split()
    assert (there, done.stderr) == ("True", "")
    deadline = time.monotonic() + 30
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()


def draw():
    """What the global generator of numpy gives next."""
    import numpy as np

    return float(np.random.random())


def test_workers_do_not_share_the_draws_of_a_generator_that_nobody_has_seeded():
    found = set()
    for _ in range(3):
        with process_pool(1) as pool:
            found.add(pool.submit(draw).result())
    assert len(found) == 3


def inner():
    """Whose child a worker's own worker is, beside the worker's own parent."""
    with process_pool(1) as pool:
        return os.getppid(), pool.submit(os.getppid).result()


def kept_and_given_back():
    """MB that a worker has of its own once it has freed 256 of them in pieces, and after it gave these back."""
    import numpy as np

    pieces = [np.ones(1 << 17) for _ in range(256)]  # a megabyte each: malloc takes them from its heap
    last = np.ones(1 << 17)  # above them: what lies below it is not returned by itself
    pieces.clear()
    kept = psutil.Process().memory_full_info().uss / 1e6
    give_memory_back()
    return kept, psutil.Process().memory_full_info().uss / 1e6, float(last.sum())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems give memory back by themselves")
def test_what_a_pass_has_taken_a_worker_gives_back():
    with process_pool(1) as pool:
        kept, left, _ = pool.submit(kept_and_given_back).result()
    assert kept - left > 200


def test_a_workers_own_workers_come_from_the_same_server():
    with process_pool(1) as pool:
        own, others = pool.submit(inner).result()
    assert own == others
