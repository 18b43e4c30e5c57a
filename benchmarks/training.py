"""Images per second of this suite's training loop, of its ceiling, and of an ordinary data loader, in one run.

    python benchmarks/training.py                                        # TResNet-M, 224, batch 128: for a GPU
    python benchmarks/training.py --model mobilenetv2_100 --batch-size 16 --steps 8 --warm-up 4 --images 64 --workers 2

Three ways to feed the same model, loss, optimiser and averaging of weights:

    ours      nlcore's loop on the decoded uint8 cache, Cutout and RandAugment on batches on the device;
    ceiling   the same steps on one resident synthetic batch: nothing is fetched or augmented;
    loader    torch's DataLoader over JPEGs of about 640 x 480, decoded, resized and augmented by PIL in worker
              processes, as ASL's public script does.

They take turns, `--repeats` times, so that a change of the machine's speed meets all three; printed are the medians,
the range, and the ratios taken turn by turn. Each turn starts with `--warm-up` untimed steps; they should use up what
the loader's workers prepared while others had their turn (two batches each).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nlcore.devices import resolve_device
from nlcore.torchvision_compat import ensure_torchvision
from nlcore.training import ASL_RECIPE, ImageBatches, shuffled, train
from nlcore.training.gradients import Differentiable
from nlcore.training.learners import ASYMMETRIC
from nlcore.training.models import image_model

ensure_torchvision()
from torchvision.transforms import v2  # noqa: E402  (torchvision needs the call above)

CLASSES = 80


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tresnet_m")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50, help="timed steps of each turn")
    parser.add_argument("--warm-up", type=int, default=20, help="steps before the clock starts, each turn")
    parser.add_argument("--images", type=int, default=2048, help="different images in the cache and as JPEGs")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def draw_jpegs(folder: Path, count: int) -> list[Path]:
    """JPEGs of about 640 x 480 with shapes and noise, at about a photograph's size in bytes."""
    random = np.random.default_rng(0)
    paths = [folder / f"{i:06d}.jpg" for i in range(count)]
    for path in paths:
        width, height = random.integers(560, 680), random.integers(400, 520)
        coarse = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((int(width), int(height)), Image.BICUBIC)
        draw = ImageDraw.Draw(picture)
        for _ in range(8):
            x, y, side = random.integers(0, 400), random.integers(0, 300), random.integers(20, 200)
            draw.ellipse([x, y, x + side, y + side], fill=tuple(int(c) for c in random.integers(0, 256, 3)))
        picture.save(path, quality=90)
    return paths


