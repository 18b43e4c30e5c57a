"""teacher_student on folders of images: every method end to end, what is read when, and what a key depends on."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nlcore.data import extended_coco
from nlcore.errors import InputError
from nlcore.papers.profiles import Resources
from nlcore.papers.teacher_student import PAPER, figures, runs, tables
from nlcore.papers.teacher_student.problem import TEST, TRAIN, VALIDATION
from nlcore.papers.teacher_student.protocol import METHODS
from nlcore.papers.teacher_student.runs import Labels, Method, Network, PretrainedHeads
from nlcore.papers.teacher_student.study import grid, load_study
from nlcore.report.writer import ArtefactWriter
from nlcore.runs import Store, run_grid, with_requirements
from nlcore.runs.spec import _key
from tests.coco_drawing import draw_coco
from tests.papers.interruption import stopped_and_resumed
from tests.shared_data import shared_data

pytestmark = pytest.mark.slow

# A small network of timm's for tests, on pictures of 32 pixels.
TINY = {
    "source": {"data": "coco", "model": "test_resnet", "parts": ["train2017", "val2017"], "size": 32},
    "labeller": {"model": "test_vit", "weights": "random"},
    "protocol": {"hidden": 8, "batch_size": 16, "verified_per_batch": 2, "passes": 1, "finetune_passes": 1,
                 "rate": 1e-3},
    "seeds": [0],
    "fractions": [0.3],
    "methods": list(METHODS),
    "ablations": [],
    "equal_budget": [],
}  # fmt: skip


def drawn_labels(paths, *_, **options):
    """Noisy labels that do not need a classifier that knows anything."""
    return (np.random.default_rng(0).random((len(paths), 56)) < 0.5).astype(np.int8)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runs, "build_noisy_labels", drawn_labels)
    draw_coco(tmp_path / "coco", images=60, classes=6)
    draw_coco(tmp_path / "coco", images=40, classes=6, split="val", seed=1)
    return tmp_path / "coco"


def tiny(folder, **changes):
    return grid(TINY, None, Resources(data_root=str(folder), weights="random", device="cpu", **changes))


def test_an_ablation_at_a_share_that_no_method_has_is_refused(folder):
    """Figure 5 has a point of every method at each share of the proposed one."""
    with pytest.raises(InputError, match=r"^ablations: found \[0.1\]; expected shares that are among `fractions`$"):
        grid(TINY | {"ablations": [0.1]}, None, Resources(data_root=str(folder), weights="random", device="cpu"))


def test_every_method_trains_on_a_coco_folder(folder, tmp_path):
    specs, store = tiny(folder), Store(tmp_path / "store")
    run_grid(specs, store, workers=0)
    study = load_study(specs, store)
    assert set(study.scores.series) == set(METHODS)
    assert study.scores[study.scores.metric == "AP_all"].value.between(0, 1).all()
    out = ArtefactWriter("teacher_student", "finetune", tmp_path / "figures", PAPER.contract.artefacts())
    tables.table_1(study, out)
    figures.figure_1(study, out)
    figures.figure_6(study, out)
    assert study.open_images is None


def test_a_head_on_frozen_features_sees_mirror_images_in_training_alone(folder):
    frozen = {"data": "frozen", "model": "mlp", "backbone": "test_resnet", "size": 32, "components": 4}
    settings = TINY | {"source": TINY["source"] | frozen}
    found = {}
    for flips in (False, True):
        resources = Resources(data_root=str(folder), weights="random", device="cpu")
        specs = grid(settings | {"source": settings["source"] | {"flips": flips}}, None, resources)
        networks = [spec for spec in with_requirements(specs) if isinstance(spec, Network)]
        network = next(spec for spec in networks if spec.labels == "noisy")
        labels = network.requires()[0].compute([])
        found[flips] = network.compute([labels])
        problem = network.problem(labels)
        plain = problem.fetch(problem.noisy, problem.network())
        torch.testing.assert_close(plain(problem.test)[0], torch.from_numpy(problem.inputs)[problem.test])
    first = problem.mirrored.shape[1]
    assert problem.train.max() < first <= problem.test.min()
    assert problem.mirrored.shape == (3, first, problem.inputs.shape[1])
    assert (problem.mirrored != problem.inputs[:first]).any(axis=(1, 2)).all()
    assert not np.array_equal(found[False].arrays["probabilities"], found[True].arrays["probabilities"])


def test_an_official_val_part_is_halved_the_same_for_all_seeds(folder):
    labels = tiny(folder)[0].compute([])
    parts, rows = labels.arrays["parts"], labels.arrays["rows"]
    assert set(rows[parts == TRAIN]) <= set(range(60))
    assert set(rows[parts != TRAIN]) <= set(range(60, 100))
    assert abs((parts == VALIDATION).sum() - (parts == TEST).sum()) <= 1
    problems = [runs.make_problem(tiny(folder)[0].source, tiny(folder)[0].protocol, seed, labels) for seed in (0, 1)]
    assert all((a == b).all() for a, b in zip(*((p.validation, p.test) for p in problems), strict=True))
    assert not (problems[0].train == problems[1].train).all()


def test_heads_leave_the_pixels_alone(folder, tmp_path, monkeypatch):
    """Once the network's features are there, methods on top of them run without the images."""
    specs, store = tiny(folder), Store(tmp_path / "store")
    whole = ("finetune_whole", "noisy", "ground_truth")
    heads = [spec for spec in specs if isinstance(spec, Method) and spec.method not in whole]
    run_grid([s for s in with_requirements(heads) if isinstance(s, Labels | Network)], store, workers=0)
    for image in folder.glob("*2017/*.jpg"):  # a key goes by names and lengths
        image.write_bytes(bytes(image.stat().st_size))
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(type(specs[0].source), "load", lambda self: pytest.fail("images were asked for"))
    run_grid(heads, store, workers=0)
    assert len(heads) == 5
    assert all(0 <= store.result(spec).values["mAP"] <= 1 for spec in heads)


