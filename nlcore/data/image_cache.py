"""Images decoded once: squash-resized to the training size and kept as one memory-mapped array of bytes.

Training then reads pixels at memory speed instead of decoding JPEGs in every epoch (COCO 2014 at 224: 18 GB). Where
such an array would fit on no disk (Open Images at 299: 2.5 TB), `StreamedImages` stands in for it.
Resizing is what the public ASL code does: the whole image to a square, aspect ratio ignored, bilinear, no crop.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from filelock import FileLock
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nlcore.errors import InputError
from nlcore.rows import row_numbers

FORMAT = 1  # part of the fingerprint: raise it when the same files would give other bytes
DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises, all of it
ARRAY_FILE, RECORD_FILE = "images.npy", "cache.json"
STREAM_WORKERS = 8  # at most: a batch is small, and the machine may run several trainings

OnBadImage = Literal["skip", "fail"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class ImageCache:
    """Row i of `images` is image i of the list the cache was built from; rows of unusable images are black."""

    images: np.ndarray  # (N, size, size, 3) uint8, memory-mapped, read-only
    kept: np.ndarray  # (n,) int64: the rows that hold an image, in order
    skipped: dict[int, str]  # row -> what was wrong with the file
    fingerprint: str  # of names, sizes and times of the files, and of the settings


def image_cache(
    paths: Sequence[Path],
    directory: str | Path,
    *,
    size: int = 224,
    on_bad_image: OnBadImage = "fail",
    workers: int | None = None,
    progress: bool = True,
) -> ImageCache:
    """The decoded images of `paths`, read from `directory` or built there first.

    A cache is reused as long as its fingerprint agrees. It is built under another name and renamed when complete, so a
    killed build leaves nothing that passes for whole, and the next build removes it. The bytes do not depend on
    `workers` (threads; by default one per core: Pillow decodes and resizes outside the interpreter lock).

    Raises:
        InputError: an unreadable image with `on_bad_image="fail"` (it is named), no usable image at all, too little
            disk space, or an `on_bad_image` that is neither "skip" nor "fail".
    """
    _check_choice(on_bad_image)
    fingerprint = fingerprint_files(paths, size=size)
    complete = Path(directory) / f"images_{size}_{fingerprint[:16]}"
    complete.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{complete}.lock"):
        if not complete.is_dir():
            _build(paths, complete, size, on_bad_image, workers, progress)
    cache = _open(complete, fingerprint)
    if cache.skipped and on_bad_image == "fail":
        raise InputError(_complaint(next(iter(cache.skipped.values())), len(cache.skipped)))
    return cache


class StreamedImages:
    """Images (N, size, size, 3) uint8 that are decoded when their rows are asked for: `images[[7, 2]]` is (2, ...).

    The pixels are those of `image_cache`, and nothing is kept of them. `shape` and `nbytes` are those of the array it
    stands for, so whoever asks whether that fits into memory gets the right answer. `workers` threads decode a batch
    (by default one per core, 8 at most). With `on_bad_image="skip"` a row that cannot be read is black and is entered
    in `skipped` (row -> what was wrong with the file); with "fail", `images[...]` raises an InputError naming the file.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self, paths: Sequence[Path], *, size: int, on_bad_image: OnBadImage = "fail", workers: int | None = None
    ) -> None:
        _check_choice(on_bad_image)
        self.paths, self.on_bad_image = paths, on_bad_image
        self.shape = (len(paths), size, size, 3)
        self.skipped: dict[int, str] = {}
        self._pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, STREAM_WORKERS))

    @property
    def nbytes(self) -> int:
        """Bytes of all images decoded; what this object takes itself are a few hundred."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The images of a number, of numbers (B,), of a slice or of a mask."""
        rows = row_numbers(rows, len(self))
        images = np.zeros((rows.size, *self.shape[1:]), np.uint8)
        flat = rows.reshape(-1).tolist()
        found = self._pool.map(lambda place: _decode(self.paths[flat[place]], images[place]), range(len(flat)))
        for row, complaint in zip(flat, found, strict=True):
            if complaint and self.on_bad_image == "fail":
                raise InputError(_complaint(complaint, 1, instead="black"))
            if complaint:
                self.skipped[row] = complaint
        return images.reshape(*rows.shape, *self.shape[1:])


