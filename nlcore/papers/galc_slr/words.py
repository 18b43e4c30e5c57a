"""What tables and figures call things."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from nlcore.papers import deviations as common
from nlcore.papers.galc_slr.protocol import CONTRACT, METHODS
from nlcore.papers.galc_slr.study import SURFACE, Study
from nlcore.papers.surface_report import Shown
from nlcore.report.figures import series_style
from nlcore.report.intervals import estimate
from nlcore.report.words import percent
from nlcore.report.writer import Headline

# Name of a metric -> its column in the study, its place in the published rows.
METRICS = {
    "mAP": ("map", 0),
    "CF1": ("cf1_0.8", 1),
    "OF1": ("of1_0.8", 2),
    "CF1 at 0.5": ("cf1_0.5", None),
    "OF1 at 0.5": ("of1_0.5", None),
    "mAP without person": ("map_without_person", None),
}
PUBLISHED_AS = {"asl": "asl", "galc_slr": "galc_slr", "galc_slr as written": "galc_slr"}
NOISE_AXIS = "noise (% of the labels)"
EMBEDDED = (
    "Linear head on frozen features of 2,078 images, not TResNet-M on 65,268. Regulators: 79 single-label images "
    "and box crops of single objects, at most 50 of a class before any cap."
)
SIMULATED = (
    "Simulated features for COCO's training label sets at the paper's sizes, and a head of 512 hidden units, not "
    "photographs and TResNet-M: nothing is learnt below the head. Weights are not averaged."
)
FEW_IMAGES = (
    "A small COCO folder and an EfficientNet-Lite2. Regulators: the few single-label images there are; the others are "
    "GLC's rows (counted)."
)


def deviations(study: Study) -> str:
    """How the study differs from the published protocol; "" where it does not."""
    return common.deviations(study.source, embedded=EMBEDDED, simulated=SIMULATED, small=FEW_IMAGES)


def looks(methods: Iterable[str] = METHODS) -> dict[str, dict[str, str]]:
    """Colour and marker of the methods, the same in every figure; what the paper does not compare is dashed."""
    styles = series_style(list(methods))
    return {name: look | {"linestyle": "-" if name in PUBLISHED_AS else "--"} for name, look in styles.items()}


def surface_shown(study: Study) -> Shown:
    """What is said of mAP by epochs and learning rate."""
    labels = {name: name for name in SURFACE}
    published = "80 epochs; a rate it does not name, ASL's own is 0.0001"
    return Shown(labels, study.ablation_noise, "all of them run; the last model", published)


def published_value(method: str, metric: str, noise: float) -> float | None:
    """What Table 1 gives for a method and metric of ours, in percent, if anything."""
    place = METRICS[metric][1]
    if place is None or method not in PUBLISHED_AS:
        return None
    return CONTRACT.published()["table_1"][PUBLISHED_AS[method]][percent(noise)][place]


def headline(what: str, paper: float, differences: pd.Series) -> Headline:
    """One number of an artefact beside the paper's; `differences` are by seed, or by seed and draw."""
    ours = estimate(differences) if len(differences) else None
    near = "not run" if ours is None else f"{ours.mean - paper:+.2f}"
    return Headline(what, f"{paper:.2f}", str(ours or ""), near)
