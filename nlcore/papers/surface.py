"""A paper's methods at other learning rates and numbers of epochs, and which of them images held out would choose.

Nothing is chosen on test images. Every point of the surface is trained twice: on all training images, tested as ever;
and on four fifths of them, tested on the fifth that was held out. By that second mAP each method gets its own rate and
length, so that a verdict does not hang on one rate that suits one of them.

The images held out have their true labels, which none of the papers' methods has of so many: a choice as good as it can
be, not one that a user of noisy labels could make. Intervals at the chosen points take the choice as given.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from nlcore.data.division import stratified_division
from nlcore.data.embedded_set import BoxCrops
from nlcore.data.source import Images, Source
from nlcore.papers.aside import Aside
from nlcore.runs import Result, Spec

HELD_OUT = 0.2  # share of the training images
Judged = Literal["test", "held out"]
POINT = ["epochs", "learning_rate"]  # of the surface
CHOSEN = "every method at the rate and epochs that images held out choose, at 40 %"  # a reading


class HeldOutSource(Source):
    """A source without its test images: a fifth of its training images, one and the same for all seeds, stands there.

    The fifth has its share of every class. Boxes of single objects are of the other images alone. A run is given it in
    its own source's place and notices nothing. No run is described by it (`SurfaceRun`).
    """

    def load(self) -> Images:
        """The images, those held out in the place of the test images."""
        images = Source(**dict(self)).load()
        apart = stratified_division(images.targets[images.train], test_share=HELD_OUT, seed=0)
        kept = images.train[~apart]
        crops = None if images.crops is None else _of_images(images.crops, kept)
        return replace(images, train=kept, test=images.train[apart], crops=crops)

    def sizes(self) -> tuple[int, int]:
        """About how many are trained on, and how many held out."""
        train, _ = Source(**dict(self)).sizes()
        kept = round((1 - HELD_OUT) * train)
        return kept, train - kept


def _of_images(crops: BoxCrops, rows: np.ndarray) -> BoxCrops:
    """The boxes that are cut from some images."""
    there = np.isin(crops.rows, rows)
    return BoxCrops(**{one.name: getattr(crops, one.name)[there] for one in fields(crops)})


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


def surface_points(own: Any, changes: Iterable[Mapping[str, Any]]) -> list[Any]:
    """The protocols of a surface: the profile's own first, then what each of `changes` makes of it."""
    return [own, *(own.model_copy(update=change) for change in changes)]


def surface_runs(
    points: Iterable[Any], make: Callable[[Any, Judged], Iterable[Spec]], *, tested: bool = True
) -> Iterator[SurfaceRun]:
    """The runs of a surface: every point judged on images held out, and those that a profile lacks on test images.

    Args:
        points: protocols; the first is the profile's own, whose tested runs the profile has.
        make: the runs of a point, from its protocol and what they are judged on.
        tested: whether the other points are judged on test images here; else the profile has those runs, too.
    """
    for place, protocol in enumerate(points):
        yield from (SurfaceRun(run=run, judged="held out") for run in make(protocol, "held out"))
        if place and tested:
            yield from (SurfaceRun(run=run, judged="test") for run in make(protocol, "test"))


def surface_frame(
    finished: Mapping[Spec, Result],
    of_surface: Callable[[Spec], bool],
    rows: Callable[[Any, Result], Iterable[Mapping[str, Any]]],
) -> pd.DataFrame:
    """The surface (see `joined`) among finished runs.

    Args:
        of_surface: whether a run belongs to it; the profile's own do at their point.
        rows: the `surface_row`s of a run.
    """
    tested, held_out = [], []
    for spec, result in finished.items():
        if not of_surface(spec):
            continue
        at_point = isinstance(spec, SurfaceRun)
        place = held_out if at_point and spec.judged == "held out" else tested
        place.extend(rows(spec.run if at_point else spec, result))
    return joined(tested, held_out)


def surface_row(spec: Spec, method: str, seed: int, curve: np.ndarray, **more: Any) -> dict[str, Any]:
    """A run of a surface as `joined` takes it.

    Args:
        curve: (epochs,) mAP in percent by epoch.
        more: `map` and `map_moved`, in percent; `trained`: its epochs in words, where they are not those of the point.
    """
    point = {name: getattr(spec.protocol, name) for name in POINT}
    row = {**point, "method": method, "seed": seed, "curve": np.asarray(curve), "trained": str(spec.protocol.epochs)}
    return row | more


def joined(tested: Iterable[Mapping[str, Any]], held_out: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The surface, a row for each method, point and seed that was tested.

    Returns:
        epochs, learning_rate, method, seed, trained, map and map_moved of the test images; `held_out`, mAP on the
        images held out; `stopped`, mAP on the test images after the epoch at which that was highest (NaN where only
        the last model was tested). In percent; both are NaN where no images were held out.
    """
    place = [*POINT, "method", "seed"]
    tested, held_out = list(tested), list(held_out)
    rows = pd.DataFrame(tested, columns=None if tested else [*place, "trained", "map", "curve"])
    if not held_out:
        return rows.assign(held_out=np.nan, stopped=np.nan).drop(columns="curve")
    others = pd.DataFrame(held_out)[[*place, "map", "curve"]].rename(columns={"map": "held_out", "curve": "judged"})
    found = rows.merge(others, on=place, how="left")
    stopped = [_stopped(curve, judged) for curve, judged in zip(found.curve, found.judged, strict=True)]
    return found.assign(stopped=stopped).drop(columns=["curve", "judged"])


def _stopped(curve: np.ndarray, judged: np.ndarray) -> float:
    """A curve's value where the other is highest; NaN where there is no other, or one of a single epoch.

    >>> _stopped(np.array([1.0, 2.0, 4.0]), np.array([5.0, 6.0, 3.0]))
    2.0
    """
    known = isinstance(judged, np.ndarray) and len(curve) == len(judged) > 1
    return float(curve[judged.argmax()]) if known else np.nan


def chosen_points(surface: pd.DataFrame) -> pd.DataFrame:
    """For each method the point with the highest mean mAP on images held out; of equal ones the first in `surface`.

    None of a method whose points did not all run with the same seeds.

    Returns:
        method, epochs, learning_rate; `alone`: of how many seeds that point is the best for the seed alone.
    """
    rows = []
    for method, own in surface.dropna(subset="held_out").groupby("method", sort=False):
        own = own.drop_duplicates([*POINT, "seed"])
        values = own.pivot(index="seed", columns=POINT, values="held_out")
        values = values[list(own[POINT].drop_duplicates().itertuples(index=False, name=None))]  # in the surface's order
        if values.notna().all(axis=None):
            best = values.mean().idxmax()
            rows.append([method, *best, int((values.idxmax(axis=1) == best).sum())])
    return pd.DataFrame(rows, columns=["method", *POINT, "alone"])


def at_chosen_points(surface: pd.DataFrame) -> pd.DataFrame:
    """The rows of a surface, each method's at its own choice, of the seeds that chose."""
    chosen, judged = chosen_points(surface).drop(columns="alone"), surface.dropna(subset="held_out")
    return judged.merge(chosen, on=["method", *POINT]) if len(chosen) else surface[:0]