class JpegDataset(Dataset):
    """What ASL's script does for each sample: decode, squash, Cutout 0.5, RandAugment, to tensor."""

    def __init__(self, paths: list[Path], targets: Tensor, size: int) -> None:
        self.paths, self.targets, self.size = paths, targets, size
        self.augmentation = v2.Compose([v2.RandAugment(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB").resize((self.size, self.size), Image.BILINEAR)
        random = np.random.default_rng(index)
        x, y = random.integers(0, self.size, 2)
        box = np.clip([x - self.size // 4, y - self.size // 4, x + self.size // 4, y + self.size // 4], 0, self.size)
        ImageDraw.Draw(image).rectangle([int(v) for v in box], fill=tuple(int(v) for v in random.integers(0, 256, 3)))
        return self.augmentation(image), self.targets[index]


class Feed:
    """One way to get batches, as a sampler and a fetch of the training loop."""

    def __init__(self, sampler: Callable[[int], object], fetch: Callable[[object], tuple[Tensor, Tensor]]) -> None:
        self.sampler, self.fetch = sampler, fetch


def cached(images: np.ndarray, targets: Tensor, options: argparse.Namespace, device: torch.device) -> Feed:
    draws = torch.Generator().manual_seed(0)
    order = shuffled(torch.arange(len(images)), options.batch_size, generator=draws)
    steps = options.steps + options.warm_up

    sampler = lambda epoch: list(whole(lambda: order(epoch), options.batch_size, steps))
    return Feed(sampler, ImageBatches(images, targets, device=device, generator=draws))


def whole(passes: Callable[[], list[Tensor]], batch_size: int, steps: int) -> Iterator[Tensor]:
    """`steps` whole batches from as many passes over the data as it takes."""
    given = 0
    while True:
        for batch in passes():
            if len(batch) == batch_size and given < steps:
                given += 1
                yield batch
        if given >= steps:
            return


def resident(targets: Tensor, options: argparse.Namespace, device: torch.device) -> Feed:
    inputs = torch.rand(options.batch_size, 3, options.size, options.size, device=device)
    batch = inputs.contiguous(memory_format=torch.channels_last), targets[: options.batch_size].to(device).float()
    return Feed(lambda epoch: [None] * (options.steps + options.warm_up), lambda _: batch)


def from_jpegs(paths: list[Path], targets: Tensor, options: argparse.Namespace, device: torch.device) -> Feed:
    loader = DataLoader(
        JpegDataset(paths, targets, options.size),
        batch_size=options.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=options.workers,
        pin_memory=device.type == "cuda",
        persistent_workers=options.workers > 0,
    )

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def fetch(_: object) -> tuple[Tensor, Tensor]:
        inputs, wanted = next(batches)
        inputs = inputs.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        return inputs, wanted.to(device, non_blocking=True).float()

    return Feed(lambda epoch: [None] * (options.steps + options.warm_up), fetch)


def images_per_second(feed: Feed, model: torch.nn.Module, options: argparse.Namespace, device: torch.device) -> float:
    """Runs one turn of the training loop and times its steps after the warm-up ones."""
    started, done = [], 0

    def loss(model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Differentiable:
        nonlocal done
        if done == options.warm_up:
            synchronise(device)
            started.append(time.perf_counter())
        done += 1
        return ASYMMETRIC(model(batch[0]), batch[1])

    recipe = replace(ASL_RECIPE, epochs=1, batch_size=options.batch_size, compile=options.compile)
    train(model, recipe, sampler=feed.sampler, fetch=feed.fetch, loss=loss)
    synchronise(device)
    return options.steps * options.batch_size / (time.perf_counter() - started[0])


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(rates: dict[str, list[float]], options: argparse.Namespace, device: torch.device) -> None:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{options.model} at {options.size}, batch {options.batch_size}, {options.steps} steps a turn, {name}")
    for label, values in rates.items():
        print(f"  {label:8s} {statistics.median(values):9.1f} images/s  ({min(values):.1f} to {max(values):.1f})")
    ratios = {}
    for other in ("ceiling", "loader"):
        turns = [ours / theirs for ours, theirs in zip(rates["ours"], rates[other], strict=True)]
        ratios[f"ours_over_{other}"] = turns
        print(f"  ours / {other:8s} {statistics.median(turns):.2f}  ({min(turns):.2f} to {max(turns):.2f})")
    print(json.dumps({**vars(options), "device": name, "images_per_second": rates, **ratios}))


def main() -> None:
    options = arguments()
    device = resolve_device(options.device)
    if options.images < options.batch_size:
        raise SystemExit("--images must be at least --batch-size")
    targets = torch.randint(2, (options.images, CLASSES), generator=torch.Generator().manual_seed(0))
    model = image_model(options.model, CLASSES, generator=torch.Generator().manual_seed(0), weights="random").to(device)
    with tempfile.TemporaryDirectory() as folder:
        paths = draw_jpegs(Path(folder), options.images)
        squashed = (Image.open(path).resize((options.size, options.size), Image.BILINEAR) for path in paths)
        images = np.stack([np.asarray(image) for image in squashed])
        feeds = {
            "ours": cached(images, targets, options, device),
            "ceiling": resident(targets, options, device),
            "loader": from_jpegs(paths, targets, options, device),
        }
        rates: dict[str, list[float]] = {label: [] for label in feeds}
        for _ in range(options.repeats):
            for label, feed in feeds.items():
                rates[label].append(images_per_second(feed, model, options, device))
        report(rates, options, device)


if __name__ == "__main__":
    main()
