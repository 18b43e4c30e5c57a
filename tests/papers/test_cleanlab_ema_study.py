"""The study from end to end at the smallest scale: runs, tables, figures, and what is told when one is missing."""

import json

import numpy as np
import pandas as pd
import pytest

from nlcore.errors import InputError
from nlcore.papers.cleanlab_ema import artefacts
from nlcore.papers.cleanlab_ema.claims import decide_claims
from nlcore.papers.cleanlab_ema.scoring import ALPHAS, HEADLINE, detection_metrics
from nlcore.papers.cleanlab_ema.study import grid, load_study
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store, run_grid, with_requirements

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The least populated class")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    run_grid(grid("smoke", seeds=[0, 1]), store, workers=0)
    return store


@pytest.fixture(scope="module")
def study(store):
    return load_study(grid("smoke", seeds=[0, 1]), store)


@pytest.fixture
def out(tmp_path):
    return ArtefactWriter("cleanlab_ema", "smoke", tmp_path)


def test_every_pooling_and_metric_is_there_for_every_dataset(study):
    counts = study.scores.groupby(["pooling", "metric"]).seed.nunique()
    assert (counts == 2).all()
    assert len(counts) == 27 * 12
    assert study.scores.value.notna().all()


def test_a_pooling_figure_shows_ten_poolings_with_their_published_means(study, out):
    figure = artefacts.pooling_figure(study, out, "fig_2", "ap_at_t")
    data = pd.read_csv(out.folder / "fig_2.csv")
    assert list(dict.fromkeys(data.pooling)) == list(HEADLINE)
    assert set(data.seed) == {0, 1}
    assert data.published.notna().all()
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(artefacts.SHORT_NAMES)
    drawn = np.concatenate([collection.get_offsets().data for collection in axis.collections])
    ema = data[data.pooling == "ema(alpha=0.8)"]
    for value in (*ema.value, ema.value.mean(), ema.published.iloc[0]):
        assert np.isclose(drawn[:, 0], value, atol=1e-5).any()


def test_an_alpha_figure_has_a_column_for_every_alpha(study, out):
    figure = artefacts.alpha_figure(study, out, "fig_s5", "ap_at_t")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [f"{alpha:g}" for alpha in ALPHAS]


def test_the_same_study_gives_the_same_files(study, tmp_path):
    contents = []
    for name in ("one", "two"):
        out = ArtefactWriter("cleanlab_ema", "smoke", tmp_path / name)
        artefacts.pooling_figure(study, out, "fig_2", "ap_at_t")
        artefacts.table_s2(study, out)
        contents.append({path.name: path.read_bytes() for path in out.folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"fig_2.csv", "fig_2.png", "fig_2.svg", "table_s2.csv", "table_s2.md"}


def test_all_published_rows_stand_beside_ours_and_say_how_many_datasets_are_behind(study, out):
    comparison = artefacts.scores_beside_published(study, out)
    assert len(comparison) == 108 * 6
    ran = comparison[(comparison.group == "small") & (comparison.classifier == "logistic_regression")]
    assert (ran.datasets == 2).all()
    assert set(ran.judgement) == {"2 of 10 datasets"}
    assert set(comparison.drop(ran.index).judgement) == {"not run"}


def test_the_manifest_names_runs_seeds_and_what_was_not_made(study, store, out):
    artefacts.table_s1(study, out)
    verdicts = [decided.as_json() for decided in decide_claims(study)]
    manifest = json.loads(out.finish(study.specs, store, verdicts=verdicts).read_text())
    assert manifest["seeds"] == [0, 1]
    assert len(manifest["runs"]) == len(with_requirements(study.specs)) > len(study.specs)
    assert manifest["artefacts"]["table_s1"]["files"] == ["table_s1.csv", "table_s1.md"]
    assert "fig_2" in manifest["not_made"]
    assert manifest["packages"]["numpy"] == np.__version__
    assert [v["id"] for v in json.loads((out.folder / "verdicts.json").read_text())] == [f"ce{n}" for n in range(1, 7)]


def test_an_artefact_is_written_once(study, out):
    artefacts.table_s1(study, out)
    with pytest.raises(InputError, match="'table_s1': written twice"):
        artefacts.table_s1(study, out)


def test_an_unfinished_grid_is_told_and_shown_in_part_when_asked(store):
    wider = grid("smoke", seeds=[0, 1, 7])
    with pytest.raises(InputError, match=r"seed=7.*not finished \(4 runs are not\)"):
        load_study(wider, store)
    study = load_study(wider, store, partial=True)
    assert study.seed_counts().to_dict("records") == [
        {"group": "small", "classifier": "logistic_regression", "datasets": 2, "unfinished": 1}
    ]
    with pytest.raises(InputError, match="no finished run"):
        load_study(grid("smoke", seeds=[8]), store, partial=True)


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
