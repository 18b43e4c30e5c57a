"""The ladder: a paper's headline claims again, on simulated COCO of several sizes and qualities.

A profile's entry `ladder` names its rungs; `settings` are those in which a rung differs from the profile. A quality is
the mAP, in percent, that plain ASL reaches on all 65,268 images of paper 4 without noise:

    ladder:
      rungs: {45: [2000], 75: [2000, 8000]}  # quality -> numbers of training images; null: as many as COCO has
      scales: {45: 2.0, 75: 1.0}             # quality -> scale of the simulated features' noise
      source: {model: mlp}
      settings: {seeds: [0, 1], noises: [0.4]}
      sweep: {quality: 75, images: 2000, noisy_right: [0.4, 0.9]}  # paper 5's: shares of noisy labels that are right
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
SWEEP = "sweep"  # may be left out
SWEEP_FIELDS = {"quality", "images", "noisy_right"}


@dataclass(frozen=True)
class Rung:
    """One size and quality, and the runs of the paper's headline claims there."""

    images: int | None
    quality: int  # mAP without noise, in percent
    specs: tuple[Spec, ...]
    right: float | None = None  # share of the noisy labels that are right, on a rung of the sweep


@dataclass(frozen=True)
class Grid:
    """All runs of a profile: those of its own data, those of each rung, and those by the quality of the labels."""

    main: tuple[Spec, ...]
    rungs: tuple[Rung, ...] = ()
    sweep: tuple[Rung, ...] = ()

    @property
    def specs(self) -> list[Spec]:
        """Each run once."""
        parts = (self.main, *(rung.specs for rung in (*self.rungs, *self.sweep)))
        return list(dict.fromkeys(spec for part in parts for spec in part))


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
    main, ladder = tuple(dict.fromkeys(grid(own, seeds, resources))), settings.get(ENTRY)
    if ladder is None:
        return Grid(main)
    _check("ladder", {*ladder} - {SWEEP}, FIELDS)
    sweep = ladder.get(SWEEP)

    def rung(quality: int, images: int | None, **source: float) -> Rung:
        source = {"data": "simulated", **ladder["source"], **source, "scale": ladder["scales"][quality]}
        changed = {**own, **ladder["settings"], "source": source | {"images": images}}
        specs = tuple(filter(headline, dict.fromkeys(grid(changed, seeds, resources))))
        return Rung(images, quality, specs, source.get("noisy_right"))

    rungs = tuple(rung(quality, images) for quality, sizes in ladder["rungs"].items() for images in sizes)
    return Grid(main, rungs, tuple(_swept(sweep, rung)) if sweep else ())


def _swept(sweep: Mapping[str, Any], rung: Callable[..., Rung]) -> Iterator[Rung]:
    """One rung at several shares of right labels."""
    _check("sweep", {*sweep}, SWEEP_FIELDS)
    for right in sweep["noisy_right"]:
        yield rung(sweep["quality"], sweep["images"], noisy_right=right)


def _check(what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise InputError(f"{what}: found {', '.join(sorted(found))}; expected {', '.join(sorted(expected))}")
