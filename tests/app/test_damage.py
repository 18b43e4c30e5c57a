"""Bits flipped in a store: in every record alone, and in random sets of them, the same results come out."""

import numpy as np
import pytest

from nlcore.generators import generator
from nlcore.papers import paper
from nlcore.runs import Store, run_grid, with_requirements

PAPER = paper("galc_slr")  # three levels: silver classifier, matrices, gold classifier


def flip(path, rng):
    """One bit anywhere in the file."""
    data = bytearray(path.read_bytes())
    place = int(rng.integers(8 * len(data)))
    data[place // 8] ^= 1 << (place % 8)
    path.write_bytes(bytes(data))


def contents(specs, store):
    return {spec: store.read(spec).checksum for spec in with_requirements(specs)}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    store, specs = Store(tmp_path_factory.mktemp("store")), PAPER.specs("smoke", seeds=[0])
    run_grid(specs, store, workers=0)
    return specs, store, contents(specs, store)


@pytest.mark.slow
def test_a_bit_flipped_in_any_one_record_is_found_and_its_run_computed_again(computed):
    specs, store, before = computed
    rng = generator("tests", "damage")
    for spec in with_requirements(specs):
        flip(store.path(spec), rng)
        plan = run_grid(specs, store, workers=0)
        assert plan.missing == {spec}, spec.name
    assert contents(specs, store) == before


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_bits_flipped_in_many_records_at_once(computed, share):
    specs, store, before = computed
    rng, known = generator("tests", "damage", share), with_requirements(specs)
    damaged = [spec for spec in known if rng.random() < share]
    for spec in damaged:
        flip(store.path(spec), rng)
    assert run_grid(specs, store, workers=0).missing == set(damaged)
    assert contents(specs, store) == before


@pytest.mark.slow
def test_a_record_that_only_a_notebook_reads_is_found(computed):
    """The silver classifier's: everything that needs it is finished, and the provenance still reads it."""
    specs, store, before = computed
    silver = next(spec for spec in with_requirements(specs) if type(spec).__name__ == "SilverClassifier")
    flip(store.path(silver), np.random.default_rng(0))
    assert run_grid(specs, store, workers=0).missing == {silver}
    assert contents(specs, store) == before
