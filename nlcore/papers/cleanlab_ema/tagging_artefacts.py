"""Tables and figures of section 5.2: held-out accuracy, flagged images, inconsistent tags, lift."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlcore.data.embedded_set import embedded
from nlcore.errors import InputError
from nlcore.metrics import lift_at
from nlcore.papers.cleanlab_ema.scoring import LIFT_SIZES
from nlcore.papers.cleanlab_ema.tagging import WRONG_SHARE, HeldOutTags, celeba_images, tagging_labels
from nlcore.report.contract import published
from nlcore.report.figures import panels, style
from nlcore.report.writer import ArtefactWriter, Headline
from nlcore.runs import Spec, Store
from nlcore.scorers import find_label_issues, label_quality_scores
from nlcore.scorers.label_quality import self_confidence

REVIEWED = 100  # images that the authors looked at, of the lowest and at random
EMBEDDED_DEVIATION = (
    "Embedded COCO images with a linear head on MobileNetV2 features instead of CelebA with EfficientNet; "
    "with --celeba-root the same section runs on CelebA."
)


@dataclass(frozen=True)
class Tagging:
    """Held-out predictions of section 5.2 and what follows from them; all arrays have one row per tagged image.

    `rows` are rows of the source. `injected` maps a seed to (labels with errors, probabilities), both (N, K).
    """

    source: str
    folder: str | None
    class_names: tuple[str, ...]
    rows: np.ndarray
    given: np.ndarray
    probabilities: np.ndarray
    injected: dict[int, tuple[np.ndarray, np.ndarray]]

    @property
    def deviations(self) -> str:
        return EMBEDDED_DEVIATION if self.source == "embedded" else ""

    def picture(self, position: int) -> Path | None:
        """The image's file, or None where its licence permits no copy."""
        row = int(self.rows[position])
        return embedded().thumbnails.get(row) if self.source == "embedded" else celeba_images(self.folder).paths[row]

    def credit(self, position: int) -> str:
        """The line that has to stand beside the picture."""
        return embedded().credit(int(self.rows[position])) if self.source == "embedded" else ""


def load_tagging(specs: Sequence[Spec], store: Store) -> Tagging:
    """Put the held-out folds together; CelebA's where the grid has them, else the embedded set's.

    Raises:
        InputError: the grid has no such runs, or one is not finished.
    """
    found = [spec for spec in specs if isinstance(spec, HeldOutTags)]
    if not found:
        raise InputError("cleanlab_ema: the grid has no runs for section 5.2; expected a profile with `tagging`")
    source = "celeba" if any(spec.source == "celeba" for spec in found) else "embedded"
    found = [spec for spec in found if spec.source == source]
    probabilities: dict[int | None, np.ndarray] = {}
    folder = found[0].folder
    given = tagging_labels(source, folder, None)
    for spec in found:
        arrays = store.result(spec).arrays
        whole = probabilities.setdefault(spec.injected, np.full(given.shape, np.nan))
        whole[arrays["rows"]] = arrays["probabilities"]
    rows = np.flatnonzero(~np.isnan(probabilities[None][:, 0]))
    names = embedded().class_names if source == "embedded" else celeba_images(folder).class_names
    injected = {
        seed: (tagging_labels(source, folder, seed)[rows], found[rows])
        for seed, found in probabilities.items()
        if seed is not None
    }
    return Tagging(source, folder, tuple(names), rows, given[rows], probabilities[None][rows], injected)


def table_1(tagging: Tagging, out: ArtefactWriter) -> pd.DataFrame:
    """Table 1: held-out accuracy of every tag, beside that of always saying "no" (or always "yes")."""
    said = published("cleanlab_ema")["table_1"] if tagging.source == "celeba" else {}
    share = tagging.given.mean(axis=0)
    frame = pd.DataFrame({
        "tag": tagging.class_names,
        "images": tagging.given.sum(axis=0),
        "accuracy published": [said.get(name, np.nan) for name in tagging.class_names],
        "accuracy ours": ((tagging.probabilities >= 0.5) == tagging.given).mean(axis=0),
        "accuracy of one answer for all": np.maximum(share, 1 - share),
    })  # fmt: skip
    where = "CelebA" if tagging.source == "celeba" else "the embedded COCO images (the paper's are CelebA tags)"
    caption = f"Table 1. Held-out accuracy per tag, four folds, {where}."
    return out.table("table_1", frame, caption=caption, deviations=tagging.deviations)


def suspects(tagging: Tagging) -> pd.DataFrame:
    """Every flagged image from the lowest EMA score up: its position, score, and its most doubtful annotation."""
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
        "given_tags": [_tags(tagging, i) for i in order],
    })  # fmt: skip
    return frame[flagged.any_class[order]]


def figure_1(tagging: Tagging, out: ArtefactWriter, *, images: int = 15) -> Figure:
    """Figure 1: flagged images with the lowest EMA scores, with their given tags and the suspected error."""
    shown = _with_picture(tagging, suspects(tagging)).head(images)
    with style():
        figure = _pictures(tagging, [shown[first : first + 5] for first in range(0, len(shown), 5)])
    names = "; ".join(f"rank {row.rank}: {row.doubted_tag} {row.suspected_error}" for row in shown.itertuples())
    return out.figure(
        "fig_1", figure, _credited(tagging, shown), deviations=tagging.deviations,
        caption=f"Figure 1. Flagged images with the lowest EMA scores{_licence_note(tagging)}.",
        alt=f"{len(shown)} photographs with given tags and suspected errors. {names}",
    )  # fmt: skip


