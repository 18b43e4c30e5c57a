"""Means of paired differences with their 95 % intervals: over seeds, data sets that share something, and panels.

The units are what was drawn independently: seeds, or data sets on which several panels were measured. Differences of
one unit are averaged first. Units of several strata (groups of data sets, say) give one mean per stratum, all alike in
weight:

    mean = 1/S sum_s m_s,  error^2 = 1/S^2 sum_s v_s,  v_s = s_s^2 / n_s

and Student's t with Satterthwaite's degrees of freedom, (sum v_s)^2 / sum(v_s^2 / (n_s - 1)) (Welch 1947; Cochran,
"Sampling techniques", 5.4). With one stratum this is the paired t interval.

Seeds change what is trained on, not what is tested on. Where a metric is known in bootstrap draws of the test images
too (`nlcore.report.draws`), the variance that all seeds have in common over the draws, v_i, is added to error^2: what
one seed's difference owes to the images and another's does not is in the spread of the seeds already. The degrees of
freedom are then (sum v_s + v_i)^2 / (sum(v_s^2 / (n_s - 1)) + v_i^2 / 199). The wider of this interval and that over
the seeds alone decides: with two seeds or three the second is, and the first too narrow.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nlcore.report.draws import error_of_draws, measured

CONFIDENCE = 0.95
OF_DRAWS = 199  # degrees of freedom of a variance over 200 draws
POWER = 0.80  # chance with which the smallest detectable difference would have been found
ROUNDING = 1e-12  # a mean this near to 0 is 0: what is left of sums in binary
Strata = tuple[tuple[float, ...], ...]  # one tuple per stratum, one number per independent unit


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, over `pairs` independent units; `detectable` is the smallest one we could have shown.

    error, freedom: standard error of the mean and its degrees of freedom. units, images: its variance by the units,
    `spare` degrees of freedom, and by the test images.
    """

    mean: float
    low: float
    high: float
    detectable: float
    pairs: int
    error: float
    freedom: float
    units: float = 0.0
    images: float = 0.0
    spare: float = 0.0

    def __str__(self) -> str:
        return "{} [{}, {}]".format(*map(_three_digits, (self.mean, self.low, self.high)))

    @property
    def bounded(self) -> bool:
        """Whether there were units enough for an interval."""
        return bool(np.isfinite(self.error))

    @property
    def share_of_images(self) -> float:
        """The part of the variance that the choice of the test images has."""
        return self.images / (self.units + self.images) if self.images else 0.0

    def at(self, pairs: int) -> Estimate:
        """What is to be expected of so many units: as large a mean, as much spread, and the same test images."""
        if not self.bounded:
            return self
        strata = self.pairs - self.spare  # the units that tell nothing of the spread
        return _interval(self.mean, pairs, self.units * self.pairs / pairs, self.images, pairs - strata)

    def power(self, size: float, low: float = 0.0, high: float = np.inf) -> float:
        """Chance that the interval would have lain between `low` and `high`, were the true mean `size`.

        With the error that was found; for one bound from the noncentral t distribution, for two from a shifted one.
        """
        if not self.bounded:
            return 0.0
        if self.error == 0:
            return float(low < size < high)
        above, below = (size - low) / self.error, (high - size) / self.error
        if np.isinf(above) or np.isinf(below):
            return float(stats.nct.sf(_reach(self.freedom), self.freedom, min(above, below)))
        upper, lower = stats.t.cdf([below - _reach(self.freedom), _reach(self.freedom) - above], self.freedom)
        return float(max(0.0, upper - lower))

    def chance_beyond(self, bound: float) -> float:
        """One-sided p value of a mean this far below `bound`, were the true mean `bound`."""
        if not self.bounded:
            return 1.0
        if self.error == 0:
            return float(self.mean >= bound)
        return float(stats.t.cdf((self.mean - bound) / self.error, self.freedom))


