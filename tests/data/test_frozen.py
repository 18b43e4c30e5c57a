"""Features of a frozen network: the same bytes after any kill, checked, and used as the embedded set's are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcore.data import frozen
from nlcore.data.encoder import fit_projection, make_encoder, read_image
from nlcore.data.frozen import MIRRORED, Backbone, frozen_features, own_size, principal_components, projected
from nlcore.data.source import Source, frozen_images_waiting
from nlcore.errors import InputError
from nlcore.papers.profiles import Resources, make_source
from tests.coco_drawing import draw_coco

TINY = Backbone("test_resnet", 32, "random")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    draw_coco(root, images=40, classes=6)
    return sorted((root / "train2017").iterdir())


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(frozen, "BLOCK", 16)


@pytest.fixture(scope="module")
def whole(paths, tmp_path_factory):
    before, frozen.BLOCK = frozen.BLOCK, 16
    try:
        return frozen_features(paths, tmp_path_factory.mktemp("whole"), TINY)
    finally:
        frozen.BLOCK = before


def test_they_are_what_the_network_says_of_each_image(paths, whole):
    encoder = make_encoder("test_resnet", weights="random", size=32)
    features, logits = encoder(read_image(path, encoder) for path in paths)
    np.testing.assert_allclose(whole.features, features.astype(np.float16), rtol=2e-3, atol=1e-3)
    assert (whole.top_classes[:, 0] == logits.argmax(axis=1)).mean() > 0.9  # ties of random weights
    assert whole.kept.tolist() == list(range(40))


class Killed(BaseException):
    """No error that anything would catch."""


MOMENTS = {
    "in the first block": ("_look", 1),
    "after a block, before its line": ("_digest", 2),
    "before the end": ("_records", 2),
}


def kill(paths, folder, monkeypatch, name, call):
    """Begin an extraction, and kill it when it calls a function for the `call`-th time."""
    usual, calls = getattr(frozen, name), []

    def killed(*arguments):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return usual(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(frozen, name, killed)
        with pytest.raises(Killed):
            frozen_features(paths, folder, TINY)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_extraction_goes_on_to_the_same_bytes(paths, whole, tmp_path, monkeypatch, moment):
    kill(paths, tmp_path, monkeypatch, *MOMENTS[moment])
    assert not [folder for folder in tmp_path.iterdir() if folder.is_dir() and folder.suffix != ".partial"]
    looked_at = []
    look = frozen._look
    monkeypatch.setattr(frozen, "_look", lambda *arguments: looked_at.append(1) or look(*arguments))
    found = frozen_features(paths, tmp_path, TINY)
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.top_classes, whole.top_classes)
    assert len(looked_at) == {"in the first block": 3, "after a block, before its line": 2, "before the end": 0}[moment]


def test_a_block_that_was_changed_while_it_lay_there_is_made_again(paths, whole, tmp_path, monkeypatch):
    kill(paths, tmp_path, monkeypatch, *MOMENTS["before the end"])
    partial = next(tmp_path.glob("*.partial"))
    mapped = np.load(partial / frozen.FEATURES_FILE, mmap_mode="r+")
    mapped[20] = 7
    mapped.flush()
    found = frozen_features(paths, tmp_path, TINY)
    np.testing.assert_array_equal(found.features, whole.features)


def test_a_finished_store_that_was_changed_is_told(paths, tmp_path):
    folder = frozen_features(paths, tmp_path, TINY).folder
    mapped = np.load(folder / frozen.FEATURES_FILE, mmap_mode="r+")
    mapped[20, 0] += 1
    mapped.flush()
    with pytest.raises(InputError, match=r"was changed, from image 16 on; expected it as extracted"):
        frozen_features(paths, tmp_path, TINY)
    (folder / frozen.BLOCKS_FILE).unlink()
    with pytest.raises(InputError, match="the list of its blocks is gone"):
        frozen_features(paths, tmp_path, TINY)


def test_an_unreadable_image_is_named_or_left_out_and_what_was_done_stays(paths, whole, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    some = [*paths[:20], broken, *paths[20:]]
    with pytest.raises(InputError, match=r"unreadable image: .*broken\.jpg"):
        frozen_features(some, tmp_path / "store", TINY)
    partial = next((tmp_path / "store").glob("*.partial"))
    assert json.loads((partial / frozen.BLOCKS_FILE).read_text().splitlines()[-1])["start"] == 0
    found = frozen_features(some, tmp_path / "store", TINY, on_bad_image="skip")
    assert 20 not in found.kept and len(found.kept) == 40
    assert not found.features[20].any()
    np.testing.assert_allclose(found.features[21], whole.features[20], rtol=2e-3, atol=1e-3)
    with pytest.raises(InputError, match="unreadable image"):
        frozen_features(some, tmp_path / "store", TINY)
    with pytest.raises(InputError, match="none that can be read"):
        frozen_features([broken], tmp_path / "other", TINY, on_bad_image="skip")
    assert not list((tmp_path / "other").glob("frozen_*[!k]"))


def test_components_are_fitted_to_the_training_images_once(whole):
    train = np.arange(30)
    found = projected(whole, principal_components(whole, train, 8))
    fitted = fit_projection(whole.features[train].astype(np.float32), 8)
    np.testing.assert_allclose(found, fitted(whole.features.astype(np.float32)), rtol=1e-4, atol=1e-4)
    kept = list(whole.folder.glob("projection_8_*.npz"))
    assert len(kept) == 1
    np.testing.assert_array_equal(projected(whole, principal_components(whole, train, 8)), found)
    assert not np.array_equal(projected(whole, principal_components(whole, np.arange(20), 8)), found)


@pytest.mark.parametrize("axes", MIRRORED)
def test_a_mirror_image_is_looked_at_as_the_image_itself_is(paths, whole, tmp_path, axes):
    backbone, encoder = replace(TINY, mirrored=axes), make_encoder("test_resnet", weights="random", size=32)
    found = frozen_features(paths, tmp_path, backbone)
    features, _ = encoder(np.flip(read_image(path, encoder), axes) for path in paths)
    np.testing.assert_allclose(found.features, features.astype(np.float16), rtol=2e-3, atol=1e-3)
    assert not np.array_equal(found.features, whole.features)


def test_another_network_size_or_weights_is_another_store(paths):
    changes = ({"model": "test_vit"}, {"size": 64}, {"weights": "sha256:0"}, *({"mirrored": axes} for axes in MIRRORED))
    names = {frozen._name(paths, replace(TINY, **change)) for change in ({}, *changes)}
    assert len(names) == 7
    assert frozen._name(paths, replace(TINY, device="cuda")) == frozen._name(paths, TINY)


def test_a_networks_own_size_is_timms_and_an_unknown_one_is_told():
    assert own_size("tf_efficientnet_lite2") == 260
    with pytest.raises(InputError, match=r"backbone 'resnet_of_mine': timm .* has no such model"):
        own_size("resnet_of_mine")


def frozen_source(root: Path, **fields) -> Source:
    options = {"model": "mlp", "backbone": "test_resnet", "size": 32, "weights": "random", "components": 4}
    return Source(data="frozen", root=str(root), device="cpu", **options | fields)


def test_a_source_gives_a_folders_images_as_features_in_its_own_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_coco(tmp_path / "coco", images=30, classes=6)
    draw_coco(tmp_path / "coco", images=12, classes=6, seed=1, split="val")
    source = frozen_source(tmp_path / "coco", parts=("train2017", "val2017"))
    images = source.load()
    assert not source.on_images and source.from_folder and images.official
    assert images.inputs.shape == (42, 4)
    assert images.train.max() < 30 <= images.test.min()
    assert source.sizes() == (len(images.train), len(images.test))
    assert images.top_classes.shape == (42, 8)
    assert images.picture(3).ndim == 3
    assert "root" not in source.model_dump(), "where it lies is no part of a key"
    assert images.mirrored == ()


def test_mirror_images_are_of_the_training_part_and_in_the_same_components(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_coco(tmp_path / "coco", images=30, classes=6)
    draw_coco(tmp_path / "coco", images=12, classes=6, seed=1, split="val")
    source = frozen_source(tmp_path / "coco", parts=("train2017", "val2017"), flips=True)
    plain = source.model_copy(update={"flips": False})
    plain.load()
    assert frozen_images_waiting(plain) == (0, 42)
    assert frozen_images_waiting(source) == (90, 132)
    images = source.load()
    assert frozen_images_waiting(source) == (0, 132)
    np.testing.assert_array_equal(images.inputs, plain.load().inputs)
    assert [one.shape for one in images.mirrored] == [(30, 4)] * 3
    for one in images.mirrored:  # a shape mirrored is nearer to itself than another image is
        assert np.corrcoef(one[:, 0], images.inputs[:30, 0])[0, 1] > 0.5
        assert not np.array_equal(one, images.inputs[:30])


def test_a_share_of_a_folders_one_part_is_for_tests(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_CACHE", str(tmp_path / "cache"))
    draw_coco(tmp_path / "coco", images=60, classes=6)
    for share in (0.3, 0.1):
        source = frozen_source(tmp_path / "coco", parts=("train2017",), test_share=share)
        images = source.load()
        assert not images.official
        assert abs(len(images.test) - 60 * share) <= 2  # classes are divided alike, too
        assert source.sizes()[1] == round(60 * share)
    folder = Source(data="coco", model="test_resnet", parts=("train2017",), root=str(tmp_path / "coco"), test_share=0.1)
    assert len(folder.load().test) == len(images.test)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": "embedded", "flips": True}, "flips: found 'on embedded data'; expected them on frozen data alone"),
        ({"data": "coco", "model": "test_resnet", "flips": True}, "flips: found 'on coco data'"),
        ({"data": "embedded", "test_share": 0.1}, "test_share: found 0.1; expected it of a folder of one part"),
        ({"data": "coco", "parts": ("train2014", "val2014"), "test_share": 0.1}, "test_share: found 0.1"),
    ],
)
def test_a_profile_sets_no_field_that_its_data_do_not_read(fields, message):
    with pytest.raises(InputError, match=message):
        make_source(fields, Resources())
