"""Public names are documented and typed, and bad input is told in one form: read from the source, not imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "nlcore").rglob("*.py"))

ITS_OWN = ("compute",)  # says what it computes by itself, whatever its base class says
FORM = re.compile(r"[^:]+: .+; expected .+")  # of a message: what: what was found; expected what would do

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("module", MODULES)
def test_what_is_public_is_documented_and_typed(module):
    assert [f"{module}:{gap}" for gap in gaps(tree(module))] == []


@pytest.mark.parametrize("module", MODULES)
def test_bad_input_is_told_in_one_form(module):
    assert [text for text in messages(tree(module)) if not FORM.fullmatch(text)] == []


def test_gaps_are_found():
    source = '''"""Documented."""
class Shape:
    """Documented."""
    def area(self, scale: float) -> float:
        """Documented."""
    def compute(self) -> None:
        """Documented."""
class Square(Shape):
    """Documented."""
    def area(self, scale: float) -> float: ...
    def compute(self) -> None: ...
    def side(self, scale): ...
    def __len__(self) -> int: ...
    def _hidden(self): ...
def load(path, *names: str) -> None:
    """Reads.

    Args:
        path: of the file.
        name, width: nowhere.
    """
    if path:
        raise InputError("x")
'''
    assert [gap.split(": ", 1)[1] for gap in gaps(ast.parse(source))] == [
        "Square.compute: no docstring",
        "Square.side: no docstring",
        "Square.side: scale is not annotated",
        "Square.side: what it returns is not annotated",
        "load: path is not annotated",
        "load: documents name, which is no parameter",
        "load: documents width, which is no parameter",
        "load: does not say when it raises InputError",
    ]
    told = list(messages(ast.parse('raise InputError(f"{what}: found {value!r}; " f"expected {n} of them")')))
    assert told == ["<>: found <>; expected <> of them"] and FORM.fullmatch(told[0])
    assert not FORM.fullmatch("rate must not be 3")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def gaps(source: ast.Module) -> Iterator[str]:
    """What a reader of a module misses, each "line: what"."""
    if source.body and ast.get_docstring(source) is None:
        yield "1: no docstring"
    for node in source.body:
        if isinstance(node, Function) and is_public(node):
            yield from (f"{node.lineno}: {gap}" for gap in gaps_of_function(node, node.name))
        elif isinstance(node, ast.ClassDef) and is_public(node):
            yield from (f"{node.lineno}: {gap}" for gap in gaps_of_class(node, source))


def is_public(node: Function | ast.ClassDef) -> bool:
    return not node.name.startswith("_")


def gaps_of_class(node: ast.ClassDef, source: ast.Module) -> Iterator[str]:
    if ast.get_docstring(node) is None:
        yield f"{node.name}: no docstring"
    for method in node.body:
        if isinstance(method, Function) and (is_public(method) or method.name in ("__init__", "__call__")):
            inherited = method.name not in ITS_OWN and method.name in documented_above(node, source)
            exempt = inherited or not is_public(method)
            yield from gaps_of_function(method, f"{node.name}.{method.name}", documented_elsewhere=exempt)


def documented_above(node: ast.ClassDef, source: ast.Module) -> set[str]:
    """The methods that the bases of a class, by name and however far up, document."""
    known = {found.name: found for found in (*classes_of_nlcore(), *source.body) if isinstance(found, ast.ClassDef)}
    names: set[str] = set()
    waiting = list(node.bases)
    while waiting:
        base = known.get(ast.unparse(waiting.pop()).split("[")[0].split(".")[-1])
        if base is not None:
            names |= {found.name for found in base.body if isinstance(found, Function) and ast.get_docstring(found)}
            waiting.extend(base.bases)
    return names


@cache
def classes_of_nlcore() -> tuple[ast.ClassDef, ...]:
    return tuple(node for module in MODULES for node in tree(module).body if isinstance(node, ast.ClassDef))


def gaps_of_function(node: Function, name: str, *, documented_elsewhere: bool = False) -> Iterator[str]:
    text = ast.get_docstring(node) or ""
    if not text and not documented_elsewhere:
        yield f"{name}: no docstring"
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    every = [argument for argument in every if argument is not None and argument.arg not in ("self", "cls")]
    yield from (f"{name}: {argument.arg} is not annotated" for argument in every if argument.annotation is None)
    if node.returns is None:
        yield f"{name}: what it returns is not annotated"
    strange = [found for found in documented_arguments(text) if found not in {argument.arg for argument in every}]
    yield from (f"{name}: documents {found}, which is no parameter" for found in strange)
    if text and raises_input_error(node) and "InputError" not in text:
        yield f"{name}: does not say when it raises InputError"


def documented_arguments(text: str) -> list[str]:
    """The names in the section "Args:" of a docstring."""
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
    lines = re.findall(r"^ {4}([\w, *]+):", section[1], re.MULTILINE) if section else []
    return [name.strip(" *") for line in lines for name in line.split(",")]


def raises_input_error(node: Function) -> bool:
    raised = [found.exc for found in ast.walk(node) if isinstance(found, ast.Raise)]
    return any(isinstance(error, ast.Call) and ast.unparse(error.func) == "InputError" for error in raised)


def messages(source: ast.Module) -> Iterator[str]:
    """Every message that stands where an InputError is raised, with <> for what is put into it."""
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "InputError" and node.args:
            message = node.args[0]
            if isinstance(message, ast.Constant):
                yield str(message.value)
            elif isinstance(message, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "<>" for part in message.values)
