"""Robust Multi-label Active Learning for Missing Labels."""

from nlcore.papers.paper import Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="missing_label_al",
    title="Robust Multi-label Active Learning for Missing Labels",
    question="Where labels are missing, does asking for those of chosen images beat a loss that lives with the gaps?",
    key=("fig_6", "ml1"),
    package=__name__,
    notebook=notebooks_folder() / "02_missing_label_al.ipynb",
)
