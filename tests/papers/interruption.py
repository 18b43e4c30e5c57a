"""Runs that are stopped in the middle of their training and computed again, as after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcore.runs import Result, Spec
from nlcore.runs.scratch import scratch
from nlcore.training import loop


class Stopped(BaseException):
    """Like a kill: nothing that a run does catches it."""


def stopped_and_resumed(run: Spec, folder: Path, monkeypatch: pytest.MonkeyPatch, *, after: int) -> tuple[Result, int]:
    """The result of a run that was stopped after so many epochs, and how many epochs it took from there to its end."""
    monkeypatch.setenv("NLCORE_CHECKPOINT_SECONDS", "0")
    train_epoch, epochs = loop._train_epoch, []

    def stopping(*args):
        if len(epochs) == after:
            raise Stopped
        epochs.append(train_epoch(*args))

    def counting(*args):
        epochs.append(train_epoch(*args))

    with scratch(folder):
        monkeypatch.setattr(loop, "_train_epoch", stopping)
        with pytest.raises(Stopped):
            run.compute([])
        monkeypatch.setattr(loop, "_train_epoch", counting)
        result = run.compute([])
    monkeypatch.setattr(loop, "_train_epoch", train_epoch)
    return result, len(epochs) - after
