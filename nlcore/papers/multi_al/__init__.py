"""Multi-AL: Robust Active learning for Multi-label Classifier."""

from nlcore.papers.paper import Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="multi_al",
    title="Multi-AL: Robust Active learning for Multi-label Classifier",
    question="Where labels are wrong, is it worth having doubtful images labelled anew, and does it matter which?",
    key=("fig_10", "ma1"),
    package=__name__,
    notebook=notebooks_folder() / "01_multi_al.ipynb",
)
