"""The paper's data (4.1): multi-label images to train and test on, single-label images for the regulators, and noise.

Images with fewer than two labels are removed from both parts; the removed single-label training images are the
trusted single-label set. The training part is divided into gold (trusted) and silver images.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from nlcore.data.coco import coco, coco_folder
from nlcore.data.embedded_build import stratified_division
from nlcore.data.embedded_set import EmbeddedSet, embedded
from nlcore.data.image_cache import image_cache
from nlcore.data.image_set import ImageSet
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.noise import flip_symmetric

Layout = Literal["embedded", "folder", "coco2014"]
TEST_SHARE = 0.3  # of a folder that comes without a division of its own
CACHE = "~/.cache/nlcore"  # decoded images; NLCORE_CACHE names another folder


@dataclass(frozen=True)
class Source:
    """N inputs, features (N, D) or images (N, H, W, 3), with targets (N, K); the other arrays are rows of them."""

    inputs: np.ndarray
    targets: np.ndarray
    train: np.ndarray  # two labels or more
    test: np.ndarray  # two labels or more
    single: np.ndarray  # one label each: the trusted single-label set
    class_names: tuple[str, ...]

    @property
    def single_classes(self) -> np.ndarray:
        """(m,) the class of every single-label input."""
        return self.targets[self.single].argmax(axis=1)


@dataclass(frozen=True)
class Division:
    """Gold and silver rows of a source, and all its targets (N, K) after noise.

    The gold rows of `noisy` are what those images were labelled with before someone verified them: the plain baseline
    trains on them, and nothing else uses them but the estimate that counts.
    """

    gold: np.ndarray
    silver: np.ndarray
    noisy: np.ndarray


@lru_cache(maxsize=1)
def load_source(layout: Layout, data_root: str | None, image_size: int, on_bad_image: str) -> Source:
    """The embedded set, a folder in COCO's format (divided 70 to 30), or COCO 2014 with its official parts.

    Raises:
        InputError: no folder given, or not COCO's; or no image has two labels.
    """
    if layout == "embedded":
        return embedded_source(embedded())
    if data_root is None:
        raise InputError("data root: none given; expected a folder in COCO's format (--data-root)")
    images, test = _image_sets(layout, Path(data_root))
    cache_folder = Path(os.environ.get("NLCORE_CACHE", CACHE)).expanduser()
    cache = image_cache(images.paths, cache_folder, size=image_size, on_bad_image=on_bad_image, progress=False)
    usable = np.isin(np.arange(len(images)), cache.kept)
    return _source(cache.images, images.targets, usable & ~test, usable & test, images.class_names)


def embedded_source(data: EmbeddedSet) -> Source:
    """The embedded set. Few of its images have a single label: crops of single objects are added to those that do."""
    crops = np.eye(len(data.class_names), dtype=np.int8)[data.crops.classes]
    inputs = np.concatenate([data.features, data.crops.features])
    targets = np.concatenate([data.targets, crops])
    test = np.isin(np.arange(len(inputs)), data.test)
    train = np.isin(np.arange(len(inputs)), data.train) | (np.arange(len(inputs)) >= len(data.features))
    return _source(inputs, targets, train, test, data.class_names)


def _source(inputs: np.ndarray, targets: np.ndarray, train: np.ndarray, test: np.ndarray, names: tuple) -> Source:
    labels = targets.sum(axis=1)
    parts = [np.flatnonzero(part) for part in (train & (labels >= 2), test & (labels >= 2), train & (labels == 1))]
    if not (len(parts[0]) and len(parts[1])):
        raise InputError(f"{len(parts[0])} training and {len(parts[1])} test images with two labels; expected some")
    return Source(inputs, targets, *parts, names)


def _image_sets(layout: Layout, root: Path) -> tuple[ImageSet, np.ndarray]:
    """All images, and which of them (N,) are for testing."""
    if layout == "folder":
        annotations, folder = _only_instances(root)
        images = coco_folder(annotations, folder, check_files=False)
        return images, stratified_division(images.targets, test_share=TEST_SHARE, seed=0)
    train, test = (coco(root, year=2014, split=split, check_files=False) for split in ("train", "val"))
    both = ImageSet(
        np.concatenate([train.image_ids, test.image_ids]),
        train.paths + test.paths,
        np.concatenate([train.targets, test.targets]),
        train.class_names,
    )
    return both, np.arange(len(both)) >= len(train)


def _only_instances(root: Path) -> tuple[Path, Path]:
    """The instances file of a folder and the folder of its images: `images/`, or named like the file."""
    found = sorted((root / "annotations").glob("instances*.json"))
    if len(found) != 1:
        raise InputError(f"{root}: {len(found)} files annotations/instances*.json; expected one")
    named = root / found[0].stem.removeprefix("instances_")
    return found[0], root / "images" if (root / "images").is_dir() else named


@lru_cache(maxsize=8)
def source_fingerprint(layout: Layout, data_root: str | None, weights: str | None) -> str:
    """Names the labels and the pre-trained weights; what is absent is named so, and told when a run needs it."""
    if layout == "embedded":
        return embedded().fingerprint
    digest = hashlib.sha256(str(weights if weights is None or not Path(weights).is_file() else "").encode())
    files = sorted(Path(data_root or ".", "annotations").glob("instances*.json")) if data_root else []
    for path in [*files, *([Path(weights)] if weights and Path(weights).is_file() else [])]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def divide(source: Source, *, gold: float, noise: float, seed: int) -> Division:
    """A fraction `gold` of the training images is trusted; a fraction `noise` of all labels is flipped in each part.

    With the same seed a smaller gold set is part of a larger one.

    Raises:
        InputError: the gold or the silver set would be empty.
    """
    order = generator("galc_slr", "gold", seed).permutation(source.train)
    count = int(gold * len(order) + 1e-9)  # 6,526 of 65,268, as in the paper
    if not 0 < count < len(order):
        raise InputError(f"gold fraction {gold:g}: {count} of {len(order)} images; expected some gold and some silver")
    rows = {"gold": np.sort(order[:count]), "silver": np.sort(order[count:])}
    noisy = source.targets.copy()
    for name, part in rows.items():
        noisy[part] = flip_symmetric(source.targets[part], noise, generator("galc_slr", "noise", name, seed, noise))
    return Division(rows["gold"], rows["silver"], noisy)


def capped(classes: np.ndarray, cap: int | None, seed: int) -> np.ndarray:
    """Which of m single-label images (m,) are kept: at most `cap` of each class, drawn at random; None keeps all."""
    if cap is None:
        return np.arange(len(classes))
    order = generator("galc_slr", "cap", seed).permutation(len(classes))
    kept = [order[classes[order] == k][:cap] for k in np.unique(classes)]
    return np.sort(np.concatenate(kept)) if kept else np.arange(0)
