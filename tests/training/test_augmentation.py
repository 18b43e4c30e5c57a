"""Batched augmentation, operation by operation against Pillow, and as a whole."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from nlcore.training.augmentation import OPERATIONS, _apply, augment, cutout, rand_augment

SIZE = 64


def pictures(count: int = 4) -> torch.Tensor:
    """Smooth coloured waves with a little noise, (count, 3, 64, 64)."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = [
        100 + 80 * np.sin(2 * np.pi * (a * x + b * y + c)) + random.normal(0, 12, (SIZE, SIZE))
        for a, b, c in random.uniform(0, 2, (count * 3, 3))
    ]
    return torch.tensor(np.clip(waves, 0, 255).reshape(count, 3, SIZE, SIZE), dtype=torch.uint8)


def with_pillow(image: torch.Tensor, function) -> torch.Tensor:
    result = function(Image.fromarray(image.permute(1, 2, 0).numpy()))
    return torch.from_numpy(np.array(result)).permute(2, 0, 1)


def affine(*rows: float):
    return lambda image: image.transform(image.size, Image.AFFINE, rows, Image.BILINEAR, fillcolor=(128,) * 3)


def rotated(image: Image.Image) -> Image.Image:
    return image.rotate(15, Image.BILINEAR, fillcolor=(128,) * 3)


# Strength 0.5 for each operation: the same in Pillow's terms, and how many grey levels may lie between at most.
PILLOW = {
    "invert": (ImageOps.invert, 0),
    "sharpness": (lambda image: ImageEnhance.Sharpness(image).enhance(1.45), 1),
    "autocontrast": (ImageOps.autocontrast, 1),
    "posterize": (lambda image: ImageOps.posterize(image, 6), 0),
    "equalize": (ImageOps.equalize, 0),
    "contrast": (lambda image: ImageEnhance.Contrast(image).enhance(1.45), 1),
    "color": (lambda image: ImageEnhance.Color(image).enhance(1.45), 1),
    "solarize": (lambda image: ImageOps.solarize(image, 128), 0),
    "brightness": (lambda image: ImageEnhance.Brightness(image).enhance(1.45), 1),
}
GEOMETRY = {
    "shear_x": affine(1, 0.15, -0.15 * SIZE / 2, 0, 1, 0),
    "shear_y": affine(1, 0, 0, 0.15, 1, -0.15 * SIZE / 2),
    "translate_x": affine(1, 0, 0.5 * 150 / 331 * SIZE, 0, 1, 0),
    "translate_y": affine(1, 0, 0, 0, 1, 0.5 * 150 / 331 * SIZE),
    "rotate": rotated,
}


def run(name: str, images: torch.Tensor, strength: float = 0.5) -> torch.Tensor:
    return OPERATIONS[name](images, torch.tensor([[strength, 20.0, 30.0]]).expand(len(images), 3))


def test_every_operation_is_compared():
    assert set(PILLOW) | set(GEOMETRY) | {"cutout"} == set(OPERATIONS)


@pytest.mark.parametrize("name", PILLOW)
def test_colour_operations_are_pillows(name):
    images = pictures()
    function, tolerance = PILLOW[name]
    for ours, image in zip(run(name, images), images, strict=True):
        expected = with_pillow(image, function)
        assert (ours.int() - expected.int()).abs().max() <= tolerance
        assert (expected.int() - image.int()).abs().float().mean() > 1


@pytest.mark.parametrize("name", GEOMETRY)
def test_affine_operations_are_pillows_inside(name):
    images = pictures()
    for ours, image in zip(run(name, images), images, strict=True):
        expected = with_pillow(image, GEOMETRY[name])
        difference = (ours.int() - expected.int()).abs().float()
        assert difference.mean() < 3  # borders blend with the fill here, and are cut there
        assert difference.median() <= 1
        assert (expected.int() - image.int()).abs().float().mean() > 15


def test_small_cutout():
    done = run("cutout", pictures())
    changed = done != pictures()
    rows, columns = changed.any(1).any(2).nonzero()[:, 1], changed.any(1).any(1).nonzero()[:, 1]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 24, 25, 34)
    assert done[0, :, 20, 30].tolist() == [125, 122, 113]


def test_cutout_fills_one_rectangle_with_one_colour():
    images, generator = torch.zeros(64, 3, 20, 20, dtype=torch.uint8), torch.Generator().manual_seed(0)
    done = cutout(images, generator)
    heights = []
    for picture in done:
        colours = picture.flatten(1).T.unique(dim=0)
        assert len(colours) == 2
        inside = (picture != 0).any(0)
        rows, columns = inside.any(1).sum(), inside.any(0).sum()
        assert inside.sum() == rows * columns
        heights.append(int(rows))
    assert max(heights) == 11  # 5 before the centre, the centre, 5 after
    assert min(heights) < 10  # cut off at the border


def test_random_augmentation_leaves_a_quarter_alone_and_keeps_order():
    images = pictures(1).expand(800, -1, -1, -1)
    done = rand_augment(images, torch.Generator().manual_seed(0))
    same = (done == images).flatten(1).all(1).float().mean()
    assert 0.2 < same < 0.32  # neither of two layers applied: 1/4, and a few operations that change nothing
    flat = torch.arange(200, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    kept = rand_augment(flat, torch.Generator().manual_seed(0), probability=0.0)
    assert torch.equal(kept, flat)


def test_each_image_gets_its_own_operation_in_its_own_place():
    names = list(OPERATIONS)
    chosen = torch.tensor([names.index("invert"), -1, names.index("rotate"), names.index("invert"), -1, 0, 9])
    images, settings = pictures(len(chosen)), torch.linspace(-1, 1, len(chosen) * 3).view(-1, 3)
    for i, done in enumerate(_apply(images, chosen, settings)):
        alone = images[i : i + 1]
        if chosen[i] >= 0:
            alone = OPERATIONS[names[chosen[i]]](alone, settings[i : i + 1])
        assert torch.equal(done, alone[0]), i


def test_same_generator_same_bytes():
    images = pictures()
    first, again, other = (augment(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
