"""The study from end to end at the smallest scale, on features and on drawn images, and what bad input is told."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from nlcore.errors import InputError
from nlcore.papers.galc_slr import artefacts
from nlcore.papers.galc_slr.claims import decide_claims
from nlcore.papers.galc_slr.data import Source, capped, divide, load_source
from nlcore.papers.galc_slr.gold import WAYS, GoldClassifier, SilverGoldLoss
from nlcore.papers.galc_slr.matrices import MatrixEstimates, silver_gradient
from nlcore.papers.galc_slr.silver import SilverClassifier
from nlcore.papers.galc_slr.study import METHODS, grid, load_study
from nlcore.papers.profiles import Resources
from nlcore.report.contract import artefacts as contract
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Result, Store, run_grid
from tests.coco_drawing import draw_coco


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    run_grid(grid("smoke", seeds=[0]), store, workers=0)
    return store


@pytest.fixture(scope="module")
def study(store):
    return load_study(grid("smoke", seeds=[0]), store)


@pytest.fixture
def out(tmp_path):
    return ArtefactWriter("galc_slr", "smoke", tmp_path)


@pytest.mark.slow
def test_every_artefact_of_the_contract_is_made_with_its_series(study, store, out):
    artefacts.figure_1(out)
    artefacts.figure_3(out)
    for make in ("table_1", "figure_2", "figure_4", "figure_5", "figure_6", "slope_table", "distance_table",
                 "memorisation_table", "sigmoid_table", "clean_gold_figure", "readings_table"):  # fmt: skip
        getattr(artefacts, make)(study, out)
    verdicts = [decided.as_json() for decided in decide_claims(study)]
    manifest = json.loads(out.finish(study.specs, store, verdicts=verdicts).read_text())
    assert manifest["not_made"] == []
    assert [v["id"] for v in verdicts[:8]] == [f"gs{n}" for n in range(1, 9)]
    read = lambda name: pd.read_csv(out.folder / f"{name}.csv")
    asked = contract("galc_slr")
    assert list(METHODS) == asked["table_1"]["columns"] == list(read("table_1").columns[2:-1])
    assert set(asked["fig_4"]["series"]) <= set(read("fig_4").series)
    for panel in "abc":
        assert set(read(f"fig_5{panel}").series) == set(METHODS)
    assert {"asl", "galc_slr"} <= set(read("fig_6a").series)
    assert set(read("fig_6b").gold) == {5, 10}
    assert read("fig_6b").published.notna().all()
    assert set(read("fig_6c").series.astype(str)) == {"all", "50", "10"}
    assert read("fig_1").label.tolist().count("wrong") == 1
    assert set(read("fig_3").kind) == {"node", "arrow"}


@pytest.mark.slow
def test_without_noise_the_baselines_and_the_true_matrix_are_one(study):
    """With C = I the corrected loss is the plain one, and gold labels are clean anyway."""
    values = {m: study.values("map", method=m, noise=0).iloc[0] for m in ("asl", "asl + clean gold", "true matrix")}
    assert values["asl"] == values["asl + clean gold"]
    assert values["true matrix"] == pytest.approx(values["asl"], abs=0.05)


@pytest.mark.slow
def test_what_estimates_lacked_is_counted(study):
    rows = study.runs(study.distances, noise=40, matrix="galc_slr")
    assert rows.borrowed_regulators.tolist() == [2]  # mouse and toaster have no crop and no single-label image
    assert rows.single_label_images.tolist() == [2026]
    assert (rows.identity_rows > 0).all()


@pytest.mark.slow
def test_an_unfinished_grid_is_told_and_shown_in_part_when_asked(store):
    wider = grid("smoke", seeds=[0, 9])
    with pytest.raises(InputError, match=r"seed=9.*not finished"):
        load_study(wider, store)
    assert load_study(wider, store, partial=True).seed_counts().unfinished.gt(0).all()


def drawn(tmp_path, monkeypatch, profile, **more):
    """The profile's runs of two methods, made tiny, on drawn images."""
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    specs = grid(profile, seeds=[0], resources=Resources(data_root=str(tmp_path / "coco"), device="cpu"))
    small = {"model": "test_resnet", "image_size": 32, "epochs": 1, "batch_size": 16, "weights": None, "gold": 30}
    chosen = [s for s in specs if isinstance(s, GoldClassifier) and s.noise == 40 and s.cap is None and s.gold == 10]
    chosen = [s for s in chosen if s.method in ("asl", "galc_slr", "galc_slr as written") and s.silver_loss == "asl"]
    return [s.model_copy(update=small | {"evaluate_every": 1}) for s in chosen if s.estimate_on == "gold"]


@pytest.mark.slow
def test_the_finetune_path_trains_a_network_on_a_folder_of_images(tmp_path, monkeypatch):
    draw_coco(tmp_path / "coco", images=60)
    specs, store = drawn(tmp_path, monkeypatch, "finetune"), Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    assert len(specs) == 3
    for spec in specs:
        assert 0 < store.result(spec).values["map"] <= 100
        assert [row["epoch"] for row in store.result(spec).values["history"]] == [1]
    estimates = store.result(specs[1].requires()[0]).values
    assert estimates["borrowed_regulators"] > 70  # of 80 classes six are drawn


@pytest.mark.slow
def test_the_paper_path_trains_on_the_official_layout_of_coco_2014(tmp_path, monkeypatch):
    for split, seed in (("train", 0), ("val", 1)):
        draw_coco(tmp_path / "coco", images=40, seed=seed, year=2014, split=split)
    specs, store = drawn(tmp_path, monkeypatch, "paper"), Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    source = specs[0].source()
    assert source.train.max() < 40 <= source.test.min()
    assert (source.targets[source.train].sum(axis=1) >= 2).all()
    assert (source.targets[source.single].sum(axis=1) == 1).all()
    assert "average_map" in store.result(specs[0]).values["history"][0]


