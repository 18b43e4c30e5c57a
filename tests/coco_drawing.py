"""Draws small data sets in COCO's official layout: coloured shapes on a grey ground, one shape and colour per class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from nlcore.data.coco import COCO_CATEGORIES

COLOURS = ("red", "lime", "blue", "yellow")
SHAPES = ("ellipse", "rectangle", "triangle")
DRAWABLE = len(COLOURS) * len(SHAPES)  # class k has colour k mod 4 and shape k mod 3: twelve pairs, no two alike


def draw_coco(
    root: Path,
    *,
    images: int = 24,
    seed: int = 0,
    classes: int = 6,
    unlabelled: int = 0,
    year: int = 2017,
    split: str = "train",
    size: tuple[int, int] = (80, 64),
    all_categories: bool = True,
) -> Path:
    """Write `images` JPEGs and their instances file below `root`; returns the instances file.

    Every image shows each of the first `classes` official categories with probability 0.35, at least one; the last
    `unlabelled` ones show nothing. The file lists all 80 categories, or only those drawn with `all_categories=False`.
    Image ids are 1, 2, ...; the same arguments give the same bytes.
    """
    rng = np.random.default_rng(seed)
    folder = root / f"{split}{year}"
    folder.mkdir(parents=True, exist_ok=True)
    category_ids = list(COCO_CATEGORIES)[:classes]
    entries, annotations = [], []
    for image_id in range(1, images + 1):
        shown = [] if image_id > images - unlabelled else draw_classes(rng, classes)
        name = f"{image_id:012d}.jpg"
        boxes = draw_image(folder / name, shown, size, rng)
        entries.append({"id": image_id, "file_name": name, "width": size[0], "height": size[1]})
        for k, box in zip(shown, boxes, strict=True):
            annotations.append(annotation(len(annotations) + 1, image_id, category_ids[k], box))
    listed = list(COCO_CATEGORIES) if all_categories else category_ids
    categories = [{"id": k, "name": COCO_CATEGORIES[k]} for k in listed]
    return write_instances(root, {"images": entries, "annotations": annotations, "categories": categories}, split, year)


def draw_classes(rng: np.random.Generator, classes: int) -> list[int]:
    """The classes an image shows, at least one."""
    shown = np.flatnonzero(rng.random(classes) < 0.35).tolist()
    return shown or [int(rng.integers(classes))]


def draw_image(path: Path, shown: list[int], size: tuple[int, int], rng: np.random.Generator) -> list[list[int]]:
    """One JPEG with a shape for each class; returns their boxes as x, y, width, height. Later shapes lie on top."""
    image = Image.new("RGB", size, tuple([int(rng.integers(90, 160))] * 3))
    pen, boxes = ImageDraw.Draw(image), []
    for k in shown:
        side = int(min(size) * rng.uniform(0.35, 0.5))
        x, y = int(rng.integers(size[0] - side)), int(rng.integers(size[1] - side))
        colour, shape = COLOURS[k % len(COLOURS)], SHAPES[k % len(SHAPES)]
        if shape == "triangle":
            pen.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=colour)
        else:
            getattr(pen, shape)([x, y, x + side, y + side], fill=colour)
        boxes.append([x, y, side, side])
    image.save(path, quality=90)
    return boxes


def annotation(number: int, image_id: int, category_id: int, box: list[int], iscrowd: int = 0) -> dict:
    area = box[2] * box[3]
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": box, "area": area,
            "iscrowd": iscrowd}  # fmt: skip


def write_instances(root: Path, content: dict, split: str = "train", year: int = 2017) -> Path:
    path = root / "annotations" / f"instances_{split}{year}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
