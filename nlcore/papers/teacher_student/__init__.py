"""Multi-label Learning from Noisy Labels with Non-linear Feature Transformation."""

from nlcore.papers.paper import Need, Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="teacher_student",
    title="Multi-label Learning from Noisy Labels with Non-linear Feature Transformation",
    question="Does a teacher that cleans noisy labels train a better student than fine-tuning on the clean images?",
    key=("fig_5", "ts1"),
    package=__name__,
    notebook=notebooks_folder() / "05_teacher_student.ipynb",
    needs=(
        Need(
            artefacts=("table_3",),
            data="Open Images V1 (about 1.5 GB of lists and labels, and the photographs they name; see "
            "nlcore/data/openimages.py)",
            instead="the published values alone",
            command="python run_all.py --papers teacher_student --profile paper --data-root COCO "
            "--open-images-root OPENIMAGES",
        ),
    ),
)
