"""The one exception for input that a person gave and that cannot be used, in one form; and that of runs that failed."""

from __future__ import annotations

from numbers import Real


class InputError(ValueError):
    """Unusable input. Its message is one line, "what: what was found; expected what would do".

    The command line prints the line and exits with code 2; nothing has been written when it is raised.
    """


class RunFailedError(RuntimeError):
    """One or more runs of a grid did not finish; the others are in the store."""


def require(valid: bool, what: str, found: object, expected: str) -> None:
    """Raise an InputError in the suite's one form, unless the value of an argument is `valid`.

    >>> require(False, "seeds", 0, "at least one seed")
    Traceback (most recent call last):
    nlcore.errors.InputError: seeds: found 0; expected at least one seed
    """
    if not valid:
        raise InputError(f"{what}: found {' '.join(repr(found).split())}; expected {expected}")


def require_fraction(what: str, value: object) -> None:
    """Raise an InputError unless `value` is a number in [0, 1]: every share, rate and noise level of the suite is one.

    So 40 % is 0.4, and 40 is refused rather than taken for 4,000 %; NaN is refused too.

    >>> require_fraction("noise", 40)
    Traceback (most recent call last):
    nlcore.errors.InputError: noise: found 40; expected a fraction between 0 and 1
    """
    require(isinstance(value, Real) and 0 <= value <= 1, what, value, "a fraction between 0 and 1")
