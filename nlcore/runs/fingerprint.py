"""A fingerprint of the code behind a run: the module that defines it and all of nlcore that the module imports.

Comments and docstrings do not count. Nor do `nlcore.runs`, which carries runs without computing anything, and the
modules that only report: a result stays in the store while what computes it is the same.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "nlcore"
NOT_COUNTED = ("nlcore.runs", "nlcore.report", "nlcore.errors", "nlcore.files")


@cache
def code_fingerprint(module: str) -> str:
    """SHA-256 over the syntax trees of `module` and of every module of the package that it imports, in turn."""
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        source = None if name in seen else _source(name)
        if source is None:
            continue
        tree = ast.parse(source)
        waiting.extend(imported for imported in _imports(tree, name) if _counts(imported))
        seen[name] = ast.dump(_without_docstrings(tree))
    content = "\n".join(f"{name} {seen[name]}" for name in sorted(seen))
    return hashlib.sha256(content.encode()).hexdigest()


def _counts(module: str) -> bool:
    return module.split(".")[0] == PACKAGE and not any(f"{module}.".startswith(f"{out}.") for out in NOT_COUNTED)


def _source(module: str) -> str | None:
    """The module's text; None where `module` names a function or class rather than a module."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    return Path(found.origin).read_text(encoding="utf-8")


def _imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Absolute names of what a module imports, wherever in it; relative imports are not used in this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree
