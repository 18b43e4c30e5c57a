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
from nlcore.errors import InputError, require

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

    Args:
        path: a CSV file with the columns `COLUMNS`, an ImageNet class a row.

    Raises:
        InputError: no such file, other columns, or a row that cannot be right, with its line number.

    >>> class_map = read_class_map()
    >>> len(class_map.class_names), class_map.class_names[class_map.to_class[207]]  # 207 is golden retriever
    (56, 'dog')
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a class map")
    data = path.read_bytes()
    lines = list(csv.reader(data.decode("utf-8").splitlines()))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InputError(f"{path}, line 1: found other columns; expected {', '.join(COLUMNS)}")
    order = list(COCO_CATEGORIES.values())
    found: dict[int, tuple[str, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        index, synset, coco_class = _read_row(line, f"{path}, line {number}", order)
        if index in found:
            raise InputError(f"{path}, line {number}: ImageNet class {index} is mapped twice; expected one row each")
        found[index] = (synset, coco_class)
    names = sorted({coco_class for _, coco_class in found.values()}, key=order.index)
    to_class = np.full(IMAGENET_CLASSES, -1, dtype=np.int64)
    for index, (_, coco_class) in found.items():
        to_class[index] = names.index(coco_class)
    synsets = {index: synset for index, (synset, _) in found.items()}
    return ClassMap(tuple(names), to_class, synsets, hashlib.sha256(data).hexdigest())


def _read_row(line: list[str], where: str, classes: Sequence[str]) -> tuple[int, str, str]:
    if len(line) != len(COLUMNS):
        raise InputError(f"{where}: found {len(line)} fields; expected {len(COLUMNS)}")
    index, synset, _, coco_class, relation = line
    if not index.isdecimal() or int(index) >= IMAGENET_CLASSES:
        raise InputError(f"{where}: found ImageNet index {index!r}; expected 0 to {IMAGENET_CLASSES - 1}")
    if coco_class not in classes:
        raise InputError(f"{where}: found {coco_class!r}; expected a class of COCO")
    if relation not in RELATIONS:
        raise InputError(f"{where}: found relation {relation!r}; expected one of {', '.join(RELATIONS)}")
    return int(index), synset, coco_class


def map_predictions(top_classes: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Noisy labels from the likeliest ImageNet classes of each image (paper 5, 4.1).

    A prediction outside of the map is ignored; several that go to one class count once.

    Args:
        top_classes: (N, 8) ImageNet classes, 0 to 999; any other number of them will do.
        class_map: of `read_class_map`.

    Returns:
        (N, K) int8 of 0 and 1 over the map's classes.

    >>> class_map = read_class_map()
    >>> labels = map_predictions(np.array([[207, 208, 852, 999]]), class_map)  # two retrievers, a tennis ball, a roll
    >>> [class_map.class_names[k] for k in np.flatnonzero(labels[0])]
    ['dog', 'sports ball']
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
    """Noisy labels of images by any timm ImageNet-1k classifier; paper 5 (4.1) takes Inception V3's eight likeliest.

    Images are decoded on the way, once, in the size that the classifier was made for (Inception V3: 299 x 299): what
    it says of another size is not what it would have said.

    Args:
        paths: N image files.
        model: timm's name, or a model that is built.
        weights: of a named model, as in `nlcore.training.models.image_model`.
        class_map: None is the audited one.
        top: predictions of an image that become labels.
        batch_size: images in a pass.
        device: where the model runs.

    Returns:
        (N, K) int8 of 0 and 1 over the map's classes.

    Raises:
        InputError: the model does not predict the 1,000 ImageNet classes; its weights cannot be had; a file that is no
            image; too little memory on the GPU.
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
        raise InputError(f"{type(model).__name__}: predicts {logits.shape[1]} classes; expected ImageNet's 1000")
    return map_predictions(logits.topk(top, dim=1).indices.cpu().numpy(), class_map or read_class_map())


@dataclass(frozen=True)
class ExtendedCoco:
    """n images with at least one noisy label; `rows` (n,) are their places in the set they come from."""

    rows: np.ndarray
    clean: np.ndarray  # (n, K) int8 of 0 and 1
    noisy: np.ndarray  # (n, K) int8 of 0 and 1, at least one in a row
    class_names: tuple[str, ...]


def extend(targets: np.ndarray, class_names: Sequence[str], noisy: np.ndarray, class_map: ClassMap) -> ExtendedCoco:
    """Put noisy labels beside a data set's targets, on the classes both know; drop images without any (paper 5, 4.1).

    Args:
        targets: (N, C) of 0 and 1, the clean labels.
        class_names: C names.
        noisy: (N, K) of `map_predictions`.
        class_map: that made them.

    Returns:
        Clean and noisy labels of the n images that have a noisy one.

    Raises:
        InputError: map and data set share no class, or no image has a noisy label.

    >>> class_map = read_class_map()
    >>> noisy = map_predictions(np.array([[207], [999]]), class_map)  # a retriever, and nothing that COCO knows
    >>> extend(np.array([[1, 0], [0, 1]]), ["dog", "cat"], noisy, class_map)
    ExtendedCoco(rows=array([0]), clean=..., noisy=..., class_names=('cat', 'dog'))
    """
    shared = [name for name in class_map.class_names if name in class_names]
    if not shared:
        found = f"none of the class map's classes ({', '.join(class_names[:3])}, ...)"
        expected = f"some of {', '.join(class_map.class_names[:3])}, ..."
        raise InputError(f"classes of the data set: found {found}; expected {expected}")
    noisy = noisy[:, [class_map.class_names.index(name) for name in shared]]
    clean = np.asarray(targets)[:, [list(class_names).index(name) for name in shared]]
    rows = np.flatnonzero(noisy.any(axis=1))
    expected = f"some, of {len(noisy)}, if the classifier knows these pictures"
    require(len(rows) > 0, "images with a noisy label", 0, expected)
    return ExtendedCoco(rows, clean[rows].astype(np.int8), noisy[rows], tuple(shared))


def count_labels(labels: np.ndarray) -> dict[str, float]:
    """A row of paper 5's Table 1: annotations, labels per image, images per label.

    Args:
        labels: (n, K) of 0 and 1, with at least one image.

    >>> count_labels(np.array([[1, 1, 0, 0], [1, 0, 0, 0]]))
    {'annotations': 3, 'labels per image': 1.5, 'images per label': 0.75}
    """
    return {
        "annotations": int(labels.sum()),
        "labels per image": float(labels.sum() / len(labels)),
        "images per label": float(labels.sum() / labels.shape[1]),
    }


def label_quality(clean: np.ndarray, noisy: np.ndarray) -> dict[str, float]:
    """How good noisy labels are, over all images and classes: the 91.5 % and 13.1 % of paper 5 (4.1).

    Args:
        clean, noisy: (n, K) of 0 and 1, in an integer or boolean type.

    Returns:
        `noisy_labels_right`, the share of noisy labels that are right, and `true_labels_missing`, the share of true
        labels that are absent: fractions in [0, 1].

    >>> label_quality(np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]]))
    {'noisy_labels_right': 0.5, 'true_labels_missing': 0.5}
    """
    both, given, true = (int(labels.sum()) for labels in (clean & noisy, noisy, clean))
    return {"noisy_labels_right": both / max(given, 1), "true_labels_missing": 1 - both / max(true, 1)}


def class_statistics(data: ExtendedCoco) -> pd.DataFrame:
    """Figure 4 of paper 5: a row per class, the most frequent first.

    Args:
        data: of `extend`.

    Returns:
        Columns `class`; `clean` and `noisy`, numbers of annotations; `right` and `missing`, shares of noisy labels that
        are right and of clean ones that are missing, as fractions, NaN where a class has none.
    """
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
