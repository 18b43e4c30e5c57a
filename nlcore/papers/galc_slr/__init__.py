"""Multi-Label Gold Asymmetric Loss Correction with Single-Label Regulators."""

from nlcore.papers.paper import Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="galc_slr",
    title="Multi-Label Gold Asymmetric Loss Correction with Single-Label Regulators",
    question="Can a loss be corrected for wrong labels by a matrix that is estimated from a tenth of clean images?",
    key=("table_1", "gs1"),
    package=__name__,
    notebook=notebooks_folder() / "04_galc_slr.ipynb",
)
