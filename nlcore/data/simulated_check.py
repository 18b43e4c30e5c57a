"""Comparing what simulated features predict with what real ones gave.

scripts/check_simulated.py writes the comparison to `simulated_checks.yaml`. Only a kind of claim whose check holds
there (`holding_kinds`) is to be decided by simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from nlcore.errors import require
from nlcore.yaml_text import read_yaml

FILE = Path(__file__).with_name("simulated_checks.yaml")
TOLERANCE = 3.0  # points of mAP

Cell = dict[str, str | float | bool]


def compare_cells(
    real: Mapping[str, float], simulated: Mapping[str, float], *, tolerance: float | Mapping[str, float] = TOLERANCE
) -> list[Cell]:
    """One row for each cell: `cell`, `real`, `simulated`, `difference` (simulated - real), `tolerance`, `within` it.

    Args:
        real, simulated: cell -> value, of the same cells and in one unit.
        tolerance: largest absolute difference that counts as predicted, of all cells or cell by cell.

    Raises:
        InputError: other cells in one than in the other.

    >>> compare_cells({"asl, 40 %": 30.0}, {"asl, 40 %": 34.0})
    [{'cell': 'asl, 40 %', 'real': 30.0, 'simulated': 34.0, 'difference': 4.0, 'tolerance': 3.0, 'within': False}]
    """
    missing = sorted(set(real) ^ set(simulated))
    require(not missing, "cells of only one side", missing, "the same cells, real and simulated")
    rows = []
    for cell, value in real.items():
        far = tolerance[cell] if isinstance(tolerance, Mapping) else tolerance
        difference = round(simulated[cell] - value, 2)
        found = {"real": round(value, 2), "simulated": round(simulated[cell], 2), "difference": difference}
        rows.append({"cell": cell} | found | {"tolerance": far, "within": bool(abs(difference) <= far)})
    return rows


def class_agreement(real: np.ndarray, simulated: np.ndarray) -> float:
    """Spearman's rank correlation of the average precision of K classes, (K,) each; NaN in either is left out.

    >>> round(class_agreement(np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.4, 0.6])), 6)
    1.0
    """
    known = ~(np.isnan(real) | np.isnan(simulated))
    return float(spearmanr(real[known], simulated[known]).statistic)


def read_checks(file: str | Path = FILE) -> dict[str, Any]:
    """What the checks found, by name.

    `held_out_score` and `distance_to_real` by form of the generator; `clean_map` of the real features, percent, and the
    `scale` at which simulated ones reach it; `seeds`; `class_rank_correlation`, and what it is
    `of_two_halves_of_the_real_images`; `cells`; `kinds`, each with its rows.

    Raises:
        InputError: no such file.
    """
    require(Path(file).is_file(), "checks of the simulation", str(file), "what scripts/check_simulated.py writes")
    return read_yaml(Path(file).read_text(encoding="utf-8"))


def holding_kinds(file: str | Path = FILE) -> tuple[str, ...]:
    """Kinds of claims in which simulated features predict the real ones: they may decide these claims."""
    return tuple(kind for kind, found in read_checks(file)["kinds"].items() if found["holds"])
