"""What papers 1 and 2 train on: images with labels and a model, on the embedded set or on a folder of COCO images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from nlcore.data.coco import coco, coco_folder
from nlcore.data.embedded_build import stratified_division
from nlcore.data.embedded_set import embedded
from nlcore.data.image_cache import image_cache
from nlcore.data.image_set import ImageSet
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.generators import torch_generator
from nlcore.losses import asymmetric_loss
from nlcore.papers.profiles import Resources
from nlcore.training import Recipe
from nlcore.training.learners import HEADS, Learner, Loss, head_learner, image_learner
from nlcore.training.models import image_model, normalisation

TEST_SHARE = 0.3  # of a folder that comes without a division; the embedded set has the same


class Task(BaseModel):
    """Images and model. Where the files lie and what computes is no part of a run's key; their content is."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    data: Literal["embedded", "coco"] = "embedded"
    splits: tuple[str, ...] = ()  # of a folder in the official layout: training and test part, or one to be divided
    min_labels: int = 1
    model: str = "linear"  # a head on frozen features (linear, mlp), or a timm model for images
    padding: Literal["", "same"] = ""  # of the convolutions; "same" for weights converted from TensorFlow
    size: int = 224
    data_root: str | None = Field(None, exclude=True)
    weights: str | None = Field(None, exclude=True)
    device: str = Field("auto", exclude=True)
    on_bad_image: str = Field("fail", exclude=True)
    deterministic: bool = False

    def fingerprint(self) -> str:
        """Names the content of everything read."""
        if self.data == "embedded":
            return embedded().fingerprint
        files = [str(path) for path in _annotation_files(self)]
        return _hash_files((*files, self.weights if self.weights not in (None, "timm") else None))

    @property
    def on_images(self) -> bool:
        """Whether a whole image model is trained, rather than heads on features."""
        return self.model not in HEADS

    def seconds(self, images: int) -> float:
        """About how long training on so many images takes, on one core or on a GPU; measured on ours."""
        if not self.on_images:
            return {"linear": 2e-5, "mlp": 1e-4}[self.model] * images
        light = self.model.startswith("mobilenet")
        if resolve_device(self.device).type == "cuda":
            return (0.0006 if light else 0.0015) * images
        return (0.06 if light else 0.5) * (self.size / 224) ** 2 * images


