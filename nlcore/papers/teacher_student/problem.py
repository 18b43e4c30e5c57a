"""What one seed trains on: images with clean and noisy labels, divided into training, validation and test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlcore.data.network import Batches, make_batches, make_network
from nlcore.data.source import Images, Source
from nlcore.data.weights import RANDOM
from nlcore.devices import resolve_device
from nlcore.errors import InputError
from nlcore.generators import generator, torch_generator
from nlcore.papers.teacher_student.fetches import FlippedFeatures, MappedFeatures, drawn_flips, labels_only
from nlcore.papers.teacher_student.protocol import PAPER, Protocol
from nlcore.papers.teacher_student.scoring import Targets
from nlcore.rows import row_numbers
from nlcore.runs import Result
from nlcore.training import FeatureBatches, SparseLabels

VALIDATION_SHARE = 0.2  # of the training part, where a data set has no validation part of its own
TRAIN, VALIDATION, TEST, VERIFIED, UNUSED = range(5)


def divide(images: Images) -> np.ndarray:
    """The part of each image, (N,): TRAIN, VALIDATION, TEST, VERIFIED, or UNUSED: in no part of the source.

    An official val part is halved, the same for all seeds: one half is for validation, the other for testing (Section
    4.1). Where there is none, every seed takes its validation images from others (`make_problem`): on Open Images from
    those that are verified, elsewhere from the training part.
    """
    parts = np.full(len(images.targets), UNUSED)
    parts[images.train], parts[images.test] = TRAIN, TEST
    if images.verified is not None:
        parts[images.verified] = VERIFIED
    elif images.official:
        order = generator(PAPER, "test part").permutation(images.test)
        parts[order[round(len(order) / 2) :]] = VALIDATION
    return parts


@dataclass(frozen=True)
class Problem:
    """What one seed trains on. All index tensors are rows of `clean` and `noisy` (n, K)."""

    source: Source
    protocol: Protocol
    seed: int
    rows: np.ndarray  # (n,) places of the images in the source
    clean: Targets  # 1, 0, and on Open Images -1 where nobody looked
    noisy: Targets
    train: Tensor  # in random order: the first ones are verified
    validation: Tensor
    test: Tensor
    own_verified: Tensor | None = None  # of Open Images, whose verified images are no training images

    @property
    def device(self) -> torch.device:
        """What computes."""
        return resolve_device(self.source.device)

    @property
    def classes(self) -> int:
        """K."""
        return self.clean.shape[1]

    @property
    def batches_in_a_pass(self) -> int:
        """How many full batches the training part fills."""
        return max(1, len(self.train) // self.protocol.batch_size)

    @cached_property
    def inputs(self) -> Any:
        """What the network takes, (n, D) features or (n, S, S, 3) pixels; read when a run asks for it, not before."""
        return _inputs(self.source, self.rows)

    @cached_property
    def mirrored(self) -> np.ndarray:
        """(3, m, D): features of the mirror images of the first m images, all that are trained on among them."""
        mirrored = _standardised(self.source)[1:]
        first = self.rows[self.rows < len(mirrored[0])]  # rows ascend, and the training part comes first
        return np.stack([features[first] for features in mirrored])

    def generator(self, *purpose: str | float) -> torch.Generator:
        """Random numbers for one purpose of this seed."""
        return torch_generator(PAPER, self.source.data, self.seed, *purpose)

    def verified(self, fraction: float) -> tuple[Tensor, Tensor]:
        """(V, T): the share of training images whose clean labels may be used, and the rest.

        Larger shares hold the smaller ones. Open Images has its own V, which is not shared out.

        Raises:
            InputError: not one image would be verified.
        """
        if self.own_verified is not None:
            return self.own_verified, self.train
        count = round(fraction * len(self.train))
        if count < 1:
            raise InputError(f"verified set: empty, {fraction:g} of {len(self.train)} images; expected one at least")
        return self.train[:count], self.train[count:]

    def network(self, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The network as it is before any training, or with all the weights that a stage left."""
        source = self.source
        if weights is not None:  # nothing is fetched or read that they replace
            source = source.model_copy(update={"weights": RANDOM, "weights_file": None})
        options = {} if source.on_images else {"hidden": self.protocol.hidden}
        draws = self.generator("weights", "network")
        model = make_network(source, self.inputs, self.classes, generator=draws, **options)
        if weights is not None:
            model.load_state_dict(weights)
        return model

    def fetch(
        self, targets: Targets, network: nn.Module, *, flips: torch.Generator | None = None
    ) -> Batches | FlippedFeatures:
        """Batches of the network's inputs with `targets` (n, K); images are flipped if a generator is given.

        A head on frozen features gets those of the mirror image, where the source has them.
        """
        if flips is not None and self.source.flips:
            return FlippedFeatures(self.inputs, self.mirrored, targets, generator=flips, device=self.device)
        return make_batches(self.source, self.inputs, targets, network=network, generator=flips, augmentation=flip)

    def feature_batches(self, features: np.ndarray, targets: Targets) -> FeatureBatches | MappedFeatures:
        """Batches of the trained network's features (n, D) with `targets` (n, K)."""
        kind = MappedFeatures if isinstance(features, np.memmap) else FeatureBatches
        return kind(features, targets, device=self.device)

    def noisy_labels(self) -> Callable[[Tensor], Tensor]:
        """Index batch (B,) -> noisy labels (B, K)."""
        return labels_only(self.noisy, device=self.device)


