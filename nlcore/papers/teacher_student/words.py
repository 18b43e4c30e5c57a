"""What tables and figures call things."""

from __future__ import annotations

from nlcore.data.download import CATALOGUE
from nlcore.data.source import Source
from nlcore.papers import deviations as common

NAMES = {
    "noisy": "noisy labels only",
    "finetune_whole": "fine-tune whole network",
    "finetune_last": "fine-tune last layer",
    "finetune_mixed": "last layer, mixed labels",
    "veit_pretrained": "Veit et al., pre-trained",
    "veit_joint": "Veit et al., joint",
    "proposed": "proposed",
    "ground_truth": "ground truth",
}
FROZEN = (
    "Features of a frozen ImageNet EfficientNet-Lite2 stand for the pixels; the network is a multi-layer head on them "
    "(512 ReLU units, the shared features f), so 'whole network' means that head. Rates are ten times the paper's, "
    "since a pass has 23 batches instead of 1,066. A fifth of the training part is for validation."
)
SIMULATED = (
    "Simulated features for COCO's training label sets at the paper's sizes stand for the pixels; the network is a "
    "multi-layer head on them (512 ReLU units, the shared features f), so 'whole network' means that head. Noisy "
    "labels are simulated to the published counts; images without any are left out then, so that fewer true labels "
    "are missing (26 %) than by Table 1 (30 %)."
)
SMALL = "A small COCO folder and an EfficientNet-Lite2; rates are three times the paper's."

NO_OPEN_IMAGES = "the data of Open Images V1 are not here"


def deviations(source: Source) -> str:
    """How the data differ from the published protocol's; nothing where they do not."""
    networks = ("resnet50", "inception_v3")  # on COCO, and on Open Images
    return common.deviations(source, embedded=FROZEN, simulated=SIMULATED, small=SMALL, networks=networks)


def how_to_get_open_images() -> str:
    """What Table 3 needs, how large it is and where it comes from."""
    lines = ["Table 3 needs Open Images V1 (release 2016_08):"]
    lines += [
        f"  {file.name}: about {(file.about or 0) / 1e6:,.0f} MB from {file.url}" for file in CATALOGUE["openimages_v1"]
    ]
    lines.append('fetched by nlcore.data.download.download("openimages_v1", FOLDER);')
    lines.append("dict.csv from the repository openimages/dataset;")
    lines += ["and the photographs, from the addresses in images.csv, as images/<ImageID>.jpg."]
    return "\n".join(lines)
