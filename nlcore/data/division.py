"""Dividing a set of images into a training and a test part where it comes without official parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def stratified_division(targets: np.ndarray, *, test_share: float, seed: int) -> np.ndarray:
    """Which of N images are for testing, (N,) bool: iterative stratification (Sechidis et al., ECML 2011).

    Class by class, the one with the fewest images left first, every image goes to the part that still lacks most of
    that class; equal lacks are settled by the images still lacking, then by chance. Images without label are False.
    """
    rng = np.random.default_rng(seed)
    shares = np.array([1 - test_share, test_share])
    lacking_images = shares * len(targets)
    lacking = shares[:, None] * targets.sum(axis=0)
    open_rows, test = targets.any(axis=1), np.zeros(len(targets), dtype=bool)
    while open_rows.any():
        left = targets[open_rows].sum(axis=0)
        rarest = np.where(left > 0, left, len(targets) + 1).argmin()
        for row in rng.permutation(np.flatnonzero(open_rows & (targets[:, rarest] == 1))):
            part = max((0, 1), key=lambda p: (lacking[p, rarest], lacking_images[p], rng.random()))
            test[row] = part == 1
            lacking[part] -= targets[row]
            lacking_images[part] -= 1
            open_rows[row] = False
    return test


@dataclass(frozen=True)
class ActiveSplit:
    """Who is what in active learning, for M seeds: rows (M, n) of each; the test images (n,) are the same for all."""

    initial: np.ndarray  # clean from the start
    pool: np.ndarray
    test: np.ndarray
