"""ASL's training augmentation for whole batches on the device: Cutout 0.5, then RandAugment. No flip, no crop.

Images are uint8 (B, 3, H, W). Every choice is drawn on the host from the generator given, so that the CPU and a GPU
augment alike and the GPU never waits to learn what to do.

RandAugment is that of the package `randaugment` 1.0.2, which ASL's script uses: twice, with probability 1/2, one of 15
operations at one of nine strengths. Deviations from it, and from Pillow, which works image by image: the affine
operations interpolate bilinearly (there: bicubic for shears, nearest for translations and rotation) around the pixel
grid's own coordinates; blends round to the nearest value (there: towards zero); grey is rounded likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional

from nlcore.errors import require_fraction
from nlcore.torchvision_compat import ensure_torchvision

FILL = 128.0  # grey, outside of a transformed image
SMALL_CUTOUT_FILL = (125, 122, 113)
SMOOTHING = torch.tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13  # of Pillow's sharpness

Operation = Callable[[Tensor, Tensor], Tensor]


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Cutout of half the side, then RandAugment: the augmentation of ASL's public script (papers 1, 2 and 4).

    Args:
        images: (B, 3, H, W) uint8, on any device.
        generator: a generator of the CPU, the source of every choice.

    Returns:
        (B, 3, H, W) uint8 on the same device; `images` stay as they are.

    >>> images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    >>> done = augment(images, torch.Generator().manual_seed(0))
    >>> done.shape, done.dtype
    (torch.Size([2, 3, 32, 32]), torch.uint8)
    """
    return rand_augment(cutout(images, generator), generator)


