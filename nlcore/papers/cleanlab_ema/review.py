"""Section 5.2: what held-out predictions say about the tags, and what a person is to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats.contingency import relative_risk

from nlcore.data.source import Images, Source
from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.metrics import lift_at
from nlcore.papers.cleanlab_ema.own import pooled
from nlcore.papers.cleanlab_ema.protocol import PAPER, REVIEWED, Kind
from nlcore.papers.cleanlab_ema.scoring import (
    HEADLINE,
    LIFT_SIZES,
    POOLINGS,
    detection_metrics,
    flag_metrics,
    pooling_name,
)
from nlcore.papers.cleanlab_ema.tagging import HeldOutTags, tagging_labels
from nlcore.papers.own import OwnMethod
from nlcore.report.intervals import CONFIDENCE, POWER, Estimate
from nlcore.runs import Result, Spec
from nlcore.scorers import find_label_issues, label_quality_scores
from nlcore.scorers.label_quality import self_confidence


@dataclass(frozen=True)
class Tagging:
    """Held-out predictions of n tagged images with K tags.

    `rows` (n,) are rows of the source, `given` and `probabilities` (n, K). `injected` maps a kind of error and a
    seed to (labels with errors, probabilities of the classifier that was trained on them), both (n, K).
    """

    source: Source
    class_names: tuple[str, ...]
    rows: np.ndarray
    given: np.ndarray
    probabilities: np.ndarray
    injected: Mapping[Kind, Mapping[int, tuple[np.ndarray, np.ndarray]]]

    @property
    def images(self) -> Images:
        """The images and labels."""
        return self.source.load()

    @property
    def on_celeba(self) -> bool:
        """Whether these are the paper's data."""
        return self.source.data == "celeba"

    @property
    def of_celeba(self) -> bool:
        """Whether the tags are CelebA's, if not told from its images."""
        return self.source.data in ("celeba", "attributes")

    def tags(self, position: int) -> str:
        """The given tags of the image at `position` of `rows`."""
        return ", ".join(name for name, given in zip(self.class_names, self.given[position], strict=True) if given)