def test_the_labeller_sees_images_in_its_own_size(folder, monkeypatch):
    """Not the squares that the network is trained on."""
    seen = []
    monkeypatch.setattr(runs, "build_noisy_labels", extended_coco.build_noisy_labels)
    real = extended_coco.StreamedImages
    monkeypatch.setattr(extended_coco, "StreamedImages", lambda paths, **options: (
        seen.append((len(paths), options["size"])), real(paths, **options))[1])  # fmt: skip
    labels = tiny(folder)[0]
    assert labels.source.size == 32 and labels.labeller.model == "test_vit"
    try:
        labels.compute([])
    except InputError as error:
        assert "has a noisy label" in str(error)  # a network that never learnt anything may not hit one of 56 classes
    assert seen == [(100, 160)]


def keys(folder, **changes):
    _key.cache_clear()
    return [spec.key for spec in with_requirements(tiny(folder, **changes))]


def test_a_folder_that_moves_keeps_its_results_and_one_that_changes_in_place_does_not(folder, tmp_path):
    before = keys(folder)
    shutil.copytree(folder, tmp_path / "moved")
    assert keys(tmp_path / "moved") == before
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = content["annotations"][1:]
    path.write_text(json.dumps(content))
    assert not set(keys(folder)) & set(before)


def test_device_and_what_to_do_with_a_bad_image_are_in_no_key_but_weights_are(folder, tmp_path):
    before = keys(folder)
    resources = Resources(data_root=str(folder), weights="random", device="cuda", on_bad_image="skip",
                          deterministic=True)  # fmt: skip
    _key.cache_clear()
    assert [spec.key for spec in with_requirements(grid(TINY, None, resources))] == before
    (tmp_path / "weights.pth").write_bytes(b"one")
    one = [spec.key for spec in with_requirements(grid(TINY, None, _weights(folder, tmp_path)))]
    (tmp_path / "weights.pth").rename(tmp_path / "again.pth")
    assert [s.key for s in with_requirements(grid(TINY, None, _weights(folder, tmp_path, "again.pth")))] == one
    (tmp_path / "again.pth").write_bytes(b"two")
    two = [spec.key for spec in with_requirements(grid(TINY, None, _weights(folder, tmp_path, "again.pth")))]
    assert not set(one) & set(before) and not set(one) & set(two)


