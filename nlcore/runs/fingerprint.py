"""A fingerprint of the code behind a run: every definition that its class reaches, and nothing beside them.

From the class on, the names that a definition reads are looked up in its module: functions, classes, constants, what
is imported there or inside a function, what a package passes on. They are followed within `nlcore` and within the
package that the class comes from. Comments and docstrings do not count, nor where a definition lies, nor what carries
runs or reports them, nor the methods that only describe a run. A result stays in the store while what computes it is
the same.

Not seen: modules named by a string (`import_module(name)`), and files of data; these belong into `data_fingerprint`.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Callable, Iterator
from functools import cache

from nlcore.errors import InputError
from nlcore.runs.source import Chain, Import, Module, Statement, installed_module

PACKAGE = "nlcore"
NOT_COUNTED = tuple(
    f"{PACKAGE}.{name}"
    for name in ("runs", "report", "errors", "files", "places", "training.distributed", "papers.paper",
                 "papers.profiles", "app")
)  # fmt: skip
# Methods of a run that compute nothing.
DESCRIBING = ("device_name", "name", "data_fingerprint", "seconds", "shared_pass", "most_together", "work")
WHOLE, EFFECTS = "*", "()"  # a module as an object; what happens when it is imported
NAMESPACES = ("globals", "eval", "exec")  # reach any name of their module
Place = tuple[str, str]  # a module, and a name in it, or WHOLE or EFFECTS
Target = Place | str  # a string: something outside, by its full name


@cache
def code_fingerprint(spec_class: type) -> str:
    """SHA-256 over all definitions that a class of runs reaches.

    Raises:
        InputError: its code lies in no file (in a notebook's cell, say).
    """
    module, name = spec_class.__module__, spec_class.__qualname__
    return _code(module.partition(".")[0]).fingerprint(module, name)


@cache
def _code(package: str) -> Code:
    return Code(package)


class Code:
    """Definitions of nlcore and of one other package, and what they reach.

    package: the other one. read: gives the module of a name, or None; by default those of this machine.
    """

    def __init__(self, package: str, read: Callable[[str], Module | None] = installed_module) -> None:
        self.packages, self.read = {PACKAGE, package}, read
        self._reached: dict[Place, tuple[str, frozenset[Place]]] = {}
        self._resolved: dict[tuple[str, Chain], frozenset[Target]] = {}
        self._runs: dict[Place, bool] = {}

    def fingerprint(self, module: str, name: str) -> str:
        """SHA-256 over what the definition `name` (of a class inside it: "Outer.Inner") of a module reaches.

        Raises:
            InputError: the module lies in no file.
        """
        if self.read(module) is None:
            raise InputError(f"{module}.{name}: its code lies in no file; expected a run's class in a module")
        return hashlib.sha256("\n".join(sorted(self.reached(module, name).values())).encode()).hexdigest()

    def reached(self, module: str, name: str) -> dict[Place, str]:
        """Where the definitions lie that a definition reaches, itself included, and what counts of each."""
        found: dict[Place, str] = {}
        waiting = [place for place in self._find(module, (name.partition(".")[0],)) if isinstance(place, tuple)]
        while waiting:
            place = waiting.pop()
            if place not in found:
                found[place], further = self._definition(place)
                waiting.extend(further)
        return {place: text for place, text in found.items() if text}

    def _definition(self, place: Place) -> tuple[str, frozenset[Place]]:
        """What counts of a place (its syntax, and what its names mean), and the places it leads to."""
        if place not in self._reached:
            statements = self._statements(place)
            meanings = [meaning for statement in statements for meaning in self._meanings(place[0], statement)]
            if place[1] == WHOLE:
                meanings += [(name, target) for name in self.read(place[0]).imports
                             for target in self._resolve(place[0], (name,))]  # fmt: skip
            named = sorted({(name, told) for name, target in meanings if (told := self._told(target))})
            text = f"{_dumped(statements)} {named}" if statements else ""
            self._reached[place] = text, frozenset(target for _, target in meanings if isinstance(target, tuple))
        return self._reached[place]

    def _meanings(self, module: str, statement: Statement) -> Iterator[tuple[str, Target]]:
        """Every chain of names that a statement reads, with each thing it may mean."""
        for chain in statement.loads:
            yield from ((".".join(chain), target) for target in self._resolve(module, chain))
        for chain in statement.quoted:
            if self._binds(module, chain[0]):
                yield from ((".".join(chain), target) for target in self._resolve(module, chain))
        for imported, chain in statement.imported:
            yield from ((".".join(chain), target) for target in self._follow(imported, chain[1:], set()))

    def _told(self, target: Target) -> str:
        """What a name means, wherever that lies: two things of one syntax are the same thing."""
        if isinstance(target, str):
            return "" if _is_below(target, NOT_COUNTED) else target
        return "" if target[1] == EFFECTS else hashlib.sha256(_dumped(self._statements(target)).encode()).hexdigest()

    def _statements(self, place: Place) -> list[Statement]:
        name, module = place[0], self.read(place[0])
        if place[1] == WHOLE:
            found = module.statements
        elif place[1] == EFFECTS:
            found = [*module.effects, *self._registered(name, module)]
        else:
            found = module.definitions[place[1]]
        return [statement.without(_describes) if self._is_run(name, statement) else statement for statement in found]

    def _registered(self, name: str, module: Module) -> Iterator[Statement]:
        """Definitions under a decorator of our own, which may put them where others find them: a table of methods."""
        for statement in module.statements:
            decorators = map(_chain, getattr(statement.node, "decorator_list", ()))
            targets = (target for chain in decorators if chain for target in self._resolve(name, chain))
            if any(isinstance(target, tuple) and target[1] != EFFECTS for target in targets):
                yield statement

    def _is_run(self, module: str, statement: Statement) -> bool:
        """Whether a statement defines a subclass of `Spec`, directly or not."""
        if not isinstance(statement.node, ast.ClassDef):
            return False
        place = module, statement.node.name
        if place not in self._runs:
            self._runs[place] = False  # what a class that derives from its own name sees
            bases = [target for chain in map(_chain, statement.node.bases) if chain
                     for target in self._resolve(module, chain)]  # fmt: skip
            self._runs[place] = any(self._is_spec(target) for target in bases)
        return self._runs[place]

    def _is_spec(self, target: Target) -> bool:
        if isinstance(target, str):
            return _is_below(target, [f"{PACKAGE}.runs"]) and target.endswith(".Spec")
        if target[1] in (WHOLE, EFFECTS):
            return False
        return any(self._is_run(target[0], statement) for statement in self.read(target[0]).definitions[target[1]])

    def _binds(self, module: str, name: str) -> bool:
        found = self.read(module)
        return name in found.definitions or name in found.imports

    def _resolve(self, module: str, chain: Chain) -> frozenset[Target]:
        """What a chain of names means in a module; nothing where it is Python's own."""
        if (module, chain) not in self._resolved:
            name = chain[0]
            if not self._binds(module, name) and (hasattr(builtins, name) or name.startswith("__")):
                found = [(module, WHOLE)] if name in NAMESPACES else []
            else:
                found = self._find(module, chain)
            self._resolved[module, chain] = frozenset(found)
        return self._resolved[module, chain]

    def _find(self, name: str, chain: Chain, seen: set[tuple[str, Chain]] | None = None) -> Iterator[Target]:
        """What a chain means as attributes of a module; the whole module where that cannot be told."""
        seen = set() if seen is None else seen
        module = self.read(name) if self._is_followed(name) else None
        if module is None:
            yield ".".join((name, *chain))
            return
        if not chain:
            yield name, WHOLE
        if not chain or (name, chain) in seen:
            return
        seen.add((name, chain))
        yield name, EFFECTS
        if chain[0] in module.definitions:
            yield name, chain[0]
        for imported in module.imports.get(chain[0], ()):
            yield from self._follow(imported, chain[1:], seen)
        if not self._binds(name, chain[0]):
            yield from self._find_elsewhere(name, chain, seen)

    def _find_elsewhere(self, name: str, chain: Chain, seen: set[tuple[str, Chain]]) -> Iterator[Target]:
        """A module inside a package, or something among all that is imported; else the whole module."""
        inner, stars = f"{name}.{chain[0]}", self.read(name).stars
        if self.read(inner) is not None:
            yield from self._find(inner, chain[1:], seen)
            return
        for star in stars:
            yield from self._find(star, chain, seen)
        if not stars:
            yield name, WHOLE

    def _follow(self, imported: Import, rest: Chain, seen: set[tuple[str, Chain]]) -> Iterator[Target]:
        chain = rest if imported.attribute is None else (imported.attribute, *rest)
        return self._find(imported.module, chain, seen)

    def _is_followed(self, module: str) -> bool:
        return module.partition(".")[0] in self.packages and not _is_below(module, NOT_COUNTED)


def _is_below(name: str, packages: tuple[str, ...] | list[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def _describes(node: ast.stmt) -> bool:
    """Whether a statement in a run's class only says something about the run: one of DESCRIBING, or what helps `work`.
    """
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id == "MEMBERS"  # how many share a pass changes nothing of what they give
    if not isinstance(node, ast.FunctionDef):
        return False
    return node.name in DESCRIBING or (node.returns is not None and ast.unparse(node.returns) == "Work")


def _dumped(statements: list[Statement]) -> str:
    return "\n".join(statement.dump for statement in statements)


def _chain(node: ast.expr) -> Chain:
    """The names of an expression such as `a.b`, `a.b(...)` or `a.b[...]`; none of any other."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()
