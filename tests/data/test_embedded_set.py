"""The data in the package, and rows of it rebuilt from freely licensed images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from nlcore.data.coco import COCO_CATEGORIES, coco_folder, read_instances
from nlcore.data.division import stratified_division
from nlcore.data.embedded_build import (
    CROPS_PER_CLASS,
    FREE_LICENCES,
    choose_crops,
    crop_images,
    read_projection,
)
from nlcore.data.embedded_set import FOLDER, embedded
from nlcore.data.encoder import make_encoder, read_image, top_predictions
from nlcore.data.weights import name_weights
from nlcore.errors import InputError

FIXTURES = Path(__file__).with_name("fixtures")
ANNOTATIONS = FIXTURES / "annotations" / "instances.json"


@pytest.fixture(scope="module")
def stored():
    return embedded()


def test_shapes_and_types(stored):
    assert stored.features.shape == (3084, 256) and stored.features.dtype == np.float32
    assert stored.targets.shape == (3084, 80) and stored.targets.dtype == np.int8
    assert stored.top_classes.shape == stored.top_probabilities.shape == (3084, 8)
    assert len(stored.coco_ids) == len(stored.splits) == len(stored.source_urls) == len(stored.licence_ids) == 3084
    assert stored.class_names == tuple(COCO_CATEGORIES.values())
    assert len(np.unique(stored.coco_ids)) == 3084


def test_labels_are_those_that_the_source_describes(stored):
    labels = stored.targets.sum(axis=1)
    assert labels.mean() == pytest.approx(3.48, abs=0.005)
    assert (labels >= 2).sum() == 2986 and (labels == 0).sum() == 2 and (labels == 1).sum() == 96
    counts = dict(zip(stored.class_names, stored.targets.sum(axis=0).tolist(), strict=True))
    rarest = {"toaster": 7, "hair drier": 8, "zebra": 9, "bear": 12}
    assert counts["person"] == 2830 and {name: counts[name] for name in rarest} == rarest
    assert min(counts.values()) == 7


def test_origins_are_those_that_the_source_describes(stored):
    assert stored.splits.count("val2017") == 2796 and stored.splits.count("train2017") == 288
    assert (stored.licence_ids > 0).sum() == 1453 and set(stored.licence_ids.tolist()) <= {0, *stored.licences}
    assert all(url.startswith("http") for url in stored.source_urls)
    assert np.isin(stored.licence_ids, [3, 6]).sum() == 454


def test_features_are_principal_components_of_the_training_part(stored):
    """Centred and uncorrelated there, the strongest first; bytes and 16-bit components cost little of that."""
    components = stored.features[stored.train].astype(float)
    deviations = components.std(axis=0)
    assert np.abs(components.mean(axis=0)).max() < 0.01
    assert np.all(np.diff(deviations) < 0.01) and deviations[0] / deviations[-1] > 5
    assert np.abs(np.corrcoef(components.T) - np.eye(256)).max() < 0.05
    assert np.abs(stored.features[stored.test].mean(axis=0) / deviations).max() < 0.25  # other images of the same kind


def test_predictions_are_plausible(stored):
    assert np.all(np.diff(stored.top_probabilities, axis=1) <= 0) and stored.top_probabilities.min() > 0
    assert stored.top_probabilities.sum(axis=1).max() <= 1.001
    zebra_images = stored.targets[:, stored.class_names.index("zebra")] == 1
    assert (stored.top_classes[zebra_images, 0] == 340).mean() > 0.5  # 340 is ImageNet's zebra
    assert (stored.top_classes[~zebra_images, 0] == 340).mean() < 0.01


def test_the_division_is_the_documented_one(stored):
    """Stored, and made anew from the labels: it depends on nothing else."""
    test = np.flatnonzero(stratified_division(stored.targets, test_share=0.3, seed=0))
    assert np.array_equal(test, stored.test) and len(stored.test) == 925 and len(stored.train) == 2157
    unlabelled = np.flatnonzero(stored.targets.sum(axis=1) == 0)
    parts = np.concatenate([stored.train, stored.test, unlabelled])
    assert np.array_equal(np.sort(parts), np.arange(3084))
    shares = stored.targets[stored.test].sum(axis=0) / stored.targets.sum(axis=0)
    assert shares.min() >= 0.25 and shares.max() < 0.34


def test_crops_come_from_training_images_that_have_their_class(stored):
    crops = stored.crops
    assert crops.features.shape == (1947, 256) and len(np.unique(crops.annotation_ids)) == 1947
    assert np.isin(crops.rows, stored.train).all() and stored.targets[crops.rows, crops.classes].all()
    assert np.bincount(crops.classes).max() == CROPS_PER_CLASS and len(np.unique(crops.classes)) == 78
    assert crops.foreign_cover.min() == 0 and crops.foreign_cover.max() == 1


def test_crops_look_like_their_classes(stored):
    """The class of a crop is often the one whose images have the most similar mean, although they hold much else."""
    means = np.stack([stored.features[stored.targets[:, k] == 1].mean(axis=0) for k in range(80)])
    spread = stored.features.std(axis=0)
    centred, crops = (means - means.mean(axis=0)) / spread, stored.crops.features / spread
    nearest = ((crops - crops.mean(axis=0)) @ centred.T).argmax(axis=1)
    assert (nearest == stored.crops.classes).mean() > 0.2  # a 78th part by chance


def test_a_ridge_probe_learns_the_classes(stored):
    """Fitted on the training part; mAP on the test part was 0.567 when the set was built (chance: 0.044)."""
    train, targets = stored.train, stored.targets
    features = (stored.features - stored.features[train].mean(axis=0)) / stored.features[train].std(axis=0)
    x, y = features[train].astype(float), targets[train] - targets[train].mean(axis=0)
    weights = np.linalg.solve(x.T @ x + 1e4 * np.eye(x.shape[1]), x.T @ y)
    precision = average_precision_score(targets[stored.test], features[stored.test] @ weights)
    assert precision == pytest.approx(0.567, abs=0.005)


def test_thumbnails_are_small_and_free(stored):
    assert len(stored.thumbnails) == 390 == len(list((FOLDER / "thumbnails").iterdir()))
    for row, path in stored.thumbnails.items():
        assert stored.licence_ids[row] in FREE_LICENCES and "flickr.com" in stored.source_urls[row]
        assert max(Image.open(path).size) <= 112
    row = int(np.flatnonzero(stored.coco_ids == 401416)[0])
    credit = "COCO 401416, http://farm3.staticflickr.com/2499/3776126650_6f8d8cb7a8_z.jpg (Attribution License)"
    assert stored.credit(row) == credit
    assert "licence not known" in stored.credit(int(np.flatnonzero(stored.licence_ids == 0)[0]))


def test_it_is_small_and_explains_itself():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 4_500_000
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in readme and "COCO Consortium" in readme
    with (FOLDER / "images.csv").open() as file:
        assert next(csv.reader(file)) == ["coco_id", "division", "split", "license", "flickr_url", "coco_url"]


def test_the_fingerprint_is_of_the_content(stored, tmp_path):
    for name in ("arrays.npz", "images.csv", "about.json"):
        shutil.copyfile(FOLDER / name, tmp_path / name)
    assert embedded(tmp_path).fingerprint == stored.fingerprint
    table = tmp_path / "images.csv"
    table.write_text(table.read_text().replace(",test,", ",train,", 1))
    embedded.cache_clear()  # a process reads a folder once
    assert embedded(tmp_path).fingerprint != stored.fingerprint


def test_an_incomplete_folder(tmp_path):
    with pytest.raises(InputError, match=r"arrays\.npz: no such file"):
        embedded(tmp_path)


@pytest.fixture(scope="module")
def encoder():
    """The network that the package names, with the weights that it names, from the optional extra `imagenet`."""
    about = json.loads((FOLDER / "about.json").read_text(encoding="utf-8"))
    kind, package, _ = about["weights"].split(":")
    name, weights = name_weights(f"{kind}:{package}", None, model=about["model"])
    assert name == about["weights"]
    encoder = make_encoder(about["model"], weights=weights, **about["model_options"])
    assert (encoder.size, encoder.resampling.name.lower()) == (about["image_size"], about["interpolation"])
    return encoder


@pytest.fixture(scope="module")
def fixtures(stored):
    images = coco_folder(ANNOTATIONS, FIXTURES / "images")
    return images, np.flatnonzero(np.isin(stored.coco_ids, images.image_ids))


def step(name: str) -> np.ndarray:
    with np.load(FOLDER / "arrays.npz") as arrays:
        return arrays[f"{name}_step"]


def test_rows_can_be_rebuilt(stored, fixtures, encoder):
    """Features within the half step that rounding takes, and a little for sums in another order."""
    images, rows = fixtures
    features, logits = encoder(read_image(path, encoder) for path in images.paths)
    features = read_projection(FOLDER)(features)
    assert np.all(np.abs(features - stored.features[rows]) <= 0.5 * step("feature") + 1e-4)
    predicted = top_predictions(logits)
    assert np.array_equal(predicted["top_classes"][:, 0], stored.top_classes[rows, 0])
    assert predicted["top_probabilities"] == pytest.approx(stored.top_probabilities[rows], abs=2e-3)


def test_crops_can_be_rebuilt(stored, fixtures, encoder):
    images, rows = fixtures
    crops = choose_crops(read_instances(ANNOTATIONS), images.image_ids, np.isin(rows, stored.train))
    features = read_projection(FOLDER)(encoder(crop_images(images.paths, crops, encoder))[0])
    place = {number: i for i, number in enumerate(stored.crops.annotation_ids.tolist())}
    pairs = [(i, place[number]) for i, number in enumerate(crops.annotation_ids.tolist()) if number in place]
    assert len(pairs) == np.isin(stored.crops.rows, rows).sum() >= 7
    mine, theirs = map(list, zip(*pairs, strict=True))
    assert np.all(np.abs(features[mine] - stored.crops.features[theirs]) <= 0.5 * step("crop") + 1e-4)
    assert np.array_equal(crops.classes[mine], stored.crops.classes[theirs])
    assert np.array_equal(rows[crops.rows[mine]], stored.crops.rows[theirs])


def test_labels_can_be_rebuilt(stored, fixtures):
    images, rows = fixtures
    assert len(rows) == 5 and np.array_equal(images.targets, stored.targets[rows])
