"""What survives an interruption of active learning: a folder with the loop's state and the training under way.

`state.safetensors` holds the loop as it was after the choice for training k and before that training; the training has
its own checkpoint, `training_<k>.safetensors`. Both are written by the clock, so short runs write nothing.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlcore.training.active_state import ActiveState
from nlcore.training.learners import Learner
from nlcore.training.state_file import Clock, SavedState, read_state, write_state

ARRAYS = ("labelled", "pool")
LISTS = ("chosen", "safes", "ends")  # one array per iteration, or per training


class ActiveCheckpoint:
    """Keeps the state of one loop in `folder` (None: keeps nothing), with its learner's and its strategies' draws.

    `purpose` is what JSON can say about the loop, to tell it from others.
    """

    def __init__(
        self, folder: Path | None, learner: Learner, rngs: Sequence[np.random.Generator], purpose: Mapping[str, Any]
    ) -> None:
        self.folder, self.learner, self.purpose = folder, learner, dict(purpose)
        self.generators = [*rngs, *learner.generators]
        self.clock = Clock()

    def training(self, iteration: int) -> Path | None:
        """The checkpoint of that training."""
        return self.folder and self.folder / f"training_{iteration}.safetensors"

    def restore(self, state: ActiveState) -> None:
        """Put a saved state into `state`, which must be at its beginning; without an intact one it stays there.

        Raises:
            InputError: the folder is of another run: other recipe, budget, images or model.
        """
        if self.folder is None:
            return
        self.purpose |= {"recipe": asdict(self.learner.recipe), "images or labels": _fingerprint(state)}
        saved = read_state(self.folder / "state.safetensors")
        if saved is not None:
            saved.require_same(saved.state["purpose"], self.purpose, what="run")
            saved.put_back(self._weights(), self.generators)
            _put_into(state, saved)
        self._remove_other_trainings(state.iteration)

    def keep(self, state: ActiveState) -> None:
        """To be called after each choice: writes the state if there is enough to lose, and drops what it replaces.

        That is the case, whatever the clock says, once the last training has a checkpoint: the coming one's is of use
        only together with the choice it was made for.
        """
        if self.folder is None or not (self.clock.due() or self.training(state.iteration - 1).exists()):
            return
        content = {"purpose": self.purpose, "histories": state.histories}
        write_state(self.folder / "state.safetensors", self._weights() | _tensors(state), content, self.generators)
        self.clock.restart()
        self._remove_other_trainings(state.iteration)

    def _weights(self) -> dict[str, Tensor]:
        return {f"model/{name}": tensor for name, tensor in self.learner.model.state_dict().items()}

    def _remove_other_trainings(self, iteration: int) -> None:
        """Earlier ones are done; later ones followed from a choice that was not kept: the next may be another."""
        for file in self.folder.glob("training_*"):
            if file.name.split(".")[0] != f"training_{iteration}":
                shutil.rmtree(file) if file.is_dir() else file.unlink()  # a folder: from a killed writer


def _fingerprint(state: ActiveState) -> str:
    digest = hashlib.sha256()
    for array in (state.targets, state.labelled, state.pool):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _tensors(state: ActiveState) -> dict[str, Tensor]:
    """All arrays by name; the targets follow from what is labelled."""
    arrays = {name: getattr(state, name) for name in ARRAYS}
    arrays |= {f"{name}/{i}": array for name in LISTS for i, array in enumerate(getattr(state, name))}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _put_into(state: ActiveState, saved: SavedState) -> None:
    arrays = {name: tensor.numpy().copy() for name, tensor in saved.tensors.items() if not name.startswith("model/")}
    for name in ARRAYS:
        setattr(state, name, arrays[name])
    for name in LISTS:
        count = sum(key.startswith(f"{name}/") for key in arrays)
        setattr(state, name, [arrays[f"{name}/{i}"] for i in range(count)])
    state.histories = saved.state["histories"]