def _weights(folder, tmp_path, name="weights.pth"):
    return Resources(data_root=str(folder), weights=str(tmp_path / name))


def test_given_weights_are_for_the_network_they_can_be_meant_for(folder, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"one")
    labeller = {"model": "test_vit", "weights": "timm:r160_in1k"}
    other = grid(TINY | {"labeller": labeller}, None, _weights(folder, tmp_path))[0]
    assert other.source.weights.startswith("sha256:")
    assert other.labeller.weights == "timm:r160_in1k" and other.labeller.weights_file is None
    own = grid(TINY | {"labeller": labeller | {"model": "test_resnet"}}, None, _weights(folder, tmp_path))[0]
    assert own.labeller.weights == own.source.weights
    assert own.labeller.weights_file == str(tmp_path / "weights.pth")
    assert (
        grid(TINY | {"labeller": labeller}, None, Resources(str(folder), weights="random"))[0].labeller.weights
        == "random"
    )


@pytest.mark.skipif(shared_data("coco_real") is None, reason="the real COCO folder is not beside this checkout")
def test_real_images_get_the_labels_that_an_imagenet_network_sees(tmp_path, monkeypatch):
    """`finetune` on real COCO photographs: the labels, and half of them at least are right."""
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path))
    resources = Resources(data_root=str(shared_data("coco_real")), device="cpu")
    planned = PAPER.specs("finetune", resources=resources)[0]
    source = planned.source.model_copy(update={"size": 32, "limit": 60})
    labels = planned.model_copy(update={"source": source}).compute([])
    assert 80 < len(labels.arrays["rows"]) <= 120
    clean, noisy = labels.arrays["clean"], labels.arrays["noisy"]
    assert (clean & noisy).sum() / noisy.sum() > 0.3


def test_bad_input_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="data_root: not given, and these runs train on images"):
        PAPER.specs("finetune")
    with pytest.raises(InputError, match="no such folder"):
        PAPER.specs("finetune", resources=Resources(data_root=str(tmp_path / "absent")))
    with pytest.raises(InputError, match=r"instances_train2014\.json: no such file"):
        PAPER.specs("paper", resources=Resources(data_root=str(tmp_path)))


def test_a_training_that_is_killed_goes_on_and_ends_on_the_same_numbers(folder, tmp_path, monkeypatch):
    longer = TINY | {"protocol": TINY["protocol"] | {"passes": 3, "finetune_passes": 3}}
    specs = grid(longer, None, Resources(data_root=str(folder), weights="random", device="cpu"))
    store = Store(tmp_path / "store")
    network, *methods = (
        next(spec for spec in with_requirements(specs) if isinstance(spec, Network) and spec.labels == "noisy"),
        *(spec for spec in specs if isinstance(spec, Method) and spec.method in ("finetune_whole", "veit_pretrained")),
    )
    heads = next(spec for spec in with_requirements(specs) if isinstance(spec, PretrainedHeads))
    run_grid([network, heads, *methods], store, workers=0)
    for run, epochs in ((network, 3), (heads, 3), (methods[0], 3), (methods[1], 6)):  # Veit's cleaner comes first
        inputs = [store.result(required) for required in run.requires()]
        again = SimpleNamespace(compute=lambda _, run=run, inputs=inputs: run.compute(inputs))
        for after in (1, epochs - 1):
            result, left = stopped_and_resumed(again, tmp_path / f"{run.key}{after}", monkeypatch, after=after)
            assert left == epochs - after
            assert result.values == store.result(run).values
            for name, array in store.result(run).arrays.items():  # the store gives a single number one axis
                assert np.array_equal(np.atleast_1d(result.arrays[name]), array)
