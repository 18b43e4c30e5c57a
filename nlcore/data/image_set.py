"""What every source of labelled images returns."""

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
        return len(self.paths)

    def select(self, rows: np.ndarray) -> ImageSet:
        """The images of `rows` (indices or a mask), in that order."""
        rows = np.arange(len(self))[rows]
        return ImageSet(self.image_ids[rows], tuple(self.paths[i] for i in rows), self.targets[rows], self.class_names)
