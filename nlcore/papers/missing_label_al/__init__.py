"""Robust Multi-label Active Learning for Missing Labels."""

from nlcore.papers.paper import Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="missing_label_al",
    title="Robust Multi-label Active Learning for Missing Labels",
    package=__name__,
    notebook=notebooks_folder() / "02_missing_label_al.ipynb",
)
