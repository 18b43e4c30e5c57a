"""CelebA (Liu et al., ICCV 2015) with the seven tags of paper 3: six in section 5.2's text, seven in its Table 1.

The photographs have to be had from its authors by a person; the list of forty attributes can be fetched. `celeba` reads
the images, `other_attributes` what the list alone says: the tags, and the other attributes as features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlcore.data.image_set import ImageSet
from nlcore.errors import InputError, require

TAGS = (
    "Eyeglasses", "Wearing_Earrings", "Wearing_Hat", "Wearing_Necklace", "Wearing_Necktie", "No_Beard", "Smiling",
)  # fmt: skip
ATTRIBUTES_FILE, IMAGES_FOLDER = "list_attr_celeba.txt", "img_align_celeba"


def celeba(
    root: str | Path, *, tags: tuple[str, ...] = TAGS, min_labels: int = 1, check_files: bool = True
) -> ImageSet:
    """The images with at least `min_labels` of the tags, from `list_attr_celeba.txt` and `img_align_celeba/`.

    Args:
        root: the folder that holds both.
        tags: K of the forty in the list.
        min_labels: images with fewer of the tags are left out; the paper's 188,000 have at least one.
        check_files: False leaves missing images to the image cache, which names them and can skip them.

    Returns:
        The images in the order of the list; targets are (N, K), image ids the numbers in the file names.

    Raises:
        InputError: the folder, the file, a tag or an image is missing, or a line is broken.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected CelebA's {ATTRIBUTES_FILE} and {IMAGES_FOLDER}/ in it")
    found, _ = _with_enough(root, *read_attributes(root / ATTRIBUTES_FILE, tags), tags, min_labels)
    if not (root / IMAGES_FOLDER).is_dir():
        raise InputError(f"{root / IMAGES_FOLDER}: no such folder; expected CelebA's aligned images in it")
    if check_files:
        _check_files(root / IMAGES_FOLDER, [path.name for path in found.paths])
    return found


def other_attributes(
    root: str | Path, *, tags: tuple[str, ...] = TAGS, min_labels: int = 1
) -> tuple[ImageSet, np.ndarray]:
    """The images with at least `min_labels` of the tags, and their other attributes; no image needs to be there.

    Args:
        root: the folder with `list_attr_celeba.txt`.
        tags: K of the forty in the list.
        min_labels: as of `celeba`.

    Returns:
        The images in the order of the list, with targets (N, K); and (N, 40 - K) float32 of 0 and 1, the others.

    Raises:
        InputError: as of `celeba`, of the list.
    """
    path = Path(root) / ATTRIBUTES_FILE
    others = tuple(name for name in attribute_names(path) if name not in tags)
    require(len(others) > 0, f"{path}: attributes beside the tags", "none", "CelebA's forty")
    names, found = read_attributes(path, (*tags, *others))
    targets, features = np.split(found, [len(tags)], axis=1)
    images, kept = _with_enough(Path(root), names, targets, tags, min_labels)
    return images, features[kept].astype(np.float32)


def _with_enough(
    root: Path, names: Sequence[str], targets: np.ndarray, tags: tuple[str, ...], min_labels: int
) -> tuple[ImageSet, np.ndarray]:
    """The images with at least so many of the tags, of N names and targets (N, K); and which rows (n,) they are."""
    kept = np.flatnonzero(targets.sum(axis=1) >= min_labels)
    paths = tuple(root / IMAGES_FOLDER / names[row] for row in kept)
    image_ids = np.array([int(path.stem) for path in paths], dtype=np.int64)
    return ImageSet(image_ids, paths, targets[kept], tags), kept


def _check_files(images: Path, names: Sequence[str]) -> None:
    present = {entry.name for entry in images.iterdir()}
    absent = [name for name in names if name not in present]
    if absent:
        raise InputError(f"{images}: {len(absent)} of {len(names)} images missing, as {absent[0]}; expected all")


def attribute_names(path: Path) -> list[str]:
    """The names in the second line of CelebA's attribute list.

    Raises:
        InputError: the file is missing.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected what `download` fetches once CelebA's terms are accepted")
    with path.open(encoding="utf-8", errors="replace") as file:
        file.readline()
        return file.readline().split()


def read_attributes(path: Path, tags: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """The labels in CelebA's attribute list: a count, a line of names, then a line per image with -1 or 1 for each tag.

    Args:
        path: `list_attr_celeba.txt`.
        tags: K of its names.

    Returns:
        N file names, and targets (N, K) int8 of 0 and 1.

    Raises:
        InputError: the file is missing or no attribute list, a tag is not in it, or a line is broken.
    """
    header = attribute_names(path)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    unknown = [tag for tag in tags if tag not in header]
    if unknown:
        raise InputError(f"{path}: no tag {unknown[0]!r} in its second line; expected CelebA's attribute list")
    rows = [line.split() for line in lines[2:] if line.strip()]
    _check_rows(path, lines[0], rows, len(header))
    columns = [1 + header.index(tag) for tag in tags]
    return [row[0] for row in rows], np.array([[row[c] == "1" for c in columns] for row in rows], dtype=np.int8)


def _check_rows(path: Path, announced: str, rows: list[list[str]], tags: int) -> None:
    for number, row in enumerate(rows, start=3):
        if len(row) != tags + 1 or not Path(row[0]).stem.isdecimal() or not set(row[1:]) <= {"1", "-1"}:
            found = " ".join(row)[:40]
            expected = f"a numbered image and {tags} values of -1 or 1"
            raise InputError(f"{path}, line {number}: found {found!r}; expected {expected}")
    if announced.strip() != str(len(rows)) or not rows:
        raise InputError(f"{path}: found {len(rows)} images; expected {announced.strip()[:20]!r}, as line 1 says")
