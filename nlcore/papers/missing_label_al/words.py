"""What tables and figures call things."""

from __future__ import annotations

from nlcore.data.source import Source
from nlcore.papers import deviations as common
from nlcore.papers.missing_label_al.protocol import SPLIT_NOISE
from nlcore.papers.surface_report import Shown

SERIES = {
    "random": "Random",
    "medium": "Medium",
    "hard": "Hard",
    "hard_medium": "Hard+Medium",
    "entropy": "entropy",
    "medium_entropy": "Medium+entropy",
    "hard_entropy": "Hard+entropy",
    "hard_medium_entropy": "Hard+Medium+entropy",
}
ASL_SERIES = {
    "raw": "ASL, -1 as it is (raw)",
    "negative": "ASL, unknown = absent (negative)",
    "masked": "ASL, unknown left out (masked)",
}
BASELINE_SERIES = {
    "asl raw + initial": "ASL (raw) on the pool and the clean images",
    "asl negative + initial": "ASL (negative) on the pool and the clean images",
    "asl masked + initial": "ASL (masked) on the pool and the clean images",
    "ll-r": "LL-R: the largest losses of unknown labels left out",
    "ll-ct": "LL-Ct: these labels counted as present",
}
SURFACE_SHOWN = Shown(
    labels={
        "hard_entropy": SERIES["hard_entropy"],
        **{f"asl {name}": f"ASL ({name})" for name in ASL_SERIES},
        "asl masked + initial": "ASL (masked), clean images too",
    },
    noise=SPLIT_NOISE,
    lengths="of one training; ASL: 41 of a cycle of 80 beside 20, all 80 beside 40; a measure's is the mean over its "
    "last training's epochs, ASL's the last model's",
    published="20 epochs; a rate it does not name, ASL's own is 0.0001",
)
MAP = "mAP"
FINAL, EQUAL_COST, PER_LABEL = HEURISTICS = ("final mAP", "mAP at equal cost", "increase per label")
EMBEDDED = (
    "The embedded set (3,082 images, heads on frozen features) stands in for val2017's 5,000 images and TResNet-M; 500 "
    "relabelled images are more than a quarter of its pool, in the paper a sixth."
)
SIMULATED = (
    "Simulated features for 5,000 of COCO's label sets, and a head of 512 hidden units, not the photographs of val2017 "
    "and TResNet-M: nothing is learnt below the head."
)
SMALL = "A small COCO folder and an EfficientNet-Lite2 stand in for val2017's 5,000 images and TResNet-M."


def deviations(source: Source) -> str:
    """How the data and the network differ from the published protocol's; "" where they do not."""
    return common.deviations(source, embedded=EMBEDDED, simulated=SIMULATED, small=SMALL)
