"""What every reader of labelled images returns: COCO, CelebA, Open Images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """N images and their targets over K classes, in order of image id; no pixel has been read yet."""

    image_ids: np.ndarray  # (N,) int64
    paths: tuple[Path, ...]  # N files
    targets: np.ndarray  # (N, K) int8 of 0 and 1
    class_names: tuple[str, ...]  # K names

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.paths)

    def select(self, rows: np.ndarray) -> ImageSet:
        """Some of the images as a set of their own, in the order of `rows`.

        Args:
            rows: (n,) indices, or a mask (N,).

        >>> paths = Path("7.jpg"), Path("9.jpg")
        >>> images = ImageSet(np.array([7, 9]), paths, np.eye(2, dtype=np.int8), ("cat", "dog"))
        >>> images.select(np.array([1])).image_ids, len(images)
        (array([9]), 2)
        """
        rows = np.arange(len(self))[rows]
        return ImageSet(self.image_ids[rows], tuple(self.paths[i] for i in rows), self.targets[rows], self.class_names)
