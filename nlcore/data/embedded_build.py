"""Builds the embedded set: what a frozen ImageNet network sees in the images of any COCO-format folder.

Everything is a function of the folder, the weights and DIVISION_SEED: two builds on one machine, with one number of
threads, give the same bytes.
The parts are functions of their own so that a test can rebuild single rows.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import load_file
from torch import nn

from nlcore.data.coco import coco_folder, read_instances
from nlcore.data.division import stratified_division
from nlcore.data.image_cache import DECODE_ERRORS, load_image, squash
from nlcore.errors import InputError
from nlcore.torchvision_compat import ensure_torchvision

IMAGE_SIZE = 224
BATCH = 32
TOP = 8  # predictions kept per image, as paper 5 has it
TEST_SHARE = 0.3
DIVISION_SEED = 0
CROP_SIDE = 48  # shortest side of a usable box, in pixels of an image whose short side is IMAGE_SIZE
CROPS_PER_CLASS = 50
THUMBNAIL_SIDE = 112
FREE_LICENCES = {4, 5, 7, 8}  # COCO's ids of CC BY, CC BY-SA, no known restrictions, US government: derivatives allowed


@dataclass(frozen=True)
class Encoder:
    """A timm backbone in evaluation mode, and how it wants its pixels."""

    model: nn.Module
    mean: torch.Tensor  # (1, 3, 1, 1), of pixels in [0, 1]
    std: torch.Tensor

    @torch.inference_mode()
    def __call__(self, images: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Pooled features (n, D) and class logits (n, C), float32, of (size, size, 3) uint8 images."""
        features, logits, images = [], [], iter(images)
        while batch := list(islice(images, BATCH)):
            pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255
            maps = self.model.forward_features((pixels - self.mean) / self.std)
            features.append(self.model.forward_head(maps, pre_logits=True))
            logits.append(self.model.forward_head(maps))
        return torch.cat(features).numpy(), torch.cat(logits).numpy()


@dataclass(frozen=True)
class Crops:
    """Boxes of single objects, ordered by class."""

    annotation_ids: np.ndarray  # (M,) int64
    rows: np.ndarray  # (M,) row of the image
    classes: np.ndarray  # (M,) index of the class
    foreign_cover: np.ndarray  # (M,) share of the box that boxes of other classes cover
    boxes: np.ndarray  # (M, 4) left, top, right, bottom in pixels


def make_encoder(model: str, *, weights: str | Path | None = None, options: dict | None = None) -> Encoder:
    """A timm model by name, `options` going to `timm.create_model`; without `weights` timm fetches its own.

    Raises:
        InputError: an unknown name, an option the model lacks, a file of weights that is not there, or weights that do
            not fit (their keys are named).
    """
    ensure_torchvision()
    import timm

    try:
        network = timm.create_model(model, pretrained=weights is None, **(options or {}))
    except (RuntimeError, TypeError, OSError) as error:  # no such model, an option it lacks, weights out of reach
        raise InputError(
            f"timm model {model!r}: {' '.join(str(error).split())}; expected one that timm has, with options it takes"
        ) from None
    if weights is not None:
        _load_weights(network, Path(weights))
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    return Encoder(network.eval(), mean, std)


