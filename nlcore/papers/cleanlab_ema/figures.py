"""The paper's figures, each one function of the study."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlcore.data.benchmark import GAMMA_SCALE, GAMMA_SHAPE, rank_weights
from nlcore.data.source import Images
from nlcore.papers.cleanlab_ema.published import with_published
from nlcore.papers.cleanlab_ema.review import Tagging, suspects
from nlcore.papers.cleanlab_ema.scoring import ALPHAS, pooling_name
from nlcore.papers.cleanlab_ema.study import Study
from nlcore.papers.cleanlab_ema.words import CLASSIFIERS, METRICS, datasets
from nlcore.report.figures import dots_legend, dots_with_published, leave_empty, panels, series_style, style
from nlcore.report.words import title
from nlcore.report.writer import ArtefactWriter, Headline

DRAWS = 1000  # behind Figure S1
PANELS = tuple(product(("small", "large"), ("logistic_regression", "random_forest")))


def pooling_figure(study: Study, out: ArtefactWriter, id: str, metric: str) -> Figure:
    """One of Figures 2, 3, S2, S3, S4: ten poolings, one dot per dataset, a panel per group and classifier."""
    return _panel_figure(study, out, id, metric, study.headline, "pooling")


def alpha_figure(study: Study, out: ArtefactWriter, id: str, metric: str) -> Figure:
    """One of Figures S5 to S8: EMA's forgetting factor."""
    names = {pooling_name("ema", {"alpha": alpha}): f"{alpha:g}" for alpha in ALPHAS}
    return _panel_figure(study, out, id, metric, names, "alpha")


def _panel_figure(
    study: Study, out: ArtefactWriter, id: str, metric: str, names: Mapping[str, str], axis_name: str
) -> Figure:
    """A panel per cell of the study; `names` are the poolings shown, in order, and what the axis calls them."""
    label = METRICS[metric][1]
    data = with_published(study.scores[(study.scores.metric == metric) & study.scores.pooling.isin(list(names))])
    data = data.assign(shown=data.pooling.map(names)).sort_values(
        "pooling", key=lambda column: column.map(list(names).index), kind="stable"
    )
    best = names[data.groupby("pooling").value.mean().idxmax()]
    return out.figure(
        id,
        _drawn(study, data, label, axis_name),
        data.drop(columns=["metric", "shown"]),
        deviations=study.deviations,
        headline=_headline(study, metric),
        caption=f"{title(id)} {label} by {axis_name}, one dot per dataset.",
        alt=f"{label} by {axis_name} in {len(study.cells)} panels; highest on average over the datasets: {best}",
    )


