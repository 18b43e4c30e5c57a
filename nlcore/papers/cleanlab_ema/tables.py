"""The paper's tables, and ours: each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from nlcore.errors import InputError
from nlcore.generators import generator
from nlcore.papers.cleanlab_ema.protocol import CONTRACT, PAPER, REVIEWED, WRONG_SHARE
from nlcore.papers.cleanlab_ema.published import published_table, with_published
from nlcore.papers.cleanlab_ema.review import injected_flags, injected_lifts, injected_scores, to_review
from nlcore.papers.cleanlab_ema.scoring import HEADLINE, LIFT_SIZES
from nlcore.papers.cleanlab_ema.study import DIGITS, Study
from nlcore.papers.cleanlab_ema.words import METRICS
from nlcore.report.intervals import estimate
from nlcore.report.words import title
from nlcore.report.writer import ArtefactWriter, Headline

SIZES = {  # of Table S1: quantity -> (the contract's name, ours)
    "number of samples": ("train", "train"),
    "number of test samples": ("test", "test"),
    "number of features": ("features", "features"),
    "number of classes": ("classes", "classes"),
    "expected number of class assignments": ("expected_labels", "labels_per_example"),
}


def table_s1(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table S1: what was generated, beside what the paper says, and how much noise is in it."""
    said = CONTRACT.published()["table_s1"]
    measured = study.datasets.drop(columns="seed").groupby("group", sort=False).mean()
    counts = study.datasets.groupby("group", sort=False).size()
    rows = []
    for name, (key, column) in SIZES.items():
        paper = {f"{group} published": said[group][key] for group in measured.index}
        rows.append({"quantity": name, **paper, **_measured(measured[column])})
    for least in (1, 2, 3):
        share = measured[f"share_with_{least}_errors"]
        rows.append({"quantity": f"share of examples with at least {least} wrong classes", **_measured(share)})
    rows.append({"quantity": "datasets measured", **_measured(counts)})
    caption = f"{title('table_s1')} The two groups of datasets, as published and as measured."
    return out.table("table_s1", pd.DataFrame(rows), caption=caption)


def _measured(by_group: pd.Series) -> dict[str, Any]:
    return {f"{group} measured": value for group, value in by_group.items()}


