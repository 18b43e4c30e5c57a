"""Tables and figures of the paper, each one function of the study; the published values stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlcore.data.benchmark import GAMMA_SCALE, GAMMA_SHAPE, rank_weights
from nlcore.papers.cleanlab_ema.scoring import ALPHAS, HEADLINE, LIFT_SIZES, POOLINGS, pooling_name
from nlcore.papers.cleanlab_ema.study import Study
from nlcore.report.contract import published, published_scores
from nlcore.report.figures import dots_legend, dots_with_published, panels, series_style, style
from nlcore.report.writer import ArtefactWriter, Headline

# Our metric name -> the published column, the name on an axis.
METRICS = {
    "auprc": ("AUPRC", "AUPRC"),
    "auroc": ("AUROC", "AUROC"),
    "ap_at_t": ("AP@T", "AP@T"),
    "ap_at_t_2": ("AP@T (two or more label errors)", "average 2-precision@T"),
    "ap_at_t_3": ("AP@T (three or more label errors)", "average 3-precision@T"),
    "spearman": ("Spearman Rank Correlation", "Spearman correlation"),
}
CLASSIFIER_NAMES = {
    "logistic_regression": "logistic regression",
    "random_forest": "random forest",
    "joint_random_forest": "random forest (one joint forest)",
}
SHORT_NAMES = (
    "EMA 0.8",
    "softmin 0.1",
    "min",
    "weighted cumulative",
    "cumulative 2",
    "log",
    "moving average 2",
    "mean",
    "median",
    "max",
)
PUBLISHED_METHOD = {
    "cumulative": "Cumulative",
    "ema": "EMA",
    "log": "Log",
    "max": "Max",
    "mean": "Mean",
    "median": "Median",
    "min": "Min",
    "sma": "SMA",
    "softmin": "Softmin",
    "weighted_cumulative": "Weighted",
}
JOINT_DEVIATION = (
    "Large, random forest: one joint forest for all classes instead of one forest per class (the `paper` profile "
    "runs the published one-vs-rest forests)."
)


def published_table() -> pd.DataFrame:
    """The published scores in our names: group, classifier, pooling, metric, mean, std."""
    rows = []
    options_by_text = {_published_options(pooling, options): (pooling, options) for pooling, options in POOLINGS}
    for _, row in published_scores().iterrows():
        pooling, options = options_by_text[row["Aggregation method"], row["Aggregation method parameters"]]
        cell = {
            "group": row["Dataset size"].split()[0].lower(),
            "classifier": row["Model"].lower().replace(" ", "_"),
            "pooling": pooling_name(pooling, options),
        }
        for metric, (column, _) in METRICS.items():
            rows.append({**cell, "metric": metric, "mean": row[f"{column}_Mean"], "std": row[f"{column}_Std"]})
    return pd.DataFrame(rows)


def _published_options(pooling: str, options: Mapping[str, float]) -> tuple[str, str]:
    """Method and parameters as the published file writes them."""
    if pooling == "ema":
        text = str(options["alpha"])
    elif pooling == "log":
        text = "{'weights': 1, 'biases': 0}"
    elif pooling == "weighted_cumulative":
        text = "weights: exponential decay"
    else:
        text = str({"k" if name == "period" else name: value for name, value in options.items()})
    return PUBLISHED_METHOD[pooling], text


def scores_beside_published(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """All 108 published rows and six metrics beside ours, with the number of datasets behind each."""
    ours = study.scores.assign(classifier=study.scores.classifier.replace("joint_random_forest", "random_forest"))
    keys = ["group", "classifier", "pooling", "metric"]
    ours = ours.groupby(keys, sort=False).value.agg(["mean", "std", "count"]).reset_index()
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
        deviations=_deviations(study),
    )


def _judge(row) -> str:
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


def table_s1(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table S1: what was generated, beside what the paper says, and how much noise is in it."""
    said = published("cleanlab_ema")["table_s1"]
    measured = study.datasets.drop(columns="seed").groupby("group", sort=False).mean()
    counts = study.datasets.groupby("group", sort=False).size()
    rows = []
    for name, column in (
        ("number of samples", "train"),
        ("number of test samples", "test"),
        ("number of features", "features"),
        ("number of classes", "classes"),
        ("expected number of class assignments", "labels_per_example"),
    ):
        key = "expected_labels" if column == "labels_per_example" else column
        rows.append(
            {
                "quantity": name,
                **{f"{g} published": said[g][key] for g in measured.index},
                **{f"{g} measured": measured.loc[g, column] for g in measured.index},
            }
        )
    for least in (1, 2, 3):
        values = {f"{g} measured": measured.loc[g, f"share_with_{least}_errors"] for g in measured.index}
        rows.append({"quantity": f"share of examples with at least {least} wrong classes", **values})
    rows.append({"quantity": "datasets measured", **{f"{g} measured": counts[g] for g in measured.index}})
    return out.table(
        "table_s1", pd.DataFrame(rows), caption="Table S1. The two groups of datasets, as published and as measured."
    )


