"""The ladder: a paper's headline claims again, on simulated COCO of several sizes and qualities.

A profile's entry `ladder` names its rungs; `settings` are those in which a rung differs from the profile. A quality is
the mAP, in percent, that plain ASL reaches on all 65,268 images of paper 4 without noise:

    ladder:
      rungs: {45: [2000], 75: [2000, 8000]}  # quality -> numbers of training images; null: as many as COCO has
      scales: {45: 2.0, 75: 1.0}             # quality -> scale of the simulated features' noise
      source: {model: mlp}
      settings: {seeds: [0, 1], noises: [0.4]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlcore.errors import InputError

if TYPE_CHECKING:
    from nlcore.papers.profiles import Resources
    from nlcore.runs import Spec

ENTRY = "ladder"
FIELDS = {"rungs", "scales", "source", "settings"}


@dataclass(frozen=True)
class Rung:
    """One size and quality, and the runs of the paper's headline claims there."""

    images: int | None
    quality: int  # mAP without noise, in percent
    specs: tuple[Spec, ...]


@dataclass(frozen=True)
class Grid:
    """All runs of a profile: those of its own data, and those of each rung."""

    main: tuple[Spec, ...]
    rungs: tuple[Rung, ...] = ()

    @property
    def specs(self) -> list[Spec]:
        """Each run once."""
        return list(dict.fromkeys(spec for part in (self.main, *(rung.specs for rung in self.rungs)) for spec in part))


def make_grid(
    settings: Mapping[str, Any],
    seeds: Sequence[int] | None,
    resources: Resources,
    *,
    grid: Callable[..., Sequence[Spec]],
    headline: Callable[[Spec], bool],
) -> Grid:
    """The runs of a profile's settings by a paper's own `grid`; of a rung only those behind the headline claims.

    Raises:
        InputError: what `grid` raises, or an entry `ladder` with other fields.
    """
    own = {name: value for name, value in settings.items() if name != ENTRY}
    rungs = tuple(
        Rung(images, quality, tuple(filter(headline, dict.fromkeys(grid(changed, seeds, resources)))))
        for images, quality, changed in _rungs(own, settings.get(ENTRY))
    )
    return Grid(tuple(dict.fromkeys(grid(own, seeds, resources))), rungs)


def _rungs(own: Mapping[str, Any], ladder: Mapping[str, Any] | None) -> Iterator[tuple[int | None, int, dict]]:
    """(images, quality, settings) of every rung."""
    if ladder is None:
        return
    if set(ladder) != FIELDS:
        raise InputError(f"ladder: found {', '.join(sorted(ladder))}; expected {', '.join(sorted(FIELDS))}")
    for quality, sizes in ladder["rungs"].items():
        for images in sizes:
            source = {"data": "simulated", **ladder["source"], "images": images, "scale": ladder["scales"][quality]}
            yield images, quality, {**own, **ladder["settings"], "source": source}
