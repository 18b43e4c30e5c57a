"""Devices are taken at their word, and a full GPU is explained."""

import pytest
import torch

from nlcore.devices import deterministic_algorithms, explain_out_of_memory, resolve_device
from nlcore.errors import InputError


def test_cpu_and_auto_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")


def test_cuda_that_is_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no such GPU"):
        resolve_device("cuda")


def test_auto_and_numbers_with_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1").index == 1
    with pytest.raises(InputError, match="no such GPU"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "mps"])
def test_unknown_devices(name):
    with pytest.raises(InputError, match="expected auto, cpu"):
        resolve_device(name)


def test_out_of_memory_says_what_to_try():
    with pytest.raises(InputError, match=r"batch size 128: .*; expected a .* of 64"), explain_out_of_memory(128):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(InputError, match="expected a smaller model"), explain_out_of_memory(1):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_determinism_is_put_back():
    with deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
        with deterministic_algorithms(False):
            assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
