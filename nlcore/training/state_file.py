"""The state of unfinished work in one file: tensors and generators as safetensors, everything else as JSON beside them.

A file is written whole or not at all, and says with a checksum whether it still holds what was written.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nlcore.errors import InputError

Generator = torch.Generator | np.random.Generator
SECONDS = "NLCORE_CHECKPOINT_SECONDS"


def checkpoint_interval() -> float:
    """Seconds of work that an interruption may cost: $NLCORE_CHECKPOINT_SECONDS, or 60; 0 saves as often as possible.

    Raises:
        InputError: the variable is no number of seconds.
    """
    given = os.environ.get(SECONDS) or "60"
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:  # NaN is not
        raise InputError(f"{SECONDS} {given!r}: no number of seconds; expected 0 (save always) or more")
    return seconds


class Clock:
    """Tells when enough work is unsaved to be worth a file: short runs write none, and long ones lose little."""

    def __init__(self) -> None:
        self.interval = checkpoint_interval()
        self.start = self.saved = monotonic()

    def due(self, *, ended: bool = False) -> bool:
        """Whether the interval has passed since the last saving; of work that has `ended`, since its start."""
        return monotonic() - (self.start if ended else self.saved) >= self.interval

    def restart(self) -> None:
        """To be called after saving."""
        self.saved = monotonic()


def write_state(path: Path, tensors: Mapping[str, Tensor], state: Any, generators: Sequence[Generator]) -> None:
    """Write beside `path` and rename: a killed process leaves the old file or the new one.

    Args:
        path: the file; its folder is made.
        tensors: on any device.
        state: what JSON can hold.
        generators: those whose states belong to it.

    Raises:
        InputError: the folder cannot be written, or the disk is full; an older file stays as it was.
    """
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    tensors |= {f"generator/{i}": g.get_state() for i, g in enumerate(generators) if isinstance(g, torch.Generator)}
    numpy_states = [None if isinstance(g, torch.Generator) else g.bit_generator.state for g in generators]
    text = json.dumps({"state": state, "generators": numpy_states})
    metadata = {"content": text, "checksum": _checksum(text, tensors)}
    part = path.with_name(f"{path.name}.part")  # a folder: whatever a killed writer left is gone with the next one
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(tensors, part / path.name, metadata=metadata)
        os.replace(part / path.name, path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be written ({error}); expected a writable folder with space") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True)
class SavedState:
    """What a file holds, read and found intact, but not yet put anywhere."""

    path: Path
    tensors: dict[str, Tensor]  # on the CPU
    state: Any
    generators: list[Any]  # their states, in the order of writing

    def require_same(self, saved: Mapping[str, Any], own: Mapping[str, Any], *, what: str) -> None:
        """Compare what the file was `saved` for with what is wanted now, entry by entry, as JSON.

        Raises:
            InputError: they differ; names the entries.
        """
        own = json.loads(json.dumps(own))
        differing = [name for name in own if name not in saved or own[name] != saved[name]]
        if differing:
            others = ", ".join(differing)
            raise InputError(f"{self.path}: a checkpoint of another {what} (other {others}); expected its own, or none")

    def put_back(self, own: Mapping[str, Tensor], generators: Sequence[Generator]) -> None:
        """Copy the tensors into `own` of the same names, and put `generators` into their states: all, or nothing.

        Names are "part/name", and the parts that `own` has must be there with the same tensors.

        Raises:
            InputError: the file is of another model, or of other generators.
        """
        shapes = {name: tensor.shape for name, tensor in own.items()}
        parts = {name.split("/")[0] for name in own}
        saved = {name: t.shape for name, t in self.tensors.items() if name.split("/")[0] in parts}
        differing = sorted({name for name, _ in shapes.items() ^ saved.items()})
        if differing:
            some = ", ".join(differing[:5])
            raise InputError(f"{self.path}: a checkpoint of another model; expected the same {some}")
        if len(self.generators) != len(generators):
            raise InputError(f"{self.path}: holds {len(self.generators)} generators; expected {len(generators)}")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(self.tensors[name])
        for generator, state in zip(generators, self.generators, strict=True):
            if isinstance(generator, torch.Generator):
                generator.set_state(state)
            else:
                generator.bit_generator.state = state


def read_state(path: Path) -> SavedState | None:
    """What `write_state` has put there, or None where there is no file.

    A file that does not hold what was written, or that something else wrote, is renamed to `.damaged`, and one line on
    stderr says so: work that can be done again must not fail for it.
    """
    if not path.exists():
        return None
    try:
        return _read_intact(path)
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        path.replace(path.with_suffix(".damaged"))
        reason = str(error).splitlines()[0]
        print(f"{path}: damaged ({reason}): set aside, starting anew", file=sys.stderr, flush=True)
        return None


def _read_intact(path: Path) -> SavedState:
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    if _checksum(metadata.get("content", ""), tensors) != metadata.get("checksum"):
        raise ValueError("its checksum does not agree")
    content = json.loads(metadata["content"])
    states = [tensors.pop(f"generator/{i}") if s is None else s for i, s in enumerate(content["generators"])]
    return SavedState(path, tensors, content["state"], states)


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())  # bytes: NumPy has no bfloat16
    return digest.hexdigest()