def make_problem(source: Source, protocol: Protocol, seed: int, labels: Result) -> Problem:
    """One seed's division of a data set: validation images, and the order in which images become verified.

    labels: the result of `Labels`. No image is read.
    """
    arrays, draw = labels.arrays, generator(PAPER, "division", source.data, seed)
    own, held_out = (np.flatnonzero(arrays["parts"] == part) for part in (VERIFIED, VALIDATION))
    train = draw.permutation(np.flatnonzero(arrays["parts"] == TRAIN))
    if len(own):  # a fifth of the verified images chooses the best weights, the rest trains
        own = draw.permutation(own)
        held_out, own = np.split(own, [max(1, round(VALIDATION_SHARE * len(own)))])
    elif not len(held_out):
        held_out, train = np.split(train, [round(VALIDATION_SHARE * len(train))])
    return Problem(
        source=source,
        protocol=protocol,
        seed=seed,
        rows=arrays["rows"],
        clean=_targets(arrays, "clean"),
        noisy=_targets(arrays, "noisy"),
        train=torch.from_numpy(train),
        validation=torch.from_numpy(np.sort(held_out)),
        test=torch.from_numpy(np.flatnonzero(arrays["parts"] == TEST)),
        own_verified=torch.from_numpy(own) if len(own) else None,
    )


def _targets(arrays: Mapping[str, np.ndarray], name: str) -> Targets:
    """Labels as `Labels` keeps them: dense under their name, or sparse in several arrays."""
    return torch.from_numpy(arrays[name]) if name in arrays else SparseLabels.from_arrays(arrays, name)


class Chosen:
    """The images `rows` (n,) of an array of N images, by their place among these; none is copied until it is asked for.

    It has what `ImageBatches` asks of images: rows by number or slice, `shape` and `nbytes`.
    """

    def __init__(self, images: Any, rows: np.ndarray) -> None:
        self.images, self.rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of the images chosen."""
        return len(self.rows) * int(np.prod(self.shape[1:]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> np.ndarray:
        return self.images[self.rows[row_numbers(places, len(self.rows))]]


def _inputs(source: Source, rows: np.ndarray) -> Any:
    return Chosen(source.load().inputs, rows) if source.on_images else _standardised(source)[0][rows]


@lru_cache(maxsize=2)
def _standardised(source: Source) -> list[np.ndarray]:
    """Features (N, D) float32, then those of mirror images; mean 0 and deviation 1 over the training part."""
    images = source.load()
    trained = images.inputs[images.train]
    mean, deviation = trained.mean(axis=0), trained.std(axis=0)
    every = (images.inputs, *images.mirrored)
    return [((features - mean) / np.maximum(deviation, 1e-6)).astype(np.float32) for features in every]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, 3, H, W) mirrored left to right, and upside down, each with probability 1/2 (Section 4.2)."""
    for axis, chosen in zip((3, 2), drawn_flips(len(images), generator), strict=True):
        images = torch.where(chosen.to(images.device).view(-1, 1, 1, 1), images.flip(axis), images)
    return images