def load_tagging(finished: Mapping[Spec, Result], left_out: Iterable[Spec] = ()) -> Tagging | None:
    """Put the held-out folds together: CelebA's where its images or attributes were run, else the embedded images'.

    A source of which a run was left out counts as not run; None where there is no other.
    """
    incomplete = {spec.source for spec in left_out if isinstance(spec, HeldOutTags)}
    runs = [spec for spec in finished if isinstance(spec, HeldOutTags) and spec.source not in incomplete]
    if not runs:
        return None
    source = next((spec.source for spec in runs if spec.source.from_folder), runs[0].source)
    images, found = source.load(), _joined_folds(source, runs, finished)
    as_given = found.pop(("swapped", None))
    given, rows = images.targets, np.flatnonzero(np.isfinite(as_given[:, 0]))
    injected: dict[Kind, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for (kind, seed), probabilities in found.items():
        injected.setdefault(kind, {})[seed] = tagging_labels(images, seed, kind)[rows], probabilities[rows]
    return Tagging(source, tuple(images.class_names), rows, given[rows], as_given[rows], injected)


def _joined_folds(
    source: Source, runs: Iterable[HeldOutTags], finished: Mapping[Spec, Result]
) -> dict[tuple[Kind, int | None], np.ndarray]:
    """Kind and seed of the injected errors (None: labels as given) -> probabilities (N, K), NaN for untagged images."""
    shape = source.load().targets.shape
    whole: dict[tuple[Kind, int | None], np.ndarray] = {}
    for spec in runs:
        if spec.source == source:
            arrays = finished[spec].arrays
            own = whole.setdefault((spec.kind, spec.injected), np.full(shape, np.nan))
            own[arrays["rows"]] = arrays["probabilities"]
    return whole


def suspects(tagging: Tagging) -> pd.DataFrame:
    """Every flagged image from the lowest EMA score up: its position, score, and its most doubtful annotation.

    Columns: position (in `Tagging.rows`), rank (1 is the lowest of all scores), row, score, doubted_tag,
    suspected_error ("extra" or "missing") and given_tags.
    """
    scores = label_quality_scores(tagging.given, tagging.probabilities)
    flagged = find_label_issues(tagging.given, tagging.probabilities)
    confidence = self_confidence(tagging.given, tagging.probabilities)
    doubted = np.where(flagged.per_class, confidence, np.inf).argmin(axis=1)
    order = np.argsort(scores, kind="stable")
    frame = pd.DataFrame({
        "position": order,
        "rank": np.arange(1, len(order) + 1),
        "row": tagging.rows[order],
        "score": scores[order],
        "doubted_tag": [tagging.class_names[k] for k in doubted[order]],
        "suspected_error": ["extra" if tagging.given[i, doubted[i]] else "missing" for i in order],
        "given_tags": [tagging.tags(i) for i in order],
    })  # fmt: skip
    return frame[flagged.any_class[order]]


def injected_lifts(tagging: Tagging) -> pd.DataFrame:
    """Lift@k by seed on labels with swapped tags, where it is known exactly: columns seed, k, lift.

    Lists longer than there are images are left out.
    """
    rows = []
    for seed, (labels, probabilities) in tagging.injected.get("swapped", {}).items():
        wrong = (labels != tagging.given).any(axis=1)
        scores = label_quality_scores(labels, probabilities)
        sizes = [k for k in LIFT_SIZES if k <= len(scores)]
        rows += [{"seed": seed, "k": k, "lift": lift_at(scores, wrong, k)} for k in sizes]
    return pd.DataFrame(rows, columns=["seed", "k", "lift"])


def injected_scores(tagging: Tagging, own: Sequence[OwnMethod] = ()) -> pd.DataFrame:
    """How well the ten poolings, and those of one's own, find injected errors.

    Columns kind, seed, pooling, and `detection_metrics`.
    """
    known = {pooling_name(*pooling): pooling for pooling in POOLINGS}
    chosen, rows = {name: known[name] for name in HEADLINE}, []
    for kind, seed, labels, probabilities, wrong in _injected(tagging):
        given = {name: label_quality_scores(labels, probabilities, pooling=pooling, **options)
                 for name, (pooling, options) in chosen.items()}  # fmt: skip
        given |= {method.function: pooled(method, labels, probabilities) for method in own}
        for name, scores in given.items():
            metrics = detection_metrics(scores, wrong.sum(axis=1), sizes=[REVIEWED] * (len(scores) >= REVIEWED))
            rows.append({"kind": kind, "seed": seed, "pooling": name, **metrics})
    return pd.DataFrame(rows)


def injected_flags(tagging: Tagging) -> pd.DataFrame:
    """How well the flags of Confident Learning find injected errors: columns kind, seed, and `flag_metrics`."""
    return pd.DataFrame(
        {"kind": kind, "seed": seed, **flag_metrics(find_label_issues(labels, probabilities).per_class, wrong)}
        for kind, seed, labels, probabilities, wrong in _injected(tagging)
    )


def _injected(tagging: Tagging) -> Iterator[tuple[Kind, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Kind, seed, labels, probabilities, and which annotations are wrong, all (n, K)."""
    for kind, copies in tagging.injected.items():
        for seed, (labels, probabilities) in copies.items():
            yield kind, seed, labels, probabilities, labels != tagging.given


@dataclass(frozen=True)
class Review:
    """What a person found: how many of the images with the lowest scores are wrong, and of those drawn at random."""

    lowest: tuple[int, int]  # wrong, looked at
    random: tuple[int, int]

    @property
    def lift(self) -> Estimate:
        """The logarithm of Lift@100, with the 95 % interval of a ratio of two shares (Katz et al., 1978)."""
        (wrong, of), (wrong_random, of_random) = self.lowest, self.random
        low, high = np.log(relative_risk(wrong, of, wrong_random, of_random).confidence_interval(CONFIDENCE))
        error = float(np.sqrt(1 / wrong - 1 / of + 1 / wrong_random - 1 / of_random))
        detectable = error * (norm.ppf((1 + CONFIDENCE) / 2) + norm.ppf(POWER))
        return Estimate(float(np.log(wrong / of / wrong_random * of_random)), low, high, detectable, 1, error, np.inf)


def to_review(tagging: Tagging, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Places in `Tagging.rows` of the lowest hundred images, and of a hundred drawn at random."""
    scores = label_quality_scores(tagging.given, tagging.probabilities)
    number = min(REVIEWED, len(scores))
    drawn = generator(PAPER, "review", seed).choice(len(scores), size=number, replace=False)
    return np.argsort(scores, kind="stable")[:number], drawn


def read_review(tagging: Tagging, path: str | Path, *, seed: int = 0) -> Review:
    """A sheet of `tables.review_sheet` with its column `wrong` filled in.

    Raises:
        InputError: it cannot be read, is not the sheet of these images, was not filled in whole, or leaves no ratio.
    """
    try:
        sheet = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a review sheet") from error
    samples = [tagging.rows[places] for places in to_review(tagging, seed=seed)]
    if not {"row", "wrong"} <= set(sheet.columns) or set(sheet.row) != set(np.concatenate(samples)):
        raise InputError(f"{path}: other images than were to be reviewed; expected the rows of review_sheet.csv")
    if not sheet.wrong.isin([0, 1]).all():
        raise InputError(f"{path}: {(~sheet.wrong.isin([0, 1])).sum()} rows not reviewed; expected 0 or 1 in all")
    wrong = sheet.drop_duplicates("row").set_index("row").wrong.astype(int)
    counts = [(int(wrong.loc[rows].sum()), len(rows)) for rows in samples]
    if not all(count for count, _ in counts):
        raise InputError(f"{path}: no lift in it; expected something wrong among the lowest and among the random")
    return Review(*counts)
