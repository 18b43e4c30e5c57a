"""Scorers: which images, or which of their labels, to look at first."""

from nlcore.scorers.confident_learning import find_label_issues
from nlcore.scorers.label_quality import POOLINGS, label_quality_scores

__all__ = ["POOLINGS", "find_label_issues", "label_quality_scores"]
