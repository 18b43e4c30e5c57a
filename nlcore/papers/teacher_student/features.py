"""The features of the noisy network, which all methods but one train on.

Those of COCO lie in the network's record. Those of Open Images are too many for a record, which is read whole (9
million x 2,048 are 37 GB in half precision): they lie in a file in the cache folder that is mapped into memory, named
by the network's key. It can be deleted at any time: it is made again from the network's weights and the images.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from nlcore.errors import InputError
from nlcore.papers.teacher_student.scoring import BATCH, CHUNK, Fetch
from nlcore.places import cache_folder
from nlcore.training import predict
from nlcore.training.distributed import leads

MakeArray = Callable[[tuple[int, int]], np.ndarray]


def in_memory(shape: tuple[int, int]) -> np.ndarray:
    """An array for features that are few."""
    return np.empty(shape, np.float32)


class Nowhere:
    """Takes features and keeps none."""

    def __setitem__(self, rows: np.ndarray, seen: np.ndarray) -> None: ...


def look_at_all(model: nn.Module, fetch: Fetch, images: int, array: MakeArray, *, bfloat16: bool = False) -> np.ndarray:
    """The last layer's inputs of all images, (n, D), put into the array that `array` makes for them."""
    found = None
    for rows in torch.arange(images).split(CHUNK):
        seen = predict(model, fetch, rows, batch_size=BATCH, features=True, bfloat16=bfloat16).features.cpu().numpy()
        if found is None:
            found = array((images, seen.shape[1]))
        found[rows.numpy()] = seen
    return found


def keep(key: str, make: Callable[[MakeArray], np.ndarray]) -> None:
    """Have `make` fill the file of a network's features, (n, D) float16. Of processes that look together one writes.

    It is written under another name and renamed when complete: a killed run leaves nothing that passes for whole.

    Raises:
        InputError: too little disk space.
    """
    if not leads():
        make(lambda shape: Nowhere())
        return
    path = _path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        _fill(path, make)


def mapped(key: str, make: Callable[[MakeArray], np.ndarray]) -> np.memmap:
    """The features (n, D) float16 of a network, mapped from its file; `make` fills it first where it is not there.

    Raises:
        InputError: too little disk space.
    """
    path = _path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            _fill(path, make)
    return np.load(path, mmap_mode="r")


def _path(key: str) -> Path:
    return cache_folder() / "features" / f"{key}.npy"


def _fill(path: Path, make: Callable[[MakeArray], np.ndarray]) -> None:
    partial = path.with_suffix(".partial")
    make(lambda shape: _on_disk(partial, shape)).flush()
    os.replace(partial, path)


def _on_disk(path: Path, shape: tuple[int, int]) -> np.memmap:
    needed, free = 2 * shape[0] * shape[1], shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(f"{path.parent}: {free / 1e9:.1f} GB are free; expected {needed / 1e9:.1f} for features")
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
