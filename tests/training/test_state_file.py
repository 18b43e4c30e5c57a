"""Files of unfinished work: what comes back is what was written, or the file is set aside."""

import math
import multiprocessing
import os
import resource
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nlcore.errors import InputError
from nlcore.training import state_file
from nlcore.training.state_file import SECONDS, checkpoint_interval, read_state, write_state

TENSORS = {
    "model/weight": torch.arange(6.0).view(2, 3),
    "model/half": torch.tensor([1.5, -2], dtype=torch.bfloat16),
    "model/count": torch.tensor(7),
    "model/none": torch.empty(2, 0, dtype=torch.int64),
    "mask": torch.tensor([True, False]),
}
STATE = {"history": [{"map": 1 / 3, "none": math.nan}], "name": "Größe"}


def generators(seed):
    return [torch.Generator().manual_seed(seed), np.random.default_rng(seed), torch.Generator().manual_seed(seed + 1)]


def draw(generators):
    return [
        torch.rand(3, generator=g).tolist() if isinstance(g, torch.Generator) else g.random(3).tolist()
        for g in generators
    ]


def test_what_comes_back_is_what_was_written(tmp_path):
    path, draws = tmp_path / "folder" / "state.safetensors", generators(0)
    draw(draws)
    write_state(path, TENSORS, STATE, draws)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    found = read_state(path)
    assert str(found.state) == str(STATE)  # NaN is not itself
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert all(found.tensors[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    own, others = {n: torch.zeros_like(t) for n, t in TENSORS.items() if n != "mask"}, generators(5)
    found.put_back(own, others)
    assert all(torch.equal(own[name], TENSORS[name]) for name in own)
    assert draw(others) == draw(draws)


def test_without_a_file_there_is_no_state(tmp_path, capsys):
    assert read_state(tmp_path / "folder" / "state") is None
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_flipped_bit_anywhere_is_found(tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    write_state(path, {"model/weight": torch.arange(6.0)}, STATE, [np.random.default_rng(0)])
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        found = read_state(path)
        assert found is None, (position, content[position - 20 : position + 20])
        assert not path.exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(content)
    assert all(line.startswith(f"{path}: damaged (") for line in lines)


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 1000, b"\x80\x04K\x01." * 100, "half", "foreign", "folder"])
def test_whatever_else_lies_there_is_set_aside(content, tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    write_state(path, TENSORS, STATE, [])
    if content == "foreign":
        save_file(TENSORS, path)
    elif content == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(path.read_bytes()[:-10] if content == "half" else content)
    assert read_state(path) is None
    assert [file.name for file in tmp_path.iterdir()] == ["state.damaged"]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_writer_that_dies_leaves_the_file_of_before(tmp_path, monkeypatch):
    """And what it left half is gone with the next one."""
    path = tmp_path / "state.safetensors"
    write_state(path, TENSORS, "before", [])
    process = multiprocessing.get_context("fork").Process(target=_die_while_writing, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("*"))) == 3  # the file, and a folder with half a file
    assert read_state(path).state == "before"
    write_state(path, TENSORS, "after", [])
    assert read_state(path).state == "after"
    assert list(tmp_path.iterdir()) == [path]


def _die_while_writing(path):
    def save_half(tensors, file, metadata):
        file.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    state_file.save_file = save_half
    write_state(path, TENSORS, "after", [])


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"file/state: cannot be written \(.*\); expected a writable folder"):
        write_state(tmp_path / "file" / "state", TENSORS, STATE, [])


def test_a_full_disk_is_told_in_one_line_and_the_file_of_before_stays(tmp_path):
    path, limits = tmp_path / "state", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_state(path, TENSORS, "before", [])
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(InputError) as caught:
            write_state(path, {"weight": torch.zeros(1000)}, "after", [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value).startswith(f"{path}: cannot be written (")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]
    assert read_state(path).state == "before"


@pytest.mark.parametrize(("given", "seconds"), [(None, 60), ("", 60), ("0", 0), ("2.5", 2.5), ("inf", math.inf)])
def test_the_interval_is_read_when_asked(given, seconds, monkeypatch):
    monkeypatch.delenv(SECONDS, raising=False)
    if given is not None:
        monkeypatch.setenv(SECONDS, given)
    assert checkpoint_interval() == seconds


@pytest.mark.parametrize("given", ["-1", "nan", "a minute"])
def test_an_interval_that_is_none_is_told_in_one_line(given, monkeypatch):
    monkeypatch.setenv(SECONDS, given)
    with pytest.raises(InputError, match=rf"NLCORE_CHECKPOINT_SECONDS '{given}': no number of seconds; expected 0"):
        checkpoint_interval()
