"""Which images the expert completes: the paper's measures, and which of them must come to the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nlcore.errors import InputError
from nlcore.papers.missing_label_al.protocol import DEFAULT_SHARE
from nlcore.scorers.missing_ratio import Measure, select_batch
from nlcore.scorers.uncertainty import prediction_entropy
from nlcore.training.active import PoolView, Strategy, named

Combination = Literal["ties", "product"]


@dataclass(frozen=True)
class Way:
    """How a measure ranks: by which ratio of `select_batch`, and whether entropy (Eq. 6) is combined with it."""

    ratio: Measure
    entropy: bool

    @property
    def counts_labels(self) -> bool:
        """Whether it looks at how many labels an image lacks."""
        return self.ratio not in ("random", "entropy")


MEASURES = {
    "random": Way("random", entropy=False),
    "medium": Way("medium", entropy=False),
    "hard": Way("hard", entropy=False),
    "hard_medium": Way("hard+medium", entropy=False),
    "entropy": Way("entropy", entropy=True),
    "medium_entropy": Way("medium", entropy=True),
    "hard_entropy": Way("hard", entropy=True),
    "hard_medium_entropy": Way("hard+medium", entropy=True),
}
BLIND = tuple(name for name, way in MEASURES.items() if not way.entropy)  # they see nothing of the image


def strategy_of(measure: str, *, combination: Combination = "ties", hard_share: float = DEFAULT_SHARE) -> Strategy:
    """A measure as a strategy of the active-learning loop.

    Raises:
        InputError: no measure of that name.
    """
    way = named(measure, MEASURES, what="measure")

    def choose(view: PoolView, number: int) -> np.ndarray:
        entropy = prediction_entropy(view.probabilities) if way.entropy else None
        options = {"combination": combination, "hard_share": hard_share, "rng": view.rng}
        return select_batch(view.labels, number, measure=way.ratio, entropy=entropy, **options)

    return choose


@dataclass(frozen=True)
class Choice:
    """What decides which images are completed. `noise` is None where it does not matter."""

    measure: str
    noise: float | None
    hard_share: float = DEFAULT_SHARE  # of Hard+Medium
    combination: Combination = "ties"  # of a ratio with entropy

    @property
    def is_default(self) -> bool:
        """Whether it is one of the eight measures as the default readings have them."""
        return (self.hard_share, self.combination) == (DEFAULT_SHARE, "ties")


def canonical(choice: Choice, *, alike_up_to: float) -> Choice:
    """The one choice that stands for all those which must complete the same images in the same order.

    Training sees completed images only, so the same images mean the same results.

    * Random and entropy never look at which labels are missing: their images do not depend on the noise. (What these
      cost does: it follows from the images.)
    * Medium (Eq. 4) ranks by |r - 1|, the lower the better, Hard (Eq. 5) by r, the higher the better, where r is
      unknown to known labels. While no image lacks more than half of its labels r is at most 1, |r - 1| is 1 - r, and
      both rank alike, as does every split of Hard+Medium, with entropy and without. `alike_up_to` is the noise up to
      which that is so; Hard stands for all three.
    * A split matters to Hard+Medium alone, and a rule of combination where entropy meets a ratio.

    Raises:
        InputError: no measure of that name, or no noise for one that counts missing labels.
    """
    way = named(choice.measure, MEASURES, what="measure")
    if not way.counts_labels:
        return Choice(choice.measure, None)
    if choice.noise is None:
        raise InputError(f"noise None: {choice.measure} counts missing labels; expected the fraction that is missing")
    combination = choice.combination if way.entropy else "ties"
    if choice.noise <= alike_up_to:
        return Choice("hard_entropy" if way.entropy else "hard", choice.noise, combination=combination)
    share = choice.hard_share if way.ratio == "hard+medium" else DEFAULT_SHARE
    return Choice(choice.measure, choice.noise, share, combination)


def stands_for(choice: Choice, levels: Sequence[float], *, alike_up_to: float) -> list[Choice]:
    """The choices whose results are those of a canonical one: of the eight measures at `levels`, or itself alone."""
    defaults = [Choice(measure, noise) for noise in levels for measure in MEASURES]
    same = [other for other in defaults if canonical(other, alike_up_to=alike_up_to) == choice]
    return same or [choice]
