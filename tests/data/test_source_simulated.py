"""Simulated COCO as a source."""

import numpy as np
import pytest

from nlcore.data import simulated_set
from nlcore.data.embedded_set import embedded
from nlcore.data.label_sets import label_sets
from nlcore.data.simulated import FeatureGenerator
from nlcore.data.simulated_set import VAL2014, VAL2014_MULTI, layout
from nlcore.data.source import Source
from nlcore.errors import InputError

SMALL = Source(data="simulated", images=2000, test_images=500, limit=200)


def test_the_published_sizes_come_out_of_it():
    assert Source(data="simulated").sizes() == (82081, VAL2014)
    assert Source(data="simulated", min_labels=2).sizes() == (65268, VAL2014_MULTI)
    assert Source(data="simulated", images=2000, min_labels=2).sizes() == (2000, VAL2014_MULTI)
    assert Source(data="simulated", images=4500, test_images=500).sizes() == (4500, 500)  # paper 2's 5,000


def test_training_label_sets_are_those_of_coco_each_once():
    laid_out = layout("train2014", None, 1)
    np.testing.assert_array_equal(laid_out.targets[laid_out.train], label_sets().targets)
    counts = laid_out.targets[laid_out.test].sum(axis=1)
    assert (counts >= 2).sum() == VAL2014_MULTI and (counts == 1).sum() == VAL2014 - VAL2014_MULTI


def test_it_loads_features_and_noisy_labels():
    images = SMALL.load()
    assert images.inputs.shape == (2500, embedded().features.shape[1])
    assert images.inputs.dtype == np.float32 and np.isfinite(images.inputs).all()
    noisy = images.noisy()
    assert noisy.shape == (len(images.targets), 56) and set(np.unique(noisy)) == {0, 1}
    assert len(images.train) == 200 and images.official and images.crops is None


def test_the_scale_is_another_source_of_the_same_draw():
    other = SMALL.model_copy(update={"scale": 1.2})
    assert other != SMALL and other.fingerprint() == SMALL.fingerprint()
    near, far = SMALL.load().inputs[:50], other.load().inputs[:50]
    assert 0.95 < np.corrcoef(near.ravel(), far.ravel())[0, 1] < 1
    np.testing.assert_array_equal(near, SMALL.load().inputs[:50])


def test_it_can_take_the_embedded_sets_own_images():
    images, real = Source(data="simulated", label_sets="embedded", min_labels=2).load(), embedded()
    np.testing.assert_array_equal(images.targets, real.targets)
    assert set(images.train.tolist()) <= set(real.train.tolist())
    assert images.crops.features.shape == real.crops.features.shape
    assert not np.allclose(images.inputs, real.features)
    spread = images.inputs[images.train].std(axis=0), real.features[real.train].std(axis=0)
    assert np.corrcoef(*spread)[0, 1] > 0.9


TOO_MANY = "^images: found 70000; expected at most 65268, the label sets"
TOO_FEW = "^class .*: in none of 20 label sets; expected one or more"


@pytest.mark.parametrize(("images", "line"), [(70000, TOO_MANY), (20, TOO_FEW)])
def test_what_cannot_be_drawn_is_refused(images, line):
    with pytest.raises(InputError, match=line):
        Source(data="simulated", images=images, min_labels=2).load()


@pytest.mark.parametrize("kind", ["embedded", "train2014"])
def test_training_images_and_all_others_have_other_donors_and_none_has_its_own(kind, monkeypatch):
    real, laid_out = embedded(), simulated_set.layout(kind, None if kind == "embedded" else 3000, 1, 500)
    number, classes = len(real.train), len(real.class_names)
    maker = FeatureGenerator(
        origin=np.zeros(1, np.float32),
        vectors=np.zeros((classes, 1), np.float32),
        visibility=np.zeros(classes, np.float32),
        residuals=np.arange(number, dtype=np.float32)[:, None],  # a feature says whose residual it is
        donors=real.targets[real.train],
        noise=np.zeros((1, 1), np.float32),
        kinship=24.0,
        fresh=0.0,
    )
    monkeypatch.setattr(simulated_set, "fitted", lambda world=0: maker)
    donors = simulated_set.draw_features(laid_out, kind, 1.0, 0, "test")[:, 0].astype(int)
    trained = np.isin(np.arange(len(donors)), laid_out.train)
    assert set(donors[trained] % 2) == {0} and set(donors[~trained] % 2) == {1}
    if kind == "embedded":
        assert not (real.train[donors[real.train]] == real.train).any()
    alike = (laid_out.targets * real.targets[real.train][donors]).any(axis=1)
    assert alike.mean() > 0.95
