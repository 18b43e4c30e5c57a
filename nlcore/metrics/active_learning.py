"""What the labels bought: metrics of active learning (paper 2, 4.1).

mAP is a fraction in [0, 1] and a cost a number of cells (one class of one image), as everywhere in the suite.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcore.errors import InputError, require

Array = Any  # a NumPy array or a torch tensor


def increase_per_label(initial: Array, final: Array, cost: Array) -> Array:
    """I of paper 2, Eq. 7: (a_10 - a_0) / c_10, the mAP gained per relabelled cell.

    Args:
        initial: a_0, mAP before the first selection, a fraction; a number or an array of any shape, as the others.
        final: a_10, mAP after the last.
        cost: c_10, number of cells the oracle has labelled by then; must be positive.

    Returns:
        A fraction per cell, of the arguments' common shape. The paper speaks of per cent.

    Raises:
        InputError: a cost of 0 or less.

    >>> increase_per_label(0.28, 0.36, 8_000)
    1e-05
    """
    if np.any(np.asarray(cost) <= 0):
        raise InputError("cost: found 0 or less, so nothing was relabelled; expected a positive number of cells")
    return (final - initial) / cost


def value_at_cost(costs: Array, values: Array, cost: float) -> float:
    """The metric that `cost` relabelled cells buy (paper 2, third heuristic), by linear interpolation.

    Args:
        costs: (I,) cells relabelled up to each iteration, strictly increasing, c_0 = 0.
        values: (I,) the metric at each iteration.
        cost: the budget in cells, at least c_0. A measure that ends below the budget keeps its last value: it had more
            to spend and did not need it (at 60 % Medium ends at about 20,450 of the paper's 21,000 cells).

    Returns:
        The metric, in the unit of `values`.

    Raises:
        InputError: costs that do not increase, not one value for every cost, or a budget below c_0.

    >>> value_at_cost([0, 100, 200], [0.2, 0.4, 0.5], 150)
    0.45
    """
    costs, values = np.asarray(costs, float), np.asarray(values, float)
    if costs.shape != values.shape or costs.ndim != 1 or costs.size == 0 or np.any(np.diff(costs) <= 0):
        raise InputError("costs: found unordered or too few; expected strictly increasing ones, one for every value")
    require(cost >= costs[0], "cost", cost, f"at least {costs[0]}, that of the first iteration")
    return float(np.interp(cost, costs, values))