def _three_digits(value: float) -> str:
    """A number for people: 2190 and not 2.19e+03, and what is 0 but for rounding as 0.

    >>> _three_digits(2194.6), _three_digits(2.8e-15), _three_digits(-0.05678)
    ('2190', '0', '-0.0568')
    """
    return f"{0 if abs(value) < ROUNDING else float(f'{value:.3g}'):g}"


def by_unit(
    differences: Sequence[float], clusters: Iterable[Hashable] | None = None, strata: Iterable[Hashable] | None = None
) -> Strata:
    """Differences as one number per independent unit, in strata.

    Args:
        differences: one number per pair; missing ones are left out, and so is what draws made of them.
        clusters: the unit of each pair, such as its data set; each pair its own without.
        strata: the stratum of each pair; one for all without. A unit belongs to one stratum.
    """
    values = np.asarray(measured(differences), dtype=float)
    if clusters is None and strata is None:
        known = values[~np.isnan(values)]
        return (tuple(map(float, known)),) if len(known) else ()
    table = pd.DataFrame({"value": values, "cluster": range(len(values)), "stratum": 0})
    for name, labels in (("cluster", clusters), ("stratum", strata)):
        if labels is not None:
            table[name] = list(labels)
    units = table.dropna(subset="value").groupby(["stratum", "cluster"], sort=True).value.mean()
    return tuple(tuple(map(float, part)) for _, part in units.groupby(level="stratum"))


def estimate(differences: Sequence[float]) -> Estimate:
    """Mean and interval of paired differences, one per unit; a single one gives an unbounded interval.

    Where a series has them in draws of the test images too, these have their part in the interval.
    """
    return estimate_strata((tuple(np.asarray(measured(differences), dtype=float)),), error_of_draws(differences))


def estimate_strata(units: Strata, of_images: float | None = None) -> Estimate:
    """Mean of the strata's means with its interval; a stratum of a single unit leaves it unbounded.

    of_images: standard error of the mean over draws of the test images, where these are known.
    """
    sizes = np.array([len(part) for part in units])
    mean, pairs = float(np.mean([np.mean(part) for part in units])), int(sizes.sum())
    if sizes.min() < 2:
        return Estimate(mean, -np.inf, np.inf, np.inf, pairs, np.inf, 0.0)
    spread = np.array([np.var(part, ddof=1) for part in units]) / sizes / len(units) ** 2
    freedom = float(spread.sum() ** 2 / (spread**2 / (sizes - 1)).sum()) if spread.any() else float((sizes - 1).sum())
    return _interval(mean, pairs, float(spread.sum()), (of_images or 0.0) ** 2, freedom)


def _interval(mean: float, pairs: int, units: float, images: float, spare: float) -> Estimate:
    """From the two variances of the mean: the wider one of the interval over both and of that over the units alone."""
    whole = units + images
    both = float(np.sqrt(whole)), whole**2 / (units**2 / spare + images**2 / OF_DRAWS) if whole else spare
    error, freedom = max((both, (float(np.sqrt(units)), spare)), key=lambda pair: pair[0] * _reach(pair[1]))
    reach = _reach(freedom) * error
    detectable = reach + float(stats.t.ppf(POWER, freedom)) * error
    return Estimate(mean, mean - reach, mean + reach, detectable, pairs, error, freedom, units, images, spare)


def _reach(freedom: float) -> float:
    """How many standard errors an interval reaches to either side."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def prediction(values: Sequence[float]) -> tuple[float, float]:
    """Between what the next run's value lies with 95 %, by n of ours; unbounded for n = 1.

    mean -+ t s sqrt(1 + 1/n) (Hahn and Meeker, "Statistical intervals", 4.7)
    """
    found = np.asarray(values, dtype=float)
    count = len(found)
    if count < 2:
        return -np.inf, np.inf
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.std(found, ddof=1) * np.sqrt(1 + 1 / count)
    return float(np.mean(found) - reach), float(np.mean(found) + reach)
