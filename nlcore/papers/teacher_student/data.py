"""The data of a run: images with clean and noisy labels, divided into training, validation and test part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nlcore import generators
from nlcore.data.coco import COCO_CATEGORIES, coco_folder
from nlcore.data.embedded_set import embedded
from nlcore.data.extended_coco import build_noisy_labels, extend, map_predictions, read_class_map
from nlcore.data.image_cache import image_cache
from nlcore.data.openimages import open_images
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.papers.teacher_student.setting import Setting
from nlcore.runs import Result, Spec, Work
from nlcore.training import FeatureBatches, ImageBatches
from nlcore.training.models import image_model, mlp_head, normalisation

VALIDATION_SHARE = 0.2  # of the training part, where a data set has no validation part of its own
TEST_SHARE = 0.3  # of a folder without official parts
TRAIN, VALIDATION, TEST, VERIFIED, UNUSED = range(5)


embedded_once = lru_cache(maxsize=1)(embedded)


class Labels(Spec):
    """Clean and noisy labels of a data set, made once for all seeds.

    Arrays: `rows` (n,) places of the images in the data set; `clean`, `noisy` (n, K) of 0 and 1; `parts` (n,) of TRAIN,
    VALIDATION, TEST, VERIFIED. Value `class_names`.
    """

    setting: Setting

    def data_fingerprint(self) -> str:
        return fingerprint(self.setting)

    def work(self) -> Work:
        return Work(type(self).__name__, 0.5 if self.setting.dataset == "embedded" else 120.0)

    def compute(self, inputs: Sequence[Result]) -> Result:
        setting = self.setting
        if setting.dataset == "openimages":
            return _open_images_labels(setting)
        source, class_map = load_source(setting), read_class_map()
        if setting.dataset == "embedded":
            noisy = map_predictions(embedded_once().top_classes, class_map)
        else:
            device = resolve_device(setting.device)
            weights = setting.weights if setting.labeller == setting.model else "timm"
            options = {"weights": weights, "class_map": class_map, "device": device}
            noisy = build_noisy_labels(source.inputs, setting.labeller, **options)
        data = extend(source.targets, source.class_names, noisy, class_map)
        kept = source.parts[data.rows] != UNUSED
        arrays = {"rows": data.rows[kept], "clean": data.clean[kept], "noisy": data.noisy[kept]}
        return Result({"class_names": list(data.class_names)}, arrays | {"parts": source.parts[data.rows[kept]]})


def _open_images_labels(setting: Setting) -> Result:
    data = open_images(_root(setting), images=True)
    there = data.present
    parts = np.where(~data.is_validation, TRAIN, np.where(data.verified, VERIFIED, TEST))[there]
    clean, noisy = np.maximum(data.human[there], 0), data.machine[there]
    arrays = {"clean": clean, "noisy": noisy, "parts": parts.astype(np.int64)}
    return Result({"class_names": list(data.class_names)}, {"rows": np.arange(len(parts)), **arrays})


@dataclass(frozen=True)
class Source:
    """N images as features (N, D) or as pixels (N, S, S, 3) uint8, with the targets (N, C) and parts (N,) they have."""

    inputs: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...]
    parts: np.ndarray
    fingerprint: str


@lru_cache(maxsize=2)
def load_source(setting: Setting) -> Source:
    """What a setting trains on. InputError where a folder is needed and not given, or is not what it should be."""
    return {"embedded": _embedded, "coco_folder": _folder, "openimages": _open_images}[setting.dataset](setting)


@lru_cache(maxsize=8)
def fingerprint(setting: Setting) -> str:
    """Of the data behind the runs, and of the class map; without decoding an image."""
    if setting.dataset == "embedded":
        return f"{embedded_once().fingerprint} {read_class_map().fingerprint}"
    return f"{setting.data_root} {setting.weights} {read_class_map().fingerprint}"


def _embedded(setting: Setting) -> Source:
    """Features standardised by mean and deviation over the training part."""
    data = embedded_once()
    mean, deviation = data.features[data.train].mean(axis=0), data.features[data.train].std(axis=0)
    parts = np.full(len(data.features), UNUSED)
    parts[data.train], parts[data.test] = TRAIN, TEST
    features = ((data.features - mean) / np.maximum(deviation, 1e-6)).astype(np.float32)
    return Source(features, data.targets, data.class_names, parts, data.fingerprint)


def _folder(setting: Setting) -> Source:
    """A COCO-format folder: train and val parts by name where it has them (val is halved), or divided 70 : 30."""
    root, paths, targets, parts = _root(setting), [], [], []
    for file in sorted((root / "annotations").glob("instances*.json")):
        name = file.stem.removeprefix("instances").lstrip("_")
        part = coco_folder(file, root / (name or "images"), check_files=False, categories=COCO_CATEGORIES)
        paths += part.paths
        targets.append(part.targets)
        parts.append(np.full(len(part), VALIDATION if name.startswith("val") else TRAIN))
    if not paths:
        raise InputError(f"{root}: no annotations/instances*.json; expected a folder in COCO's format")
    cache = image_cache(
        paths, cache_folder(), size=setting.image_size, on_bad_image=setting.on_bad_image, progress=False
    )
    divided = _divide(np.concatenate(parts))
    divided[np.setdiff1d(np.arange(len(divided)), cache.kept)] = UNUSED
    names = tuple(COCO_CATEGORIES.values())
    return Source(cache.images, np.concatenate(targets), names, divided, cache.fingerprint)


def _divide(parts: np.ndarray) -> np.ndarray:
    """Half of an official val part is for testing (the paper's division); without one, 30 % of all images are."""
    official = np.flatnonzero(parts == VALIDATION)
    pool, share = (official, 0.5) if len(official) else (np.arange(len(parts)), TEST_SHARE)
    chosen = generators.generator("teacher_student", "test part").permutation(pool)[: round(share * len(pool))]
    divided = parts.copy()
    divided[chosen] = TEST
    return divided


def _open_images(setting: Setting) -> Source:
    data = open_images(_root(setting), images=True)
    paths = data.paths[data.present]
    cache = image_cache(
        paths, cache_folder(), size=setting.image_size, on_bad_image=setting.on_bad_image, progress=False
    )
    return Source(cache.images, np.empty((len(paths), 0)), data.class_names, np.empty(0), cache.fingerprint)


def _root(setting: Setting) -> Path:
    if setting.data_root is None:
        raise InputError("data_root: not given; expected the folder of the images this profile trains on")
    if not Path(setting.data_root).is_dir():
        raise InputError(f"data_root {setting.data_root}: no such folder")
    return Path(setting.data_root)


def cache_folder() -> Path:
    """Where decoded images are kept: $NLCORE_CACHE, or ~/.cache/nlcore."""
    return Path(os.environ.get("NLCORE_CACHE", "~/.cache/nlcore")).expanduser() / "images"


@dataclass(frozen=True)
class Problem:
    """What one seed trains on. All index arrays are rows of `clean` and `noisy` (n, K)."""

    setting: Setting
    seed: int
    clean: Tensor
    noisy: Tensor
    train: Tensor  # in random order: the first ones are verified
    validation: Tensor
    test: Tensor
    own_verified: Tensor | None  # a data set with verified images of its own (OpenImages)
    inputs: np.ndarray

    @property
    def device(self) -> torch.device:
        return resolve_device(self.setting.device)

    @property
    def classes(self) -> int:
        return self.clean.shape[1]

    def generator(self, *purpose: str | float) -> torch.Generator:
        """Random numbers for one purpose of this seed."""
        return generators.torch_generator("teacher_student", self.setting.dataset, self.seed, *purpose)

    def verified(self, fraction: float) -> tuple[Tensor, Tensor]:
        """(V, T): the share of training images whose clean labels may be used, and the rest.

        Larger shares hold the smaller ones. InputError where not one image would be verified.
        """
        if self.own_verified is not None:
            return self.own_verified, self.train
        count = round(fraction * len(self.train))
        if count < 1:
            raise InputError(f"verified set: empty, {fraction:g} of {len(self.train)} images; expected one at least")
        return self.train[:count], self.train[count:]

    def fetch(self, targets: Tensor, *, generator: torch.Generator | None = None) -> FeatureBatches | ImageBatches:
        """Batches of the network's inputs with `targets` (n, K); images are flipped if a generator is given."""
        if self.setting.model == "mlp":
            return FeatureBatches(self.inputs, targets, device=self.device)
        mean, std = normalisation(self.network("unused"))
        options = {"augmentation": flip, "mean": mean, "std": std}
        return ImageBatches(self.inputs, targets, device=self.device, generator=generator, **options)

    def network(self, purpose: str) -> nn.Module:
        """The network: a backbone with a linear last layer, as it is before any training."""
        setting, draws = self.setting, self.generator("weights", purpose)
        if setting.model == "mlp":
            model = mlp_head(self.inputs.shape[1], self.classes, hidden=setting.hidden, generator=draws)
        else:
            options = {"weights": setting.weights, "deterministic": setting.deterministic}
            model = image_model(setting.model, self.classes, generator=draws, **options)
        return model.to(self.device)


def make_problem(setting: Setting, seed: int, labels: Result) -> Problem:
    """One seed's division of a data set: validation images, and the order in which images become verified."""
    arrays, source = labels.arrays, load_source(setting)
    draw = generators.generator("teacher_student", "division", setting.dataset, seed)
    parts = arrays["parts"]
    own = np.flatnonzero(parts == VERIFIED)
    held_out = np.flatnonzero(parts == VALIDATION)
    train = draw.permutation(np.flatnonzero(parts == TRAIN))
    if len(own):  # OpenImages: a fifth of the verified images chooses the best weights, the rest trains
        own = draw.permutation(own)
        held_out, own = np.split(own, [max(1, round(VALIDATION_SHARE * len(own)))])
    elif not len(held_out):
        held_out, train = np.split(train, [round(VALIDATION_SHARE * len(train))])
    rows = arrays["rows"]
    inputs = source.inputs if len(rows) == len(source.inputs) else source.inputs[rows]
    tensor = lambda array: torch.from_numpy(np.ascontiguousarray(array))
    return Problem(
        setting,
        seed,
        tensor(arrays["clean"]),
        tensor(arrays["noisy"]),
        tensor(train),
        tensor(np.sort(held_out)),
        tensor(np.flatnonzero(parts == TEST)),
        tensor(own) if len(own) else None,
        inputs,
    )


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, 3, H, W) mirrored left to right, and upside down, each with probability 1/2 (Section 4.2)."""
    for axis in (3, 2):
        chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device).view(-1, 1, 1, 1)
        images = torch.where(chosen, images.flip(axis), images)
    return images
