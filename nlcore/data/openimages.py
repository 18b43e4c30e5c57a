"""Open Images V1 (release 2016_08): machine labels of 9 million images and human labels of 167,057, as sparse labels.

Expected below one folder, under the release's own names (github.com/openimages/dataset):

    dict.csv                           "machine id","English name"
    images_2016_08/train/images.csv    ImageID,OriginalURL,...     (and .../validation/images.csv)
    machine_ann_2016_08/train/labels.csv, .../validation/labels.csv
                                       ImageID,Source,LabelName,Confidence   (Confidence from 0 to 1)
    human_ann_2016_08/validation/labels.csv                              (Confidence 0 or 1)
    classes-trainable.txt              one machine id per line: the trainable classes (optional, see `open_images`)
    images/<ImageID>.jpg               the photographs, for training; or in folders of images/, whatever their names

Of an image only its id (8 bytes, they are 64-bit hexadecimal numbers) and of a label only its place are kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlcore import generators
from nlcore.data.openimages_csv import hexadecimal, locate, read_class_names, read_image_ids, read_labels
from nlcore.errors import InputError
from nlcore.rows import row_numbers
from nlcore.training.targets import SparseLabels

VERIFIED_SHARE = 0.25  # of the validation images (paper 5, Section 4.1, after Veit et al.)
TRAINABLE_FILE = "classes-trainable.txt"
TRAINABLE_FROM = {"train": 20, "validation": 50}  # images that a trainable class has at least (the release's README)
SPLITS = ("train", "validation")
LISTED = 1 << 20  # files of a folder that are looked at together

Classes = Literal["trainable", "all"]


@dataclass(frozen=True, eq=False)
class ImagePaths(Sequence):
    """Where n photographs lie, without n paths in memory: `paths[3]` is made when it is asked for.

    An index of several rows gives the ImagePaths of these.
    """

    folders: tuple[Path, ...]
    image_ids: np.ndarray  # (n,) uint64
    folder: np.ndarray  # (n,) int32: which of `folders` has the file, -1 where none has

    @property
    def present(self) -> np.ndarray:
        """(n,) bool: whether there is a file."""
        return self.folder >= 0

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, rows: Any) -> Path | ImagePaths:
        numbers = row_numbers(rows, len(self))
        if numbers.ndim:
            return ImagePaths(self.folders, self.image_ids[numbers], self.folder[numbers])
        return self.folders[max(self.folder[numbers], 0)] / f"{int(self.image_ids[numbers]):016x}.jpg"


@dataclass(frozen=True, eq=False)
class OpenImages:
    """n images, those with human labels last. Rows of all arrays are the same images."""

    is_validation: np.ndarray  # (n,) bool: the others are training images
    verified: np.ndarray  # (n,) bool: the quarter of the validation images whose human labels may be used
    machine: SparseLabels  # (n, K): 1 where a machine gave the label, else 0
    human: SparseLabels  # (n, K): 1 and 0 where a person said yes or no, else -1: so are all cells of training images
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    paths: ImagePaths

    @property
    def image_ids(self) -> np.ndarray:
        """(n,) uint64: the release's ids, as numbers."""
        return self.paths.image_ids

    @property
    def present(self) -> np.ndarray:
        """(n,) bool: whose photograph is on the disk; none where `open_images` was not asked to look for them."""
        return self.paths.present

    @property
    def absent(self) -> dict[str, int]:
        """How many photographs are missing, by part. Flickr's vanish; what is not there neither trains nor tests."""
        test = self.is_validation & ~self.verified
        parts = {"training": ~self.is_validation, "verified": self.verified, "test": test}
        return {name: int((part & ~self.present).sum()) for name, part in parts.items()}

    @property
    def nbytes(self) -> int:
        """Memory of all arrays, in bytes."""
        arrays = self.is_validation, self.verified, self.machine, self.human, self.paths.image_ids, self.paths.folder
        return sum(array.nbytes for array in arrays)


def open_images(
    root: str | Path, *, classes: Classes = "trainable", images: bool = False, at_least: float = 0.5
) -> OpenImages:
    """All of a folder in the release's layout, divided as in the paper; with `images`, the photographs are looked for.

    `classes`: all of dict.csv (7,881), or those the release calls *trainable*, "around 6000 labels ... with at least 50
    images in the validation set and at least 20 images in the training set" (its README). Which labels these counts go
    by it does not say: here the machine labels, which both sets have. The paper has 6,012 classes, as many as the
    release's Inception v3 predicts; its label map, saved as classes-trainable.txt, is taken instead of the counts.

    `at_least`: the confidence from which a machine label counts.

    Raises:
        InputError: a file is missing (all missing ones are named), a row is malformed, `classes` is neither, the list
            of trainable ones is empty or no class is trainable, or not one photograph is there.
    """
    root = Path(root)
    files = release_files(root)
    names = read_class_names(files["names"])
    listed = _listed(root, classes)
    columns = {class_id: place for place, class_id in enumerate(names if listed is None else listed)}
    ids = {split: read_image_ids(files[f"{split} list"]) for split in SPLITS}
    machine = [read_labels(files[f"{split} machine"], ids[split], columns, at_least=at_least) for split in SPLITS]
    human = read_labels(files["human"], ids["validation"], columns, verified=True)
    if classes == "trainable" and listed is None:
        chosen = _trainable(*machine, root)
        machine, human = [labels.columns(chosen) for labels in machine], human.columns(chosen)
        columns = [class_id for class_id, kept in zip(columns, chosen, strict=True) if kept]
    counts = [len(ids[split]) for split in SPLITS]
    nobody = SparseLabels.from_cells([], [], [], (counts[0], len(columns)), default=-1)
    return OpenImages(
        is_validation=np.repeat([False, True], counts),
        verified=_verified(*counts),
        machine=SparseLabels.stack(machine),
        human=SparseLabels.stack([nobody, human]),
        class_ids=tuple(columns),
        class_names=tuple(names.get(class_id, class_id) for class_id in columns),
        paths=_photographs(root / "images", np.concatenate(list(ids.values())), look=images),
    )


