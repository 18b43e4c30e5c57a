"""Labels of large annotation files, kept once read: parsing COCO's takes longer than all that a plan does with them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from nlcore.data.coco import coco_folder
from nlcore.data.content import file_digest
from nlcore.data.image_set import ImageSet
from nlcore.files import write_atomically
from nlcore.places import cache_folder


def remembered_coco(annotations: Path, images: Path, *, categories: dict[int, str] | None) -> ImageSet:
    """As `coco_folder` with all images and unchecked files, read from the cache where this very file was read before.

    Raises:
        InputError: as `coco_folder`.
    """
    kept = cache_folder() / "labels" / f"{file_digest(annotations)}{'_official' if categories else ''}.npz"
    try:
        with np.load(kept, allow_pickle=False) as stored:
            ids, names, targets, classes = (stored[name] for name in ("ids", "names", "targets", "classes"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # absent, or not whole: read anew
        found = coco_folder(annotations, images, min_labels=0, check_files=False, categories=categories)
        _keep(kept, found, images)
        return found
    return ImageSet(ids, tuple(images / name for name in names.tolist()), targets, tuple(classes.tolist()))


def _keep(path: Path, found: ImageSet, images: Path) -> None:
    buffer = io.BytesIO()
    names = np.array([file.relative_to(images).as_posix() for file in found.paths])
    np.savez(buffer, ids=found.image_ids, names=names, targets=found.targets, classes=np.array(found.class_names))
    write_atomically(path, buffer.getvalue())
