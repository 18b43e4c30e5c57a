"""Multi-AL: Robust Active learning for Multi-label Classifier."""

from nlcore.papers.paper import Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="multi_al",
    title="Multi-AL: Robust Active learning for Multi-label Classifier",
    package=__name__,
    notebook=notebooks_folder() / "01_multi_al.ipynb",
)
