"""The code of a function as a notebook shows it beside its equation."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any


def code_of(function: Callable[..., Any]) -> str:
    """The source of a function or class without its docstring, where this has lines of its own.

    >>> print(code_of(code_of).partition("(")[0])
    def code_of
    """
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    (node,) = ast.parse(text).body
    lines = text.splitlines()
    said, *does = node.body
    if does and ast.get_docstring(node) is not None and lines[said.lineno - 1].lstrip()[:1] in "\"'r":
        del lines[said.lineno - 1 : said.end_lineno]
    return "\n".join(lines).strip()


def show_code(*functions: Callable[..., Any], helper: str | None = None) -> None:
    """Show the code of functions in a notebook, each under the name of its module.

    Args:
        functions: or classes.
        helper: a function of the first one's module that it hands its work to, and that is shown instead of it.
    """
    from IPython.display import Markdown, display  # an install without notebooks does not have it

    if helper is not None:
        module = sys.modules[functions[0].__module__]
        functions = (getattr(module, helper), *functions[1:])
    display(*(Markdown(shown(function)) for function in functions))


def shown(function: Callable[..., Any]) -> str:
    """What `show_code` displays of one: Markdown."""
    return f"`{function.__module__}`:\n\n```python\n{code_of(function)}\n```"
