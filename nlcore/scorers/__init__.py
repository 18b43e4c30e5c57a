"""Scorers: which images, or which of their labels, to look at first.

`label_quality` and `confident_learning` (paper 3) rank and flag annotations; `mislabelling` and `uncertainty` (paper 1)
and `missing_ratio` (paper 2) choose what the oracle relabels, and `selection` takes the batch; `blocks` lets the first
two work on arrays that do not fit into memory.
"""

from nlcore.scorers.confident_learning import find_label_issues
from nlcore.scorers.label_quality import POOLINGS, label_quality_scores

__all__ = ["POOLINGS", "find_label_issues", "label_quality_scores"]
