"""The study from end to end at the smallest scale: runs, tables, figures, images, Open Images."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from nlcore.errors import InputError
from nlcore.papers.profiles import Resources
from nlcore.papers.teacher_student import artefacts, data
from nlcore.papers.teacher_student.claims import decide_claims
from nlcore.papers.teacher_student.data import Labels, flip, make_problem
from nlcore.papers.teacher_student.methods import METHODS, Method
from nlcore.papers.teacher_student.open_images import how_to_get, open_images_study
from nlcore.papers.teacher_student.setting import Setting
from nlcore.papers.teacher_student.study import grid, load_study
from nlcore.report.contract import artefacts as contract
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store, run_grid
from tests.coco_drawing import draw_coco
from tests.data.openimages_files import write_open_images

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    run_grid(grid("smoke"), store, workers=0)
    return store


@pytest.fixture(scope="module")
def study(store):
    return load_study(grid("smoke"), store)


def test_every_artefact_of_the_contract_is_made_with_its_series(study, store, tmp_path):
    out = ArtefactWriter("teacher_student", "smoke", tmp_path)
    for make in ("table_1", "table_2", "figure_1", "figure_4", "figure_5", "figure_6", "corrections", "equal_budgets"):
        getattr(artefacts, make)(study, out)
    for table in ("table_4", "table_5", "table_6"):
        artefacts.ablation_table(study, out, table)
    artefacts.table_3(None, out, missing="no data")
    artefacts.figure_2(out)
    artefacts.figure_3(out)
    artefacts.correction_figure(study, out)
    artefacts.activation_table(study, out)
    verdicts = [decided.as_json() for decided in decide_claims(study)]
    manifest = json.loads(out.finish(study.specs, store, verdicts=verdicts).read_text())
    assert manifest["not_made"] == []
    assert manifest["seeds"] == [0, 1]
    for panel, metric in (("a", "mAP"), ("b", "AP_all")):
        frame = pd.read_csv(out.folder / f"fig_5{panel}.csv")
        assert list(dict.fromkeys(frame.series)) == contract("teacher_student")["fig_5"]["series"]
        assert frame[metric].between(0, 1).all()
        assert set(frame.seed) == {0, 1}
    assert pd.read_csv(out.folder / "table_2.csv").series.tolist() == list(METHODS)
    assert set(pd.read_csv(out.folder / "fig_6.csv").series) == {"noisy", "finetune_whole", "proposed"}


def test_verified_sets_are_nested_and_apart_from_validation_and_test(study):
    problem = make_problem(study.setting, 0, study.labels)
    small, large = (set(problem.verified(f)[0].tolist()) for f in (0.05, 0.3))
    assert small < large
    rest = set(problem.verified(0.3)[1].tolist())
    parts = [large, rest, set(problem.validation.tolist()), set(problem.test.tolist())]
    assert len(set.union(*parts)) == sum(map(len, parts)) == len(problem.clean)


def test_an_empty_verified_set_is_told(study):
    with pytest.raises(InputError, match=r"verified set: empty, 0\.0001 of"):
        make_problem(study.setting, 0, study.labels).verified(0.0001)


def test_a_threshold_outside_of_0_and_1_is_no_setting():
    for threshold in (0, 1, 2):
        with pytest.raises(ValueError, match="threshold"):
            Setting(dataset="embedded", model="mlp", threshold=threshold)


def test_a_run_does_not_depend_on_the_others(study, store, tmp_path):
    spec = next(s for s in study.specs if isinstance(s, Method) and s.method == "proposed" and s.seed == 1)
    alone = Store(tmp_path)
    run_grid([spec], alone, workers=0)
    np.testing.assert_array_equal(
        alone.result(spec).arrays["probabilities"], store.result(spec).arrays["probabilities"]
    )


def test_an_unfinished_grid_is_told_and_shown_in_part_when_asked(store):
    wider = grid("smoke", seeds=[0, 1, 7])
    with pytest.raises(InputError, match=r"not finished"):
        load_study(wider, store)
    assert (load_study(wider, store, partial=True).seed_counts().unfinished > 0).all()
    with pytest.raises(InputError, match="no finished run"):
        load_study(grid("smoke", seeds=[8]), store, partial=True)


def test_flips_mirror_along_both_axes():
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2).expand(64, 3, 2, 2)
    seen = {tuple(image[0].flatten().tolist()) for image in flip(images, torch.Generator().manual_seed(0))}
    assert seen == {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Profiles on images at a size for tests: a network without pre-trained weights, on pictures of 32 pixels."""
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))

    def settings(dataset):
        setting = {"dataset": dataset, "model": "test_resnet", "labeller": "test_resnet", "image_size": 32,
                   "hidden": 8, "batch_size": 16, "verified_per_batch": 2, "passes": 1, "finetune_passes": 1, 
                   "rate": 1e-3}  # fmt: skip
        methods = [m for m in METHODS if m != "ground_truth" or dataset != "openimages"]
        return {"seeds": [0], "setting": setting, "fractions": [1.0 if dataset == "openimages" else 0.3],
                "methods": methods, "ablations": [], "equal_budget": []}  # fmt: skip

    monkeypatch.setattr(
        "nlcore.papers.teacher_student.study.load_profile",
        lambda paper, profile: settings("openimages" if profile == "openimages" else "coco_folder"),
    )


def test_a_coco_folder_trains_end_to_end(tiny, monkeypatch, tmp_path):
    draw_coco(tmp_path / "coco", images=60, classes=6)
    labels = lambda images, *_, **options: (np.random.default_rng(0).random((len(images), 56)) < 0.5).astype(np.int8)
    monkeypatch.setattr(data, "build_noisy_labels", labels)
    specs = grid("finetune", resources=Resources(data_root=str(tmp_path / "coco"), device="cpu"))
    store = Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    study = load_study(specs, store)
    assert set(study.scores.series) == set(METHODS)
    out = ArtefactWriter("teacher_student", "finetune", tmp_path / "figures")
    artefacts.table_1(study, out)
    artefacts.figure_6(study, out)
    assert study.scores[study.scores.metric == "AP_all"].value.between(0, 1).all()


def test_open_images_trains_end_to_end_and_fills_table_3(tiny, tmp_path):
    root = write_open_images(tmp_path / "oi", train=60, validation=60)
    study = open_images_study(root, Store(tmp_path / "store"), workers=0, device="cpu", weights=None)
    out = ArtefactWriter("teacher_student", "finetune", tmp_path / "figures")
    frame = artefacts.table_3(study, out)
    assert frame.series.tolist() == list(METHODS[:-1])
    assert frame.mAP.notna().all()


def test_images_without_a_folder_are_told(tmp_path):
    assert open_images_study(None, Store(tmp_path)) is None
    assert "990 MB" in how_to_get()
    spec = next(s for s in grid("finetune", seeds=[0]) if isinstance(s, Labels))
    with pytest.raises(InputError, match="data_root: not given"):
        spec.compute([])
