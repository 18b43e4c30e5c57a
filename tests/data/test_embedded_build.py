"""The builder's parts on hand-made input, and a whole build on a drawn folder with a tiny random network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from nlcore.data.coco import read_instances
from nlcore.data.division import stratified_division
from nlcore.data.embedded_build import (
    build_embedded,
    choose_crops,
    quantise,
    read_projection,
)
from nlcore.data.embedded_set import dequantise, embedded
from nlcore.data.encoder import fit_projection, make_encoder, read_image, top_predictions
from nlcore.errors import InputError
from nlcore.torchvision_compat import ensure_torchvision
from tests.coco_drawing import annotation, draw_coco, write_instances

REPOSITORY = Path(__file__).parents[2]
TINY = "test_efficientnet"  # timm's own model for tests


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory) -> Path:
    ensure_torchvision()
    import timm

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(TINY).state_dict(), path)
    return path


def test_quantising_errs_by_half_a_step_at_most():
    values = np.random.default_rng(0).gamma(1, size=(200, 7)).astype(np.float32)
    values[:, 3] = 1.5  # a constant dimension has no step of its own
    arrays = quantise(values, "feature")
    assert arrays["features"].dtype == np.uint8
    error = np.abs(dequantise(arrays, "feature") - values)
    assert np.all(error <= arrays["feature_step"] / 2 + 1e-6) and error[:, 3].max() == 0


def test_components_keep_what_varies_most_as_it_is():
    """Deviations of 3, 2 and 1 in three directions, and a little noise in all seven: three components have it."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(7, 7)))[0][:3]
    features = 5 + rng.normal(size=(4000, 3)) * [3, 2, 1] @ directions + 0.01 * rng.normal(size=(4000, 7))
    project = fit_projection(features.astype(np.float32), 3)
    components = project(features.astype(np.float32))
    assert components.std(axis=0) == pytest.approx([3, 2, 1], rel=0.05)
    assert np.abs(components.mean(axis=0)).max() < 0.01
    assert np.abs(np.corrcoef(components.T) - np.eye(3)).max() < 0.02
    with pytest.raises(InputError, match="components: found 8; expected 1 to 7"):
        fit_projection(features, 8)


def test_top_predictions_by_hand():
    """Logits log(1), ..., log(10): probabilities 1/55, ..., 10/55."""
    predicted = top_predictions(np.log(np.arange(1.0, 11))[None])
    assert predicted["top_classes"].tolist() == [[9, 8, 7, 6, 5, 4, 3, 2]]
    assert predicted["top_probabilities"][0] == pytest.approx(np.arange(10, 2, -1) / 55, abs=1e-3)


def test_a_division_gives_every_class_its_share():
    targets = (np.random.default_rng(1).random((1000, 12)) < np.geomspace(0.01, 0.5, 12)).astype(np.int8)
    test = stratified_division(targets, test_share=0.3, seed=0)
    counts = targets.sum(axis=0)
    assert np.all(np.abs(targets[test].sum(axis=0) - 0.3 * counts) <= np.maximum(1, 0.02 * counts))
    assert not test[targets.sum(axis=1) == 0].any()
    assert not np.array_equal(test, stratified_division(targets, test_share=0.3, seed=1))


def crops_of(tmp_path, annotations, usable=(True, True)):
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 300, "height": 224} for i in (1, 2)]
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    path = write_instances(tmp_path, {"images": images, "annotations": annotations, "categories": categories})
    return choose_crops(read_instances(path), np.array([1, 2]), np.array(usable))


def test_crops_are_large_boxes_of_single_objects_in_training_images(tmp_path):
    boxes = [
        annotation(1, 1, 3, [0, 0, 100, 100]),
        annotation(2, 1, 1, [50, 0, 48, 50]),  # inside the car, and covers 24 % of it
        annotation(3, 1, 1, [200, 0, 47, 200]),  # too narrow
        annotation(4, 1, 1, [100, 100, 90, 90], iscrowd=1),
        annotation(5, 2, 3, [0, 0, 90, 90]),
    ]
    crops = crops_of(tmp_path, boxes)
    assert crops.annotation_ids.tolist() == [2, 5, 1] and crops.classes.tolist() == [0, 1, 1]
    assert crops.rows.tolist() == [0, 1, 0]
    assert crops.foreign_cover == pytest.approx([1.0, 0.0, 0.24])
    assert crops.boxes[2].tolist() == [0, 0, 100, 100]
    assert crops_of(tmp_path, boxes, usable=(False, True)).annotation_ids.tolist() == [5]
    with pytest.raises(InputError, match="no training image has a box"):
        crops_of(tmp_path, boxes[2:4])


def test_no_class_has_more_than_fifty_crops(tmp_path):
    boxes = [annotation(i, 1 + i % 2, 3, [i, i, 60, 60]) for i in range(1, 80)]
    assert crops_of(tmp_path, boxes).annotation_ids.tolist() == list(range(1, 51))


