"""The embedded set: 3,084 real COCO images as the features of a frozen ImageNet network, inside the package.

It is the default data of papers 1, 2, 4 and 5; see embedded/README.md for its origin, licences and biases, and
`embedded_build` for how every number in it is made.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nlcore.errors import InputError

FOLDER = Path(__file__).with_name("embedded")


@dataclass(frozen=True)
class BoxCrops:
    """M boxes of single objects cut from training images, at most 50 of a class, ordered by class.

    Within a class those come first that boxes of other classes cover least.
    """

    features: np.ndarray  # (M, D) float32: the images' components
    classes: np.ndarray  # (M,) int64, index into class_names
    rows: np.ndarray  # (M,) int64, row of the image; all are in `train`
    annotation_ids: np.ndarray  # (M,) int64
    foreign_cover: np.ndarray  # (M,) float32, share of the box that boxes of other classes cover


@dataclass(frozen=True)
class EmbeddedSet:
    """N images, D = 256 features, K = 80 classes. Row i of every array is the same image."""

    features: np.ndarray  # (N, D) float32: principal components of what the ImageNet network has before its classifier
    targets: np.ndarray  # (N, K) int8 of 0 and 1
    coco_ids: np.ndarray  # (N,) int64
    splits: tuple[str, ...]  # official split: "train2017" or "val2017"; no division of this set
    source_urls: tuple[str, ...]  # at Flickr where known, otherwise at COCO
    licence_ids: np.ndarray  # (N,) int64, key of `licences`; 0 = not known
    licences: dict[int, dict[str, str]]  # id -> name and url, as COCO gives them
    class_names: tuple[str, ...]  # K names
    top_classes: np.ndarray  # (N, 8) int64, ImageNet-1k classes, likeliest first
    top_probabilities: np.ndarray  # (N, 8) float32
    train: np.ndarray  # rows for training, about 70 %, stratified by class
    test: np.ndarray  # rows for testing; images without label are in neither
    crops: BoxCrops
    thumbnails: dict[int, Path]  # row -> small JPEG, where the licence permits one
    fingerprint: str  # SHA-256 of everything that the arrays here come from

    def credit(self, row: int) -> str:
        """The line that has to stand beside a picture of image `row`: its id, where it comes from, its licence.

        >>> embedded().credit(0)
        'COCO 9, http://farm5.staticflickr.com/...jpg (Attribution-NonCommercial-NoDerivs License)'
        """
        licence = self.licences.get(int(self.licence_ids[row]), {"name": "licence not known"})["name"]
        return f"COCO {self.coco_ids[row]}, {self.source_urls[row]} ({licence})"


@lru_cache(maxsize=2)
def embedded(folder: str | Path = FOLDER) -> EmbeddedSet:
    """The embedded set, read once for a process: copy an array before you write into it.

    Args:
        folder: the one in the package, or one that scripts/build_embedded.py wrote.

    Raises:
        InputError: a file of the folder is absent.

    >>> data = embedded()
    >>> data.features.shape, data.targets.shape, len(data.train), len(data.test)
    ((3084, 256), (3084, 80), 2157, 925)
    """
    arrays, images, about, fingerprint = _read(Path(folder))
    coco_ids = np.array([int(image["coco_id"]) for image in images], dtype=np.int64)
    division = np.array([image["division"] for image in images])
    thumbnails = {i: Path(folder) / "thumbnails" / f"{coco_id:012d}.jpg" for i, coco_id in enumerate(coco_ids)}
    return EmbeddedSet(
        features=dequantise(arrays, "feature"),
        targets=np.unpackbits(arrays["targets"], axis=1, count=len(about["class_names"])).astype(np.int8),
        coco_ids=coco_ids,
        splits=tuple(image["split"] for image in images),
        source_urls=tuple(image["flickr_url"] or image["coco_url"] for image in images),
        licence_ids=np.array([int(image["license"] or 0) for image in images], dtype=np.int64),
        licences={licence["id"]: {key: licence[key] for key in ("name", "url")} for licence in about["licences"]},
        class_names=tuple(about["class_names"]),
        top_classes=arrays["top_classes"].astype(np.int64),
        top_probabilities=arrays["top_probabilities"].astype(np.float32),
        train=np.flatnonzero(division == "train"),
        test=np.flatnonzero(division == "test"),
        crops=_crops(arrays),
        thumbnails={row: path for row, path in thumbnails.items() if path.is_file()},
        fingerprint=fingerprint,
    )


def dequantise(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Values that are stored as a byte each: minimum + step * byte, dimension by dimension.

    Args:
        arrays: `{name}s` (N, D) uint8, `{name}_minimum` and `{name}_step` (D,) float32.
        name: "feature" or "crop".

    Returns:
        (N, D) float32.

    >>> bytes_, minimum, step = np.array([[0, 255]], np.uint8), np.float32([0, 1]), np.float32([1, 2])
    >>> dequantise({"crops": bytes_, "crop_minimum": minimum, "crop_step": step}, "crop")
    array([[  0., 511.]], dtype=float32)
    """
    return arrays[f"{name}_minimum"] + arrays[f"{name}_step"] * arrays[f"{name}s"].astype(np.float32)


def _read(folder: Path) -> tuple[dict[str, np.ndarray], list[dict[str, str]], dict, str]:
    """The arrays, the lines of the image table, what is said about them, and the fingerprint of all three files."""
    files = [folder / name for name in ("arrays.npz", "images.csv", "about.json")]
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise InputError(f"{absent[0]}: no such file; expected what scripts/build_embedded.py writes")
    with np.load(files[0], allow_pickle=False) as stored:
        arrays = dict(stored)
    with files[1].open(newline="", encoding="utf-8") as file:
        images = list(csv.DictReader(file))
    digests = [hashlib.sha256(file.read_bytes()).digest() for file in files]
    return arrays, images, json.loads(files[2].read_bytes()), hashlib.sha256(b"".join(digests)).hexdigest()


def _crops(arrays: dict[str, np.ndarray]) -> BoxCrops:
    return BoxCrops(
        features=dequantise(arrays, "crop"),
        classes=arrays["crop_classes"].astype(np.int64),
        rows=arrays["crop_rows"].astype(np.int64),
        annotation_ids=arrays["crop_annotation_ids"],
        foreign_cover=arrays["crop_foreign_cover"].astype(np.float32),
    )
