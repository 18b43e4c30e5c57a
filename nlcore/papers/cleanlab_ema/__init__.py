"""Identifying Incorrect Annotations in Multi-Label Classification Data."""

from nlcore.papers.paper import Need, Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="cleanlab_ema",
    title="Identifying Incorrect Annotations in Multi-Label Classification Data",
    question="How should the scores of an image's labels be pooled, so that wrongly annotated images come first?",
    key=("fig_2", "ce1"),
    package=__name__,
    notebook=notebooks_folder() / "03_cleanlab_ema.ipynb",
    needs=(
        Need(
            artefacts=("table_1", "fig_1", "fig_4"),
            data="CelebA (202,599 photographs and the attribute list; the photographs have to be fetched by a person, "
            "see nlcore/data/celeba.py; from the list alone its tags are told from the other attributes)",
            instead="the same on embedded COCO images",
            command="python run_all.py --papers cleanlab_ema --profile paper --celeba-root CELEBA",
        ),
    ),
)
