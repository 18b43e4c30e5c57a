"""Bits that flip in a store: found wherever a record is read, and computed again, whichever records they hit."""

from collections.abc import Sequence

import pytest

from nlcore.generators import generator
from nlcore.runs import Store, plan_grid, run_grid, with_requirements
from nlcore.runs.execute import execute
from tests.runs.test_grid import records
from tests.runs.trivial import Share, Square, Total

GRID = [Share(number=4)]
RUNS = with_requirements(GRID)  # four squares, their total, and the share: three levels


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path)
    run_grid(GRID, found, workers=0)
    return found


def flip(store: Store, spec, bits: Sequence[int]) -> None:
    """Change these bits of a record, counted modulo its length."""
    content = bytearray(store.path(spec).read_bytes())
    for bit in bits:
        content[bit // 8 % len(content)] ^= 1 << bit % 8
    store.path(spec).write_bytes(content)


@pytest.mark.parametrize("spec", RUNS, ids=lambda spec: spec.name)
def test_every_single_bit_of_a_record_counts(store, spec):
    good = store.path(spec).read_bytes()
    for bit in range(0, 8 * len(good), 37):  # all eight places in a byte, all parts of the file
        flip(store, spec, [bit])
        assert store.read(spec) is None, f"bit {bit} of {8 * len(good)}"
        store.path(spec).write_bytes(good)


@pytest.mark.parametrize("flips", [1, 5])
@pytest.mark.parametrize("spec", RUNS, ids=lambda spec: spec.name)
def test_a_record_damaged_alone_is_computed_again(store, capsys, spec, flips):
    before = records(store.root)
    flip(store, spec, generator("damage", str(spec), flips).integers(10**6, size=flips).tolist())
    assert run_grid(GRID, store, workers=0).missing == {spec}
    assert records(store.root) == before
    assert capsys.readouterr().err.count(": damaged (") == 1


@pytest.mark.parametrize("draw", range(20))
def test_any_subset_of_damaged_and_lost_records_ends_in_the_same_results(store, draw):
    """What was damaged is computed again, and what is lost where that needs it, or where it was asked for."""
    before, draws = records(store.root), generator("subsets", draw)
    fates = dict(zip(RUNS, draws.choice(["damaged", "lost", "kept"], size=len(RUNS)), strict=True))
    for spec, fate in fates.items():
        if fate == "damaged":
            flip(store, spec, draws.integers(10**6, size=draws.integers(1, 4)).tolist())
        elif fate == "lost":
            store.forget(spec)
    run_grid(GRID, store, workers=0)
    after = records(store.root)
    assert after.items() <= before.items()
    assert after.keys() >= {store.path(spec).name for spec, fate in fates.items() if fate != "lost" or spec in GRID}
    assert plan_grid(GRID, store).missing == frozenset()


def test_what_was_lost_beside_finished_runs_is_not_computed_unless_a_damaged_one_needs_it(store):
    store.forget(Square(number=2))
    assert plan_grid(GRID, store).missing == frozenset()
    flip(store, Total(number=4), [100])
    assert plan_grid(GRID, store).missing == {Total(number=4), Square(number=2)}


def test_a_damaged_record_is_still_missing_when_another_process_plans(store):
    flip(store, Total(number=4), [100])
    assert store.read(Total(number=4)) is None
    assert plan_grid(GRID, Store(store.root)).missing == {Total(number=4)}


def test_a_forgotten_record_leaves_nothing_set_aside(store):
    flip(store, Total(number=4), [100])
    store.read(Total(number=4))
    store.forget(Total(number=4))
    assert plan_grid(GRID, store).missing == frozenset()


def test_a_run_computes_what_it_requires_when_that_is_damaged_or_lost_at_this_moment(store):
    """After the plan was made, say: all the way down, and each under its own lock."""
    before = records(store.root)
    store.forget(GRID[0])
    store.forget(Square(number=1))
    flip(store, Total(number=4), [100])
    flip(store, Square(number=4), [200])
    execute([GRID[0]], store.root)
    assert records(store.root) == before
