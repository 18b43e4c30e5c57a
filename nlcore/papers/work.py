"""What a training will take, in units of `nlcore.runs.cost`: images of one network at one size."""

from __future__ import annotations

from nlcore.data.source import Source
from nlcore.runs import Work

LOOK = 1 / 3  # of the work of training on an image is the forward pass alone


def training_work(source: Source, trained: float, looked_at: float = 0) -> Work:
    """The work of training on so many images and of predicting so many others, with a source's network.

    Several GPUs can share that of a network on images; heads on features would spend more on talking than they save.
    """
    unit = f"train {source.model} {source.size}" if source.on_images else f"train {source.model}"
    return Work(unit, trained + LOOK * looked_at, divisible=source.on_images)
