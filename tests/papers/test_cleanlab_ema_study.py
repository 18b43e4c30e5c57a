"""The study from end to end at the smallest scale: runs, tables, figures, and what is told when one is missing."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nlcore.data.benchmark import make_benchmark
from nlcore.errors import InputError
from nlcore.papers.cleanlab_ema import PAPER, figures, tables
from nlcore.papers.cleanlab_ema.claims import decide_claims, readings_atlas, short_lists
from nlcore.papers.cleanlab_ema.runs import DatasetStatistics, FlaggedErrors, HeldOutTags, PoolingScores
from nlcore.papers.cleanlab_ema.scoring import ALPHAS, HEADLINE, detection_metrics, flag_metrics
from nlcore.papers.cleanlab_ema.study import load_study
from nlcore.papers.cleanlab_ema.words import HEADLINE_NAMES
from nlcore.report.verdict_file import read_verdicts
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import run_grid
from nlcore.scorers import find_label_issues
from nlcore.scorers.label_quality import self_confidence

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error:The least populated class")]
POOLING_FIGURES = {
    "fig_2": "ap_at_t",
    "fig_3": "ap_at_t_2",
    "fig_s2": "auprc",
    "fig_s3": "ap_at_t_3",
    "fig_s4": "spearman",
}
ALPHA_FIGURES = {"fig_s5": "ap_at_t", "fig_s6": "ap_at_t_2", "fig_s7": "ap_at_t_3", "fig_s8": "spearman"}


@pytest.fixture(scope="module")
def store(smoke_store):
    run_grid(PAPER.specs("smoke", seeds=[0, 1]), smoke_store, workers=0)
    return smoke_store


@pytest.fixture(scope="module")
def study(store):
    return load_study(PAPER.specs("smoke", seeds=[0, 1]), store)


@pytest.fixture
def out(tmp_path):
    return ArtefactWriter("cleanlab_ema", "smoke", tmp_path, PAPER.contract.artefacts())


def test_every_pooling_and_metric_is_there_for_every_dataset(study):
    counts = study.scores.groupby(["pooling", "metric"]).seed.nunique()
    assert (counts == 2).all()
    assert len(counts) == 27 * 12
    assert study.scores.value.notna().all()


def test_flags_and_rounded_scores_stand_beside_the_scores_of_every_dataset(study, store, out):
    run = next(spec for spec in study.specs if isinstance(spec, FlaggedErrors))
    data = make_benchmark(run.group, run.seed)
    probabilities = run.joined([store.read(fold).result for fold in run.requires()])
    flags = find_label_issues(data.given_labels, probabilities).per_class
    expected = flag_metrics(flags, data.given_labels != data.true_labels)
    row = study.flagged.set_index("seed").loc[run.seed]
    np.testing.assert_allclose([row[name] for name in expected], list(expected.values()))
    table = tables.flagger(study, out)
    assert list(table.datasets) == [2]
    both = study.scores.merge(study.rounded, on=["group", "classifier", "seed", "pooling", "metric"])
    assert len(both) == 2 * len(study.scores) == len(study.rounded) and set(both.digits) == {8, 4}
    assert (both.value_x - both.value_y).abs().max() < 0.05, "only scores that differ in their last digits move"
    (counted,) = tables.rounding(study, out).to_dict("records")
    assert counted["means"] == 27 * 6
    rounded = PoolingScores(group=run.group, classifier=run.classifier, seed=run.seed, digits=2)
    levelled = self_confidence(data.given_labels, probabilities).round(2)
    values = rounded.compute([store.read(fold).result for fold in rounded.requires()]).values["metrics"]["min"]
    assert values == detection_metrics(levelled.min(axis=1), data.error_counts)


def test_short_lists_are_named_where_a_metric_looks_at_few_examples(study):
    assert short_lists(study, "ap_at_t") == short_lists(study, "auprc") == {}
    assert re.fullmatch(r"; lists of \d+ to \d+", short_lists(study, "ap_at_t_3")["small"])
    ce2 = next(one for one in decide_claims(study) if one.claim.id == "ce2")
    assert all(("lists of" in part.name) == ("3-precision" in part.name) for part in ce2.parts)


def test_a_pooling_figure_shows_ten_poolings_with_their_published_means(study, out):
    figure = figures.pooling_figure(study, out, "fig_2", "ap_at_t")
    data = pd.read_csv(out.folder / "fig_2.csv")
    assert list(dict.fromkeys(data.pooling)) == list(HEADLINE)
    assert set(data.seed) == {0, 1}
    assert data.published.notna().all()
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(HEADLINE_NAMES)
    drawn = np.concatenate([collection.get_offsets().data for collection in axis.collections])
    ema = data[data.pooling == "ema(alpha=0.8)"]
    for value in (*ema.value, ema.value.mean(), ema.published.iloc[0]):
        assert np.isclose(drawn[:, 0], value, rtol=1e-4).any()  # the CSV carries four digits


def test_an_alpha_figure_has_a_column_for_every_alpha(study, out):
    figure = figures.alpha_figure(study, out, "fig_s5", "ap_at_t")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [f"{alpha:g}" for alpha in ALPHAS]


def test_the_same_study_gives_the_same_files(study, tmp_path):
    contents = []
    for name in ("one", "two"):
        out = ArtefactWriter("cleanlab_ema", "smoke", tmp_path / name, PAPER.contract.artefacts())
        figures.pooling_figure(study, out, "fig_2", "ap_at_t")
        tables.table_s2(study, out)
        contents.append({path.name: path.read_bytes() for path in out.folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"fig_2.csv", "fig_2.png", "fig_2.svg", "table_s2.csv", "table_s2.md"}


def test_all_published_rows_stand_beside_ours_and_say_how_many_datasets_are_behind(study, out):
    comparison = tables.scores_beside_published(study, out)
    assert len(comparison) == 108 * 6
    ran = comparison[(comparison.group == "small") & (comparison.classifier == "logistic_regression")]
    assert (ran.datasets == 2).all()
    assert set(ran.judgement) == {"2 of 10 datasets"}
    assert set(comparison.drop(ran.index).judgement) == {"not run"}


def test_the_artefacts_of_the_contract_are_made_and_traced_to_their_runs(study, store, out):
    for id, metric in POOLING_FIGURES.items():
        figures.pooling_figure(study, out, id, metric)
    for id, metric in ALPHA_FIGURES.items():
        figures.alpha_figure(study, out, id, metric)
    figures.figure_s1(out)
    for make in (tables.table_1, tables.table_s1, tables.table_s2, tables.lift_table, tables.meaning_of_t,
                 tables.rank_table, tables.lift_injected, tables.injected_by_kind,
                 tables.flagger_injected):  # fmt: skip
        make(study, out)
    manifest = json.loads(out.finish(study.specs, store, verdicts=decide_claims(study), reads=PAPER.reads).read_text())
    assert manifest["seeds"] == [0, 1]
    assert manifest["not_made"] == ["fig_1", "fig_4"]  # made in test_cleanlab_ema_tagging.py
    assert manifest["runs"] == {"planned": len(study.specs), "finished": len(study.specs)}
    assert manifest["artefacts"]["table_s1"]["files"] == ["table_s1.csv", "table_s1.md"]
    assert [one.id for one in read_verdicts(out.folder / "verdicts.json")] == [f"ce{n}" for n in range(1, 7)]
    behind = json.loads((out.folder / "provenance.json").read_text())["artefacts"]
    for id, kind in {"table_s1": DatasetStatistics, "table_1": HeldOutTags, "lift_injected": HeldOutTags}.items():
        assert behind[id] == [spec.key for spec in study.specs if isinstance(spec, kind)]
    assert behind["fig_s1"] == []


def test_the_atlas_has_the_claims_that_another_reading_touches(study):
    atlas = readings_atlas(study)
    assert set(atlas.claim) == {f"ce{n}" for n in range(1, 6)}
    assert atlas.reading.str.startswith(("T of the captions", "scores of annotations have")).all()


def test_a_reading_of_few_digits_puts_its_scores_in_the_place_of_those_of_the_same_datasets(study):
    own = {part.name: str(part.estimate) for claim in decide_claims(study) for part in claim.parts}
    turned = study.scores[study.scores.seed == 0].assign(digits=4, value=lambda frame: -frame.value)
    for rounded, same in ((study.scores.assign(digits=4), True), (turned, False)):
        atlas = readings_atlas(replace(study, rounded=rounded))
        atlas = atlas[atlas.reading.str.contains("4 digits")]
        assert len(atlas) == 5 and all((own[row["decided by"]] == row.ours) == same for _, row in atlas.iterrows())


def test_an_artefact_is_written_once(study, out):
    tables.table_s1(study, out)
    with pytest.raises(InputError, match="'table_s1': written twice"):
        tables.table_s1(study, out)


def test_an_unfinished_grid_is_told_and_shown_in_part_when_asked(store):
    wider = PAPER.specs("smoke", seeds=[0, 1, 7])
    with pytest.raises(InputError, match=r"seed=7.*not finished \(7 runs are not\)"):
        load_study(wider, store)
    study = load_study(wider, store, partial=True)
    assert study.seed_counts().to_dict("records") == [
        {"group": "small", "classifier": "logistic_regression", "datasets": 2, "unfinished": 1}
    ]
    with pytest.raises(InputError, match="no finished run"):
        load_study(PAPER.specs("smoke", seeds=[8]), store, partial=True)


def test_section_5_2_waits_for_all_its_folds(study, store, out):
    specs = PAPER.specs("smoke", seeds=[0, 1])
    last = next(spec for spec in reversed(specs) if isinstance(spec, HeldOutTags))
    unfinished = [spec.model_copy(update={"fold": 9}) if spec == last else spec for spec in specs]
    without = load_study(unfinished, store, partial=True)
    assert without.tagging is None
    assert study.tagging is not None
    with pytest.raises(InputError, match=r"section 5\.2 are not finished; expected all folds"):
        tables.table_1(without, out)
    assert [v.verdict for v in decide_claims(without)][-1] == "not run"


def test_metrics_tell_the_two_readings_of_t_apart():
    """Ten examples; one with two errors sits third, behind two with one error: in a list of one it is not found."""
    scores, errors = np.arange(10.0), np.array([1, 1, 2, 0, 0, 0, 0, 0, 0, 0])
    found = detection_metrics(
        np.concatenate([scores, np.arange(10.0, 500)]), np.concatenate([errors, np.zeros(490, int)])
    )
    assert found["ap_at_t"] == 1
    assert found["ap_at_t_2"] == 0
    assert found["ap_at_t_2_all_t"] == pytest.approx(1 / 3)
    assert found["lift_at_10"] == pytest.approx(0.3 / (3 / 500))
