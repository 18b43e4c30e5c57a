"""What tables and figures call things."""

from __future__ import annotations

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
MAP = "mAP"
FINAL, EQUAL_COST, PER_LABEL = HEURISTICS = ("final mAP", "mAP at equal cost", "increase per label")
SCALE = (
    "The embedded set (3,082 images, heads on frozen features) stands in for val2017's 5,000 images and TResNet-M; 500 "
    "relabelled images are more than a quarter of its pool, in the paper an eighth."
)