def figure_4(tagging: Tagging, out: ArtefactWriter, *, images: int = 5) -> Figure:
    """Figure 4: three tags that are given inconsistently: lowest-scoring images that lack them, or have them."""
    found = suspects(tagging)
    found = _with_picture(tagging, found)
    tags = list(found.doubted_tag.value_counts().index[:3])
    parts = [found[found.doubted_tag == tag].head(images) for tag in tags]
    with style():
        figure = _pictures(tagging, parts)
    return out.figure(
        "fig_4", figure, _credited(tagging, pd.concat(parts)), deviations=tagging.deviations,
        caption=f"Figure 4. Three tags doubted most often, a row each: {', '.join(tags)}{_licence_note(tagging)}.",
        alt=f"Three rows of photographs in which the tags {', '.join(tags)} look missing or wrongly given.",
    )  # fmt: skip


def injected_lifts(tagging: Tagging) -> pd.DataFrame:
    """Lift@k by seed on labels with injected errors, where it is known exactly: columns seed, k, lift."""
    rows = []
    for seed, (labels, probabilities) in tagging.injected.items():
        wrong = (labels != tagging.given).any(axis=1)
        scores = label_quality_scores(labels, probabilities)
        rows += [{"seed": seed, "k": k, "lift": lift_at(scores, wrong, k)} for k in LIFT_SIZES]
    return pd.DataFrame(rows)


def lift_injected(tagging: Tagging, out: ArtefactWriter) -> pd.DataFrame:
    """Lift@k on injected errors: mean and standard deviation over the seeds."""
    frame = injected_lifts(tagging).groupby("k").lift.agg(["mean", "std", "count"]).reset_index()
    frame = frame.rename(columns={"count": "seeds"})
    frame["largest possible"] = 1 / WRONG_SHARE
    frame["published (CelebA, by review)"] = [4.5 if k == REVIEWED else np.nan for k in frame.k]
    ours = frame.loc[frame.k == REVIEWED, "mean"].item()
    return out.table(
        "lift_injected", frame, deviations=tagging.deviations,
        caption=f"Lift@k of EMA(0.8) where {WRONG_SHARE:.0%} of the images were given one wrong tag.",
        headline=Headline("Lift@100 on injected errors", "4.5 (CelebA)", f"{ours:.2f}", "other data"),
    )  # fmt: skip


def review_sheet(tagging: Tagging, out: ArtefactWriter, *, seed: int = 0) -> pd.DataFrame:
    """The images to look at for Lift@100 by review: the lowest hundred and a hundred drawn at random.

    Write 1 (wrong) or 0 (right) into the column `wrong` and give the file to `lift_from_review`.
    """
    scores = label_quality_scores(tagging.given, tagging.probabilities)
    lowest = np.argsort(scores, kind="stable")[:REVIEWED]
    drawn = np.random.default_rng(seed).choice(len(scores), size=min(REVIEWED, len(scores)), replace=False)
    rows = [
        {"sample": sample, "row": int(tagging.rows[i]), "given_tags": _tags(tagging, i), "wrong": None}
        for sample, chosen in (("lowest", lowest), ("random", drawn))
        for i in chosen
    ]
    return out.table("review_sheet", pd.DataFrame(rows), caption="Images to review for Lift@100; fill in `wrong`.")


def lift_from_review(path: str | Path) -> float:
    """Lift@100 from a reviewed sheet: share wrong among the lowest over share wrong among the random sample.

    Raises:
        InputError: columns are missing, a row was not reviewed, or nothing in the random sample is wrong.
    """
    try:
        sheet = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a review sheet ({error})") from error
    if not {"sample", "wrong"} <= set(sheet.columns) or not sheet.wrong.isin([0, 1]).all():
        raise InputError(f"{path}: expected the columns sample and wrong, with 0 or 1 in every row of wrong")
    shares = sheet.groupby("sample").wrong.mean()
    if not {"lowest", "random"} <= set(shares.index) or shares["random"] == 0:
        raise InputError(f"{path}: expected rows of both samples, and something wrong among the random ones")
    return float(shares["lowest"] / shares["random"])


def _tags(tagging: Tagging, position: int) -> str:
    return ", ".join(name for name, given in zip(tagging.class_names, tagging.given[position], strict=True) if given)


def _with_picture(tagging: Tagging, found: pd.DataFrame) -> pd.DataFrame:
    return found[[tagging.picture(position) is not None for position in found.position]]


def _pictures(tagging: Tagging, parts: Sequence[pd.DataFrame]) -> Figure:
    """A row of images for each part, every image with its suspected error above and all its tags below."""
    figure, axes = panels(len(parts), max(map(len, parts)), width=2.3, height=2.7)
    figure.get_layout_engine().set(h_pad=0.12)  # the last tags are no title of the next row
    for axis in axes.flat:
        axis.axis("off")
    for line, part in zip(axes, parts, strict=True):
        for axis, row in zip(line, part.itertuples(), strict=False):
            axis.imshow(matplotlib.image.imread(tagging.picture(row.position)))
            title = f"{row.doubted_tag}: {row.suspected_error}?\nrank {row.rank}, score {row.score:.3f}"
            axis.set_title(title, fontsize=8)
            tags = textwrap.fill(row.given_tags, 38)
            axis.text(0.5, -0.03, tags, transform=axis.transAxes, ha="center", va="top", fontsize=6.5)
    return figure


def _credited(tagging: Tagging, shown: pd.DataFrame) -> pd.DataFrame:
    credit = [tagging.credit(position) for position in shown.position]
    return shown.drop(columns="position").assign(credit=credit)


def _licence_note(tagging: Tagging) -> str:
    return ", of those whose licence permits a copy (credits in the CSV)" if tagging.source == "embedded" else ""
