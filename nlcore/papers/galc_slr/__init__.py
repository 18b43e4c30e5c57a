"""Multi-Label Gold Asymmetric Loss Correction with Single-Label Regulators."""

from nlcore.papers.paper import Paper
from nlcore.places import notebooks_folder

PAPER = Paper(
    id="galc_slr",
    title="Multi-Label Gold Asymmetric Loss Correction with Single-Label Regulators",
    package=__name__,
    notebook=notebooks_folder() / "04_galc_slr.ipynb",
)
