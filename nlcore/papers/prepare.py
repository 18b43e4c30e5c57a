"""What can go wrong is found before the first hour of work: networks and their weights are had before a run begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from nlcore.data.weights import RANDOM
from nlcore.runs import Spec

if TYPE_CHECKING:
    from nlcore.data.source import Source


def prepare(specs: Iterable[Spec]) -> None:
    """Have all that runs need before they begin.

    Raises:
        InputError: as `have_weights` and `have_features`.
    """
    specs = list(specs)
    have_weights(specs)
    have_features(specs)


def have_weights(specs: Iterable[Spec]) -> None:
    """Make every pre-trained network that the runs will start from, once: what is published is fetched, and cached.

    Raises:
        InputError: an unknown model; weights that cannot be had or read, or that do not fit.
    """
    for model, weights in dict.fromkeys(wanted for spec in specs for wanted in pretrained(spec)):
        from nlcore.training.models import image_model  # late: heads on features need no such thing

        image_model(model, 1000, generator=torch.Generator().manual_seed(0), weights=weights)


def pretrained(spec: Spec) -> Iterator[tuple[str, str]]:
    """(model, weights) of a run's network, and of the network that labels its images, where they are pre-trained."""
    for name in ("source", "labeller"):
        described = getattr(spec, name, None)
        weights = getattr(described, "weights_file", None) or getattr(described, "weights", "")
        if weights not in ("", RANDOM):
            yield getattr(described, "backbone", "") or described.model, weights


def have_features(specs: Iterable[Spec]) -> None:
    """Have what frozen networks see in the runs' images, with a display of how far it is.

    Raises:
        InputError: an image that cannot be read, a network that cannot be had, or too little disk space.
    """
    for source in frozen_sources(specs):
        from nlcore.data.source import frozen_images  # late: other profiles need no network

        frozen_images(source, progress=True)


def frozen_sources(specs: Iterable[Spec]) -> list[Source]:
    """One source for each network and set of images that a frozen network looks at, the one with mirror images."""
    frozen = {one for spec in specs if (one := getattr(spec, "source", None)) is not None and one.data == "frozen"}
    if not frozen:
        return []
    from nlcore.data.source import label_files  # late: other profiles look at no folder

    by_flips = sorted(frozen, key=lambda one: (one.flips, repr(one)))
    seen = {(one.backbone, one.size, one.weights, *label_files(one)): one for one in by_flips}
    return list(seen.values())
