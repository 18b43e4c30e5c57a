"""MS-COCO (https://cocodataset.org), or any folder in its format, as images with multi-label targets."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from nlcore.data.image_set import ImageSet
from nlcore.errors import InputError

COCO_CATEGORIES = {  # the official ids, which have gaps, in the official order
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9:
    "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16:
    "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra",
    25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35:
    "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41:
    "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49:
    "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57:
    "carrot", 58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant",
    65: "bed", 67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76:
    "keyboard", 77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84:
    "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip


def coco(root: str | Path, *, year: int, split: str, min_labels: int = 1, check_files: bool = True) -> ImageSet:
    """COCO 2014 or 2017, `split` "train" or "val", from the official layout below `root`.

    `annotations/instances_{split}{year}.json` and the folder `{split}{year}/`. The 80 classes are in official order;
    for `min_labels` and `check_files`, and what is raised, see `coco_folder`.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected COCO's annotations/ and {split}{year}/ in it")
    annotations = root / "annotations" / f"instances_{split}{year}.json"
    return coco_folder(
        annotations, root / f"{split}{year}", min_labels=min_labels, check_files=check_files, categories=COCO_CATEGORIES
    )


def coco_folder(
    annotations_json: str | Path,
    images_dir: str | Path,
    *,
    min_labels: int = 1,
    check_files: bool = True,
    categories: Mapping[int, str] | None = None,
) -> ImageSet:
    """Any folder in COCO's format: targets (N, K) tell which classes have an annotation in the image.

    Crowd regions count like every annotation, as in the public ASL code. Images with fewer than `min_labels` classes
    are left out: 1 drops those without annotation, as ASL does, and 0 keeps all. `categories` (id -> name) sets the
    classes; by default they are the file's own, by id. `check_files=False` leaves missing images to the image cache,
    which names them and can skip them.

    Raises InputError where a folder or the file is absent, the file is not COCO's JSON, an annotation names an absent
    image or an unknown category, or an image file is missing.
    """
    annotations_json, images_dir = Path(annotations_json), Path(images_dir)
    index = read_instances(annotations_json)
    if not images_dir.is_dir():
        raise InputError(f"{images_dir}: no such folder; expected the images that {annotations_json.name} names")
    categories = _check_categories(index, annotations_json, categories)
    image_ids = np.array(sorted(index.imgs), dtype=np.int64)
    targets = image_targets(index, image_ids, sorted(categories))
    kept = targets.sum(axis=1) >= min_labels
    if not kept.any():
        raise InputError(f"{annotations_json}: no image has {min_labels} or more classes")
    paths = tuple(images_dir / index.imgs[int(i)]["file_name"] for i in image_ids[kept])
    if check_files:
        _check_files(paths, images_dir)
    return ImageSet(image_ids[kept], paths, targets[kept], tuple(categories[k] for k in sorted(categories)))


def read_instances(path: Path) -> COCO:
    """pycocotools' index of an instances file, without its chatter. InputError where it is absent or not COCO."""
    if not path.is_file():
        raise InputError(f"{path}: no such annotation file")
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON, truncated perhaps ({error})") from None
    absent = [k for k in ("images", "annotations", "categories") if not _is_list_of_objects(content, k)]
    if absent:
        raise InputError(f"{path}: not a COCO instances file: no list {', '.join(map(repr, absent))}")
    index = COCO()
    index.dataset = content
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            index.createIndex()
        _check_entries(index, path)
    except KeyError as error:
        raise InputError(f"{path}: not a COCO instances file: an entry has no {error}") from None
    except TypeError as error:
        raise InputError(f"{path}: not a COCO instances file: {error}") from None
    return index


def image_targets(index: COCO, image_ids: np.ndarray, category_ids: list[int]) -> np.ndarray:
    """(N, K) int8: 1 where an image has an annotation of the class, crowd or not."""
    row = {int(image): i for i, image in enumerate(image_ids)}
    column = {category: k for k, category in enumerate(category_ids)}
    targets = np.zeros((len(row), len(column)), dtype=np.int8)
    for annotation in index.anns.values():
        targets[row[annotation["image_id"]], column[annotation["category_id"]]] = 1
    return targets


def _is_list_of_objects(content: object, key: str) -> bool:
    entries = content.get(key) if isinstance(content, dict) else None
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def _check_entries(index: COCO, path: Path) -> None:
    """Every annotation has its image, and every image and category a name (KeyError otherwise)."""
    absent = sorted({a["image_id"] for a in index.anns.values()} - set(index.imgs))
    if absent:
        raise InputError(f"{path}: annotations name {len(absent)} absent images, the first with id {absent[0]}")
    for entries, field in ((index.imgs, "file_name"), (index.cats, "name")):
        for entry in entries.values():
            entry[field]


def _check_categories(index: COCO, path: Path, categories: Mapping[int, str] | None) -> Mapping[int, str]:
    """The classes to use. The file may list fewer of them, but none under another name."""
    own = {category["id"]: category["name"] for category in index.cats.values()}
    categories = own if categories is None else categories
    renamed = [k for k in own if categories.get(k, own[k]) != own[k]]
    if renamed:
        k = renamed[0]
        raise InputError(f"{path}: category {k} is {own[k]!r}, expected {categories[k]!r}")
    unknown = sorted({a["category_id"] for a in index.anns.values()} - set(categories))
    if unknown:
        raise InputError(f"{path}: unknown category ids {', '.join(map(str, unknown[:5]))} ({len(unknown)} in all)")
    return categories


def _check_files(paths: tuple[Path, ...], images_dir: Path) -> None:
    present = {entry.name for entry in images_dir.iterdir()}  # one listing: 82,081 single look-ups take minutes on NFS
    absent = [p for p in paths if p.relative_to(images_dir).as_posix() not in present and not p.is_file()]
    if absent:
        raise InputError(f"{images_dir}: {len(absent)} of {len(paths)} annotated images missing, as {absent[0].name}")
