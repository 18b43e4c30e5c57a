"""What a plan asks of the data, it asks once: a hundred thousand runs on one folder have one name for its content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
# (question, id of what it is about) -> that, so that it lives and its id stays its own; and the answer.
_answers: ContextVar[dict[tuple[Callable, int], tuple[Any, Any]] | None] = ContextVar("answers", default=None)


@contextmanager
def asking_once() -> Iterator[None]:
    """Within it `once` asks nothing twice: for as long as it is open, data are taken to stay as they are."""
    known = _answers.get()
    token = _answers.set({} if known is None else known)
    try:
        yield
    finally:
        _answers.reset(token)


def once(ask: Callable[[Asked], Answer], of: Asked) -> Answer:
    """`ask(of)`, and within `asking_once` what it was the first time; a run may describe itself with it.

    It is the object that counts, not what it is equal to: runs of a grid share their source.

    >>> once(len, (1, 2))
    2
    """
    answers = _answers.get()
    if answers is None:
        return ask(of)
    place = ask, id(of)
    found = answers.get(place)
    if found is None:
        found = answers[place] = of, ask(of)
    return found[1]


def remember(ask: Callable[[Asked], Answer], of: Asked, answer: Answer) -> None:
    """Within `asking_once`, what `once` is to say: an equal answer, of which a caller wants one object alone."""
    answers = _answers.get()
    if answers is not None:
        answers[ask, id(of)] = of, answer
