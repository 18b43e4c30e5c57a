"""Keys: they change with what a result depends on, and with nothing else."""

import pytest
from pydantic import ValidationError

from nlcore.runs import Spec
from tests.runs.trivial import Square, Total


def test_equal_specs_have_equal_keys_and_every_field_counts():
    assert Square(number=2).key == Square(number=2).key
    assert len({Square(number=2).key, Square(number=3).key, Square(number=2, pause=0.1).key, Total(number=2).key}) == 4


class Bounded(Spec):
    """With a bound, or without one."""

    most: float | None = None


def test_a_bound_that_is_infinite_is_not_none():
    infinite = float("inf")
    assert len({Bounded(most=most).key for most in (None, infinite, -infinite, float("nan"), 0.0)}) == 5


def test_specs_are_frozen_and_typed():
    with pytest.raises(ValidationError):
        Square(number=2).number = 3
    with pytest.raises(ValidationError):
        Square(number="many")
    with pytest.raises(ValidationError):
        Square(number=2, colour="red")
