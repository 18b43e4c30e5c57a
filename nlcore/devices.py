"""The device a person asked for, and what to say when it cannot be had or is too small."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from nlcore.errors import InputError


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name that a person gave.

    Args:
        name: "auto" is the GPU if there is one; "cpu", "cuda" and "cuda:N" are taken at their word.

    Raises:
        InputError: an unknown name, or a GPU that is not there: a run asked for CUDA never goes on silently on the
            CPU.

    >>> resolve_device("cpu")
    device(type='cpu')
    >>> resolve_device("gpu")
    Traceback (most recent call last):
    nlcore.errors.InputError: device: found 'gpu'; expected auto, cpu, cuda or cuda:N
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device: found {name!r}; expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        build = "this build of torch has no CUDA" if torch.version.cuda is None else f"torch sees {count} of them"
        raise InputError(f"device: found {name!r}, no such GPU here ({build}); expected cpu or auto")
    return device


@contextmanager
def explain_out_of_memory(batch_size: int) -> Iterator[None]:
    """While entered, CUDA's out-of-memory error becomes an InputError that says which batch size to try.

    Args:
        batch_size: samples in a batch; half of it is what the message proposes.

    Raises:
        InputError: the GPU's memory was not enough for the block.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        advice = f"a batch size of {batch_size // 2}" if batch_size > 1 else "a smaller model"
        raise InputError(f"batch size {batch_size}: out of GPU memory; expected {advice}") from error


def bfloat16_autocast(device: torch.device, enabled: bool) -> AbstractContextManager:
    """bfloat16 autocast on a GPU, if `enabled`; the CPU always computes in float32.

    Args:
        device: where the model computes.
        enabled: as the recipe has it (`Recipe.bfloat16`).

    Returns:
        A context that can be entered again and again: around every step of a training, say.
    """
    return torch.autocast("cuda", torch.bfloat16) if enabled and device.type == "cuda" else nullcontext()


@contextmanager
def without_denormals() -> Iterator[None]:
    """On a CPU, numbers below 1.2e-38 count as 0 (float32), where the processor can do so.

    It takes a hundred times as long for one as for any other, and weights that nothing but their decay moves come to
    lie there: a hundredth of them makes a step ten times as long.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # as torch begins: who calls us may want them


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """While entered, torch uses only algorithms that give identical bytes each time, or stops; then as before.

    On a GPU this is slower. On the CPU the suite's own code is deterministic either way, for one number of threads.

    Args:
        enabled: False changes nothing, so that a recipe's field can be passed on as it is.
    """
    if not enabled:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at the first product
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
