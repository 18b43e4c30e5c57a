"""What tables and figures call things."""

from __future__ import annotations

from nlcore.data.source import Source
from nlcore.papers import deviations as common
from nlcore.papers.multi_al.protocol import SURFACE_NOISE
from nlcore.papers.surface_report import Shown

SERIES = {
    "multi_al_safe": "Multi-AL (entropy + Safe)",
    "multi_al": "entropy, no Safe",
    "random": "random",
    "random_safe": "random + Safe",
    "cbim": "CBIM",
}
BASELINE_SERIES = {
    "asl": "ASL on the noisy pool (the paper's)",
    "asl, stopped": "ASL, stopped on the clean initial images",
    "asl + initial": "ASL on the pool and the clean initial images",
    "asl + relabelled": "ASL on the pool and as many clean images as Multi-AL",
    "asl with mixup": "ASL with mixup",
}
SURFACE_SHOWN = Shown(
    labels={
        **{name: SERIES[name] for name in ("multi_al_safe", "multi_al", "random")},
        "asl": "ASL",
        "asl + relabelled": "ASL with as many clean images",
    },
    noise=SURFACE_NOISE,
    lengths="of one training; ASL: 41 of a cycle of 80 beside 20, all 80 beside 40; the mAP of the last model",
    published="20 epochs and a rate of 0.0001",
)
MAP, WITHOUT = "mAP", "mAP without person"
EMBEDDED = (
    "On the embedded set 500 of about 1,870 pool images are relabelled, in the paper 500 of 23,497: mAP levels, and "
    "gains over ASL on the whole pool, are not commensurable."
)
SIMULATED = (
    "Simulated features for COCO's training label sets at the paper's sizes, and a head of 512 hidden units, not "
    "photographs and TResNet-M: nothing is learnt below the head."
)
SMALL = "A small COCO folder and an EfficientNet-Lite2: mAP levels, and gains over ASL, are not commensurable."


def deviations(source: Source) -> str:
    """How the data and the network differ from the published protocol's; "" where they do not."""
    return common.deviations(source, embedded=EMBEDDED, simulated=SIMULATED, small=SMALL)
