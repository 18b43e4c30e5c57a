"""One package per paper: its protocol, its tables and figures, its claims."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from nlcore.errors import InputError

# Papers whose notebook exists, in the order in which the batch takes them.
NOTEBOOKS = {
    "multi_al": "01_multi_al.ipynb",
    "missing_label_al": "02_missing_label_al.ipynb",
    "cleanlab_ema": "03_cleanlab_ema.ipynb",
    "galc_slr": "04_galc_slr.ipynb",
    "teacher_student": "05_teacher_student.ipynb",
}

TITLES = {
    "multi_al": "Multi-AL: Robust Active learning for Multi-label Classifier",
    "missing_label_al": "Robust Multi-label Active Learning for Missing Labels",
    "cleanlab_ema": "Identifying Incorrect Annotations in Multi-Label Classification Data",
    "galc_slr": "Multi-Label Gold Asymmetric Loss Correction with Single-Label Regulators",
    "teacher_student": "Multi-label Learning from Noisy Labels with Non-linear Feature Transformation",
}


def study_of(paper: str) -> ModuleType:
    """The module that holds a paper's `grid`.

    Raises:
        InputError: no paper of that name; names those there are.
    """
    if paper not in NOTEBOOKS:
        raise InputError(f"paper {paper!r}: unknown; expected one of {', '.join(NOTEBOOKS)}")
    return import_module(f"nlcore.papers.{paper}.study")
