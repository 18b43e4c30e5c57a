"""teacher_student on Open Images: part of the grid, sparse labels from end to end, Table 3 and its claim."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.metrics import average_precision_all, mean_average_precision
from nlcore.papers.profiles import Resources, load_profile
from nlcore.papers.teacher_student import PAPER, features, runs, tables
from nlcore.papers.teacher_student.claims import decide_claims
from nlcore.papers.teacher_student.fetches import MappedFeatures
from nlcore.papers.teacher_student.problem import TEST, VERIFIED, make_problem
from nlcore.papers.teacher_student.protocol import METHODS, Protocol
from nlcore.papers.teacher_student.runs import Labels, Method, Network, PretrainedHeads
from nlcore.papers.teacher_student.scoring import ap_all, logits_of, mean_ap
from nlcore.papers.teacher_student.stages import one_to_nine, verified_only
from nlcore.papers.teacher_student.study import grid, load_study, on_open_images
from nlcore.report.verdicts import TOO_FEW, Verdict
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Result, Store, run_grid, with_requirements
from nlcore.training import FeatureBatches, SparseLabels
from tests.coco_drawing import draw_coco
from tests.data.openimages_files import write_open_images
from tests.papers.test_teacher_student_images import TINY, drawn_labels

WITH_OPEN_IMAGES = TINY | {
    "methods": ["noisy"],
    "open_images": {
        "source": {"data": "openimages", "model": "test_resnet", "size": 32},
        "protocol": TINY["protocol"],
        "seeds": [0],
        "fractions": [1.0],
        "methods": list(METHODS[:-1]),
        "ablations": [],
        "equal_budget": [],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    draw_coco(root / "coco", images=60, classes=6)
    draw_coco(root / "coco", images=40, classes=6, split="val", seed=1)
    write_open_images(root / "oi", train=60, validation=60)
    return root


@pytest.fixture
def specs(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runs, "build_noisy_labels", drawn_labels)
    return grid(WITH_OPEN_IMAGES, None, resources(folder))


def resources(folder, **others):
    roots = {"data_root": str(folder / "coco"), "open_images_root": str(folder / "oi")}
    return Resources(**roots, weights="random", device="cpu", **others)


@pytest.mark.slow
def test_the_runs_of_table_3_are_part_of_the_grid_and_fill_it(specs, tmp_path):
    store = Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    study = load_study(specs, store)
    assert set(study.scores.series) == {"noisy"} and set(study.open_images.scores.series) == set(METHODS[:-1])
    frame = tables.table_3(study, ArtefactWriter("teacher_student", "tiny", tmp_path / "figures", {}))
    assert frame.series.tolist() == list(METHODS[:-1])
    assert frame.mAP.between(0, 1).all() and frame.AP_all.between(0, 1).all()
    assert [spec for spec in specs if PAPER.reads("table_3")(spec)] == [s for s in specs if on_open_images(s)]
    ts7 = next(decided for decided in decide_claims(study) if decided.claim.id == "ts7")
    assert {part.reason for part in ts7.parts} == {TOO_FEW}
    without = next(decided for decided in decide_claims(replace(study, open_images=None)) if decided.claim.id == "ts7")
    assert without.verdict == Verdict.NOT_RUN


@pytest.mark.slow
def test_no_record_holds_dense_labels_or_predictions_of_all_classes(specs, tmp_path):
    store = Store(tmp_path / "store")
    elsewhere = [spec for spec in with_requirements(specs) if on_open_images(spec)]
    run_grid(elsewhere, store, workers=0)
    labels = store.result(next(spec for spec in elsewhere if isinstance(spec, Labels))).arrays
    clean = SparseLabels.from_arrays(labels, "clean")
    assert (clean.default, len(clean)) == (-1, 120) and "clean" not in labels
    assert (labels["parts"] == VERIFIED).sum() == 15
    for spec in elsewhere:
        arrays = store.result(spec).arrays
        assert "features" not in arrays and "teacher_labels" not in arrays
        if isinstance(spec, Method):
            assert arrays["probabilities"].shape == (45 * 2,)  # people judged two classes of each test image


@pytest.mark.slow
def test_features_lie_in_a_file_that_is_made_again_where_it_is_gone(specs, tmp_path):
    store = Store(tmp_path / "store")
    method = next(s for s in specs if isinstance(s, Method) and s.method == "veit_joint" and on_open_images(s))
    run_grid([method], store, workers=0)
    (file,) = (tmp_path / "cache" / "features").glob("*.npy")
    network = next(spec for spec in with_requirements([method]) if isinstance(spec, Network))
    assert file.stem == network.key and np.load(file).dtype == np.float16 and len(np.load(file)) == 120
    before, made = store.result(method), file.read_bytes()
    file.unlink()
    store.forget(method)
    run_grid([method], store, workers=0)
    assert file.read_bytes() == made
    np.testing.assert_array_equal(store.result(method).arrays["probabilities"], before.arrays["probabilities"])
    store.forget(network)
    file.write_bytes(b"of an earlier training")
    run_grid([network], store, workers=0)
    assert file.read_bytes() == made


def test_a_file_of_features_that_is_not_complete_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path))

    def stopped(array):
        array((4, 3))[:2] = 1
        raise KeyboardInterrupt

    def whole(array):
        found = array((4, 3))
        found[:] = 2
        return found

    with pytest.raises(KeyboardInterrupt):
        features.mapped("key", stopped)
    assert (features.mapped("key", whole) == 2).all()
    assert (features.mapped("key", stopped) == 2).all()
    monkeypatch.setattr(features.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match=r"0\.0 GB are free; expected 0\.0 for features"):
        features.keep("other", whole)


def sparse_and_dense(seed=0, images=40, classes=6):
    dense = np.random.default_rng(seed).choice([-1, 0, 1], size=(images, classes), p=[0.6, 0.25, 0.15]).astype(np.int8)
    dense[:, 5] = np.minimum(dense[:, 5], 0)  # a class without a positive
    return SparseLabels.from_dense(dense, default=-1), dense


def test_metrics_of_the_known_cells_are_those_of_dense_labels_with_unknown_ones():
    sparse, dense = sparse_and_dense()
    model = torch.nn.Linear(8, 6)
    inputs, rows = torch.randn(40, 8), torch.tensor([39, 3, 7, 8, 20, 21, 22, 30, 31])
    fetch = FeatureBatches(inputs, sparse, device=torch.device("cpu"))
    scores = logits_of(model, fetch, sparse, rows).numpy()
    with torch.no_grad():
        everything = model(inputs)[rows].numpy()
    assert len(scores) == (dense[rows] >= 0).sum()
    assert ap_all(sparse, rows, scores) == pytest.approx(average_precision_all(dense[rows], everything))
    assert mean_ap(sparse, rows, scores) == pytest.approx(mean_average_precision(dense[rows], everything))


def labels_of_a_large_set(images, classes=6_000):
    """Parts and labels as `Labels` leaves them: nine machine labels an image, a few verified cells of the last ones."""
    rng, judged = np.random.default_rng(0), images // 50
    rows = np.repeat(np.arange(images), 9)
    noisy = SparseLabels.from_cells(rows, rng.integers(classes, size=len(rows)), np.ones_like(rows), (images, classes))
    rows = np.repeat(np.arange(images - judged, images), 13)
    values = rng.integers(2, size=len(rows))
    clean = SparseLabels.from_cells(rows, rng.integers(classes, size=len(rows)), values, (images, classes), default=-1)
    parts = np.zeros(images, np.int64)
    parts[-judged:] = np.where(np.arange(judged) % 4 == 0, VERIFIED, TEST)
    return Result({}, {"rows": np.arange(images), "parts": parts} | clean.arrays("clean") | noisy.arrays("noisy"))


def test_batches_of_a_large_set_become_dense_one_at_a_time():
    labels = labels_of_a_large_set(20_000)
    source = Source(data="openimages", model="inception_v3", device="cpu")
    problem = make_problem(source, Protocol(batch_size=32, verified_per_batch=3), 0, labels)
    assert problem.classes == 6_000
    verified, rest = problem.verified(1.0)
    assert len(verified) == 80 and len(problem.validation) == 20 and len(rest) == 19_600
    mapped = np.zeros((20_000, 4), np.float16).view(np.memmap)
    fetch = problem.feature_batches(mapped, problem.clean)
    assert isinstance(fetch, MappedFeatures)
    draws = torch.Generator().manual_seed(0)
    batch = one_to_nine(problem, 1.0, generator=draws)(0)[0]
    inputs, clean = fetch(batch)
    assert inputs.dtype == torch.float32 and clean.shape == (32, 6_000)
    assert (clean[:3] >= 0).any(dim=1).all() and (clean[3:] == -1).all()
    assert problem.noisy_labels()(batch).sum(dim=1).ge(1).all()
    assert set(verified_only(problem, 1.0, generator=draws)(0)[0].tolist()) <= set(verified.tolist())


def test_profiles_say_which_of_them_have_runs_on_open_images(folder):
    with pytest.raises(InputError, match="open_images_root: given, and this profile has no runs on it; expected paper"):
        PAPER.specs("embedded", resources=Resources(open_images_root=str(folder / "oi")))
    for name in ("paper", "rehearsal"):
        settings = load_profile(PAPER.package, name)["open_images"]
        protocol = Protocol(**settings["protocol"])
        assert (protocol.teacher_rate, protocol.student_rate) == (1e-4, 1e-5)
        assert settings["methods"] == list(METHODS[:-1])
    whole = Protocol(**load_profile(PAPER.package, "paper")["open_images"]["protocol"])
    assert round(4_000_000 * 32 / 9_011_219) == whole.passes == whole.finetune_passes


def test_weights_of_the_coco_network_are_not_taken_for_that_of_open_images(folder, tmp_path):
    (tmp_path / "resnet.pth").write_bytes(b"weights")
    other = WITH_OPEN_IMAGES["open_images"]
    source = other["source"] | {"model": "test_vit", "weights": "timm:r160_in1k"}
    settings = WITH_OPEN_IMAGES | {"open_images": other | {"source": source}}
    specs = grid(settings, None, replace(resources(folder), weights=str(tmp_path / "resnet.pth")))
    assert specs[0].source.weights.startswith("sha256:")
    assert specs[-1].source.weights == "timm:r160_in1k" and specs[-1].source.weights_file is None


def test_heads_are_planned_by_the_size_of_the_set(specs):
    heads = next(spec for spec in with_requirements(specs) if isinstance(spec, PretrainedHeads))
    assert on_open_images(heads) and heads.work().amount > 0