def load_image(path: str | Path, size: int, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    """One image, squash-resized: (size, size, 3) uint8.

    Raises:
        DECODE_ERRORS: one of them, the file being unreadable.
    """
    with Image.open(path) as image:
        return squash(image, size, resampling)


def squash(image: Image.Image, size: int, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    """The whole of a Pillow image as (size, size, 3) uint8 RGB."""
    return np.asarray(image.convert("RGB").resize((size, size), resampling))


def fingerprint_files(paths: Sequence[Path], *, size: int) -> str:
    """Hash over the settings and every file's name, length and modification time (64 hexadecimal digits).

    Folders are left out, so a moved data set keeps its caches; a missing file counts as one of length -1.
    """
    digest = hashlib.sha256(f"{FORMAT} squash bilinear {size}\n".encode())
    for path in paths:
        try:
            status = os.stat(path)
            facts = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            facts = "-1 0"
        digest.update(f"{Path(path).name}\0{facts}\n".encode())
    return digest.hexdigest()


def _build(
    paths: Sequence[Path], complete: Path, size: int, on_bad_image: str, workers: int | None, progress: bool
) -> None:
    """Decode everything beside `complete` and rename. The caller holds the lock, so a leftover is a dead build's."""
    partial = complete.with_name(complete.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    check_space(complete.parent, len(paths) * size * size * 3, what="decoded images")
    partial.mkdir()
    try:
        shape = (len(paths), size, size, 3)
        images = np.lib.format.open_memmap(partial / ARRAY_FILE, mode="w+", dtype=np.uint8, shape=shape)
        skipped = _decode_all(paths, images, on_bad_image, workers, progress)
        if len(skipped) == len(paths):
            found = f"none of {len(paths)} can be read, {skipped[0]}" if paths else "none given"
            raise InputError(f"images: {found}; expected some")
        images.flush()
        record = {"skipped": skipped, "pillow": Image.__version__}
        (partial / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
        partial.rename(complete)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _decode_all(
    paths: Sequence[Path], images: np.ndarray, on_bad_image: str, workers: int | None, progress: bool
) -> dict[int, str]:
    """Fill `images`, every thread its own rows. Returns what was wrong with the bad ones, or stops at the first."""
    decode = lambda row: _decode(paths[row], images[row])
    skipped = {}
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for row, complaint in enumerate(shown(pool.map(decode, range(len(paths))), len(paths), progress)):
            if complaint and on_bad_image == "fail":
                pool.shutdown(cancel_futures=True)
                raise InputError(_complaint(complaint, 1, instead="black"))
            if complaint:
                skipped[row] = complaint
    return skipped


def _decode(path: Path, target: np.ndarray) -> str | None:
    """Put the image into `target` (size, size, 3), or leave it as it is and say what is wrong with the file."""
    try:
        target[:] = load_image(path, len(target))
    except DECODE_ERRORS as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
        return f"{path}: {reason}"
    return None


def shown(results: Iterator[Item], total: int, progress: bool, *, what: str = "decoding images") -> Iterator[Item]:
    """The same results behind a progress bar."""
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, disable=not progress) as bar:
        yield from bar.track(results, total=total)


def _open(complete: Path, fingerprint: str) -> ImageCache:
    images = np.load(complete / ARRAY_FILE, mmap_mode="r")
    record = json.loads((complete / RECORD_FILE).read_text(encoding="utf-8"))
    skipped = {int(row): reason for row, reason in record["skipped"].items()}
    kept = np.setdiff1d(np.arange(len(images)), np.array(list(skipped), dtype=np.int64))
    return ImageCache(images, kept, skipped, fingerprint)


def _check_choice(on_bad_image: str) -> None:
    if on_bad_image not in ("skip", "fail"):
        raise InputError(f"on_bad_image: found {on_bad_image!r}; expected 'skip' or 'fail'")


def _complaint(first: str, count: int, *, instead: str = "left out") -> str:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"unreadable image: {first}{more}; expected one that decodes (with on_bad_image='skip' it is {instead})"


def check_space(directory: Path, needed: int, *, what: str) -> None:
    """Whether `needed` bytes fit on the disk of a folder.

    Raises:
        InputError: they do not.
    """
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise InputError(f"{directory}: {free / 1e9:.1f} GB are free; expected {needed / 1e9:.1f} for {what}")
