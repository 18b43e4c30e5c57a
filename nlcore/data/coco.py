"""MS-COCO (Lin et al., ECCV 2014; https://cocodataset.org), or any folder in its format, as multi-label images.

An image has a label for every class of which it has an annotation: targets are (N, K) int8 of 0 and 1.
"""

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
    """COCO in its official layout: `annotations/instances_{split}{year}.json` and the folder `{split}{year}/`.

    Args:
        root: the folder that holds both.
        year: 2014 or 2017.
        split: "train" or "val".
        min_labels, check_files: as for `coco_folder`.

    Returns:
        The images, with the 80 classes in official order.

    Raises:
        InputError: no such folder, or as `coco_folder`.
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

    Crowd regions count like every annotation, as in the public ASL code.

    Args:
        annotations_json: an instances file.
        images_dir: the folder of the images that it names.
        min_labels: images with fewer classes are left out: 1 drops those without annotation, as ASL does, 2 is what
            papers 1 and 4 take, 0 keeps all.
        check_files: False leaves missing images to the image cache, which names them and can skip them.
        categories: id -> name of the K classes; by default they are the file's own, by id.

    Returns:
        The images in order of id.

    Raises:
        InputError: a folder or the file is absent, the file is not COCO's JSON, an annotation names an absent image or
            an unknown category, a category has another name, no image has enough labels, or an image is missing.
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
        raise InputError(f"{annotations_json}: no image with enough classes; expected some with {min_labels} or more")
    paths = tuple(images_dir / index.imgs[int(i)]["file_name"] for i in image_ids[kept])
    if check_files:
        _check_files(paths, images_dir)
    return ImageSet(image_ids[kept], paths, targets[kept], tuple(categories[k] for k in sorted(categories)))


def read_instances(path: Path) -> COCO:
    """pycocotools' index of an instances file, without its chatter.

    Args:
        path: `instances_train2014.json` and the like.

    Returns:
        The index; every annotation in it has its image, every image a file name and every category a name.

    Raises:
        InputError: the file is absent, no JSON, or not COCO's.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected COCO's annotations")
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); expected a whole COCO instances file") from None
    absent = [k for k in ("images", "annotations", "categories") if not _is_list_of_objects(content, k)]
    if absent:
        raise InputError(f"{path}: no list {', '.join(map(repr, absent))}; expected a COCO instances file")
    index = COCO()
    index.dataset = content
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            index.createIndex()
        _check_entries(index, path)
    except KeyError as error:
        raise InputError(f"{path}: an entry has no {error}; expected a COCO instances file") from None
    except TypeError as error:
        raise InputError(f"{path}: {error}; expected a COCO instances file") from None
    return index


def image_targets(index: COCO, image_ids: np.ndarray, category_ids: list[int]) -> np.ndarray:
    """Targets (N, K) int8: 1 where an image has an annotation of the class, crowd or not.

    Args:
        index: of `read_instances`.
        image_ids: (N,) all of its images, in the order wanted.
        category_ids: K of them, all that its annotations name, in the order wanted.
    """
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
        found = f"annotations name {len(absent)} absent images, the first with id {absent[0]}"
        raise InputError(f"{path}: {found}; expected every image in its list")
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
        raise InputError(f"{path}: found {own[k]!r} as category {k}; expected {categories[k]!r}")
    unknown = sorted({a["category_id"] for a in index.anns.values()} - set(categories))
    if unknown:
        found = f"unknown category ids {', '.join(map(str, unknown[:5]))} ({len(unknown)} in all)"
        raise InputError(f"{path}: {found}; expected those of its categories")
    return categories


def _check_files(paths: tuple[Path, ...], images_dir: Path) -> None:
    present = {entry.name for entry in images_dir.iterdir()}  # one listing: 82,081 single look-ups take minutes on NFS
    absent = [p for p in paths if p.relative_to(images_dir).as_posix() not in present and not p.is_file()]
    if absent:
        found = f"{len(absent)} of {len(paths)} annotated images missing, as {absent[0].name}"
        raise InputError(f"{images_dir}: {found}; expected all of them")
