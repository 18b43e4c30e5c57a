"""The one image source: which images with which labels, and the network that looks at them.

A `Source` is part of a run's description. What decides results is in its fields and in its `fingerprint`: the content
of labels and images, and which weights a network starts from. Where the files lie, the device that computes and what to
do about a broken file decide nothing and are left out of a run's key: a folder that moves takes its results along.

    embedded   3,084 COCO images as frozen features, in the package
    coco       a folder in COCO's format: official parts, or one file `annotations/instances.json` that is divided here
    frozen     the same folders, as what a frozen network sees in their images
    celeba     CelebA with the seven tags of paper 3
    attributes the same tags, told from CelebA's other attributes: no image is needed
    simulated  features drawn for the label sets of COCO train2014, by a generator fitted to the embedded set
    openimages Open Images V1, labels sparse and images decoded as they are needed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from nlcore.data.celeba import ATTRIBUTES_FILE, IMAGES_FOLDER, TAGS, celeba, other_attributes
from nlcore.data.coco import COCO_CATEGORIES
from nlcore.data.content import content_digest, file_digest
from nlcore.data.division import stratified_division
from nlcore.data.embedded_set import BoxCrops, embedded
from nlcore.data.frozen import (
    MIRRORED,
    Backbone,
    FrozenFeatures,
    frozen_features,
    images_waiting,
    principal_components,
    projected,
)
from nlcore.data.image_cache import StreamedImages, image_cache
from nlcore.data.image_set import ImageSet
from nlcore.data.label_sets import label_sets
from nlcore.data.openimages import TRAINABLE_FILE, VERIFIED_SHARE, open_images, open_images_fingerprint, release_files
from nlcore.data.remembered import remembered_coco
from nlcore.data.simulated_set import draw_features, draw_noisy_labels, layout, single_objects
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.places import cache_folder
from nlcore.training import SparseLabels
from nlcore.training.learners import HEADS

TEST_SHARE = 0.3  # of a folder that comes without parts of its own; the embedded set has the same
NO_PHOTOGRAPH = Path(__file__).with_name("no_photograph.png")  # stands where a simulated image would be shown
COCO_FOLDERS = ("coco", "frozen")  # kinds of data that are read from a folder in COCO's format
WHOLE = "instances.json"  # the annotations of a folder that is not divided into parts


class Source(BaseModel):
    """Images, labels and network of a run. Fields with `exclude` decide no result and are no part of its key.

    parts: of COCO's official layout, such as ("train2014", "val2014"): the training part and the test part; a single
    one is divided here, and `test_share` of it is for tests. weights: what an image network starts from, or the frozen
    one has, by content (`name_weights`); "" for heads on the features in the package. limit: only so many training and
    so many test images, for a walk through everything in little time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    data: Literal["embedded", "simulated", "coco", "frozen", "celeba", "attributes", "openimages"] = "embedded"
    parts: tuple[str, ...] = ()
    min_labels: int = 1  # images with fewer are in no part; of Open Images all are
    model: str = "linear"  # a head on frozen features (linear, mlp), or a timm model for images
    size: int = 224  # side of the squares that images are resized to
    weights: str = ""
    backbone: str = ""  # timm's name of the frozen network
    components: int = Field(256, ge=1)  # principal components of what it sees, as many as the embedded set has
    flips: bool = False  # whether the frozen network looks at the training images' mirror images as well
    test_share: float = Field(TEST_SHARE, gt=0, lt=1)  # of a folder's one part
    limit: int | None = Field(None, ge=1)
    label_sets: Literal["train2014", "embedded"] = "train2014"  # of simulated images
    images: int | None = Field(None, ge=1)  # simulated for training; None: one for each label set
    test_images: int | None = Field(None, ge=1)  # simulated for tests; None: as many as val2014 has
    scale: float = Field(1.0, gt=0)  # of the simulated features' noise, relative to the real ones'
    world: int = Field(0, ge=0)  # which draw of the simulated classes' vectors
    noisy_right: float | None = Field(None, gt=0, lt=1)  # of simulated noisy labels: the share that is true
    noisy_missing: float | None = Field(None, gt=0, lt=1)  # and the share of true ones that is absent
    root: str | None = Field(None, exclude=True)
    weights_file: str | None = Field(None, exclude=True)
    device: str = Field("auto", exclude=True)
    on_bad_image: Literal["fail", "skip"] = Field("fail", exclude=True)
    deterministic: bool = Field(False, exclude=True)  # identical bytes on a GPU too, and slower

    @property
    def on_images(self) -> bool:
        """Whether a whole image network is trained, rather than heads on features."""
        return self.model not in HEADS

    @property
    def from_folder(self) -> bool:
        """Whether its images lie in a folder that a person names."""
        return self.data not in ("embedded", "simulated")

    def fingerprint(self) -> str:
        """Names the content of everything that is read: labels whole, images by name and length."""
        if self.data == "embedded":
            return embedded().fingerprint
        if self.data == "simulated":
            return f"{embedded().fingerprint} {label_sets().fingerprint}"
        if self.data == "openimages":
            return _open_images_content(str(_root(self)), _times(self))
        files = [file for file in label_files(self) if file.is_file()]
        return content_digest([file_digest(file) for file in files], image_folders(self))

    def load(self) -> Images:
        """The images; kept for the runs of a process that follow each other.

        Raises:
            InputError: the folder is not what it should be, or an image cannot be read.
        """
        return _load(self, self.fingerprint())

    def sizes(self) -> tuple[int, int]:
        """About how many training and test images there are, from the labels alone: no image is read."""
        return _sizes(self, self.fingerprint())


