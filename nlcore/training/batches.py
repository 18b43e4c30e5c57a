"""Which samples make a batch (samplers), and getting them onto the device (fetches).

A sampler maps an epoch to its list of index batches, each (B,) or, for a stack, (M, B). A fetch maps one index batch to
(inputs, targets). Both may draw from generators; give the same generators to `train`, which saves their states.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from nlcore.training.augmentation import augment
from nlcore.training.targets import SparseLabels

Sampler = Callable[[int], Sequence[Tensor]]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]
Targets = Tensor | np.ndarray | SparseLabels
Item, Result = TypeVar("Item"), TypeVar("Result")


def shuffled(indices: Tensor, batch_size: int, *, generator: torch.Generator) -> Sampler:
    """All of `indices` (n,) in a new order each epoch; the last batch may be smaller, as in ASL's script."""
    return lambda epoch: indices[torch.randperm(len(indices), generator=generator)].split(batch_size)


def fixed_order(indices: Tensor, batch_size: int) -> Sampler:
    """All of `indices` in their order, every epoch."""
    return lambda epoch: indices.split(batch_size)


def mixed(small: Tensor, large: Tensor, sizes: tuple[int, int], *, generator: torch.Generator) -> Sampler:
    """Batches of `sizes[0]` indices from `small`, then `sizes[1]` from `large` (paper 5: 6 verified, 58 noisy).

    An epoch is one pass over `large` in whole batches; `small` is gone through again and again, reshuffled each time
    it is used up, within the epoch.
    """

    def sample(epoch: int) -> Sequence[Tensor]:
        count = len(large) // sizes[1]
        rounds = -(-count * sizes[0] // len(small))
        first = torch.cat([small[torch.randperm(len(small), generator=generator)] for _ in range(rounds)])
        second = large[torch.randperm(len(large), generator=generator)]
        parts = first[: count * sizes[0]].view(count, -1), second[: count * sizes[1]].view(count, -1)
        return torch.cat(parts, dim=1).unbind(0)

    if len(large) < sizes[1] or len(small) == 0:
        raise ValueError(f"{len(small)} and {len(large)} samples cannot fill batches of {sizes[0]} and {sizes[1]}")
    return sample


def stacked(samplers: Sequence[Sampler]) -> Sampler:
    """The samplers of a stack's members side by side: batches (M, B). They must make batches of the same sizes."""
    return lambda epoch: [torch.stack(batch) for batch in zip(*(s(epoch) for s in samplers), strict=True)]


class FeatureBatches:
    """Fetches (features, targets) by index, all of it held on the device.

    features: (N, D). targets: (N, K), or (M, N, K) where each member of a stack has its own. An index batch (B,) gives
    inputs (B, D) and targets (B, K); (M, B) gives (M, B, D) and (M, B, K). Sparse targets (N, K) stay on the host, and
    become dense on the device one batch at a time.
    """

    def __init__(self, features: Tensor | np.ndarray, targets: Targets, *, device: torch.device) -> None:
        self.features = torch.as_tensor(features).to(device, torch.float32)
        self.targets = placed(targets, device)
        if isinstance(self.targets, Tensor):
            members = len(self.targets) if self.targets.ndim == 3 else 1
            self._first_rows = torch.arange(members, device=device).unsqueeze(1) * self.targets.shape[-2]
            self._flat_targets = self.targets.reshape(-1, self.targets.shape[-1])

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        on_device = indices.to(self.features.device, non_blocking=True)
        return _rows(self.features, on_device), self._targets(indices, on_device)

    def _targets(self, indices: Tensor, on_device: Tensor) -> Tensor:
        if isinstance(self.targets, SparseLabels):
            return _dense(self.targets, indices, self.features.device)
        rows = on_device + self._first_rows if self.targets.ndim == 3 else on_device
        return _rows(self._flat_targets, rows).float()


def placed(targets: Targets, device: torch.device) -> Tensor | SparseLabels:
    """A copy of dense targets on the device; sparse ones as they are.

    Labels that are bytes stay so (a batch's rows lie all over them, and a quarter of what they are in float32 is
    fetched); others become float32.
    """
    if isinstance(targets, SparseLabels):
        return targets
    dense = torch.as_tensor(targets)
    return dense.to(device, dense.dtype if dense.dtype.itemsize == 1 else torch.float32, copy=True)


def _dense(targets: SparseLabels, indices: Tensor, device: torch.device) -> Tensor:
    """The targets of `indices` (..., B) as float32 (..., B, K): only the cells they store travel to the device."""
    row, column, value = (torch.from_numpy(part) for part in targets.cells(indices.cpu().numpy()))
    dense = torch.full((indices.numel() * targets.classes,), float(targets.default), device=device)
    dense[_send(row * targets.classes + column, device)] = _send(value.float(), device)
    return dense.view(*indices.shape, targets.classes)


def _send(rows: Tensor, device: torch.device) -> Tensor:
    """A copy on the device that the host does not wait for."""
    return rows.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rows


def _rows(table: Tensor, indices: Tensor) -> Tensor:
    """table[indices] for indices of any shape; index_select is the quickest way there."""
    return table.index_select(0, indices.reshape(-1)).view(*indices.shape, table.shape[1])


class ImageBatches:
    """Fetches (images, targets) from the decoded uint8 cache (N, H, W, 3) by index batches (B,).

    `images` may be anything that gives rows by an array of their numbers and has `shape` and `nbytes`, such as
    `nlcore.data.image_cache.StreamedImages`; `targets` (N, K) may be sparse, as in `FeatureBatches`.

    Images come as float32 (B, 3, H, W), in [0, 1] before `mean` and `std`, channels last in memory, augmented on the
    device if `generator` is given. Where they fit, the whole cache is `resident` in the GPU's memory and no step waits
    for the host; else batches are copied from the (memory-mapped) array to pinned memory, `prefetch` of them ahead in a
    thread of its own. On the CPU the same code reads the array directly.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: Targets,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augmentation: Augmentation = augment,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        resident: bool | None = None,
    ) -> None:
        self.device, self.generator, self.augmentation = device, generator, augmentation
        self.targets = placed(targets, device)
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (mean, std))
        self.identity = all(m == 0 for m in mean) and all(s == 1 for s in std)
        self.resident = device.type == "cuda" and (_fits(images.nbytes, device) if resident is None else resident)
        self.images = _to_device(images, device) if self.resident else images
        self.prefetch = 2 if device.type == "cuda" and not self.resident else 0
        self.at_once = 64 if device.type == "cpu" else 1024  # of `predict`: activations, not images, fill the memory

    @torch.no_grad()
    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        on_device = indices.to(self.device, non_blocking=True)
        batch = (self.images[on_device] if self.resident else self._from_host(indices)).permute(0, 3, 1, 2)
        if self.generator is not None:
            batch = self.augmentation(batch, self.generator)
        batch = batch.float().div_(255)
        if not self.identity:
            batch = batch.sub_(self.mean).div_(self.std)
        return batch.contiguous(memory_format=torch.channels_last), self._targets(indices, on_device)

    def _targets(self, indices: Tensor, on_device: Tensor) -> Tensor:
        if isinstance(self.targets, SparseLabels):
            return _dense(self.targets, indices, self.device)
        return self.targets.index_select(0, on_device).float()

    def _from_host(self, indices: Tensor) -> Tensor:
        return _send(torch.from_numpy(self.images[indices.cpu().numpy()]), self.device)


def _fits(size: int, device: torch.device, share: float = 0.6) -> bool:
    """Whether `size` bytes take at most `share` of the GPU's free memory, leaving the rest to the model."""
    return size <= share * torch.cuda.mem_get_info(device)[0]


def _to_device(images: np.ndarray, device: torch.device, rows: int = 4096) -> Tensor:
    """A copy on the device, made a few rows at a time: the array may be larger than the host's memory."""
    copy = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(images), rows):
        copy[start : start + rows] = torch.from_numpy(np.ascontiguousarray(images[start : start + rows]))
    return copy


def fetch_all(fetch: Callable[[Item], Result], batches: Iterable[Item]) -> Iterator[Result]:
    """fetch(batch) for each batch in order, `fetch.prefetch` of them ahead in one thread (0 or absent: none)."""
    ahead = getattr(fetch, "prefetch", 0)
    return _in_thread(fetch, batches, ahead) if ahead else map(fetch, batches)


def _in_thread(fetch: Callable[[Item], Result], batches: Iterable[Item], ahead: int) -> Iterator[Result]:
    """One thread, so that generators are drawn from in order; what it raises is raised here."""
    ready: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def offer(item: tuple) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                if stop.is_set():
                    return
                offer((fetch(batch), None))
            offer((None, StopIteration()))
        except Exception as error:
            offer((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := ready.get())[1] is None:
            yield item[0]
        if not isinstance(item[1], StopIteration):
            raise item[1]
    finally:
        stop.set()
        thread.join()
