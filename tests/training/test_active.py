"""The active-learning loop: what the oracle is asked and paid, what leaves the pool, what trains along."""

import numpy as np
import pytest
import torch

from nlcore.errors import InputError
from nlcore.noise import swap_labels
from nlcore.scorers.mislabelling import mislabelling_likelihood
from nlcore.training import Recipe
from nlcore.training.active import Budget, SafeMode, named, run_active_learning
from nlcore.training.learners import head_learner, map_on

IMAGES, CLASSES = 120, 6
RNG = np.random.default_rng(0)
TRUE = (RNG.random((IMAGES, CLASSES)) < 0.35).astype(np.int8)
TRUE[TRUE.sum(axis=1) == 0, 0] = 1
FEATURES = (TRUE @ RNG.normal(size=(CLASSES, 10)) + RNG.normal(scale=0.3, size=(IMAGES, 10))).astype(np.float32)
RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=0.01, evaluate_every=2)
INITIAL, POOL, TEST = np.arange(10), np.arange(10, 90), np.arange(90, 120)


def first(view, number):
    return np.arange(number)


def run(seeds=(0, 1), *, strategy=first, budget=None, safe=None, given=None, **options):
    learner = head_learner(FEATURES, CLASSES, RECIPE, head="linear", names=[("t", s) for s in seeds],
                           device=torch.device("cpu"))  # fmt: skip
    given = TRUE if given is None else given
    repeat = lambda array: np.repeat(array[None], len(seeds), axis=0)
    history = run_active_learning(
        learner, given=repeat(given), true=TRUE, initial=repeat(INITIAL), pool=repeat(POOL),
        budget=budget or Budget(20, 5), strategies=[strategy] * len(seeds),
        rngs=[np.random.default_rng(s) for s in seeds], evaluate=map_on(TEST, TRUE), safe=safe, **options,
    )  # fmt: skip
    return learner, history


def test_the_whole_budget_is_asked_once_each():
    _, history = run()
    assert history.chosen.shape == (2, 4, 5)
    assert len(np.unique(history.chosen[0])) == 20
    assert np.isin(history.chosen, POOL).all()
    assert history.metrics["map"].shape == (2, 5, 2)  # epochs 2 and 3 of five trainings


def test_safe_images_grow_stay_in_the_pool_and_are_never_the_relabelled_ones():
    given = TRUE.copy()
    given[POOL] = swap_labels(TRUE[POOL], 0.4, np.random.default_rng(1))
    _, history = run(given=given, safe=SafeMode(3))
    assert [rows.shape for rows in history.safe] == [(2, 3), (2, 6), (2, 9), (2, 12)]
    for iteration, rows in enumerate(history.safe):
        assert not np.isin(rows[0], history.chosen[0, : iteration + 1]).any()


def test_kept_safe_images_stay_unless_relabelled():
    _, history = run(safe=SafeMode(3, kept=True))
    for iteration in range(1, 4):
        before, now = history.safe[iteration - 1][0], history.safe[iteration][0]
        assert set(before) - set(history.chosen[0, iteration]) <= set(now)
        assert len(set(now)) == 3 * (iteration + 1)


@pytest.mark.parametrize("kept", [False, True])
def test_with_a_bound_no_other_image_is_safe_however_few_there_are(kept):
    given, seen = TRUE.copy(), []
    given[POOL] = swap_labels(TRUE[POOL], 0.6, np.random.default_rng(1))

    def look(view, number):
        likelihood = mislabelling_likelihood(view.probabilities, view.labels)
        seen.append(set(view.rows[number:][likelihood[number:] < 0.3]))  # the first ones leave the pool
        return first(view, number)

    _, history = run((0,), strategy=look, given=given, safe=SafeMode(9, kept, below=0.3))
    sizes = [rows.shape[1] for rows in history.safe]
    assert all(1 <= size <= 9 * i for i, size in enumerate(sizes, start=1))
    assert sizes[-1] < 36, "the bound is never reached"
    for iteration, (rows, low) in enumerate(zip(history.safe, seen, strict=True)):
        before = set(history.safe[iteration - 1][0]) if kept and iteration else set()
        assert set(rows[0]) <= low | before
        if not kept:
            assert len(rows[0]) == min(9 * (iteration + 1), len(low))
    with pytest.raises(InputError, match=r"^members: found .* Safe images below D1 = 0.3; expected one member alone$"):
        run((0, 1, 2), given=given, safe=SafeMode(9, kept, below=0.3))


def test_the_pool_shrinks_by_a_batch_each_time():
    sizes = []

    def note(view, number):
        sizes.append((view.iteration, len(view.rows), view.probabilities.shape))
        return first(view, number)

    run((0,), strategy=note)
    assert sizes == [(i, 80 - 5 * (i - 1), (80 - 5 * (i - 1), CLASSES)) for i in (1, 2, 3, 4)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    random = lambda view, number: view.rng.permutation(len(view.rows))[:number]
    one, two = (run(strategy=random)[1] for _ in range(2))
    assert one.metrics["map"].tobytes() == two.metrics["map"].tobytes()
    assert (one.chosen == two.chosen).all()
    assert not (one.chosen[0] == one.chosen[1]).all()


def test_a_member_of_a_stack_comes_out_as_if_alone():
    stack, together = run((0, 1))
    alone_learner, alone = run((1,))
    np.testing.assert_allclose(stack.last_weights()[1], alone_learner.last_weights()[0], atol=1e-5)
    np.testing.assert_allclose(together.metrics["map"][1], alone.metrics["map"][0], atol=0.5)


def test_bad_budgets_are_told_in_one_line():
    with pytest.raises(InputError, match="no multiple of the batch of 6"):
        Budget(20, 6)
    with pytest.raises(InputError, match="at least one batch"):
        Budget(0, 5)
    with pytest.raises(InputError, match="pool of 80 images: smaller than the budget; expected at least 100"):
        run(budget=Budget(100, 5))
    with pytest.raises(InputError, match="strategy 'hardest': unknown; expected one of first"):
        named("hardest", {"first": first})
