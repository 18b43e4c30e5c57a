"""Generators: literals, so that published runs can be repeated for ever."""

import numpy as np
import pytest
import torch

from nlcore.generators import generator, torch_generator


def test_numbers_never_change():
    rng = generator("multi_al", "noise", 0.4, 0)
    assert rng.integers(1_000_000, size=4).tolist() == [532318, 975614, 556940, 605310]
    assert rng.random(2).tolist() == [0.399781030660723, 0.9179355267978917]


def test_torch_numbers_never_change():
    rng = torch_generator("multi_al", "noise", 0.4, 0)
    assert torch.randint(1_000_000, (4,), generator=rng).tolist() == [13031, 190714, 475297, 875338]


def test_same_names_same_numbers_other_names_other_numbers():
    names = [("a", "b"), ("ab",), ("b", "a"), ("a", "b", 0), ("a", "b", 0.0), ("a", "b", "0"), (("a", "b"),), ()]
    draws = [generator(*name).integers(2**63) for name in names]
    assert len(set(draws)) == len(names)
    assert draws == [generator(*name).integers(2**63) for name in names]
    seeds = {torch_generator(*name).initial_seed() for name in names}
    assert len(seeds) == len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_names_without_a_fixed_text_are_refused():
    with pytest.raises(ValueError):
        generator(float("nan"))
    with pytest.raises(TypeError):
        generator(np.float32(0.4))
