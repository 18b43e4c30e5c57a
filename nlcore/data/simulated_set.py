"""Simulated COCO as a set of images: label sets, their division, features and noisy labels.

Two kinds of label sets. `train2014`: training images have those of COCO train2014, each once. No list of val2014's
could be had, so test images take theirs from the same list: as many as val2014 has with a single label, and with more.
Label sets are thus in both parts (all of the tests' ones, where all train); the images are not: features are drawn
anew, from other donors. `embedded`: the embedded set's own, in its own division, for checks against real features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nlcore.data.embedded_set import EmbeddedSet, embedded
from nlcore.data.extended_coco import map_predictions, read_class_map
from nlcore.data.label_sets import label_sets
from nlcore.data.simulated import FeatureGenerator, choose_label_sets, require_every_class
from nlcore.data.simulated_fit import fit_generator
from nlcore.data.simulated_noise import LabelNoise, fit_label_noise
from nlcore.generators import generator

VAL2014 = 40137  # images with a label (ASL's count)
VAL2014_MULTI = 31739  # of them with two or more (paper 4, 4.1)


@dataclass(frozen=True)
class Layout:
    """N label sets and which are for what; rows are ascending."""

    targets: np.ndarray  # (N, K) int8
    train: np.ndarray
    test: np.ndarray
    class_names: tuple[str, ...]


@lru_cache(maxsize=4)
def layout(kind: str, images: int | None, min_labels: int, test_images: int | None = None) -> Layout:
    """Label sets of `kind`, with `min_labels` or more; `images` of them train and `test_images` test, or all.

    Raises:
        InputError: more images than label sets, or a class that none of the chosen has.
    """
    real = embedded()
    if kind == "embedded":
        enough = real.targets.sum(axis=1) >= min_labels
        train = real.train[enough[real.train]]
        train = train[choose_label_sets(real.targets[train], images, _draws("train", kind, images))]
        test = real.test[enough[real.test]]
        test = test[choose_label_sets(real.targets[test], test_images, _draws("fewer tests"))]
        return Layout(real.targets, train, test, real.class_names)
    found = label_sets().of_classes(real.class_names)
    counts = found.sum(axis=1)
    usable = found[counts >= min_labels]
    train = usable[choose_label_sets(usable, images, _draws("train", kind, images))]
    require_every_class(train, real.class_names)
    multi = _draws("test", "multi").permutation(np.flatnonzero(counts >= max(2, min_labels)))[:VAL2014_MULTI]
    single = _draws("test", "single").permutation(np.flatnonzero(counts == 1))[: VAL2014 - VAL2014_MULTI]
    test = found[np.sort(np.concatenate([multi, single if min_labels <= 1 else single[:0]]))]
    test = test[choose_label_sets(test, test_images, _draws("fewer tests"))]
    rows = np.arange(len(train) + len(test))
    return Layout(np.concatenate([train, test]), rows[: len(train)], rows[len(train) :], real.class_names)


@lru_cache(maxsize=4)
def fitted(world: int = 0) -> FeatureGenerator:
    """The generator that is fitted to the embedded set's training images; `world` as for `fit_generator`."""
    real, draws = embedded(), _draws("class vectors")
    return fit_generator(real.features[real.train], real.targets[real.train], world=world, generator=draws)


@lru_cache(maxsize=1)
def fitted_noise() -> LabelNoise:
    """What turns true labels and features into noisy labels of paper 5, fitted likewise."""
    real, class_map = embedded(), read_class_map()
    own = np.array([real.class_names.index(name) for name in class_map.class_names])
    noisy = map_predictions(real.top_classes[real.train], class_map)
    return fit_label_noise(real.features[real.train], real.targets[real.train], noisy, own)


def draw_features(laid_out: Layout, kind: str, scale: float, world: int, *names: str | int | None) -> np.ndarray:
    """Features (N, D) of all images of a layout of `kind`; `names` tell draws apart, and all scales share one draw.

    Images for training have one half of the donors, and all others the other half.
    """
    features = np.empty((len(laid_out.targets), fitted(world).vectors.shape[1]), np.float32)
    trained = np.isin(np.arange(len(features)), laid_out.train)
    for half, rows in enumerate((np.flatnonzero(trained), np.flatnonzero(~trained))):
        maker, draws = fitted(world).of_donors(slice(half, None, 2)), _draws("features", *names, half)
        barred = _own_donor(rows, half) if kind == "embedded" else None
        features[rows] = maker.draw(laid_out.targets[rows], scale=scale, barred=barred, generator=draws)
    return features


def _own_donor(rows: np.ndarray, half: int) -> np.ndarray:
    """The place of each embedded image among one half of the donors, which are its training images; -1: it is none."""
    donors = embedded().train[half::2]
    place = np.minimum(np.searchsorted(donors, rows), len(donors) - 1)
    return np.where(donors[place] == rows, place, -1)


def draw_noisy_labels(
    features: np.ndarray, targets: np.ndarray, right: float | None, missing: float | None, *names: str | int | None
) -> np.ndarray:
    """Noisy labels (N, J) int8 over the classes of the class map; see `LabelNoise.draw`."""
    draws = _draws("noisy labels", *names)
    return fitted_noise().draw(features, targets, right=right, missing=missing, generator=draws)


def single_objects(real: EmbeddedSet, scale: float, world: int) -> np.ndarray:
    """Features (M, D) that stand for the embedded set's crops: images of one label each."""
    targets = np.eye(len(real.class_names), dtype=np.int8)[real.crops.classes]
    maker = fitted(world).of_donors(slice(0, None, 2))
    return maker.draw(targets, scale=scale, generator=_draws("features", "crops"))


def _draws(*names: str | int | None) -> np.random.Generator:
    return generator("simulated", *names)
