"""What the labels bought: metrics of active learning (paper 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcore.errors import InputError

Array = Any  # a NumPy array or a torch tensor


def increase_per_label(initial: Array, final: Array, cost: Array) -> Array:
    """I of paper 2, Eq. 7: (a_10 - a_0) / c_10, the mAP gained per relabelled cell.

    Args:
        initial: a_0, mAP before the first selection.
        final: a_10, mAP after the last.
        cost: c_10, number of cells the oracle has labelled by then; must be positive.
    """
    if np.any(np.asarray(cost) <= 0):
        raise InputError("increase per label needs a positive cost: nothing was relabelled")
    return (final - initial) / cost


def value_at_cost(costs: Array, values: Array, cost: float) -> float:
    """The metric that `cost` relabelled cells buy (paper 2, third heuristic), by linear interpolation.

    Args:
        costs: (I,) cells relabelled up to each iteration, strictly increasing, c_0 = 0.
        values: (I,) the metric at each iteration.
        cost: the budget, at least c_0. A measure that ends below the budget keeps its last value: it had more to
            spend and did not need it (at 60 % Medium ends at about 20,450 of the paper's 21,000 cells).

    >>> value_at_cost([0, 100, 200], [0.2, 0.4, 0.5], 150)
    0.45
    """
    costs, values = np.asarray(costs, float), np.asarray(values, float)
    if costs.shape != values.shape or costs.ndim != 1 or costs.size == 0 or np.any(np.diff(costs) <= 0):
        raise InputError("costs must be strictly increasing, one for every value")
    if cost < costs[0]:
        raise InputError(f"a cost of {cost} lies before the first iteration's {costs[0]}")
    return float(np.interp(cost, costs, values))
