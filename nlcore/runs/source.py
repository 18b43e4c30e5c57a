"""Modules as their fingerprint sees them: statements that define names, what they take from outside, and imports.

Nothing is imported here: a module is found beside its package and read as text.
"""

from __future__ import annotations

import ast
import symtable
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

Chain = tuple[str, ...]  # a name and the attributes taken of it: ("np", "random", "default_rng")
UNSAID = ("ctx", "kind", "type_comment")  # fields of syntax trees that say nothing of their own


@dataclass(frozen=True)
class Import:
    """What a name is bound to by an import: a module, or something in it."""

    module: str
    attribute: str | None = None


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement at the top of a module, with its text there and the package that its relative imports start from."""

    node: ast.stmt
    text: str
    package: str

    @cached_property
    def dump(self) -> str:
        """Its syntax without comments, docstrings and imports; the same in every version of Python."""
        return dump(self.node)

    @cached_property
    def loads(self) -> frozenset[Chain]:
        """Chains of names that it takes from its module (or from Python)."""
        free = _free_names(self.text)
        return frozenset(chain for chain in _chains(self.node) if chain[0] in free)

    @cached_property
    def quoted(self) -> frozenset[Chain]:
        """Chains in the annotations of a class's fields that are written as strings."""
        fields = [node for node in getattr(self.node, "body", ()) if isinstance(node, ast.AnnAssign)]
        return frozenset(chain for node in fields for chain in _quoted(node.annotation))

    @cached_property
    def imported(self) -> frozenset[tuple[Import, Chain]]:
        """What it imports itself, inside a function say, and the chains that start there."""
        names: dict[str, list[Import]] = {}
        for name, found in _imports(ast.walk(self.node), self.package):
            names.setdefault(name, []).append(found)
        return frozenset((found, chain) for chain in _chains(self.node) for found in names.get(chain[0], ()))

    def without(self, leave_out: Callable[[ast.stmt], bool]) -> Statement:
        """A class without some of the statements in its body."""
        kept = [node for node in self.node.body if not leave_out(node)]
        node = ast.ClassDef(**{name: getattr(self.node, name) for name in self.node._fields} | {"body": kept})
        return replace(self, node=node)


@dataclass(eq=False)
class Module:
    """A module's statements by the names they define, its imports, and what happens when it is imported."""

    statements: list[Statement] = field(default_factory=list)
    definitions: dict[str, list[Statement]] = field(default_factory=dict)
    effects: list[Statement] = field(default_factory=list)  # neither definitions nor imports: calls, branches, loops
    imports: dict[str, list[Import]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)  # modules of which everything is imported


@cache
def installed_module(name: str) -> Module | None:
    """The module of that name as it lies on this machine; None where there is none that is written in Python."""
    path = _path(name)
    if path is None:
        return None
    return parse(path.read_text(encoding="utf-8"), name if path.stem == "__init__" else name.rpartition(".")[0])


def _path(name: str) -> Path | None:
    top, *rest = name.split(".")
    for place in _places(top):
        place = place.joinpath(*rest)
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    return None


@cache
def _places(top: str) -> Sequence[Path]:
    """The folders of a top-level package, or what a top-level module's file is called without its suffix."""
    loaded = getattr(sys.modules.get(top), "__file__", None)  # a script, `__main__`, can be found in no other way
    if loaded:
        path = Path(loaded)
        return [path.parent if path.stem == "__init__" else path.with_suffix("")]
    found = find_spec(top) if top not in sys.modules else sys.modules[top].__spec__
    if found is None:
        return []
    folders = found.submodule_search_locations or ([] if found.origin is None else [found.origin.removesuffix(".py")])
    return [Path(folder) for folder in folders]


def parse(text: str, package: str) -> Module:
    """A module from its text; `package` is what its relative imports start from."""
    module, lines = Module(), text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _note_imports(module, [node], package)
        elif not _says_nothing(node):
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
            _note_statement(module, Statement(node, "\n".join(lines[first - 1 : node.end_lineno]), package))
    return module


def _note_statement(module: Module, statement: Statement) -> None:
    module.statements.append(statement)
    names = _defined(statement.node)
    if names is None:
        module.effects.append(statement)
        _note_imports(module, ast.walk(statement.node), statement.package)
        names = _bound_names(statement.text)
    for name in names:
        module.definitions.setdefault(name, []).append(statement)


def _note_imports(module: Module, nodes: Sequence[ast.AST] | Iterator[ast.AST], package: str) -> None:
    for name, found in _imports(nodes, package):
        if name == "*":
            module.stars.append(found.module)
        else:
            module.imports.setdefault(name, []).append(found)


def _imports(nodes: Sequence[ast.AST] | Iterator[ast.AST], package: str) -> Iterator[tuple[str, Import]]:
    """Names that import statements bind; `import a.b` binds a."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, Import(alias.name)) if alias.asname else _top(alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((alias.asname or alias.name, Import(module, alias.name)) for alias in node.names)


def _top(module: str) -> tuple[str, Import]:
    top = module.partition(".")[0]
    return top, Import(top)


def _defined(node: ast.stmt) -> set[str] | None:
    """The names that a definition or a plain assignment defines; None for any other statement."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return {part.id for part in parts} if all(isinstance(part, ast.Name) for part in parts) else None


def _bound_names(text: str) -> set[str]:
    table = symtable.symtable(text, "", "exec")
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() and not symbol.is_imported()}


def _free_names(text: str) -> set[str]:
    """Names that Python looks up in the module, from a statement's text; in the body of a class also its own names."""
    top = symtable.symtable(text, "", "exec")
    names, waiting = set(), [top]
    while waiting:
        table = waiting.pop()
        waiting.extend(table.get_children())
        own = table is top or table.get_type() == "class"
        names |= {s.get_name() for s in table.get_symbols() if s.is_global() or (own and s.is_referenced())}
    return names


def _chains(node: ast.AST) -> Iterator[Chain]:
    """Chains that are read, in whichever scope; a function's annotations compute nothing."""
    attributes, root = [], node
    while isinstance(root, ast.Attribute):
        attributes.append(root.attr)
        root = root.value
    if isinstance(root, ast.Name):
        if isinstance(root.ctx, ast.Load):
            yield (root.id, *reversed(attributes))
        return
    for name, value in ast.iter_fields(root):
        typing = name == "returns" or (name == "annotation" and isinstance(root, ast.arg))
        for child in () if typing else value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _chains(child)


def _quoted(annotation: ast.AST) -> Iterator[Chain]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                yield from _chains(ast.parse(node.value, mode="eval"))
            except SyntaxError:  # a value, as in Literal["as written"]
                continue


def dump(node: object) -> str:
    """A syntax tree as text, without comments, docstrings and imports, and without what is absent: versions of Python
    differ in which absent fields they have."""
    if isinstance(node, list):
        return f"[{','.join(dump(item) for item in node if not _says_nothing(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    said = ((name, getattr(node, name, None)) for name in node._fields if name not in UNSAID)
    fields = ",".join(f"{name}={dump(value)}" for name, value in said if value is not None and value != [])
    return f"{type(node).__name__}({fields})"


def _says_nothing(node: object) -> bool:
    """A docstring or an import; what is imported counts where it is used."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return text or isinstance(node, ast.Import | ast.ImportFrom)
