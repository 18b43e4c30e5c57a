"""A strategy for paper 1, `multi_al`: run_all.py --papers multi_al --method examples/margin.py:margin"""

import numpy as np


def margin(view, number):
    """Margin: the classes nearest to one half.

    view: what the classifier sees of the pool (`nlcore.training.active.PoolView`): `probabilities` and given `labels`,
    (P, K) both, `features` (P, D), the last layer's `weights` (K, D), and `rng`. Returns `number` places in the pool.
    """
    from_half = np.abs(view.probabilities - 0.5).min(axis=1)
    return np.argsort(from_half, kind="stable")[:number]