def _drawn(study: Study, data: pd.DataFrame, label: str, axis_name: str) -> Figure:
    upright = axis_name == "alpha"
    with style():
        columns = min(2, len(study.cells))
        figure, axes = panels(-(-len(study.cells) // columns), columns, height=2.6 if upright else 2.9)
        for axis, (group, classifier) in zip(axes.flat, study.cells, strict=False):
            part = data[(data.group == group) & (data.classifier == classifier)]
            bars = part.drop_duplicates("shown").set_index("shown").published.to_dict()
            dots_with_published(axis, part, names="shown", values="value", published=bars, upright=upright)
            axis.set_title(f"{group}, {CLASSIFIERS[classifier]}\n{datasets(part.seed.nunique())}", fontsize=9)
            (axis.set_ylabel if upright else axis.set_xlabel)(label)
            (axis.set_xlabel if upright else axis.set_ylabel)(axis_name)
        absent = [cell for cell in PANELS if cell not in study.cells]
        for axis, (group, classifier) in zip(axes.flat[len(study.cells) :], absent, strict=False):
            leave_empty(axis, f"{group}, {CLASSIFIERS[classifier]}:\nnot run in this profile")
        dots_legend(figure, axes.flat[0], upright=upright)
    return figure


def _headline(study: Study, metric: str) -> Headline:
    """EMA(0.8) in the first panel, beside the published mean."""
    group, classifier = study.cells[0]
    cell = with_published(study.cell(group, classifier).query("metric == @metric and pooling == 'ema(alpha=0.8)'"))
    ours, paper = cell.value.mean(), cell.published.iloc[0]
    near = "same (0.0005)" if abs(ours - paper) <= 0.0005 else f"{ours - paper:+.4f}"
    many = datasets(cell.seed.nunique())
    what = f"EMA(0.8), {METRICS[metric][1]}, {group}, {CLASSIFIERS[classifier]}, {many}"
    return Headline(what, f"{paper:.4f}", f"{ours:.4f}", near)


def figure_s1(out: ArtefactWriter, *, classes: int = 10) -> Figure:
    """Figure S1: sorted draws 1 - X_k, the weights of Eq. 12, and their product Y_k, ten classes, mean over draws."""
    gammas = np.random.RandomState(0).gamma(GAMMA_SHAPE, GAMMA_SCALE, size=(DRAWS, classes))
    drawn = np.sort(1 - gammas, axis=1).mean(axis=0)
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
        caption=f"{title('fig_s1')} Half the traces of the noise matrices for K = 10, mean over {DRAWS:,} draws.",
        alt=f"Sorted draws, weights and their product for ten classes; the noisiest class ends at {data.y.iloc[0]:.3f}",
    )


def figure_1(study: Study, out: ArtefactWriter, *, images: int = 15) -> Figure:
    """Figure 1: flagged images with the lowest EMA scores, with their given tags and the suspected error."""
    tagging, deviations = study.held_out
    shown = _with_picture(tagging, suspects(tagging)).head(images)
    with style():
        figure = _pictures(tagging, [shown[first : first + 5] for first in range(0, len(shown), 5)])
    names = "; ".join(f"rank {row.rank}: {row.doubted_tag} {row.suspected_error}" for row in shown.itertuples())
    return out.figure(
        "fig_1", figure, _credited(tagging, shown), deviations=deviations,
        caption=f"{title('fig_1')} Flagged images with the lowest EMA scores{_picture_note(tagging, shown)}.",
        alt=f"{len(shown)} photographs with given tags and suspected errors. {names}",
    )  # fmt: skip


def figure_4(study: Study, out: ArtefactWriter, *, images: int = 5) -> Figure:
    """Figure 4: three tags that are given inconsistently: lowest-scoring images that lack them, or have them."""
    tagging, deviations = study.held_out
    found = _with_picture(tagging, suspects(tagging))
    tags = list(found.doubted_tag.value_counts().index[:3])
    parts = [found[found.doubted_tag == tag].head(images) for tag in tags]
    shown = pd.concat(parts) if parts else found
    with style():
        figure = _pictures(tagging, parts)
    return out.figure(
        "fig_4", figure, _credited(tagging, shown), deviations=deviations,
        caption=f"{title('fig_4')} Three tags doubted most often, a row each: {', '.join(tags)}"
                f"{_picture_note(tagging, shown)}.",
        alt=f"Three rows of photographs in which the tags {', '.join(tags)} look missing or wrongly given.",
    )  # fmt: skip


def _with_picture(tagging: Tagging, found: pd.DataFrame) -> pd.DataFrame:
    """Those images that may be shown."""
    return found[found.row.isin(list(tagging.images.pictures))]


def _pictures(tagging: Tagging, parts: Sequence[pd.DataFrame]) -> Figure:
    """A row of images for each part, every image with its suspected error above and all its tags below."""
    figure, axes = panels(max(1, len(parts)), max(map(len, parts), default=1), width=2.3, height=2.7)
    figure.get_layout_engine().set(h_pad=0.12)  # the last tags are no title of the next row
    for axis in axes.flat:
        axis.axis("off")
    for line, part in zip(axes, parts, strict=False):
        for axis, row in zip(line, part.itertuples(), strict=False):
            _show(axis, tagging.images, row.row)
            doubt = f"{row.doubted_tag}: {row.suspected_error}?\nrank {row.rank}, score {row.score:.3f}"
            axis.set_title(doubt, fontsize=8)
            tags = textwrap.fill(row.given_tags, 38)
            axis.text(0.5, -0.03, tags, transform=axis.transAxes, ha="center", va="top", fontsize=6.5)
    return figure


def _show(axis: Axes, images: Images, row: int) -> None:
    """An image, or a grey square where its photograph is not here."""
    if images.pictures[row].is_file():
        axis.imshow(images.picture(row), interpolation="none")
        return
    axis.imshow(np.full((1, 1, 3), 225, np.uint8))
    axis.text(0.5, 0.5, "no photograph here", transform=axis.transAxes, ha="center", va="center", fontsize=8)


def _credited(tagging: Tagging, shown: pd.DataFrame) -> pd.DataFrame:
    """With the line that has to stand beside each picture."""
    return shown.drop(columns="position").assign(credit=[tagging.images.credit(row) for row in shown.row])


def _picture_note(tagging: Tagging, shown: pd.DataFrame) -> str:
    """Which pictures may be shown, or are not here, for a caption."""
    if not tagging.of_celeba:
        return ", of those whose licence permits a copy (credits in the CSV)"
    absent = not all(tagging.images.pictures[row].is_file() for row in shown.row)
    return "; a grey square stands where the photograph is not here" if absent else ""
