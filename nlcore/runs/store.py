"""The store: one file per finished run, named by the run's key, written whole and checked when it is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from nlcore.errors import InputError
from nlcore.files import require_writable_folder, write_atomically
from nlcore.runs.machine import machine
from nlcore.runs.spec import Result, Spec

# What reading a file raises that holds anything else than a record: bytes may be changed anywhere in it.
UNREADABLE = (SafetensorError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Record:
    """A run's result as it lies in the store, with what it cost."""

    result: Result
    seconds: float
    checksum: str  # over the result
    environment: Mapping[str, Any]  # versions and machine that computed it, see `machine`


class Store:
    """Results by key under one folder. Several processes may read and write it at once.

    A record is a safetensors file: the arrays, and in its metadata the values and the spec with a
    checksum over these, and how long it took and where.
    It is written to a temporary file and renamed; no `fsync`, since what a power cut might leave half on disk is
    found out by the checksum, set aside, and computed again.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        require_writable_folder(self.root, what="store")

    def path(self, spec: Spec) -> Path:
        """Where the record of `spec` lies, or would lie."""
        key = spec.key
        return self.root / key[:2] / f"{key}.safetensors"

    def scratch(self, spec: Spec) -> Path:
        """Where `spec` keeps what it needs to go on after a kill; see `scratch_folder`."""
        return self.root / "scratch" / spec.key

    def clear_scratch(self, spec: Spec) -> None:
        """Remove it, once the run is finished or forgotten."""
        shutil.rmtree(self.scratch(spec), ignore_errors=True)

    @contextmanager
    def lock(self, spec: Spec) -> Iterator[None]:
        """Held while a run is computed, so that two drivers do not do the same work; freed when a process dies.

        Whoever has it sees what another machine stored before it freed it.

        Raises:
            InputError: the file system has no locks.
        """
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        try:
            held = FileLock(folder / spec.key).acquire()
        except (OSError, NotImplementedError) as error:
            message = f"store {self.root}: no locks there ({error}); expected a file system with flock"
            raise InputError(message) from error
        with held:
            self.look_anew(spec)
            yield

    def look_anew(self, spec: Spec) -> bool:
        """Whether there is a record, which another machine may have written a moment ago.

        A network file system remembers for up to a minute that a file was absent; opening its folder ends that.
        """
        with suppress(FileNotFoundError):
            os.scandir(self.path(spec).parent).close()
        return self.path(spec).exists()

    def write(self, spec: Spec, result: Result, *, seconds: float) -> None:
        """Store a finished run.

        Raises:
            InputError: the disk is full or cannot be written; nothing is left behind.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in result.arrays.items()}
        text = json.dumps({"spec": spec.description, "values": dict(result.values)}, sort_keys=True)
        metadata = {
            "record": text,
            "checksum": _checksum(text, arrays),
            "seconds": f"{seconds:.3f}",
            "environment": json.dumps(machine()),
        }
        write_atomically(self.path(spec), save_tensors(arrays, metadata | {"seal": _seal(metadata)}))

    def read(self, spec: Spec) -> Record | None:
        """The record of `spec`, or None where there is none that holds what was written.

        A damaged one is set aside with a line on stderr, and from then on counts as `damaged` until it is computed
        again.
        """
        try:
            data = self.path(spec).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _record(data)
        except UNREADABLE as error:
            self._set_aside(spec, str(error))
            return None

    def damaged(self, spec: Spec) -> bool:
        """Whether a record was set aside, by this process or an earlier one, and not computed again since."""
        return self._aside(spec).exists() and not self.path(spec).exists()

    def _aside(self, spec: Spec) -> Path:
        return self.path(spec).with_suffix(".damaged")

    def _set_aside(self, spec: Spec, reason: str) -> None:
        """Rename a damaged record, for whoever wants to look at it; another process may have been faster."""
        path = self.path(spec)
        with suppress(FileNotFoundError):
            path.replace(self._aside(spec))
            print(f"{path}: damaged ({reason}), set aside; expected what was written", file=sys.stderr, flush=True)

    def forget(self, spec: Spec) -> None:
        """Remove the record of `spec`, if there is one, what was set aside of it, and what a killed run left."""
        for path in (self.path(spec), self._aside(spec)):
            path.unlink(missing_ok=True)
        self.clear_scratch(spec)

    def results(self, specs: Iterable[Spec], *, partial: bool = False) -> tuple[dict[Spec, Result], tuple[Spec, ...]]:
        """The results of a grid's runs, and the runs that are not finished; these must be none unless `partial`.

        Raises:
            InputError: a run is not finished, and `partial` was not asked for.
        """
        records = {spec: self.read(spec) for spec in specs}
        left_out = tuple(spec for spec, record in records.items() if record is None)
        if left_out and not partial:
            first = left_out[0].name
            raise InputError(f"{first}: not finished ({len(left_out)} runs are not); expected a finished grid")
        return {spec: record.result for spec, record in records.items() if record is not None}, left_out

    def result(self, spec: Spec) -> Result:
        """The result of a finished run.

        Raises:
            InputError: the run is not in the store.
        """
        record = self.read(spec)
        if record is None:
            raise InputError(f"{spec.name}: not in the store {self.root}; expected a finished run (run its grid first)")
        return record.result


def _record(data: bytes) -> Record:
    """What the bytes of a file hold; raises one of UNREADABLE where they are not those that were written."""
    metadata = _metadata(data)
    text, arrays = metadata["record"], dict(sorted(load_tensors(data).items()))  # as read, their order is any
    if metadata.pop("seal") != _seal(metadata) or metadata["checksum"] != _checksum(text, arrays):
        raise ValueError("its checksum does not agree")
    result, environment = Result(json.loads(text)["values"], arrays), json.loads(metadata["environment"])
    return Record(result, float(metadata["seconds"]), metadata["checksum"], environment)


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: an eight-byte length, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _seal(metadata: Mapping[str, str]) -> str:
    """Over all that the metadata state: the checksum covers the result alone, whatever it cost and wherever."""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def _checksum(text: str, arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].data)
    return digest.hexdigest()
