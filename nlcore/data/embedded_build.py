"""Builds the embedded set: what a frozen ImageNet network sees in the images of any COCO-format folder.

Everything is a function of the folder, the weights, the settings and DIVISION_SEED: two builds on one machine, with one
number of threads, give the same bytes.
The parts are functions of their own so that a test can rebuild single rows.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from threadpoolctl import threadpool_limits

from nlcore.data.coco import coco_folder, read_instances
from nlcore.data.division import stratified_division
from nlcore.data.encoder import Encoder, Projection, fit_projection, read_image, top_predictions
from nlcore.data.image_cache import squash
from nlcore.errors import InputError

TEST_SHARE = 0.3
DIVISION_SEED = 0
CROP_SIDE = 48  # shortest side of a usable box, in pixels of an image whose short side is SHORT_SIDE
SHORT_SIDE = 224
CROPS_PER_CLASS = 50
THUMBNAIL_SIDE = 112
FREE_LICENCES = {4, 5, 7, 8}  # COCO's ids of CC BY, CC BY-SA, no known restrictions, US government: derivatives allowed


@dataclass(frozen=True)
class Crops:
    """Boxes of single objects, ordered by class."""

    annotation_ids: np.ndarray  # (M,) int64
    rows: np.ndarray  # (M,) row of the image
    classes: np.ndarray  # (M,) index of the class
    foreign_cover: np.ndarray  # (M,) share of the box that boxes of other classes cover
    boxes: np.ndarray  # (M, 4) left, top, right, bottom in pixels


def read_projection(folder: Path) -> Projection:
    """The projection that a build wrote to its folder, for images that are not in the set.

    Raises:
        InputError: the folder has none.
    """
    path = folder / "projection.npz"
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected one of a set that was built with principal components")
    with np.load(path, allow_pickle=False) as stored:
        return Projection(stored["mean"], stored["components"])


def build_embedded(
    annotations: Path,
    images: Path,
    output: Path,
    *,
    encoder: Encoder,
    components: int | None = None,
    description: dict | None = None,
) -> None:
    """Write arrays.npz, images.csv, about.json and thumbnails/ to `output`; `description` goes into about.json.

    With `components` the features are reduced to so many principal components of the training images, box crops by the
    same projection, which is written to projection.npz.

    Raises:
        InputError: an annotation file that is not in COCO's format, an image that cannot be decoded, no box crops, or
            more components than there can be.
    """
    index = read_instances(annotations)
    image_set = coco_folder(annotations, images, min_labels=0)
    division = _division(image_set.targets)
    crops = choose_crops(index, image_set.image_ids, division == "train")
    features, logits = encoder(read_image(path, encoder) for path in image_set.paths)
    crop_features, _ = encoder(crop_images(image_set.paths, crops, encoder))
    projection = None
    if components is not None:
        with threadpool_limits(1):  # more would add in another order
            projection = fit_projection(features[division == "train"], components)
            features, crop_features = projection(features), projection(crop_features)
    arrays = {
        **quantise(features, "feature"), **top_predictions(logits), **quantise(crop_features, "crop"),
        "targets": np.packbits(image_set.targets.astype(bool), axis=1),
        "crop_rows": crops.rows.astype(np.int32), "crop_classes": crops.classes.astype(np.int16),
        "crop_annotation_ids": crops.annotation_ids, "crop_foreign_cover": crops.foreign_cover.astype(np.float16),
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output / "arrays.npz", **arrays)
    if projection is not None:
        np.savez_compressed(output / "projection.npz", mean=projection.mean, components=projection.components)
    write_image_table(index, image_set.image_ids, division, output / "images.csv")
    write_thumbnails(index, image_set.image_ids, images, output / "thumbnails")
    about = {
        **(description or {}), "image_size": encoder.size, "interpolation": encoder.resampling.name.lower(),
        "components": components, "test_share": TEST_SHARE, "division_seed": DIVISION_SEED,
        "class_names": list(image_set.class_names), "licences": index.dataset.get("licenses", []),
    }  # fmt: skip
    (output / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _division(targets: np.ndarray) -> np.ndarray:
    """(N,) "train", "test", or "none" for images without a label, of targets (N, K)."""
    test = stratified_division(targets, test_share=TEST_SHARE, seed=DIVISION_SEED)
    return np.where(targets.sum(axis=1) == 0, "none", np.where(test, "test", "train"))


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


def crop_images(paths: tuple[Path, ...], crops: Crops, encoder: Encoder) -> Iterator[np.ndarray]:
    """The crops' pixels, (size, size, 3) uint8 each, as the encoder wants them."""
    for row, box in zip(crops.rows, crops.boxes, strict=True):
        with Image.open(paths[row]) as image:
            yield squash(image.crop(tuple(box.tolist())), encoder.size, encoder.resampling)


def quantise(values: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Bytes of (N, D) values with every dimension's own minimum and step: value = minimum + step * byte.

    Returns:
        `<name>s` (N, D) uint8, `<name>_minimum` and `<name>_step` (D,) float32.
    """
    minimum = values.min(axis=0)
    step = np.maximum((values.max(axis=0) - minimum) / 255, np.finfo(np.float32).tiny).astype(np.float32)
    codes = np.rint((values - minimum) / step).astype(np.uint8)
    return {f"{name}s": codes, f"{name}_minimum": minimum, f"{name}_step": step}


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


def _pixel_box(annotation: dict, image: dict) -> tuple[int, int, int, int] | None:
    """The box rounded to whole pixels inside the image, or None where it is too small to be of use."""
    x, y, width, height = annotation["bbox"]
    shortest = CROP_SIDE * min(image["width"], image["height"]) / SHORT_SIDE
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
