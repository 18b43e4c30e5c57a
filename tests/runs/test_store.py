"""The store: what goes in comes out, and what is damaged is found out."""

import errno
import os
import platform
import resource
import subprocess
import sys

import numpy as np
import pytest
from filelock import FileLock, Timeout

from nlcore.errors import InputError
from nlcore.runs import Result, Store, machine, plan_grid, run_grid
from tests.runs.trivial import Square

RESULT = Result(
    {"map": 0.5, "names": ["a", "b"]}, {"probs": np.arange(6.0).reshape(2, 3), "flags": np.array([True, False])}
)


def test_what_goes_in_comes_out(tmp_path):
    store = Store(tmp_path)
    store.write(Square(number=3), RESULT, seconds=1.5)
    record = store.read(Square(number=3))
    assert record.result.values == RESULT.values
    assert record.seconds == 1.5
    for name, array in RESULT.arrays.items():
        np.testing.assert_array_equal(record.result.arrays[name], array)
        assert record.result.arrays[name].dtype == array.dtype


def test_arrays_that_are_not_contiguous_are_stored_as_they_read(tmp_path):
    store, array = Store(tmp_path), np.arange(6.0).reshape(2, 3).T
    store.write(Square(number=1), Result(arrays={"turned": array}), seconds=0)
    np.testing.assert_array_equal(store.result(Square(number=1)).arrays["turned"], array)


def test_what_was_never_run_is_absent_and_asking_for_its_result_says_so(tmp_path):
    store = Store(tmp_path)
    assert store.read(Square(number=3)) is None
    with pytest.raises(InputError, match=r"Square\(number=3.*not in the store"):
        store.result(Square(number=3))


@pytest.mark.parametrize("position", [0, 4, 20, -1])
def test_a_changed_byte_is_found_anywhere(tmp_path, capsys, position):
    store, spec = Store(tmp_path), Square(number=3)
    store.write(spec, RESULT, seconds=0)
    content = bytearray(store.path(spec).read_bytes())
    content[position] ^= 1
    store.path(spec).write_bytes(content)
    assert store.read(spec) is None
    assert store.damaged(spec)
    assert capsys.readouterr().err.count(f"{store.path(spec)}: damaged") == 1


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_cut_record_is_found(tmp_path, capsys, length):
    store, spec = Store(tmp_path), Square(number=3)
    store.write(spec, RESULT, seconds=0)
    store.path(spec).write_bytes(store.path(spec).read_bytes()[:length])
    assert store.read(spec) is None
    assert store.damaged(spec)
    assert capsys.readouterr().err.count(f"{store.path(spec)}: damaged") == 1


def test_a_damaged_record_is_reported_set_aside_and_computed_anew(tmp_path, capsys):
    store, spec = Store(tmp_path), Square(number=3)
    run_grid([spec], store, workers=0)
    good = store.path(spec).read_bytes()
    store.path(spec).write_bytes(good[:-3])
    plan = run_grid([spec], store, workers=0)
    assert plan.missing == {spec}
    assert "damaged" in capsys.readouterr().err
    assert store.read(spec).result.values == {"square": 9}
    assert store.path(spec).with_suffix(".damaged").read_bytes() == good[:-3]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nlcore.files.os.replace", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        run_grid([Square(number=2)], store, workers=0)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "locks"] == []


def test_a_file_that_outgrows_its_limit_leaves_nothing(tmp_path):
    """The same by the operating system's own hand: the process may not write more than a few bytes to a file."""
    code = (
        "import resource, sys; from tests.runs.trivial import Square; from nlcore.runs import Store, run_grid\n"
        "from nlcore.errors import InputError\n"
        "store = Store(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "try: run_grid([Square(number=500)], store, workers=0)\n"
        "except InputError as error: print(error)"
    )
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large)" in done.stdout
    assert list(tmp_path.rglob("*.safetensors")) == list(tmp_path.rglob("*.part")) == []


def test_an_unwritable_store_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"store .*not writable"):
        Store(tmp_path / "file")


def test_records_are_named_by_key_and_hold_their_spec(tmp_path):
    store, spec = Store(tmp_path), Square(number=3)
    run_grid([spec], store, workers=0)
    path = store.path(spec)
    assert path.name == f"{spec.key}.safetensors"
    header = path.read_bytes()[8:]
    assert "number" in header.decode("latin-1")


def test_a_record_states_what_computed_it_and_its_checksum_does_not_depend_on_that(tmp_path, monkeypatch):
    store, spec = Store(tmp_path), Square(number=3)
    store.write(spec, RESULT, seconds=0)
    first = store.read(spec)
    assert first.environment["python"] == platform.python_version()
    assert first.environment["packages"]["numpy"] == np.__version__
    assert first.environment["processor"] not in ("", "x86_64")
    assert first.environment["cores"] >= 1
    monkeypatch.setattr("nlcore.runs.store.machine", lambda: {"python": "3.99", "device": "a GPU"})
    store.write(spec, RESULT, seconds=99)
    second = store.read(spec)
    assert second.environment == {"python": "3.99", "device": "a GPU"}
    assert second.checksum == first.checksum


def test_the_processors_model_is_found_where_the_system_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr("nlcore.runs.machine.CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some Maker 7 @ 3 GHz\nmodel name\t: Other\n")
    assert machine.processor.__wrapped__() == "Some Maker 7 @ 3 GHz"
    (tmp_path / "cpuinfo").unlink()
    assert machine.processor.__wrapped__() in (platform.processor(), platform.machine())


def test_an_empty_grid_is_an_error(tmp_path):
    with pytest.raises(InputError, match="grid: no runs"):
        plan_grid([], Store(tmp_path))


def test_a_lock_is_held_by_one_at_a_time_and_freed_again(tmp_path):
    store, spec = Store(tmp_path), Square(number=3)
    other = FileLock(tmp_path / "locks" / spec.key)
    with store.lock(spec), pytest.raises(Timeout):
        other.acquire(timeout=0)
    other.acquire(timeout=0)
    other.release()


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    said = r"no locks there \(.*No locks available\); expected a file system with flock"
    with pytest.raises(InputError, match=said), Store(tmp_path).lock(Square(number=3)):
        pytest.fail("there is no lock")


def test_whoever_gets_a_lock_asks_for_the_folder_anew_before_the_record_is_looked_for(tmp_path, monkeypatch):
    """A file that was absent a moment ago is remembered as absent by a network file system, unless asked so."""
    asked, spec = [], Square(number=3)
    store = Store(tmp_path)
    store.write(spec, RESULT, seconds=0)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: asked.append(folder) or scandir(folder))
    with store.lock(spec):
        assert asked == [store.path(spec).parent]
    assert store.look_anew(spec) and not store.look_anew(Square(number=4))