def test_models_and_weights_that_do_not_fit(tmp_path, tiny_weights):
    with pytest.raises(InputError, match=r"model 'resnet_of_dreams': .*; expected one of timm's"):
        make_encoder("resnet_of_dreams", weights=tiny_weights)
    with pytest.raises(InputError, match=r"\d+ missing: .*layer1.*; expected weights that fit ResNet") as caught:
        make_encoder("resnet18", weights=tiny_weights)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file; expected weights"):
        make_encoder(TINY, weights=tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"timm model 'test_efficientnet': .*'colour'"):
        make_encoder(TINY, weights=tiny_weights, colour="blue")


def test_an_encoder_takes_images_as_its_model_wants_them(tiny_weights):
    own, given = make_encoder(TINY, weights=tiny_weights), make_encoder(TINY, weights=tiny_weights, size=40)
    assert (own.size, own.resampling, given.size) == (160, Image.Resampling.BICUBIC, 40)
    assert own.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


@pytest.fixture
def script():
    """scripts/build_embedded.py, called in this process: starting another takes many times longer than the build."""
    spec = importlib.util.spec_from_file_location("build_embedded", REPOSITORY / "scripts" / "build_embedded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app, threads = typer.Typer(), torch.get_num_threads()
    app.command()(module.main)
    yield lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))
    torch.set_num_threads(threads)


def test_two_builds_give_the_same_bytes(tmp_path, tiny_weights, script):
    draw_coco(tmp_path / "coco", images=12, unlabelled=1, size=(300, 224))
    places = "--annotations", "annotations/instances_train2017.json", "--images", "train2017"
    for output in ("one", "two"):
        finished = script("--coco-root", tmp_path / "coco", "--weights", tiny_weights, "--model", TINY,
                          "--components", 5, *places, "--output", tmp_path / output)  # fmt: skip
        assert finished.exit_code == 0, finished.output
    for name in ("arrays.npz", "projection.npz", "images.csv", "about.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    built = embedded(tmp_path / "one")
    assert built.targets.shape == (12, 80) and built.features.shape == (12, 5) and np.ptp(built.features) > 0
    assert built.crops.features.shape[1] == 5
    assert len(built.train) + len(built.test) == 11 and built.thumbnails == {}
    assert np.isin(built.crops.rows, built.train).all()


def test_stored_features_are_the_projected_ones(tmp_path, tiny_weights, script):
    """projection.npz makes the stored features anew, of any image, and is there only if there are components."""
    draw_coco(tmp_path / "coco", images=12, size=(300, 224))
    common = ("--coco-root", tmp_path / "coco", "--weights", tiny_weights, "--model", TINY, "--size", 64,
              "--annotations", "annotations/instances_train2017.json", "--images", "train2017")  # fmt: skip
    script(*common, "--components", 4, "--output", tmp_path / "few")
    script(*common, "--components", 0, "--output", tmp_path / "all")
    few, whole = embedded(tmp_path / "few"), embedded(tmp_path / "all")
    encoder = make_encoder(TINY, weights=tiny_weights, size=64)
    paths = sorted((tmp_path / "coco" / "train2017").iterdir())
    features, _ = encoder(read_image(path, encoder) for path in paths)
    expected = read_projection(tmp_path / "few")(features)
    for stored, values in ((whole.features, features), (few.features, expected)):
        assert np.all(np.abs(stored - values) <= np.ptp(values, axis=0) / 510 + 1e-4)
    with pytest.raises(InputError, match=r"projection\.npz: no such file"):
        read_projection(tmp_path / "all")


def test_more_components_than_images_are_refused(tmp_path, tiny_weights, script):
    draw_coco(tmp_path / "coco", images=12, size=(300, 224))
    finished = script("--coco-root", tmp_path / "coco", "--weights", tiny_weights, "--model", TINY, "--size", 64,
                      "--annotations", "annotations/instances_train2017.json", "--images", "train2017",
                      "--output", tmp_path / "out")  # fmt: skip
    assert finished.exit_code == 2 and "components: found 256; expected 1 to " in finished.stderr
    assert not (tmp_path / "out").exists()


def test_the_script_says_in_one_line_what_is_wrong(tmp_path, tiny_weights, script):
    finished = script("--coco-root", tmp_path, "--weights", tiny_weights, "--model", TINY, "--output", tmp_path / "out")
    assert finished.exit_code == 2 and finished.stderr.count("\n") == 1
    assert "instances.json: no such file" in finished.stderr and not (tmp_path / "out").exists()


def test_an_unreadable_image_is_named_and_nothing_is_written(tmp_path, tiny_weights):
    path = draw_coco(tmp_path, images=4, size=(300, 224))
    (tmp_path / "train2017" / "000000000002.jpg").write_text("no JPEG")
    encoder = make_encoder(TINY, weights=tiny_weights)
    with pytest.raises(InputError, match=r"000000000002\.jpg: unreadable image: cannot identify"):
        build_embedded(path, tmp_path / "train2017", tmp_path / "out", encoder=encoder)
    assert not (tmp_path / "out").exists()