@dataclass(frozen=True)
class Images:
    """N images. `train` and `test` are rows of those with at least the source's number of labels.

    Open Images has three kinds of labels: `machine` labels of all images, `targets` that people gave to those of the
    parts `test` and `verified`, and nobody's, the -1 of cells that no one was asked about. Its labels stay sparse, and
    its images are those whose photograph is there, decoded as they are needed.
    """

    inputs: Any  # (N, D) features, or decoded images (N, S, S, 3) uint8, in memory, mapped, or decoded when asked for
    targets: np.ndarray | SparseLabels  # (N, K) int8 of 0 and 1; of Open Images sparse, and -1 where nobody looked
    train: np.ndarray
    test: np.ndarray
    class_names: tuple[str, ...]
    official: bool  # whether the test part is a part of its own, rather than divided off here
    pictures: Mapping[int, Path]  # row -> a picture that may be shown
    credit: Callable[[int], str]  # row -> the line to print beside it
    crops: BoxCrops | None = None  # single objects, of the embedded set
    mirrored: tuple[np.ndarray, ...] = ()  # as MIRRORED, (m, D) each: mirror images of the first m, training ones among
    top_classes: np.ndarray | None = None  # (N, 8) ImageNet-1k classes, likeliest first, of the embedded set
    noisy: Callable[[], np.ndarray] | None = None  # draws simulated ones, (N, J) int8, of paper 5's classes
    machine: SparseLabels | None = None  # (N, K) of 0 and 1, of Open Images
    verified: np.ndarray | None = None  # rows of the images whose human labels may be learnt from, of Open Images

    def picture(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        with Image.open(self.pictures[row]) as image:
            return np.asarray(image.convert("RGB"))


@lru_cache(maxsize=2)  # by content too: a process that lives on sees when a folder has changed
def _load(source: Source, content: str) -> Images:
    loaders = {
        "embedded": _load_embedded,
        "simulated": _load_simulated,
        "coco": _load_coco,
        "frozen": _load_frozen,
        "celeba": _load_celeba,
        "attributes": _load_attributes,
        "openimages": _load_open_images,
    }
    return loaders[source.data](source)


@lru_cache(maxsize=8)
def _sizes(source: Source, content: str) -> tuple[int, int]:
    if source.data == "embedded":
        images = source.load()
        return len(images.train), len(images.test)
    if source.data == "simulated":
        laid_out = layout(source.label_sets, source.images, source.min_labels, source.test_images)
        return tuple(min(len(rows), source.limit or len(rows)) for rows in (laid_out.train, laid_out.test))
    if source.data == "openimages":
        counts = [_lines(file) for what, file in release_files(_root(source)).items() if what.endswith("list")]
        counts[1] = round((1 - VERIFIED_SHARE) * counts[1])
    elif source.data == "celeba":
        counts = [len(celeba(source.root, tags=TAGS, min_labels=source.min_labels, check_files=False)), 0]
    elif source.data == "attributes":
        counts = [len(_load(source, content).targets), 0]
    else:
        counts = [int((part.targets.sum(axis=1) >= source.min_labels).sum()) for part in coco_parts(source)]
    if source.data in COCO_FOLDERS and len(counts) == 1:
        counts = [round((1 - source.test_share) * counts[0]), round(source.test_share * counts[0])]
    train, test = (min(count, source.limit or count) for count in counts)
    return train, test


def _load_embedded(source: Source) -> Images:
    data = embedded()
    enough = data.targets.sum(axis=1) >= source.min_labels
    return Images(
        inputs=data.features,
        targets=data.targets,
        train=_limited(source, "train", data.train[enough[data.train]]),
        test=_limited(source, "test", data.test[enough[data.test]]),
        class_names=data.class_names,
        official=False,
        pictures=data.thumbnails,
        credit=data.credit,
        crops=data.crops,
        top_classes=data.top_classes,
    )


def _load_simulated(source: Source) -> Images:
    laid_out, real = layout(source.label_sets, source.images, source.min_labels, source.test_images), embedded()
    names = (source.label_sets, source.images, source.min_labels)
    features = draw_features(laid_out, source.label_sets, source.scale, source.world, *names)
    like_embedded = source.label_sets == "embedded"
    asked = (source.noisy_right, source.noisy_missing)
    return Images(
        inputs=features,
        targets=laid_out.targets,
        train=_limited(source, "train", laid_out.train),
        test=_limited(source, "test", laid_out.test),
        class_names=laid_out.class_names,
        official=not like_embedded,
        pictures=dict.fromkeys(range(len(features)), NO_PHOTOGRAPH),
        credit=lambda row: f"simulated image {row}",
        crops=replace(real.crops, features=single_objects(real, source.scale, source.world)) if like_embedded else None,
        noisy=lambda: draw_noisy_labels(features, laid_out.targets, *asked, *names),
    )


def _load_coco(source: Source) -> Images:
    found, in_test, official = _divided(source)
    return _decoded(source, found, in_test, official=official, name="COCO")


def _divided(source: Source) -> tuple[ImageSet, np.ndarray, bool]:
    """All images of a COCO folder, which of them (N,) are for tests, and whether the data set says so itself."""
    parts = coco_parts(source)
    found, official = _joined(parts), len(parts) == 2
    if official:
        return found, np.repeat([False, True], [len(part) for part in parts]), True
    return found, stratified_division(found.targets, test_share=source.test_share, seed=0), False


def _load_frozen(source: Source) -> Images:
    """The projection is fitted to all images of the training part, whatever the number of their labels."""
    found, in_test, official = _divided(source)
    seen, *mirrored = frozen_images(source)
    there = np.isin(np.arange(len(found)), seen.kept)
    usable = (found.targets.sum(axis=1) >= source.min_labels) & there
    projection = principal_components(seen, np.flatnonzero(~in_test & there), source.components)
    return Images(
        inputs=projected(seen, projection),
        targets=found.targets,
        train=_limited(source, "train", np.flatnonzero(~in_test & usable)),
        test=_limited(source, "test", np.flatnonzero(in_test & usable)),
        class_names=found.class_names,
        official=official,
        pictures={row: found.paths[row] for row in seen.kept.tolist()},
        credit=lambda row: f"COCO {found.image_ids[row]}",
        mirrored=tuple(projected(one, projection) for one in mirrored),
        top_classes=seen.top_classes,
    )


def frozen_images(source: Source, *, progress: bool = False) -> list[FrozenFeatures]:
    """What the frozen network sees in a folder's images, extracted where it is not there yet; then in mirror images.

    Raises:
        InputError: as `frozen_features`, or the folder is not what it should be.
    """
    options = {"on_bad_image": source.on_bad_image, "progress": progress}
    return [frozen_features(*looked_at, **options) for looked_at in _looked_at(source)]


def frozen_images_waiting(source: Source) -> tuple[int, int]:
    """How many images the frozen network has not looked at yet, and how many there are; nothing is extracted."""
    sets = list(_looked_at(source))
    return sum(images_waiting(*one) for one in sets), sum(len(paths) for paths, *_ in sets)


def _looked_at(source: Source) -> Iterator[tuple[list[Path], Path, Backbone]]:
    """Images, where their features are kept, and the frozen network: all of a folder, then mirror images.

    These are of the whole training part, or of the whole folder where it is divided here.
    """
    train, *others = ([*part.paths] for part in coco_parts(source))
    device, folder = str(resolve_device(source.device)), cache_folder() / "frozen"
    backbone = Backbone(source.backbone, source.size, source.weights, source.weights_file, device)
    yield [*train, *chain.from_iterable(others)], folder, backbone
    for axes in MIRRORED if source.flips else ():
        yield train, folder, replace(backbone, mirrored=axes)


def _joined(parts: list[ImageSet]) -> ImageSet:
    """Several parts as one set, one after the other."""
    return ImageSet(
        np.concatenate([part.image_ids for part in parts]),
        tuple(path for part in parts for path in part.paths),
        np.concatenate([part.targets for part in parts]),
        parts[0].class_names,
    )


def _load_celeba(source: Source) -> Images:
    found = celeba(source.root, tags=TAGS, min_labels=source.min_labels, check_files=False)
    return _decoded(source, found, np.zeros(len(found), bool), official=False, name="CelebA")


def _load_attributes(source: Source) -> Images:
    found, features = other_attributes(_root(source), tags=TAGS, min_labels=source.min_labels)
    return Images(
        inputs=features,
        targets=found.targets,
        train=_limited(source, "train", np.arange(len(found))),
        test=np.zeros(0, int),
        class_names=found.class_names,
        official=False,
        pictures=dict(enumerate(found.paths)),  # of which any may be absent
        credit=lambda row: f"CelebA {found.image_ids[row]}",
    )


def _load_open_images(source: Source) -> Images:
    data = open_images(_root(source), images=True)
    there = np.flatnonzero(data.present)
    verified, validation = data.verified[there], data.is_validation[there]
    parts = {"train": ~validation, "test": validation & ~verified, "verified": verified}
    rows = {name: _limited(source, name, np.flatnonzero(part)) for name, part in parts.items()}
    image_ids = data.image_ids[there]
    return Images(
        inputs=StreamedImages(data.paths[there], size=source.size, on_bad_image=source.on_bad_image),
        targets=data.human.rows(there),
        class_names=data.class_names,
        official=True,
        pictures={},
        credit=lambda row: f"Open Images {int(image_ids[row]):016x}",
        machine=data.machine.rows(there),
        **rows,
    )


def _decoded(source: Source, found: ImageSet, in_test: np.ndarray, *, official: bool, name: str) -> Images:
    """The pixels of an image set from the cache that all papers share; unusable images are in neither part."""
    options = {"size": source.size, "on_bad_image": source.on_bad_image, "progress": False}
    cache = image_cache(found.paths, cache_folder(), **options)
    usable = (found.targets.sum(axis=1) >= source.min_labels) & np.isin(np.arange(len(found)), cache.kept)
    return Images(
        inputs=cache.images,
        targets=found.targets,
        train=_limited(source, "train", np.flatnonzero(~in_test & usable)),
        test=_limited(source, "test", np.flatnonzero(in_test & usable)),
        class_names=found.class_names,
        official=official,
        pictures={row: found.paths[row] for row in cache.kept.tolist()},
        credit=lambda row: f"{name} {found.image_ids[row]}",
    )


def _limited(source: Source, part: str, rows: np.ndarray) -> np.ndarray:
    """At most `limit` of the rows (n,), drawn once for all runs."""
    if source.limit is None or len(rows) <= source.limit:
        return rows
    return np.sort(generator("source", "limit", part).permutation(rows)[: source.limit])


def coco_parts(source: Source) -> list[ImageSet]:
    """A COCO folder's image sets, in the order of `parts`, or the one of a folder that is not divided."""
    root = _root(source)
    # Categories of official parts are COCO's own, so that all parts have the same classes; another folder has its own.
    if _is_whole(root):
        return [remembered_coco(root / "annotations" / WHOLE, root / "images", categories=None)]
    return [
        remembered_coco(file, root / part, categories=COCO_CATEGORIES)
        for part, file in zip(source.parts, label_files(source), strict=True)
    ]


def label_files(source: Source) -> list[Path]:
    """The files that hold a source's labels.

    Raises:
        InputError: no folder was given, or one of the files is absent.
    """
    root = _root(source)
    if source.data == "openimages":
        return list(release_files(root).values())
    if source.data in ("celeba", "attributes"):
        files = [root / ATTRIBUTES_FILE]
    elif source.data in COCO_FOLDERS and _is_whole(root):
        files = [root / "annotations" / WHOLE]
    elif source.data in COCO_FOLDERS:
        files = [root / "annotations" / f"instances_{part}.json" for part in source.parts]
    absent = next((file for file in files if not file.is_file()), None)
    if absent is not None:
        other = f", or annotations/{WHOLE} for a folder of one part" if source.data in COCO_FOLDERS else ""
        raise InputError(f"{absent}: no such file; expected it{other}")
    return files


def image_folders(source: Source) -> list[Path]:
    """The folders that hold a source's images."""
    root = _root(source)
    if source.data == "attributes":
        return []
    if source.data == "celeba":
        return [root / IMAGES_FOLDER]
    if source.data == "openimages":
        return [root / "images"]
    return [root / "images"] if _is_whole(root) else [root / part for part in source.parts]


def _is_whole(root: Path) -> bool:
    return (root / "annotations" / WHOLE).is_file()


def _root(source: Source) -> Path:
    roots = {"celeba": "celeba_root", "attributes": "celeba_root", "openimages": "open_images_root"}
    option = roots.get(source.data, "data_root")
    if source.root is None:
        flag = option.replace("_", "-")
        what = "attributes" if source.data == "attributes" else "images"
        raise InputError(f"{option}: not given, and these runs train on {what}; expected their folder (--{flag})")
    if not Path(source.root).is_dir():
        raise InputError(f"{option} {source.root}: no such folder; expected one of images and labels")
    return Path(source.root)


@lru_cache(maxsize=4)
def _open_images_content(root: str, times: tuple[int, ...]) -> str:
    """Read once for a process, as long as `times` are the same: there are gigabytes of labels."""
    return open_images_fingerprint(root)


def _times(source: Source) -> tuple[int, ...]:
    """When the label files and the folder of images were last changed."""
    files = [*label_files(source), *image_folders(source), _root(source) / TRAINABLE_FILE]
    return tuple(os.stat(file).st_mtime_ns if file.exists() else 0 for file in files)


def _lines(path: Path, sample: int = 1 << 20) -> int:
    """About how many lines a file has, by the length of its first ones."""
    with path.open("rb") as file:
        start = file.read(sample)
    return round(start.count(b"\n") * path.stat().st_size / max(len(start), 1))
