"""CelebA (Liu et al., ICCV 2015) with the seven tags of the label-quality paper, section 5.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcore.data.image_set import ImageSet
from nlcore.errors import InputError

TAGS = (
    "Eyeglasses", "Wearing_Earrings", "Wearing_Hat", "Wearing_Necklace", "Wearing_Necktie", "No_Beard", "Smiling",
)  # fmt: skip
ATTRIBUTES_FILE, IMAGES_FOLDER = "list_attr_celeba.txt", "img_align_celeba"


def celeba(
    root: str | Path, *, tags: tuple[str, ...] = TAGS, min_labels: int = 1, check_files: bool = True
) -> ImageSet:
    """The images with at least `min_labels` of the tags, from `list_attr_celeba.txt` and `img_align_celeba/`.

    Targets are (N, len(tags)), image ids the numbers in the file names. `check_files=False` leaves missing images to
    the image cache. Raises InputError where the folder, the file, a tag or an image is missing or a line is broken.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected CelebA's {ATTRIBUTES_FILE} and {IMAGES_FOLDER}/ in it")
    names, targets = read_attributes(root / ATTRIBUTES_FILE, tags)
    kept = targets.sum(axis=1) >= min_labels
    names, targets = [name for name, keep in zip(names, kept, strict=True) if keep], targets[kept]
    images = root / IMAGES_FOLDER
    if not images.is_dir():
        raise InputError(f"{images}: no such folder; expected CelebA's aligned images in it")
    present = {entry.name for entry in images.iterdir()} if check_files else set(names)
    absent = [name for name in names if name not in present]
    if absent:
        raise InputError(f"{images}: {len(absent)} of {len(names)} images are missing, as {absent[0]}")
    image_ids = np.array([int(Path(name).stem) for name in names], dtype=np.int64)
    return ImageSet(image_ids, tuple(images / name for name in names), targets, tags)


def read_attributes(path: Path, tags: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """File names and (N, len(tags)) int8 targets; the file has a count, a line of names, then -1 or 1 for each tag."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; `download` fetches it once CelebA's terms are accepted")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    header = lines[1].split() if len(lines) > 1 else []
    unknown = [tag for tag in tags if tag not in header]
    if unknown:
        raise InputError(f"{path}: not CelebA's attribute list: no tag {unknown[0]!r} in its second line")
    rows = [line.split() for line in lines[2:] if line.strip()]
    _check_rows(path, lines[0], rows, len(header))
    columns = [1 + header.index(tag) for tag in tags]
    return [row[0] for row in rows], np.array([[row[c] == "1" for c in columns] for row in rows], dtype=np.int8)


def _check_rows(path: Path, announced: str, rows: list[list[str]], tags: int) -> None:
    for number, row in enumerate(rows, start=3):
        if len(row) != tags + 1 or not Path(row[0]).stem.isdecimal() or not set(row[1:]) <= {"1", "-1"}:
            raise InputError(f"{path}: line {number}: expected a numbered image and {tags} values of -1 or 1")
    if announced.strip() != str(len(rows)) or not rows:
        raise InputError(f"{path}: {len(rows)} images where its first line says {announced.strip()[:20]!r}")