@dataclass(frozen=True)
class TaskData:
    """N images; those with at least the task's number of labels are in `train` or in `test`."""

    targets: np.ndarray  # (N, K) of 0 and 1
    train: np.ndarray  # rows
    test: np.ndarray  # rows
    class_names: tuple[str, ...]
    inputs: np.ndarray  # (N, D) features, or the decoded images (N, H, W, 3)
    pictures: dict[int, Path]  # row -> a picture that may be shown
    credits: Callable[[int], str]  # row -> the line to print beside it

    def picture(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        with Image.open(self.pictures[row]) as image:
            return np.asarray(image.convert("RGB"))


def make_task(settings: dict[str, Any], resources: Resources | None, *, min_labels: int) -> Task:
    """A task from a profile's `task` entry and what the person gave.

    Raises:
        InputError: the profile trains on images and no folder was given.
    """
    resources = resources or Resources()
    task = Task(**settings, min_labels=min_labels, deterministic=resources.deterministic)
    if task.data == "embedded":
        return task.model_copy(update={"device": resources.device})
    if resources.data_root is None:
        raise InputError("data_root: this profile trains on images; expected a folder in COCO's format (--data-root)")
    given = {name: getattr(resources, name) for name in ("data_root", "weights", "device", "on_bad_image")}
    task = task.model_copy(update=given)
    _annotation_files(task)
    return task


def load_task(task: Task) -> TaskData:
    """The task's images, labels and division; kept for the runs of a worker that follow each other."""
    return _load_embedded(task.min_labels) if task.data == "embedded" else _load_folder(task)


def make_learner(
    task: Task,
    recipe: Recipe,
    *,
    paper: str,
    seeds: Sequence[int],
    loss: Loss = asymmetric_loss,
) -> Learner:
    """A learner with one member per seed: a stack of heads, or one image model.

    Raises:
        InputError: several seeds for an image model.
    """
    data, device = load_task(task), resolve_device(task.device)
    classes, names = data.targets.shape[1], [(paper, seed) for seed in seeds]
    if not task.on_images:
        return head_learner(data.inputs, classes, recipe, head=task.model, names=names, device=device, loss=loss)
    if len(seeds) != 1:
        raise InputError(f"seeds {list(seeds)}: an image model is trained for one seed at a time")
    model = image_model(
        task.model,
        classes,
        generator=torch_generator(*names[0], "weights"),
        weights=task.weights,
        deterministic=task.deterministic,
        **({"pad_type": task.padding} if task.padding else {}),
    )
    mean, std = normalisation(model)
    return image_learner(model, data.inputs, recipe, name=names[0], mean=mean, std=std, device=device, loss=loss)


def finish_recipe(task: Task, recipe: dict[str, Any]) -> Recipe:
    """A recipe with what follows from the task: precision and memory layout for images, determinism."""
    on_gpu = {"bfloat16": True, "channels_last": True} if task.on_images else {}
    return Recipe(**recipe, **on_gpu, deterministic=task.deterministic)


@lru_cache(maxsize=2)
def _load_embedded(min_labels: int) -> TaskData:
    source = embedded()
    enough = source.targets.sum(axis=1) >= min_labels
    return TaskData(
        targets=source.targets,
        train=source.train[enough[source.train]],
        test=source.test[enough[source.test]],
        class_names=source.class_names,
        inputs=source.features,
        pictures=source.thumbnails,
        credits=source.credit,
    )


@lru_cache(maxsize=1)
def _load_folder(task: Task) -> TaskData:
    parts = _image_sets(task)
    enough = np.concatenate([part.targets.sum(axis=1) >= task.min_labels for part in parts])
    cache = image_cache(
        [path for part in parts for path in part.paths],
        cache_folder(),
        size=task.size,
        on_bad_image=task.on_bad_image,
        progress=False,
    )
    targets = np.concatenate([part.targets for part in parts])
    if len(parts) == 2:
        in_test = np.repeat([False, True], [len(part) for part in parts])
    else:
        in_test = stratified_division(targets, test_share=TEST_SHARE, seed=0)
    usable = enough & np.isin(np.arange(len(targets)), cache.kept)
    ids, paths = np.concatenate([part.image_ids for part in parts]), [path for part in parts for path in part.paths]
    return TaskData(
        targets=targets,
        train=np.flatnonzero(~in_test & usable),
        test=np.flatnonzero(in_test & usable),
        class_names=parts[0].class_names,
        inputs=cache.images,
        pictures={row: paths[row] for row in cache.kept.tolist()},
        credits=lambda row: f"COCO {ids[row]}",
    )


def _image_sets(task: Task) -> list[ImageSet]:
    root, options = Path(task.data_root), {"min_labels": 0, "check_files": False}
    if _whole(root).is_file():
        return [coco_folder(_whole(root), root / "images", **options)]
    return [coco(root, year=int(name[-4:]), split=name[:-4], **options) for name in task.splits]


def _whole(root: Path) -> Path:
    """The annotations of a folder that is not in the official layout: one file for all images."""
    return root / "annotations" / "instances.json"


def _annotation_files(task: Task) -> list[Path]:
    """What describes the images. InputError where it is absent."""
    root = Path(task.data_root)
    if not root.is_dir():
        raise InputError(f"data_root {root}: no such folder; expected one in COCO's format")
    if _whole(root).is_file():
        return [_whole(root)]
    files = [root / "annotations" / f"instances_{name}.json" for name in task.splits]
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise InputError(
            f"{absent[0]}: no such file; expected it, or annotations/instances.json for a folder of one part"
        )
    return files


@cache
def _hash_files(files: tuple[str | None, ...]) -> str:
    digest = hashlib.sha256()
    for name in filter(None, files):
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file")
        digest.update(hashlib.sha256(Path(name).read_bytes()).digest())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where decoded images are kept: $NLCORE_CACHE, or `images` beside the default store."""
    beside = Path(__file__).resolve().parents[2] / ".nlcore" / "images"
    return Path(os.environ.get("NLCORE_CACHE", beside))
