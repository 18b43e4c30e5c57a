"""A folder for what a run keeps while it is being computed, so that a killed one goes on from there: checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_folder: ContextVar[Path | None] = ContextVar("scratch_folder", default=None)


def scratch_folder() -> Path | None:
    """The folder of the run that is being computed, or None outside one.

    The same run finds it again after a kill, with what it left there; once its result is stored it is removed. Whoever
    writes to it makes it first.
    """
    return _folder.get()


def checkpoint_file(training: str = "training") -> Path | None:
    """The file in which a training of the run that is being computed keeps its state; None outside a run.

    training: its name, where a run has several.
    """
    folder = scratch_folder()
    return folder and folder / f"{training}.safetensors"


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Make `folder` that of the run computed in the `with` block."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