def build_embedded(
    annotations: Path, images: Path, output: Path, *, encoder: Encoder, description: dict | None = None
) -> None:
    """Write arrays.npz, images.csv, about.json and thumbnails/ to `output`; `description` goes into about.json.

    Raises:
        InputError: an annotation file that is not in COCO's format, an image that cannot be decoded, or no box crops.
    """
    index = read_instances(annotations)
    image_set = coco_folder(annotations, images, min_labels=0)
    test = stratified_division(image_set.targets, test_share=TEST_SHARE, seed=DIVISION_SEED)
    division = np.where(image_set.targets.sum(axis=1) == 0, "none", np.where(test, "test", "train"))
    features, logits = encoder(map(read_image, image_set.paths))
    crops = choose_crops(index, image_set.image_ids, division == "train")
    crop_features, _ = encoder(crop_images(image_set.paths, crops))
    arrays = {
        **quantise(features, "feature"), **top_predictions(logits), **quantise(crop_features, "crop"),
        "targets": np.packbits(image_set.targets.astype(bool), axis=1),
        "crop_rows": crops.rows.astype(np.int32), "crop_classes": crops.classes.astype(np.int16),
        "crop_annotation_ids": crops.annotation_ids, "crop_foreign_cover": crops.foreign_cover.astype(np.float16),
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output / "arrays.npz", **arrays)
    write_image_table(index, image_set.image_ids, division, output / "images.csv")
    write_thumbnails(index, image_set.image_ids, images, output / "thumbnails")
    about = {
        **(description or {}), "image_size": IMAGE_SIZE, "test_share": TEST_SHARE, "division_seed": DIVISION_SEED,
        "class_names": list(image_set.class_names), "licences": index.dataset.get("licenses", []),
    }  # fmt: skip
    (output / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def choose_crops(index: COCO, image_ids: np.ndarray, usable: np.ndarray) -> Crops:
    """At most CROPS_PER_CLASS boxes per class from the `usable` images, those least covered by other classes first.

    `image_ids` (N,) names the image of each row, `usable` (N,) bool the rows that crops may come from. Crowd regions
    are no single objects and are left out, like boxes with a side below CROP_SIDE.

    Raises:
        InputError: no usable image has such a box.
    """
    columns = {category: k for k, category in enumerate(sorted(index.cats))}
    by_class = defaultdict(list)
    for row in np.flatnonzero(usable):
        annotations = index.imgToAnns[int(image_ids[row])]
        for own in annotations:
            box = _pixel_box(own, index.imgs[int(image_ids[row])])
            if box is not None and not own.get("iscrowd", 0):
                others = [a["bbox"] for a in annotations if a["category_id"] != own["category_id"]]
                k = columns[own["category_id"]]
                by_class[k].append((_cover(box, others), own["id"], int(row), k, box))
    if not by_class:
        raise InputError(
            f"box crops: no training image has a box with both sides of {CROP_SIDE} px or more; expected one"
        )
    chosen = [candidate for k in sorted(by_class) for candidate in sorted(by_class[k])[:CROPS_PER_CLASS]]
    cover, ids, rows, classes, boxes = (np.array(column) for column in zip(*chosen, strict=True))
    return Crops(ids.astype(np.int64), rows, classes, cover, boxes)


def read_image(path: Path) -> np.ndarray:
    """The whole image, squashed: (IMAGE_SIZE, IMAGE_SIZE, 3) uint8.

    Raises:
        InputError: the file cannot be decoded; it is named.
    """
    try:
        return load_image(path, IMAGE_SIZE)
    except DECODE_ERRORS as error:
        raise InputError(f"{path}: unreadable image: {error}; expected one that Pillow decodes") from None


def crop_images(paths: tuple[Path, ...], crops: Crops) -> Iterator[np.ndarray]:
    """The crops' pixels, (IMAGE_SIZE, IMAGE_SIZE, 3) uint8 each."""
    for row, box in zip(crops.rows, crops.boxes, strict=True):
        with Image.open(paths[row]) as image:
            yield squash(image.crop(tuple(box.tolist())), IMAGE_SIZE)


def quantise(values: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Bytes of (N, D) values with every dimension's own minimum and step: value = minimum + step * byte.

    Returns:
        `<name>s` (N, D) uint8, `<name>_minimum` and `<name>_step` (D,) float32.
    """
    minimum = values.min(axis=0)
    step = np.maximum((values.max(axis=0) - minimum) / 255, np.finfo(np.float32).tiny).astype(np.float32)
    codes = np.rint((values - minimum) / step).astype(np.uint8)
    return {f"{name}s": codes, f"{name}_minimum": minimum, f"{name}_step": step}


def top_predictions(logits: np.ndarray) -> dict[str, np.ndarray]:
    """The TOP likeliest classes of every image, most likely first, and their softmax probabilities, of logits (N, C).

    Returns:
        `top_classes` (N, TOP) int16 and `top_probabilities` (N, TOP) float16.
    """
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    values = np.take_along_axis(probabilities, order, axis=1)
    return {"top_classes": order.astype(np.int16), "top_probabilities": values.astype(np.float16)}


def write_image_table(index: COCO, image_ids: np.ndarray, division: np.ndarray, path: Path) -> None:
    """Write a CSV, one line per row: what the annotation file says of the image's origin, and its place in `division`.

    `image_ids` and `division` ("train", "test" or "none") are (N,).
    """
    fields = ("split", "license", "flickr_url", "coco_url")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["coco_id", "division", *fields])
        for image_id, part in zip(image_ids, division, strict=True):
            image = index.imgs[int(image_id)]
            table.writerow([image_id, part, *(image.get(field, "") for field in fields)])


def write_thumbnails(index: COCO, image_ids: np.ndarray, images: Path, folder: Path) -> None:
    """Small JPEGs of the images whose licence and origin are known and which may be changed and passed on."""
    folder.mkdir(exist_ok=True)
    for image_id in image_ids:
        facts = index.imgs[int(image_id)]
        if facts.get("license") in FREE_LICENCES and facts.get("flickr_url"):
            with Image.open(images / facts["file_name"]) as image:
                image = image.convert("RGB")
                image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
                image.save(folder / f"{image_id:012d}.jpg", quality=75, optimize=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes (64 hexadecimal digits)."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load_weights(network: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; expected one that safetensors reads")
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights do not fit the model: {' '.join(str(error).split())}; expected those of the model named"
        ) from None


def _pixel_box(annotation: dict, image: dict) -> tuple[int, int, int, int] | None:
    """The box rounded to whole pixels inside the image, or None where it is too small to be of use."""
    x, y, width, height = annotation["bbox"]
    shortest = CROP_SIDE * min(image["width"], image["height"]) / IMAGE_SIZE
    if min(width, height) < shortest:
        return None
    right, bottom = min(image["width"], round(x + width)), min(image["height"], round(y + height))
    return max(0, int(x)), max(0, int(y)), right, bottom


def _cover(box: tuple[int, int, int, int], others: list[list[float]]) -> float:
    """Share of `box` that the other boxes (x, y, width, height) cover together, counted in pixels."""
    left, top, right, bottom = box
    covered = np.zeros((bottom - top, right - left), dtype=bool)
    for x, y, width, height in others:
        rows = slice(max(0, round(y) - top), max(0, round(y + height) - top))
        covered[rows, max(0, round(x) - left) : max(0, round(x + width) - left)] = True
    return float(covered.mean())
