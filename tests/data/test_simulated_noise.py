"""Simulated noisy labels: as many right and missing as asked for, and more likely where they were."""

import numpy as np
import pytest

from nlcore.data.simulated_noise import fit_label_noise, shift_to, sigmoid
from nlcore.errors import InputError
from nlcore.generators import generator

IMAGES = 3000
DRAWS = generator("label noise")
TARGETS = (DRAWS.random((IMAGES, 3)) < 0.3).astype(np.int8)
FEATURES = DRAWS.normal(size=(IMAGES, 4))
# Label 0 follows class 1 where the first feature is large; label 1 follows class 2 at random.
TRUE_LOGITS = np.column_stack([4 * TARGETS[:, 1] - 3 + 2 * FEATURES[:, 0], 5 * TARGETS[:, 2] - 3])
NOISY = (DRAWS.random(TRUE_LOGITS.shape) < sigmoid(TRUE_LOGITS)).astype(np.int8)
FITTED = fit_label_noise(FEATURES, TARGETS, NOISY, np.array([1, 2]), penalty=1.0)


def test_the_regression_finds_what_made_the_labels():
    np.testing.assert_allclose(sigmoid(FITTED.logits(FEATURES, TARGETS)), sigmoid(TRUE_LOGITS), atol=0.12)


def test_drawn_labels_are_as_frequent_as_the_real_ones():
    drawn = FITTED.draw(FEATURES, TARGETS, generator=generator("a"))
    np.testing.assert_allclose(drawn.mean(axis=0), NOISY.mean(axis=0), atol=0.03)
    np.testing.assert_array_equal(drawn, FITTED.draw(FEATURES, TARGETS, generator=generator("a")))


@pytest.mark.parametrize(("right", "missing"), [(0.9, 0.2), (0.5, 0.6)])
def test_shares_are_met(right, missing):
    drawn = FITTED.draw(FEATURES, TARGETS, right=right, missing=missing, generator=generator("b")) == 1
    true = TARGETS[:, [1, 2]] == 1
    assert (drawn & true).sum() / drawn.sum() == pytest.approx(right, abs=0.03)
    assert 1 - (drawn & true).sum() / true.sum() == pytest.approx(missing, abs=0.03)


def test_a_share_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"^right 0.01: asks for .* labels in .* cells"):
        FITTED.draw(FEATURES, TARGETS, right=0.01, generator=generator("c"))
    with pytest.raises(InputError, match=r"^all: asks for 5 labels in 4 cells; expected a share that fits"):
        shift_to(np.zeros(4), 5, "all")
