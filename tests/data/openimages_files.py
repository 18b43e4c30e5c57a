"""Writes a small folder in the layout of Open Images V1, release 2016_08, with drawn photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"/m/01": "Red thing", "/m/02": "Green thing", "/m/03": "Blue thing"}


def write_open_images(
    root: Path, *, train: int = 40, validation: int = 40, pictures: bool = True, listed: bool = True, seed: int = 0
) -> Path:
    """Images show one of three colours each; machine labels are right in 70 % of the cases, human ones always.

    People say yes to the colour that is shown, no to the next one, and were not asked about the third. All classes are
    `listed` as trainable, which by their numbers they are not.
    """
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    (root / "dict.csv").write_text("".join(f'"{key}","{name}"\n' for key, name in CLASSES.items()))
    if listed:
        (root / "classes-trainable.txt").write_text("\n".join(CLASSES))
    for split, count, first in (("train", train, 1), ("validation", validation, 10_000)):
        shown = rng.integers(3, size=count)
        said = np.where(rng.random(count) < 0.7, shown, rng.integers(3, size=count))
        ids = [f"{first + i:016x}" for i in range(count)]
        _write(
            root / "images_2016_08" / split / "images.csv", "ImageID,OriginalURL", [f"{i},http://x/{i}" for i in ids]
        )
        _labels(root / "machine_ann_2016_08" / split, "machine", ids, said, [0.8] * count)
        if split == "validation":
            twice = [image_id for image_id in ids for _ in range(2)]
            classes = np.stack([shown, (shown + 1) % 3], axis=1).reshape(-1)
            _labels(root / "human_ann_2016_08" / split, "human", twice, classes, [1.0, 0.0] * count)
        for image_id, colour in zip(ids, shown, strict=True) if pictures else ():
            pixels = rng.integers(60, size=(40, 40, 3), dtype=np.uint8)
            pixels[..., colour] += 150
            Image.fromarray(pixels).save(root / "images" / f"{image_id}.jpg")
    return root


def _labels(folder: Path, source: str, ids: list[str], classes: np.ndarray, confidences: list[float]) -> None:
    keys = list(CLASSES)
    rows = [f"{i},{source},{keys[k]},{c}" for i, k, c in zip(ids, classes, confidences, strict=True)]
    _write(folder / "labels.csv", "ImageID,Source,LabelName,Confidence", rows)


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