def cutout(images: Tensor, generator: torch.Generator, *, share: float = 0.5) -> Tensor:
    """A rectangle of `share` of each side, centred anywhere (so often cut off), filled with one random colour.

    Args:
        images, generator: as for `augment`.
        share: fraction of the height and of the width, in [0, 1].

    Raises:
        InputError: a share that is no fraction.

    >>> done = cutout(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.Generator().manual_seed(0), share=0.25)
    >>> int((done != 0).any(dim=1).sum()) <= 9  # of a 2 x 2 rectangle; Pillow draws one more row and column
    True
    """
    require_fraction("share", share)
    count = len(images)
    centres = _centres(images, generator)
    colours = torch.randint(256, (count, 3, 1, 1), generator=generator, dtype=torch.uint8)
    half = torch.tensor([int(share * size + 0.5) // 2 for size in images.shape[-2:]]).expand(count, 2)
    return _fill(images, centres, half, half + 1, colours)  # Pillow draws the last row and column too


def _centres(images: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 2): a random row and column per image."""
    return torch.stack([torch.randint(size, (len(images),), generator=generator) for size in images.shape[-2:]], 1)


def _fill(images: Tensor, centres: Tensor, before: Tensor, after: Tensor, colours: Tensor) -> Tensor:
    """Rows and columns from centre - before up to, but without, centre + after; every argument (B, 2) but colours."""
    device = images.device
    bounds = torch.stack([centres - before, centres + after]).to(device, non_blocking=True)
    rows, columns = (torch.arange(size, device=device) for size in images.shape[-2:])
    in_rows = (rows >= bounds[0, :, :1]) & (rows < bounds[1, :, :1])
    in_columns = (columns >= bounds[0, :, 1:]) & (columns < bounds[1, :, 1:])
    inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return torch.where(inside, colours.to(device, non_blocking=True), images)


def rand_augment(images: Tensor, generator: torch.Generator, *, layers: int = 2, probability: float = 0.5) -> Tensor:
    """`layers` times, with `probability`: one of `OPERATIONS`, strength 1 to 9, with a random sign where it has one.

    RandAugment of Cubuk et al. (2020) as the package `randaugment` has it; the module's text names the deviations.

    Args:
        images, generator: as for `augment`.
        layers: how many operations are drawn for each image.
        probability: in [0, 1], that a drawn operation is applied.

    Raises:
        InputError: a probability that is no fraction.

    >>> images = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
    >>> torch.equal(rand_augment(images, torch.Generator(), probability=0.0), images)
    True
    """
    require_fraction("probability", probability)
    for _ in range(layers):
        count = len(images)
        applied = torch.rand(count, generator=generator) < probability
        chosen = torch.randint(len(OPERATIONS), (count,), generator=generator).where(applied, torch.tensor(-1))
        strength = torch.randint(1, 10, (count,), generator=generator) / 9
        strength = strength * (torch.randint(2, (count,), generator=generator) * 2 - 1)
        centres = _centres(images, generator)
        images = _apply(images, chosen, torch.cat([strength.unsqueeze(1), centres], dim=1))
    return images


def _apply(images: Tensor, chosen: Tensor, settings: Tensor) -> Tensor:
    """Sorts the images by operation, so that each operation runs once, on its own part of the batch."""
    order = chosen.argsort(stable=True)
    counts = (chosen + 1).bincount(minlength=len(OPERATIONS) + 1).tolist()
    on_device = order.to(images.device, non_blocking=True)
    parts = zip(
        (None, *OPERATIONS.values()),
        images[on_device].split(counts),
        settings[order].to(images.device, non_blocking=True).split(counts),
        strict=True,
    )
    done = [part if run is None or not len(part) else run(part, setting) for run, part, setting in parts]
    return torch.cat(done)[order.argsort().to(images.device, non_blocking=True)]


@cache
def _vision() -> ModuleType:
    """torchvision's functions, loaded when images are augmented: heads on features do without them, and without the
    second and a half that loading takes."""
    ensure_torchvision()
    from torchvision.transforms.v2 import functional as vision

    return vision


def _affine(matrix: Callable[[Tensor], list[Tensor | float]]) -> Operation:
    """An operation from its output-to-input map: the six entries, by rows, in units of half the image's side."""

    def run(images: Tensor, settings: Tensor) -> Tensor:
        strength = settings[:, 0]
        entries = [v if isinstance(v, Tensor) else torch.full_like(strength, v) for v in matrix(strength)]
        maps = torch.stack(entries, dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        moved = functional.grid_sample(images.float() - FILL, grid, padding_mode="zeros", align_corners=False)
        return _to_bytes(moved + FILL)

    return run


def _rotation(strength: Tensor) -> list[Tensor | float]:
    """Counter-clockwise by up to 30 degrees; the original rotates one way only."""
    angle = strength.abs() * (30 * torch.pi / 180)
    return [angle.cos(), -angle.sin(), 0, angle.sin(), angle.cos(), 0]


def _blend(degenerate: Callable[[Tensor], Tensor]) -> Operation:
    """Pillow's ImageEnhance: degenerate + (1 + 0.9 strength) (image - degenerate)."""

    def run(images: Tensor, settings: Tensor) -> Tensor:
        values = images.float()
        base = degenerate(values)
        return _to_bytes(base + (1 + 0.9 * settings[:, 0]).view(-1, 1, 1, 1) * (values - base))

    return run


def _grey(values: Tensor) -> Tensor:
    return (0.299 * values[:, :1] + 0.587 * values[:, 1:2] + 0.114 * values[:, 2:]).round()


def _mean_grey(values: Tensor) -> Tensor:
    return _grey(values).mean((1, 2, 3), keepdim=True).round()


def _smooth(values: Tensor) -> Tensor:
    """Smoothed inside; the outermost pixels stay, as in Pillow."""
    kernel = SMOOTHING.to(values).expand(3, 1, 3, 3)
    smoothed = values.clone()
    smoothed[..., 1:-1, 1:-1] = functional.conv2d(values, kernel, groups=3).round()
    return smoothed


def _posterize(images: Tensor, settings: Tensor) -> Tensor:
    """Keeps the 8 to 4 highest bits."""
    dropped = (4 * settings[:, 0].abs()).round().to(torch.int64)
    return images & (256 - (1 << dropped)).to(torch.uint8).view(-1, 1, 1, 1)


def _solarize(images: Tensor, settings: Tensor) -> Tensor:
    """Inverts the values from 256 (1 - strength) up."""
    threshold = (256 * (1 - settings[:, 0].abs())).view(-1, 1, 1, 1)
    return torch.where(images < threshold, images, 255 - images)


def _small_cutout(images: Tensor, settings: Tensor) -> Tensor:
    """A square of up to 20 pixels' side."""
    half = ((20 * settings[:, 0].abs()).round().long() // 2).unsqueeze(1).expand(-1, 2)
    colours = torch.tensor(SMALL_CUTOUT_FILL, dtype=torch.uint8).view(1, 3, 1, 1)
    return _fill(images, settings[:, 1:].long(), half, half, colours)


def _to_bytes(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)


OPERATIONS: dict[str, Operation] = {
    "invert": lambda images, settings: 255 - images,
    "cutout": _small_cutout,
    "sharpness": _blend(_smooth),
    "autocontrast": lambda images, settings: _vision().autocontrast(images),
    "posterize": _posterize,
    "shear_x": _affine(lambda s: [1, 0.3 * s, 0, 0, 1, 0]),
    "translate_x": _affine(lambda s: [1, 0, 2 * 150 / 331 * s, 0, 1, 0]),
    "translate_y": _affine(lambda s: [1, 0, 0, 0, 1, 2 * 150 / 331 * s]),
    "shear_y": _affine(lambda s: [1, 0, 0, 0.3 * s, 1, 0]),
    "rotate": _affine(_rotation),
    "equalize": lambda images, settings: _vision().equalize(images),
    "contrast": _blend(_mean_grey),
    "color": _blend(_grey),
    "solarize": _solarize,
    "brightness": _blend(torch.zeros_like),
}
