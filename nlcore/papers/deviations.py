"""How a study differs from the published protocol, as a line under its tables and figures."""

from __future__ import annotations

from nlcore.data.source import Source

FROZEN = (
    "Real images with their own labels, but heads on what a frozen {backbone} sees in them, not the paper's network "
    "trained end to end: nothing is learnt below the head."
)
REHEARSAL = "A rehearsal on so few images that its numbers say nothing."


def deviations(
    source: Source, *, embedded: str, simulated: str, small: str, networks: tuple[str, ...] = ("tresnet_m",)
) -> str:
    """The line that fits where the images come from; "" for a paper's own.

    Args:
        source: of the study.
        embedded, simulated: for the embedded set and for simulated COCO.
        small: for a folder of images that another network than one of the paper's `networks` is trained on.
    """
    if source.data == "frozen":
        return FROZEN.format(backbone=source.backbone)
    if not source.on_images:
        return simulated if source.data == "simulated" else embedded
    if source.limit is not None:
        return REHEARSAL
    return "" if source.model in networks else small
