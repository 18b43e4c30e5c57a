"""Open Images V1 at its full size without Open Images: made-up files with its counts are written, read and measured.

    python scripts/open_images_at_full_size.py FOLDER [--share 0.01] [--photographs 200] [--keep]

FOLDER is made (7 GB at the full size) and removed afterwards, unless it is to be kept. The files have the release's
names, columns and numbers of rows: 9,011,219 training and 167,057 validation images, 8.8 machine labels an image on
average, of 7,881 classes whose frequencies fall off so that about 6,000 are trainable by the release's rule. (A share
of the images has too few of each class for the rule; there the 6,012 most frequent are listed as trainable.) People
said yes or no to the machine labels of the validation images. Memory is this process's peak, writing included.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from nlcore.data.openimages import SPLITS, TRAINABLE_FILE, OpenImages, open_images
from nlcore.generators import generator

IMAGES = {"train": 9_011_219, "validation": 167_057}
CLASSES = 7_881
LABELS_PER_IMAGE = 8.8
TRAINABLE = 6_012  # in the paper
HEAD, POWER = 5, 0.847  # frequencies fall as (1 + rank / HEAD)^-POWER: from a million images to 50 of validation
CONFIDENCES, CONFIDENT = ["0.4", "0.5", "0.6", "0.7", "0.8", "0.9"], [0.05] + 5 * [0.19]
AT_ONCE = 200_000  # images that are written together
LIST_COLUMNS = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL\n"
)
LIST_ROW = (  # as long as a row of the release is
    "{id},{split},https://c1.staticflickr.com/5/4129/5215831864_46f356962f_o.jpg,"
    "https://www.flickr.com/photos/somebody/5215831864,https://creativecommons.org/licenses/by/2.0/,"
    '"https://www.flickr.com/people/somebody/","Some Body","A title, ""quoted"" and of some length",'
    "211079,0Sad+xMj2ttXM1U8meEJ0A==,https://c1.staticflickr.com/5/4129/5215831864_ee4e8c6535_z.jpg\n"
)
LABEL_COLUMNS = "ImageID,Source,LabelName,Confidence\n"
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def write_release(root: Path, *, share: float = 1.0, photographs: int = 200) -> None:
    """A folder in the release's layout with `share` of its images, and the first of their photographs."""
    root.mkdir(parents=True)
    class_ids = [f"/m/0{number:x}" for number in np.arange(CLASSES) * 37 + 5_000]
    names = "".join(f'"{class_id}","thing {k}"\n' for k, class_id in enumerate(class_ids))
    (root / "dict.csv").write_text(names, encoding="utf-8")
    if share < 1:
        (root / TRAINABLE_FILE).write_text("\n".join(class_ids[:TRAINABLE]), encoding="utf-8")
    for split in SPLITS:
        count = max(round(share * IMAGES[split]), 1)
        ids = image_ids(split, count)
        write_image_list(opened(root / "images_2016_08" / split / "images.csv"), ids, split)
        people = opened(root / "human_ann_2016_08" / split / "labels.csv") if split == "validation" else None
        write_labels(opened(root / "machine_ann_2016_08" / split / "labels.csv"), people, ids, class_ids, split)
        write_photographs(root / "images", ids[:photographs])


def image_ids(split: str, count: int) -> np.ndarray:
    """(count,) uint64, ascending, no two alike, none in both sets: the high bits are drawn, the low ones count."""
    spread = np.sort(generator("open images at full size", split, "ids").integers(1 << 32, size=count, dtype=np.uint64))
    place = np.arange(count, dtype=np.uint64) * np.uint64(2) + np.uint64(split == "validation")
    return (spread << np.uint64(32)) | place


