"""Questions of a plan: asked once while it is made, and anew by the next one."""

from nlcore.runs import Spec, Store, asking_once, once, plan_grid
from tests.runs.trivial import Square, Total

ASKED: list[object] = []


def ask(of):
    ASKED.append(of)
    return len(ASKED)


class Costly(Spec):
    """Notes each time that it is asked what it requires."""

    number: int

    def requires(self):
        ASKED.append(self)
        return [Square(number=self.number)]


def test_a_question_is_asked_anew_each_time_but_for_as_long_as_the_data_are_taken_to_stay():
    ASKED.clear()
    one, equal = (1, 2), tuple([1, 2])
    assert [once(ask, one), once(ask, one)] == [1, 2]
    with asking_once():
        assert [once(ask, one), once(ask, one), once(ask, equal)] == [3, 3, 4]
        with asking_once():  # a plan within a plan
            assert once(ask, one) == 3
        assert once(ask, one) == 3
    assert once(ask, one) == 5


def test_a_plan_asks_each_run_once_what_it_requires(tmp_path):
    ASKED.clear()
    runs = [Costly(number=number) for number in range(3)]
    plan = plan_grid(runs, Store(tmp_path))
    assert len(plan.missing) == 6
    assert runs == ASKED


def test_a_run_that_others_require_is_one_object_in_the_plan(tmp_path):
    plan = plan_grid([Total(number=3), Total(number=4)], Store(tmp_path))
    assert len(plan.specs) == len({id(spec) for spec in plan.specs}) == len(set(plan.specs)) == 6


def test_within_a_plan_a_run_names_these_objects_as_required(tmp_path):
    """Costs of claims are summed up over a hundred thousand runs: an equal object would be compared field by field."""
    runs = [Costly(number=3), Square(number=3), Costly(number=3)]
    with asking_once():
        plan = plan_grid(runs, Store(tmp_path))
        (square,) = [spec for spec in plan.specs if isinstance(spec, Square)]
        (required,) = once(Costly.requires, runs[0])
    assert required is square