def table_s2(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table S2: accuracy and Jaccard index by classifier and by which labels it was trained and tested on."""
    said, words, rows = CONTRACT.published()["table_s2"], {"given": "noisy", "true": "true"}, []
    keys = ["group", "classifier", "train_labels", "test_labels"]
    for (group, classifier, train, test), part in study.accuracy.groupby(keys, sort=False):
        train, test = words[train], words[test]
        paper = said[group][classifier][f"{train}_{test}"]
        row = {"group": group, "classifier": classifier, "train": train, "test": test}
        for name, published in (("accuracy", paper[0]), ("jaccard", paper[2])):
            row |= {f"{name} published": published, f"{name} ours": part[name].mean(), f"{name} std": part[name].std()}
        rows.append(row | {"datasets": len(part)})
    caption = (
        f"{title('table_s2')} Accuracy over cells and Jaccard index, mean and standard deviation over the datasets."
    )
    return out.table("table_s2", pd.DataFrame(rows), caption=caption, deviations=study.deviations)


def lift_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Lift@k: how much more frequent wrong examples are among the k lowest scores than overall.

    The mean over the datasets, with half of its 95 % interval.
    """
    rows = []
    for group, classifier in study.cells:
        cell = study.cell(group, classifier)
        for pooling in study.headline:
            values = dict(list(cell[cell.pooling == pooling].groupby("metric").value))
            lifts = {f"lift@{size}": _shown(values[f"lift_at_{size}"]) for size in LIFT_SIZES}
            row = {"group": group, "classifier": classifier, "pooling": pooling}
            rows.append({**row, **lifts, "datasets": cell.seed.nunique()})
    caption = "Lift@k of the ten poolings: the datasets' mean, with half of its 95 % interval."
    return out.table("lift", pd.DataFrame(rows), caption=caption, deviations=study.deviations)


def scores_beside_published(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """All 108 published rows and six metrics beside ours, with the number of datasets behind each."""
    keys = ["group", "classifier", "pooling", "metric"]
    ours = study.scores.groupby(keys, sort=False).value.agg(["mean", "std", "count"]).reset_index()
    both = published_table().merge(ours, on=keys, how="left", suffixes=("_published", "_ours"))
    both["difference"] = both.mean_ours - both.mean_published
    both = both.rename(columns={"count": "datasets"})
    both["datasets"] = both.datasets.fillna(0).astype(int)
    both["judgement"] = [_judge(row) for row in both.itertuples()]
    ten = both[both.datasets == 10].judgement
    tally = f"{len(ten)} means: {(ten == 'same (0.0005)').sum()} same, {(ten == 'off').sum()} off"
    return out.table(
        "published_scores",
        both,
        caption="Every published score of the benchmark beside ours.",
        headline=Headline("cells in which all ten datasets ran", f"{len(both)} means", tally, "see its CSV"),
        deviations=study.deviations,
    )


def _judge(row: Any) -> str:
    """How near a reproduced mean is, by the measure the suite set itself; ten datasets make it comparable."""
    if row.datasets == 0:
        return "not run"
    if row.datasets < 10:
        return f"{row.datasets} of 10 datasets"
    if abs(row.difference) <= 0.0005:
        return "same (0.0005)"
    if row.metric == "ap_at_t":
        return "within 0.003" if abs(row.difference) <= 0.003 else "off"
    return "within one published std" if abs(row.difference) <= row.std_published else "off"


def scores_that_differ(comparison: pd.DataFrame, out: ArtefactWriter) -> pd.DataFrame:
    """The comparisons on ten datasets that are farther off than the suite allows, each with its reason.

    comparison: what `scores_beside_published` returned.
    """
    off = comparison[comparison.judgement == "off"].drop(columns="judgement")
    reasons = [_reason(row) for row in off.itertuples()]
    return out.table("published_scores_off", off.assign(reason=reasons), caption="Reproduced means that are off.")


def _reason(row: Any) -> str:
    if row.classifier == "random_forest":
        return "comes out where equal scores are equal to the last binary digit (why_rounding)"
    return "not explained"


def meaning_of_t(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """EMA(0.8) for severe errors under both readings of T, beside the published means."""
    paper = published_table().set_index(["group", "classifier", "pooling", "metric"])["mean"]
    rows = []
    for group, classifier in study.cells:
        ema = study.cell(group, classifier).query("pooling == 'ema(alpha=0.8)'").groupby("metric").value.mean()
        for least in (2, 3):
            metric = f"ap_at_t_{least}"
            rows.append(
                {
                    "group": group,
                    "classifier": classifier,
                    "errors at least": least,
                    "published": paper[group, classifier, "ema(alpha=0.8)", metric],
                    "T = examples with so many errors": ema[metric],
                    "T = all mislabelled examples": ema[f"{metric}_all_t"],
                }
            )
    return out.table("why_t", pd.DataFrame(rows), caption="EMA(0.8) under both readings of T.")


def rank_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Mean and worst rank of the ten poolings over panels and metrics, from our means and from the published ones."""
    keys = ["group", "classifier", "metric"]
    ours = study.scores[study.scores.metric.isin(list(METRICS)) & study.scores.pooling.isin(HEADLINE)]
    ours = ours.groupby([*keys, "pooling"]).value.mean().unstack()
    paper = published_table().pivot_table(index=keys, columns="pooling", values="mean")[list(HEADLINE)]
    frame = pd.DataFrame({"pooling": HEADLINE})
    for name, table in (("ours", ours), ("published", paper)):
        ranks = table.rank(axis=1, ascending=False)
        frame[f"mean rank, {name}"] = ranks.mean().loc[list(HEADLINE)].to_numpy()
        frame[f"worst rank, {name}"] = ranks.max().loc[list(HEADLINE)].to_numpy()
    caption = "Ranks of the poolings over panels and metrics (1 is best); equal values share the mean of their ranks."
    return out.table("why_ranks", frame.sort_values("mean rank, ours"), caption=caption)


def table_1(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table 1: held-out accuracy of every tag, beside that of always saying "no" (or always "yes")."""
    tagging, deviations = study.held_out
    said = CONTRACT.published()["table_1"] if tagging.of_celeba else {}
    share = tagging.given.mean(axis=0)
    frame = pd.DataFrame({
        "tag": tagging.class_names,
        "images": tagging.given.sum(axis=0),
        "accuracy published": [said.get(name, np.nan) for name in tagging.class_names],
        "accuracy ours": ((tagging.probabilities >= 0.5) == tagging.given).mean(axis=0),
        "accuracy of one answer for all": np.maximum(share, 1 - share),
    })  # fmt: skip
    where = "CelebA" if tagging.of_celeba else "the embedded COCO images (the paper's are CelebA tags)"
    caption = f"{title('table_1')} Held-out accuracy per tag, four folds, {where}."
    return out.table("table_1", frame, caption=caption, deviations=deviations)


def lift_injected(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Lift@k on injected errors: mean and standard deviation over the seeds."""
    tagging, deviations = study.held_out
    frame = injected_lifts(tagging).groupby("k").lift.agg(["mean", "std", "count"]).reset_index()
    frame = frame.rename(columns={"count": "seeds"})
    frame["largest possible"] = 1 / WRONG_SHARE
    published = CONTRACT.published()["text"]["lift_at_100"]
    frame["published (CelebA, by review)"] = [published if k == REVIEWED else np.nan for k in frame.k]
    caption = f"Lift@k of EMA(0.8) where {WRONG_SHARE:.0%} of the images were given one wrong tag."
    near = "injected, not reviewed" if tagging.of_celeba else "other data"
    headlines = [  # none where there are fewer images
        Headline(f"Lift@{REVIEWED} on injected errors", f"{published} (CelebA)", f"{lift:.2f}", near)
        for lift in frame.loc[frame.k == REVIEWED, "mean"]
    ]
    more = {"headline": headlines[0]} if headlines else {}
    return out.table("lift_injected", frame, caption=caption, deviations=deviations, **more)


def injected_by_kind(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """The ten poolings on removed, added and swapped tags: the seeds' mean, with half of its 95 % interval."""
    tagging, deviations = study.held_out
    shown = {"auprc": "AUPRC", "ap_at_t": "AP@T", f"lift_at_{REVIEWED}": f"lift@{REVIEWED}"}
    found = injected_scores(tagging, study.own).groupby(["kind", "pooling"], sort=False)
    rows = [
        {"errors": kind, "pooling": pooling,
         **{name: _shown(part[metric]) for metric, name in shown.items() if metric in part}, "seeds": len(part)}
        for (kind, pooling), part in found
    ]  # fmt: skip
    caption = (
        f"How well the poolings find images with one wrong tag, in {WRONG_SHARE:.0%} of the images, by kind of error. "
        f"A random list has an AUPRC and AP@T of about {WRONG_SHARE:g} and a lift of 1."
    )
    return out.table("injected_by_kind", pd.DataFrame(rows), caption=caption, deviations=deviations)


def flagger(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Confident Learning's flags, the paper's first contribution, against the errors of the benchmark; no published."""
    rows = [
        {"group": group, "classifier": classifier, **_flags(part), "datasets": len(part)}
        for (group, classifier), part in study.flagged.groupby(["group", "classifier"], sort=False)
    ]
    caption = (
        "What Confident Learning (section 3) flags of the benchmark, and how much of it is wrong. Not in the paper."
    )
    return out.table("flagger", pd.DataFrame(rows), caption=caption, deviations=study.deviations)


def flagger_injected(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """The same flags against injected errors, by their kind."""
    tagging, deviations = study.held_out
    found = injected_flags(tagging).groupby("kind", sort=False)
    rows = [{"errors": kind, **_flags(part), "seeds": len(part)} for kind, part in found]
    caption = "What Confident Learning flags of the injected errors. What else it flags may be wrong in COCO itself."
    return out.table("flagger_injected", pd.DataFrame(rows), caption=caption, deviations=deviations)


def _flags(part: pd.DataFrame) -> dict[str, str]:
    """Share flagged, precision and recall by example and by annotation, each with half of its interval."""
    return {
        f"{name}s, {what}": _shown(part[f"{name}_{what}"])
        for name in ("example", "annotation")
        for what in ("wrong", "flagged", "precision", "recall")
    }


def _shown(values: pd.Series) -> str:
    found = estimate(values)
    return f"{found.mean:.3f}" + (f" ± {found.high - found.mean:.3f}" if found.bounded else "")


def rounding(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """How many published means come out from annotations' scores as they are, and from rounded ones."""
    keys, rows = ["group", "classifier"], []
    for (group, classifier), part in study.rounded.groupby(keys, sort=False):
        row = {"group": group, "classifier": classifier, "datasets": part.seed.nunique()}
        rounded = {f"{digits} digits": own for digits, own in part.groupby("digits", sort=False)}
        for name, scores in {"as they are": study.cell(group, classifier), **rounded}.items():
            means = with_published(scores).dropna(subset="published").groupby(["pooling", "metric"])
            apart = (means.value.mean() - means.published.first()).abs()
            row |= {f"{name}: within 0.0005": int((apart <= 0.0005).sum()), f"{name}: largest difference": apart.max()}
        rows.append(row | {"means": len(apart)})
    kept = " or ".join(map(str, DIGITS))
    caption = f"Published means of the small datasets from scores of annotations with all digits, and with {kept}."
    return out.table("why_rounding", pd.DataFrame(rows), caption=caption)


def review_sheet(study: Study, out: ArtefactWriter, *, seed: int = 0) -> pd.DataFrame:
    """The images to look at for Lift@100 by review: the lowest hundred and a hundred drawn at random, each once.

    Whoever reviews cannot see which is which: they are shuffled. Write 1 (wrong) or 0 (right) into the column `wrong`
    of a copy, and give its path as the notebook's parameter `review`.
    """
    tagging, _ = study.held_out
    places = np.unique(np.concatenate(to_review(tagging, seed=seed)))
    order = generator(PAPER, "review order", seed).permutation(places)
    pictures = [tagging.images.pictures.get(row) for row in tagging.rows[order].tolist()]
    frame = pd.DataFrame({
        "row": tagging.rows[order],
        "image": [picture.name if picture else "" for picture in pictures],  # "": it may not be shown
        "given_tags": [tagging.tags(place) for place in order],
        "wrong": None,
    })  # fmt: skip
    return out.table("review_sheet", frame, caption="Images to review for Lift@100; fill in `wrong`.")


def review_lift(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Lift@100 by review: the share wrong of each sample, and their ratio, with 95 % intervals; the published beside.

    Raises:
        InputError: nobody has reviewed the images.
    """
    if study.review is None:
        raise InputError("review: none; expected a review sheet that was filled in")
    rows = []
    for sample, (wrong, of) in (("lowest", study.review.lowest), ("random", study.review.random)):
        low, high = binomtest(wrong, of).proportion_ci(method="wilson")
        rows.append({"what": f"share wrong, {sample} {of}", "ours": wrong / of, "low": low, "high": high})
    lift = study.review.lift
    rows.append({"what": "Lift@100", "ours": np.exp(lift.mean), "low": np.exp(lift.low), "high": np.exp(lift.high)})
    said = CONTRACT.published()["text"]
    shares = [said["celeba_errors_in_top_100"] / REVIEWED, said["celeba_mislabelled_share"]]
    frame = pd.DataFrame(rows).assign(published=[*shares, said["lift_at_100"]])
    return out.table("review_lift", frame, caption="Lift@100 by review of the images.")
