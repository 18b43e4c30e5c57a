"""Extended COCO (paper 5, Section 4.1): clean labels of COCO beside noisy ones that an ImageNet classifier gives.

The classifier's eight likeliest ImageNet classes are mapped to 56 COCO classes. Paper 5 published no class map; ours is
`imagenet_to_coco.csv`, one ImageNet class per row. Its `relation` says why the row is there:

* same: both names mean the same thing (traffic light);
* kind: the ImageNet class is a hyponym of the COCO class in WordNet (all 59 birds, 118 breeds of dog);
* practice: no hyponym, but what COCO's annotators box under that name (a monitor as tv, a tram as train).

A COCO class is in the set if at least one row of the first two relations reaches it. That leaves exactly 56 of the 80,
the paper's number. `person` is out (ballplayer, groom and scuba diver are roles), as are classes that only a part, a
content or a wider term reaches: handbag, wine glass, potted plant, toilet, book, tennis racket.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from nlcore.data.coco import COCO_CATEGORIES
from nlcore.data.image_cache import StreamedImages
from nlcore.errors import InputError

CLASS_MAP = Path(__file__).with_name("imagenet_to_coco.csv")
COLUMNS = ("imagenet_index", "synset", "imagenet_name", "coco_class", "relation")
RELATIONS = ("same", "kind", "practice")
IMAGENET_CLASSES = 1000
TOP = 8  # predictions of an image that become noisy labels


@dataclass(frozen=True)
class ClassMap:
    """Where each ImageNet class goes: `to_class` (1000,) int64 holds an index into `class_names`, or -1."""

    class_names: tuple[str, ...]  # the K reached COCO classes, in COCO's order
    to_class: np.ndarray
    synsets: dict[int, str]  # ImageNet index -> WordNet id
    fingerprint: str  # SHA-256 of the file


def read_class_map(path: str | Path = CLASS_MAP) -> ClassMap:
    """The audited class map, or another file of the same columns.

    Raises:
        InputError: no such file, other columns, or a row that cannot be right, with its line number.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such class map")
    data = path.read_bytes()
    lines = list(csv.reader(data.decode("utf-8").splitlines()))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InputError(f"{path}, line 1: expected the columns {', '.join(COLUMNS)}")
    order = list(COCO_CATEGORIES.values())
    found: dict[int, tuple[str, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        index, synset, coco_class = _read_row(line, f"{path}, line {number}", order)
        if index in found:
            raise InputError(f"{path}, line {number}: ImageNet class {index} is mapped twice")
        found[index] = (synset, coco_class)
    names = sorted({coco_class for _, coco_class in found.values()}, key=order.index)
    to_class = np.full(IMAGENET_CLASSES, -1, dtype=np.int64)
    for index, (_, coco_class) in found.items():
        to_class[index] = names.index(coco_class)
    synsets = {index: synset for index, (synset, _) in found.items()}
    return ClassMap(tuple(names), to_class, synsets, hashlib.sha256(data).hexdigest())


def _read_row(line: list[str], where: str, classes: Sequence[str]) -> tuple[int, str, str]:
    if len(line) != len(COLUMNS):
        raise InputError(f"{where}: {len(line)} fields, expected {len(COLUMNS)}")
    index, synset, _, coco_class, relation = line
    if not index.isdecimal() or int(index) >= IMAGENET_CLASSES:
        raise InputError(f"{where}: ImageNet index {index!r}, expected 0 to {IMAGENET_CLASSES - 1}")
    if coco_class not in classes:
        raise InputError(f"{where}: {coco_class!r} is no class of COCO")
    if relation not in RELATIONS:
        raise InputError(f"{where}: relation {relation!r}, expected one of {', '.join(RELATIONS)}")
    return int(index), synset, coco_class


def map_predictions(top_classes: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Noisy labels (N, K) int8 of 0 and 1 from the likeliest ImageNet classes (N, 8) of each image.

    A prediction outside of the map is ignored; several that go to one class count once.
    """
    mapped = class_map.to_class[top_classes]  # (N, 8)
    labels = np.zeros((len(mapped), len(class_map.class_names)), dtype=np.int8)
    image, place = np.nonzero(mapped >= 0)
    labels[image, mapped[image, place]] = 1
    return labels


def build_noisy_labels(
    paths: Sequence[Path],
    model: str | nn.Module = "inception_v3",
    *,
    weights: str | Path = "timm",
    class_map: ClassMap | None = None,
    top: int = TOP,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Noisy labels (N, K) of N image files by any timm ImageNet-1k classifier, named or built.

    Images are decoded on the way, once, in the size that the classifier was made for (Inception V3: 299 x 299): what
    it says of another size is not what it would have said. A named model takes `weights` as in
    `nlcore.training.models.image_model`.

    Raises:
        InputError: the model does not predict the 1,000 ImageNet classes; its weights cannot be had; a file that is
            no image.
    """
    from nlcore.training import ImageBatches, predict
    from nlcore.training.models import image_model, normalisation

    if isinstance(model, str):
        model = image_model(model, IMAGENET_CLASSES, generator=torch.Generator().manual_seed(0), weights=weights)
    model, device = model.to(device), torch.device(device)
    mean, std = normalisation(model)
    images = StreamedImages(paths, size=model.pretrained_cfg["input_size"][-1])
    fetch = ImageBatches(images, np.zeros((len(images), 1)), device=device, mean=mean, std=std, resident=False)
    logits = predict(model, fetch, torch.arange(len(images)), batch_size=batch_size).logits
    if logits.shape[1] != IMAGENET_CLASSES:
        raise InputError(f"{type(model).__name__} predicts {logits.shape[1]} classes, expected ImageNet's 1000")
    return map_predictions(logits.topk(top, dim=1).indices.cpu().numpy(), class_map or read_class_map())


@dataclass(frozen=True)
class ExtendedCoco:
    """n images with at least one noisy label; `rows` (n,) are their places in the set they come from."""

    rows: np.ndarray
    clean: np.ndarray  # (n, K) int8
    noisy: np.ndarray  # (n, K) int8
    class_names: tuple[str, ...]


def extend(targets: np.ndarray, class_names: Sequence[str], noisy: np.ndarray, class_map: ClassMap) -> ExtendedCoco:
    """Put noisy labels (N, K) beside a data set's targets (N, C), on the classes both know; drop images without any.

    Raises:
        InputError: map and data set share no class, or no image has a noisy label.
    """
    shared = [name for name in class_map.class_names if name in class_names]
    if not shared:
        raise InputError(
            f"no class of the data set ({', '.join(class_names[:3])}, ...) is one of the class map's "
            f"({', '.join(class_map.class_names[:3])}, ...): there is nothing to label"
        )
    noisy = noisy[:, [class_map.class_names.index(name) for name in shared]]
    clean = np.asarray(targets)[:, [list(class_names).index(name) for name in shared]]
    rows = np.flatnonzero(noisy.any(axis=1))
    if not len(rows):
        raise InputError(f"none of {len(noisy)} images has a noisy label: does the classifier know these pictures?")
    return ExtendedCoco(rows, clean[rows].astype(np.int8), noisy[rows], tuple(shared))


def count_labels(labels: np.ndarray) -> dict[str, float]:
    """A row of Table 1 for labels (n, K): annotations, labels per image, images per label."""
    return {
        "annotations": int(labels.sum()),
        "labels per image": float(labels.sum() / len(labels)),
        "images per label": float(labels.sum() / labels.shape[1]),
    }


def label_quality(clean: np.ndarray, noisy: np.ndarray) -> dict[str, float]:
    """Share of noisy labels that are right, and share of true labels that are missing, over all of (n, K)."""
    both = float((clean & noisy).sum())
    return {"noisy_labels_right": both / max(noisy.sum(), 1), "true_labels_missing": 1 - both / max(clean.sum(), 1)}


def class_statistics(data: ExtendedCoco) -> pd.DataFrame:
    """Figure 4: a row per class, the most frequent first: clean and noisy annotations, right and missing shares."""
    both = (data.clean & data.noisy).sum(axis=0)
    clean, noisy = data.clean.sum(axis=0), data.noisy.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        frame = pd.DataFrame(
            {
                "class": data.class_names,
                "clean": clean,
                "noisy": noisy,
                "right": both / noisy,
                "missing": 1 - both / clean,
            }
        )
    return frame.sort_values("clean", ascending=False, kind="stable", ignore_index=True)
