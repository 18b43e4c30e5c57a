"""The label sets of COCO train2014: which of the 80 classes are in which of its 82,081 labelled images.

Papers 1, 4 and 5 train on these very images. What depends on labels alone is therefore known exactly and at their own
size, without a photograph: counts, costs, noise, matrices. See label_sets/README.md for origin, licence and checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nlcore.data.coco import COCO_CATEGORIES
from nlcore.data.content import file_digest
from nlcore.errors import InputError

FILE = Path(__file__).with_name("label_sets") / "labels.npz"


@dataclass(frozen=True)
class LabelSets:
    """N = 82,081 images, K = 80 classes; row i of both arrays is the same image."""

    image_ids: np.ndarray  # (N,) int64, COCO's, ascending
    targets: np.ndarray  # (N, K) int8 of 0 and 1; every image has a label
    class_names: tuple[str, ...]  # K names, in COCO's order
    fingerprint: str  # SHA-256 of the file

    def of_classes(self, names: tuple[str, ...]) -> np.ndarray:
        """The columns of some classes, (N, len(names)) int8, in the order asked for.

        Raises:
            InputError: a name is none of COCO's.

        >>> label_sets().of_classes(("toaster", "person")).sum(axis=0).tolist()
        [151, 45174]
        """
        strange = [name for name in names if name not in self.class_names]
        if strange:
            raise InputError(f"class {strange[0]!r}: not known; expected one of COCO's 80")
        return self.targets[:, [self.class_names.index(name) for name in names]]


@lru_cache(maxsize=2)
def label_sets(file: str | Path = FILE) -> LabelSets:
    """The label sets, read once for a process: copy an array before you write into it.

    Args:
        file: the one in the package, or another of its form: `image_ids` (N,) and `targets` (N, K / 8), packed bits.

    Raises:
        InputError: no such file, or one of another form.

    >>> sets = label_sets()
    >>> sets.targets.shape, int(sets.targets.sum()), sets.class_names[:2]
    ((82081, 80), 241035, ('person', 'bicycle'))
    """
    names, digest = tuple(COCO_CATEGORIES.values()), file_digest(file)
    try:
        with np.load(file, allow_pickle=False) as stored:
            image_ids, packed = stored["image_ids"].astype(np.int64), stored["targets"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{file}: cannot be read; expected an .npz of image_ids and targets") from None
    if packed.dtype != np.uint8 or packed.shape != (len(image_ids), -(-len(names) // 8)):
        found = f"targets {packed.dtype} of shape {packed.shape}"
        raise InputError(f"{file}: {found}; expected packed bits of {len(image_ids)} images and {len(names)} classes")
    targets = np.unpackbits(packed, axis=1, count=len(names)).astype(np.int8)
    return LabelSets(image_ids, targets, names, digest)