def table_s2(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Table S2: accuracy and Jaccard index by classifier and by which labels it was trained and tested on."""
    said = published("cleanlab_ema")["table_s2"]
    rows = []
    keys = ["group", "classifier", "train_labels", "test_labels"]
    for (group, classifier, train, test), part in study.accuracy.groupby(keys, sort=False):
        name = f"{'noisy' if train == 'given' else 'true'}_{'noisy' if test == 'given' else 'true'}"
        paper = said[group][classifier.replace("joint_", "")][name]
        rows.append(
            {
                "group": group,
                "classifier": classifier,
                "train": name.split("_")[0],
                "test": name.split("_")[1],
                "accuracy published": paper[0],
                "accuracy ours": part.accuracy.mean(),
                "accuracy std": part.accuracy.std(),
                "jaccard published": paper[2],
                "jaccard ours": part.jaccard.mean(),
                "jaccard std": part.jaccard.std(),
                "datasets": len(part),
            }
        )
    caption = "Table S2. Accuracy over cells and Jaccard index, mean and standard deviation over the datasets."
    return out.table("table_s2", pd.DataFrame(rows), caption=caption, deviations=_deviations(study))


def lift_table(study: Study, out: ArtefactWriter) -> pd.DataFrame:
    """Lift@k: how much more frequent wrong examples are among the k lowest scores than overall."""
    rows = []
    for group, classifier in study.cells:
        cell = study.cell(group, classifier)
        for pooling in HEADLINE:
            values = cell[cell.pooling == pooling].groupby("metric").value.mean()
            lifts = {f"lift@{size}": values[f"lift_at_{size}"] for size in LIFT_SIZES}
            rows.append(
                {"group": group, "classifier": classifier, "pooling": pooling, **lifts, "datasets": cell.seed.nunique()}
            )
    return out.table(
        "lift",
        pd.DataFrame(rows),
        caption="Lift@k of the ten poolings (mean over the datasets).",
        deviations=_deviations(study),
    )


def pooling_figure(study: Study, out: ArtefactWriter, id: str, metric: str) -> Figure:
    """One of Figures 2, 3, S2, S3, S4: ten poolings, one dot per dataset, a panel per group and classifier."""
    return _panel_figure(study, out, id, metric, dict(zip(HEADLINE, SHORT_NAMES, strict=True)), "pooling")


def alpha_figure(study: Study, out: ArtefactWriter, id: str, metric: str) -> Figure:
    """One of Figures S5 to S8: EMA's forgetting factor."""
    names = {pooling_name("ema", {"alpha": alpha}): f"{alpha:g}" for alpha in ALPHAS}
    return _panel_figure(study, out, id, metric, names, "alpha")


def _panel_figure(
    study: Study, out: ArtefactWriter, id: str, metric: str, names: Mapping[str, str], axis_name: str
) -> Figure:
    """A panel per cell of the study; `names` are the poolings shown, in order, and what the axis calls them."""
    label = METRICS[metric][1]
    data = _with_published(study.scores[(study.scores.metric == metric) & study.scores.pooling.isin(list(names))])
    data = data.assign(shown=data.pooling.map(names)).sort_values(
        "pooling", key=lambda column: column.map(list(names).index), kind="stable"
    )
    upright = axis_name == "alpha"
    with style():
        columns = min(2, len(study.cells))
        figure, axes = panels(-(-len(study.cells) // columns), columns, height=2.6 if upright else 2.9)
        for axis, (group, classifier) in zip(axes.flat, study.cells, strict=False):
            part = data[(data.group == group) & (data.classifier == classifier)]
            bars = part.drop_duplicates("shown").set_index("shown").published.to_dict()
            dots_with_published(axis, part, names="shown", values="value", published=bars, upright=upright)
            axis.set_title(f"{group}, {CLASSIFIER_NAMES[classifier]}\n{_datasets(part)}", fontsize=9)
            (axis.set_ylabel if upright else axis.set_xlabel)(label)
            (axis.set_xlabel if upright else axis.set_ylabel)(axis_name)
        dots_legend(figure, axes.flat[0], upright=upright)
    best = names[data.groupby("pooling").value.mean().idxmax()]
    return out.figure(
        id,
        figure,
        data.drop(columns=["metric", "shown"]),
        deviations=_deviations(study),
        headline=_headline(study, metric),
        caption=f"Figure {id.removeprefix('fig_').upper()}. {label} by {axis_name}, one dot per dataset.",
        alt=f"{label} by {axis_name} in {len(study.cells)} panels; highest on average over the datasets: {best}",
    )


def _datasets(part: pd.DataFrame) -> str:
    count = part.seed.nunique()
    return "1 dataset" if count == 1 else f"{count} datasets"


def _with_published(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the published mean of their cell; a joint forest is held against the one-vs-rest forests."""
    keys = ["group", "classifier", "pooling", "metric"]
    paper = published_table().rename(columns={"mean": "published"}).drop(columns="std")
    joint = paper[paper.classifier == "random_forest"].assign(classifier="joint_random_forest")
    return scores.merge(pd.concat([paper, joint]), on=keys, how="left")


def _headline(study: Study, metric: str) -> Headline:
    """EMA(0.8) in the first panel, beside the published mean."""
    group, classifier = study.cells[0]
    cell = _with_published(study.cell(group, classifier).query("metric == @metric and pooling == 'ema(alpha=0.8)'"))
    ours, paper = cell.value.mean(), cell.published.iloc[0]
    near = "same (0.0005)" if abs(ours - paper) <= 0.0005 else f"{ours - paper:+.4f}"
    what = f"EMA(0.8), {METRICS[metric][1]}, {group}, {CLASSIFIER_NAMES[classifier]}, {_datasets(cell)}"
    return Headline(what, f"{paper:.4f}", f"{ours:.4f}", near)


def figure_s1(out: ArtefactWriter, *, classes: int = 10) -> Figure:
    """Figure S1: sorted draws 1 - X_k, the weights of Eq. 12, and their product Y_k, for ten classes."""
    drawn = np.sort(1 - np.random.RandomState(0).gamma(GAMMA_SHAPE, GAMMA_SCALE, size=classes))
    weights = rank_weights(classes)
    data = pd.DataFrame({"k": np.arange(1, classes + 1), "one_minus_x": drawn, "weight": weights, "y": drawn * weights})
    looks = series_style(["one_minus_x", "weight", "y"])
    looks["one_minus_x"] |= {"linestyle": "none"}
    looks["y"] |= {"linestyle": "none", "markerfacecolor": "none", "markersize": 9}  # 1 - X_k may lie under it
    labels = {"one_minus_x": "$1 - X_k$ (sorted)", "weight": "weight of Eq. 12", "y": "$Y_k$ (product)"}
    with style():
        figure, axes = panels(1, 1, width=5.5, height=3.2)
        for name, look in looks.items():
            axes[0, 0].plot(data.k, data[name], label=labels[name], **look)
        axes[0, 0].set(xlabel="class, from the noisiest to the cleanest", ylabel="share of right annotations")
        axes[0, 0].legend()
    return out.figure(
        "fig_s1",
        figure,
        data,
        caption="Figure S1. Half the traces of the noise matrices for K = 10, seed 0.",
        alt=f"Sorted draws, weights and their product for ten classes; the noisiest class ends at {data.y.iloc[0]:.3f}",
    )


def _deviations(study: Study) -> str:
    joint = any(classifier == "joint_random_forest" for _, classifier in study.cells)
    return JOINT_DEVIATION if joint else ""


def scores_that_differ(comparison: pd.DataFrame, out: ArtefactWriter) -> pd.DataFrame:
    """The comparisons on ten datasets that are farther off than the suite allows, each with its reason."""
    off = comparison[comparison.judgement == "off"].drop(columns="judgement")
    reasons = [_reason(row) for row in off.itertuples()]
    return out.table("published_scores_off", off.assign(reason=reasons), caption="Reproduced means that are off.")


def _reason(row) -> str:
    if row.classifier == "random_forest":
        return "equal scores: a forest's probabilities are hundredths, and ties are cut where the sort left them"
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
                    "published": paper[group, classifier.replace("joint_", ""), "ema(alpha=0.8)", metric],
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