def opened(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def write_image_list(file: BinaryIO, ids: np.ndarray, split: str) -> None:
    """One row per image; only the ids differ, so rows are copies of one with other digits."""
    row = np.frombuffer(LIST_ROW.format(id="0" * 16, split=split).encode(), np.uint8)
    with file:
        file.write(LIST_COLUMNS.encode())
        for start in range(0, len(ids), AT_ONCE):
            digits = hexadecimal_digits(ids[start : start + AT_ONCE])
            rows = np.tile(row, (len(digits), 1))
            rows[:, :16] = digits
            rows.tofile(file)


def write_labels(machine: BinaryIO, people: BinaryIO | None, ids: np.ndarray, class_ids: list[str], split: str) -> None:
    """Machine labels with confidences from 0.4 to 0.9, and what people, if any, say to each: yes in 7 of 10 cases."""
    draw = generator("open images at full size", split, "labels")
    frequency = np.cumsum((1 + np.arange(CLASSES) / HEAD) ** -POWER)
    with machine:
        machine.write(LABEL_COLUMNS.encode())
        if people is not None:
            people.write(LABEL_COLUMNS.encode())
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            owner = np.repeat(some, draw.poisson(LABELS_PER_IMAGE, len(some)))
            classes = np.searchsorted(frequency, draw.random(len(owner)) * frequency[-1])
            confidences = draw.choice(CONFIDENCES, len(owner), p=CONFIDENT)
            label_rows(owner, "machine", classes, class_ids, confidences).tofile(machine)
            if people is not None:
                answers = np.where(draw.random(len(owner)) < 0.7, "1.0", "0.0")
                label_rows(owner, "human", classes, class_ids, answers).tofile(people)
    if people is not None:
        people.close()


def label_rows(
    ids: np.ndarray, source: str, classes: np.ndarray, class_ids: list[str], confidences: np.ndarray
) -> np.ndarray:
    """The bytes of so many rows of a label file: columns of equal width side by side, and the padding taken out."""
    name = np.array(class_ids, "S")[classes]
    middle = np.full(len(ids), f",{source},".encode())
    ends = np.char.add(np.char.add(b",", confidences.astype("S3")), b"\n")
    parts = [hexadecimal_digits(ids), *(part.view(np.uint8).reshape(len(ids), -1) for part in (middle, name, ends))]
    table = np.concatenate(parts, axis=1)
    return table[table > 0]


def hexadecimal_digits(ids: np.ndarray) -> np.ndarray:
    """(n, 16) ASCII."""
    shifts = np.arange(60, -1, -4, dtype=np.uint64)
    return DIGITS[((ids[:, None] >> shifts) & np.uint64(15)).astype(np.uint8)]


def write_photographs(folder: Path, ids: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    draw = generator("open images at full size", "pixels")
    for image_id in ids:
        pixels = draw.integers(256, size=(32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{int(image_id):016x}.jpg")


def report(data: OpenImages, seconds: float) -> str:
    """What was read, in how much time and memory."""
    rows, classes = data.machine.shape
    labels = {"machine": data.machine.count(1), "yes": data.human.count(1), "no": data.human.count(0)}
    lines = [
        f"images           {rows:,}: {data.is_validation.sum():,} validation, {data.verified.sum():,} of them verified",
        f"photographs      {data.present.sum():,} present; absent: {data.absent}",
        f"classes          {classes:,} trainable of {CLASSES:,}",
        "labels           " + ", ".join(f"{counts.sum():,} {name}" for name, counts in labels.items()),
        f"seconds          {seconds:.1f}",
        f"bytes of labels  {data.machine.nbytes + data.human.nbytes:,} (dense, 1 byte a cell: {2 * rows * classes:,})",
        f"peak memory      {peak_memory() / 1e9:.2f} GB",
    ]
    return "\n".join(lines)


def peak_memory() -> int:
    """Bytes this process has had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(root: Path, share: float, photographs: int, keep: bool) -> None:
    try:
        start = time.perf_counter()
        write_release(root, share=share, photographs=photographs)
        size = sum(file.stat().st_size for file in root.rglob("*.csv"))
        seconds = time.perf_counter() - start
        print(f"written          {size:,} bytes in {seconds:.1f} seconds, peak memory {peak_memory() / 1e9:.2f} GB")
        start = time.perf_counter()
        data = open_images(root, images=True)
        print(report(data, time.perf_counter() - start), flush=True)
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder for the files")
    parser.add_argument("--share", type=float, default=1.0, help="of the release's images (1)")
    parser.add_argument("--photographs", type=int, default=200, help="drawn JPEGs in either set (200)")
    parser.add_argument("--keep", action="store_true", help="do not remove the folder")
    options = parser.parse_args()
    main(options.folder, options.share, options.photographs, options.keep)