def open_images_fingerprint(root: str | Path, *, images: bool = True) -> str:
    """Hash over what `open_images` reads (64 hexadecimal digits): labels and classes by their content, the lists of
    images, which are large and say nothing but ids, by their length, the photographs by which of them are there.

    Raises:
        InputError: a file is missing.
    """
    root = Path(root)
    digest = hashlib.sha256()
    for what, path in {**release_files(root), "trainable": root / TRAINABLE_FILE}.items():
        digest.update(f"{what}\0".encode())
        if what.endswith("list"):
            digest.update(str(path.stat().st_size).encode())
        elif path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    found = _listings(root / "images").values() if images else ()
    digest.update(np.unique(np.concatenate([np.empty(0, np.uint64), *found])).tobytes())
    return digest.hexdigest()


def release_files(root: Path) -> dict[str, Path]:
    """The release's files by what they hold.

    Raises:
        InputError: one is absent; names all that are.
    """
    files = {
        "names": root / "dict.csv",
        **{f"{split} list": root / "images_2016_08" / split / "images.csv" for split in SPLITS},
        **{f"{split} machine": root / "machine_ann_2016_08" / split / "labels.csv" for split in SPLITS},
        "human": root / "human_ann_2016_08" / "validation" / "labels.csv",
    }
    absent = [str(file.relative_to(root)) for file in files.values() if not file.is_file()]
    if absent:
        raise InputError(
            f"{root}: not Open Images V1, without {', '.join(absent)}; expected the release's files as listed in "
            "nlcore/data/openimages.py"
        )
    return files


def _listed(root: Path, classes: Classes) -> list[str] | None:
    """The classes of the list of trainable ones, if they are wanted and there is a list."""
    if classes not in ("trainable", "all"):
        raise InputError(f"classes: found {classes!r}; expected 'trainable' or 'all'")
    path = root / TRAINABLE_FILE
    if classes == "all" or not path.is_file():
        return None
    listed = list(dict.fromkeys(path.read_text(encoding="utf-8").split()))
    if not listed:
        raise InputError(f"{path}: empty; expected a machine id on each line")
    return listed


def _trainable(training: SparseLabels, validation: SparseLabels, root: Path) -> np.ndarray:
    """(K,) bool: the classes with enough images in either set."""
    least = TRAINABLE_FROM
    chosen = (training.count(1) >= least["train"]) & (validation.count(1) >= least["validation"])
    if not chosen.any():
        raise InputError(
            f"{root}: no trainable class, none has {least['train']} training and {least['validation']} validation "
            f"images; expected the whole release, or a list of classes in {TRAINABLE_FILE}"
        )
    return chosen


def _verified(training: int, validation: int) -> np.ndarray:
    """(n,) bool: a quarter of the validation images, drawn once."""
    chosen = np.zeros(training + validation, dtype=bool)
    order = generators.generator("open images", "verified").permutation(validation)
    chosen[training + order[: round(VERIFIED_SHARE * validation)]] = True
    return chosen


def _photographs(root: Path, image_ids: np.ndarray, *, look: bool) -> ImagePaths:
    """Which photographs are there, and where, from one listing of each folder."""
    folder = np.full(len(image_ids), -1, np.int32)
    if not look:
        return ImagePaths((root,), image_ids, folder)
    listings, order = _listings(root), np.argsort(image_ids)
    for number, found in enumerate(listings.values()):
        place = locate(found, image_ids[order])
        folder[order[place[place >= 0]]] = number
    if not len(image_ids) or folder.max() < 0:
        raise InputError(
            f"{root}: none of {len(image_ids)} photographs is there; expected <ImageID>.jpg, or folders with them"
        )
    return ImagePaths(tuple(listings), image_ids, folder)


def _listings(root: Path) -> dict[Path, np.ndarray]:
    """The ids of the photographs in a folder, and in each of its folders."""
    ids, folders = _listing(root)
    return {root: ids, **{folder: _listing(folder)[0] for folder in sorted(folders)}}


def _listing(folder: Path) -> tuple[np.ndarray, list[Path]]:
    """The ids of the photographs in a folder, and its folders; nothing where it is not there."""
    ids, folders = [np.empty(0, np.uint64)], []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            while some := list(islice(entries, LISTED)):
                stems = [entry.name[:-4] for entry in some if _is_photograph(entry.name)]
                ids.append(hexadecimal(np.array(stems, "S16")))
                folders += [Path(entry.path) for entry in some if entry.is_dir()]
    return np.concatenate(ids), folders


def _is_photograph(name: str) -> bool:
    """Whether a file is called as the release calls its images: 16 small hexadecimal digits, and .jpg."""
    return len(name) == 20 and name.endswith(".jpg") and not name[:16].strip("0123456789abcdef")
