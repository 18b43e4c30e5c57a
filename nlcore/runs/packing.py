"""How many runs share a GPU: the one policy of all engines, on numbers alone."""

from __future__ import annotations

from collections.abc import Iterable

GPU_CONTEXT = 600 * 2**20  # bytes that a process takes on a GPU besides torch's own count; generous for recent drivers
GPU_SHARE = 0.9  # of a GPU's memory that runs may fill together
ROUNDING = 1e-9  # of sums of shares


class Packing:
    """What each kind of run takes of a GPU.

    runs_per_gpu: how many share one, whatever they are; by default a kind of run has a GPU to itself until its peak of
    memory has been measured, then as many share one as fit.
    """

    def __init__(self, runs_per_gpu: int | None = None) -> None:
        self.runs_per_gpu = runs_per_gpu
        self.peaks: dict[type, int] = {}

    def note(self, kind: type, peak: int) -> None:
        """A run of this kind took so many bytes of GPU memory at its peak; 0 where it used none."""
        if peak:
            self.peaks[kind] = max(peak, self.peaks.get(kind, 0))

    def share(self, kind: type, memory: int | None) -> float:
        """What a run of this kind takes of a GPU with so many bytes of memory (None: not known): above 0, at most 1."""
        if self.runs_per_gpu:
            return 1 / self.runs_per_gpu
        if kind not in self.peaks or not memory:
            return 1.0
        return min(1.0, (self.peaks[kind] + GPU_CONTEXT) / (GPU_SHARE * memory))

    def fits(self, kind: type, running: Iterable[type], memory: int | None) -> bool:
        """Whether one more run may begin on a GPU beside those `running` there."""
        return sum(self.share(other, memory) for other in (kind, *running)) <= 1 + ROUNDING