def test_a_plan_of_the_paper_costs_gpu_hours_and_needs_no_data():
    specs = grid("paper")
    assert len({spec.key for spec in specs}) == len(specs)
    assert sum(spec.work().amount for spec in specs) > 3600 * 100


def test_images_are_needed_and_their_place_is_not_part_of_the_key(tmp_path):
    with pytest.raises(InputError, match="data root: none given"):
        grid("finetune")[0].compute([])
    (tmp_path / "annotations").mkdir()
    with pytest.raises(InputError, match=r"0 files annotations/instances\*.json; expected one"):
        load_source("folder", str(tmp_path), 32, "fail")
    on = lambda device: grid("embedded", resources=Resources(device=device))[0].key
    assert on("cpu") == on("auto")


def tiny_source(classes=5, images=40, single=(0, 0, 0, 1)):
    """`images` with two labels each to train on; single-label images of classes 0 and 1 only."""
    rng = np.random.default_rng(0)
    targets = np.zeros((images + len(single), classes), dtype=np.int8)
    for row in targets[:images]:
        row[rng.choice(classes, 2, replace=False)] = 1
    targets[np.arange(images, images + len(single)), list(single)] = 1
    parts = np.arange(images), np.arange(4), np.arange(images, images + len(single))
    return Source(rng.normal(size=(len(targets), 8)).astype(np.float32), targets, *parts, tuple("abcde"[:classes]))


def test_gold_and_silver_part_the_training_images_and_noise_is_exact():
    source = tiny_source()
    division, smaller = (divide(source, gold=g, noise=0.4, seed=3) for g in (0.2, 0.1))
    assert sorted([*division.gold, *division.silver]) == source.train.tolist()
    assert set(smaller.gold) < set(division.gold)
    for rows in (division.gold, division.silver):
        lost = (source.targets[rows] > division.noisy[rows]).sum()
        assert lost == round(0.4 * source.targets[rows].sum())
    rest = np.setdiff1d(np.arange(len(source.targets)), source.train)
    assert (division.noisy[rest] == source.targets[rest]).all()


@pytest.mark.parametrize("gold", [0.0, 0.01, 1.0])
def test_an_empty_gold_or_silver_set_is_an_error(gold):
    with pytest.raises(InputError, match=r"gold fraction .* of 40 images; expected some gold and some silver"):
        divide(tiny_source(), gold=gold, noise=0.4, seed=0)


def test_caps_keep_at_most_so_many_of_each_class():
    classes = np.array([2, 0, 0, 0, 1, 1])
    assert len(capped(classes, None, 0)) == 6
    assert np.bincount(classes[capped(classes, 2, 0)]).tolist() == [2, 2, 1]
    assert capped(classes[:0], 2, 0).tolist() == []


FIELDS = {"layout": "embedded", "model": "linear", "image_size": 0, "epochs": 2, "batch_size": 8,
          "learning_rate": 1e-2, "average_decay": None, "noise": 40, "gold": 20, "seed": 0}  # fmt: skip


@pytest.mark.parametrize("single", [(0, 0, 0, 1), ()])
def test_a_class_without_a_single_label_image_borrows_a_regulator_and_is_counted(monkeypatch, single):
    source = tiny_source(single=single)
    monkeypatch.setattr(MatrixEstimates, "source", lambda self: source)
    monkeypatch.setattr(SilverClassifier, "source", lambda self: source)
    silver = SilverClassifier(**FIELDS).compute([])
    estimate = MatrixEstimates(**FIELDS).compute([silver])
    assert estimate.values["borrowed_regulators"] == 5 - len(set(single))
    assert estimate.values["single_label_images"] == len(single)
    assert np.allclose(estimate.arrays["galc_slr"].sum(axis=1), 1)


@pytest.mark.parametrize("bad, what", [(np.nan, "NaN or infinite"), (-0.1, "negative")])
def test_a_bad_matrix_is_an_error_before_training(monkeypatch, bad, what):
    source = tiny_source()
    monkeypatch.setattr(GoldClassifier, "source", lambda self: source)
    matrix = np.eye(5)
    matrix[3, 1] = bad
    with pytest.raises(InputError, match=f"corruption matrix: row 3 has {what} entries"):
        GoldClassifier(**FIELDS, method="glc", evaluate_every=2).compute([Result({}, {"glc": matrix})])


@pytest.mark.parametrize("method", METHODS)
def test_gold_images_never_pass_through_the_matrix(method):
    """A batch of trusted images only: every method's loss is plain ASL, whatever the matrix."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.cat([torch.eye(4).repeat(2, 1)[:6], torch.ones(6, 1)], dim=1)
    found = SilverGoldLoss(WAYS[method], torch.rand(4, 4))(logits, targets)
    plain = SilverGoldLoss(WAYS["asl + clean gold"], None)(logits, targets)
    assert torch.allclose(found, plain)
    assert torch.isfinite(torch.autograd.grad(found, logits)[0]).all()


def test_the_sigmoid_takes_the_gradient_of_absent_labels_away():
    logits, labels = np.array([[3, -2, -2, 3]], dtype=np.float32), np.array([[1, 0, 0, 0]])
    written = 1 / (1 + np.exp(-3 * np.eye(4)))
    effect = silver_gradient(logits, labels, written, None)
    assert effect["above_one"] == 1 and effect["from_absent"] == 0 and effect["with_gradient"] == 0.25
    assert silver_gradient(logits, labels, written, 1e-6)["with_gradient"] == 0
    assert silver_gradient(logits, labels, np.eye(4), 1e-6)["from_absent"] > 0
