"""A paper's methods at other learning rates and numbers of epochs, and which of them images held out would choose.

Nothing is chosen on test images. Every point of the surface is trained twice: on all training images, tested as ever;
and on four fifths of them, tested on the fifth that was held out. By that second mAP each method gets its own rate and
length, so that a verdict does not hang on one rate that suits one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from nlcore.data.source import Images, Source
from nlcore.generators import generator
from nlcore.papers.aside import Aside
from nlcore.runs import Result, Spec

HELD_OUT = 0.2  # share of the training images
Judged = Literal["test", "held out"]
POINT = ["epochs", "learning_rate"]  # of the surface
CHOSEN = "every method at the rate and epochs that images held out choose"  # a reading


class HeldOutSource(Source):
    """A source without its test images: a fifth of its training images, one and the same for all seeds, stands there.

    A run is given it in its own source's place and notices nothing. No run is described by it (`SurfaceRun`).
    """

    def load(self) -> Images:
        images = Source(**dict(self)).load()
        order = generator("held out").permutation(images.train)
        kept, held_out = np.split(order, [round((1 - HELD_OUT) * len(order))])
        return replace(images, train=np.sort(kept), test=np.sort(held_out))

    def sizes(self) -> tuple[int, int]:
        train, _ = Source(**dict(self)).sizes()
        kept = round((1 - HELD_OUT) * train)
        return kept, train - kept


class SurfaceRun(Aside):
    """A run of a paper as a point of its surface, judged on the test images or on training images held out.

    Result: that of `run`, whatever it calls its test images.
    """

    judged: Judged

    def shared_pass(self) -> Hashable | None:
        own = super().shared_pass()
        return None if own is None else (self.judged, own)

    def requires(self) -> Sequence[Spec]:
        return [_Required(run=needed, judged=self.judged) for needed in self.run.requires()]

    def placed(self) -> Spec:
        """The run, on the images that it is to be judged on."""
        if self.judged == "test":
            return self.run
        return self.run.model_copy(update={"source": HeldOutSource(**dict(self.source))})


class _Required(SurfaceRun):
    """What a `SurfaceRun` needs first: it shares no pass, so that none leads to one that does."""

    def shared_pass(self) -> None:
        return None


def surface_runs(
    points: Iterable[Any], make: Callable[[Any], Iterable[Spec]], *, tested: bool = True
) -> Iterator[SurfaceRun]:
    """The runs of a surface: every point judged on images held out, and those that a profile lacks on test images.

    Args:
        points: protocols; the first is the profile's own, whose tested runs the profile has.
        make: protocol -> the runs of a point.
        tested: whether the other points are judged on test images here; else the profile has those runs, too.
    """
    for place, protocol in enumerate(points):
        for run in make(protocol):
            yield SurfaceRun(run=run, judged="held out")
            if place and tested:
                yield SurfaceRun(run=run, judged="test")


def surface_frame(
    finished: Mapping[Spec, Result], rows: Callable[[Any, Result], Iterable[Mapping[str, Any]]]
) -> pd.DataFrame:
    """The surface (see `joined`) of its runs, those of the profile's own among them; rows: `surface_row`s of a run."""
    tested, held_out = [], []
    for spec, result in finished.items():
        at_point = isinstance(spec, SurfaceRun)
        place = held_out if at_point and spec.judged == "held out" else tested
        place.extend(rows(spec.run if at_point else spec, result))
    return joined(tested, held_out)


def surface_row(spec: Spec, method: str, seed: int, curve: np.ndarray, **metric: Any) -> dict[str, Any]:
    """A run of a surface as `joined` takes it. curve: (epochs,) mAP in percent by epoch; metric: `map`, `map_moved`."""
    point = {name: getattr(spec.protocol, name) for name in POINT}
    return {**point, "method": method, "seed": seed, "curve": np.asarray(curve), **metric}


def joined(tested: Iterable[Mapping[str, Any]], held_out: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The surface, a row for each method, point and seed that was judged on both kinds of images.

    Returns:
        epochs, learning_rate, method, seed, map and map_moved of the test images; `held_out`, mAP on the images held
        out; `stopped`, mAP on the test images after the epoch at which that was highest (NaN where only the last model
        was tested). In percent; both are NaN where a profile holds no images out.
    """
    place = [*POINT, "method", "seed"]
    tested, held_out = list(tested), list(held_out)
    rows = pd.DataFrame(tested, columns=None if tested else [*place, "map", "curve"])
    if not held_out:
        return rows.assign(held_out=np.nan, stopped=np.nan).drop(columns="curve")
    others = pd.DataFrame(held_out)[[*place, "map", "curve"]].rename(columns={"map": "held_out", "curve": "judged"})
    found = rows.merge(others, on=place)  # the profile's own runs have more seeds than the surface
    stopped = [_stopped(curve, judged) for curve, judged in zip(found.curve, found.judged, strict=True)]
    return found.assign(stopped=stopped).drop(columns=["curve", "judged"])


def _stopped(curve: np.ndarray, judged: np.ndarray) -> float:
    """A curve's value where the other is highest; NaN of curves of a single epoch.

    >>> _stopped(np.array([1.0, 2.0, 4.0]), np.array([5.0, 6.0, 3.0]))
    2.0
    """
    return float(curve[judged.argmax()]) if len(curve) == len(judged) > 1 else np.nan


def chosen_points(surface: pd.DataFrame) -> pd.DataFrame:
    """For each method the point with the highest mean mAP on images held out; of equal ones the first in `surface`."""
    means = surface.groupby(["method", *POINT], sort=False).held_out.mean().dropna()
    best = means.groupby("method", sort=False).idxmax()
    return pd.DataFrame(list(best), columns=["method", *POINT])


def at_chosen_points(surface: pd.DataFrame) -> pd.DataFrame:
    """The rows of a surface, each method's at its own choice."""
    return surface.merge(chosen_points(surface), on=["method", *POINT])
