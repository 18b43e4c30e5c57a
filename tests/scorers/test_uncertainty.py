"""Entropies: hand-computed values, limits, and agreement between libraries."""

import numpy as np
import pytest
import torch
from scipy.special import entr

from nlcore.errors import InputError
from nlcore.scorers.uncertainty import prediction_entropy, uncertainty_entropy


def test_uncertainty_entropy_by_hand():
    probs = np.array([[0.5, 0.5], [0.0, 1.0], [0.25, 1.0]])
    quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    np.testing.assert_allclose(uncertainty_entropy(probs), [1, 0, quarter / 2], atol=1e-15)


def test_prediction_entropy_by_hand():
    probs = np.array([[0.5, 1.0, 0.0], [np.exp(-1), np.exp(-1), np.exp(-1)]])
    np.testing.assert_allclose(prediction_entropy(probs), [np.log(2) / 2, 3 / np.e], atol=1e-15)
    np.testing.assert_allclose(prediction_entropy(probs, form="binary")[0], np.log(2), atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entropies_agree_with_scipy_and_torch(dtype):
    probs = np.random.default_rng(0).random((2, 30, 6)).astype(dtype)
    binary, tolerance = entr(probs) + entr(1 - probs), 1e-6 if dtype == np.float32 else 1e-12
    expected = {
        uncertainty_entropy: binary.mean(axis=-1) / np.log(2),
        prediction_entropy: entr(probs).sum(axis=-1),
        lambda p: prediction_entropy(p, form="binary"): binary.sum(axis=-1),
    }
    for entropy, values in expected.items():
        result = entropy(torch.from_numpy(probs))
        assert entropy(probs).dtype == dtype
        np.testing.assert_allclose(entropy(probs), values, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(result.numpy(), values, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("probs", [np.array([[np.nan]]), np.array([[1.1]]), np.array([[-0.1]]), np.zeros(3)])
def test_unusable_input_is_one_clear_line(probs):
    for entropy in (uncertainty_entropy, prediction_entropy):
        with pytest.raises(InputError, match=r"probabilities: found .*; expected (fractions|\(images)"):
            entropy(probs)
    with pytest.raises(InputError, match="form of entropy: found 'both'"):
        prediction_entropy(np.zeros((1, 1)), form="both")
