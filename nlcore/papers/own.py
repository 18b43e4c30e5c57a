"""Methods of one's own: a function that a person brings takes its place among a paper's methods.

What a paper takes a function for, its role, stands in the paper's package, in the module `own`. The function is named
`module:function` or `path/to/file.py:function`. A run that calls it is described by the function's name, and its key
holds the content of the file that defines it: an edit makes the run anew, and a file that moves takes its results
along. What that file imports is not looked at.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nlcore.data.content import file_digest
from nlcore.errors import InputError
from nlcore.places import importable
from nlcore.runs import Spec

FORM = "module:function or path/to/file.py:function"


class OwnMethod(BaseModel):
    """A function, and the file that defines it. Where that lies is no part of a run's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str
    file: str = Field(exclude=True)
    package: str = Field("", exclude=True)  # that its relative imports start from; "" for a file named by its path

    def fingerprint(self) -> str:
        """Names the content of its file."""
        return file_digest(self.file)

    def load(self) -> Callable[..., Any]:
        """The function, from the file as it is now.

        Raises:
            InputError: the file cannot be imported, or has no such function.
        """
        return _function(self, self.fingerprint())

    @property
    def label(self) -> str:
        """What tables and figures call it: the first line of its docstring, else its name."""
        function = self.load()
        said = inspect.getdoc(function) if inspect.isroutine(function) else None
        return said.splitlines()[0].rstrip(".") if said else self.function


@lru_cache
def _function(method: OwnMethod, content: str) -> Callable[..., Any]:
    """By content too: a process that lives on sees when the file has changed."""
    module = _module(method.package, method.file, content)
    if not hasattr(module, method.function):
        raise InputError(f"method {method.function}: no such name in {method.file}; expected a function defined there")
    found = getattr(module, method.function)
    if not callable(found):
        raise InputError(f"method {method.function}: found a {type(found).__name__}; expected a function")
    return found


class _AsItIs(SourceFileLoader):
    """Reads a file each time: Python's compiled copy of it passes for the file's until a second has gone by."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


@lru_cache
def _module(package: str, file: str, content: str) -> Any:
    """The file as a module with a name of its own: none that is imported already is touched."""
    name = f"{package}._own_{content[:16]}".lstrip(".")
    spec = spec_from_file_location(name, file, loader=_AsItIs(name, file))
    module = module_from_spec(spec)
    sys.modules[name] = module  # classes in it look themselves up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"method in {file}: {_told(error, file)}; expected a file that can be imported") from error
    return module


class OwnRun(Spec):
    """What every run with a method of one's own has beside the fields of the paper's runs."""

    own: OwnMethod

    def data_fingerprint(self) -> str:
        return f"{super().data_fingerprint()} {self.own.fingerprint()}"

    @property
    def name(self) -> str:
        """One line for people, with the function's name."""
        return f"{super().name[:-1]}, own={self.own.function})"


@dataclass(frozen=True)
class Role:
    """What a paper takes a function of one's own for.

    kind, takes, gives: in words, as messages have them. example: makes arguments of a small case. fits: (what was
    given, arguments) -> whether it is what was asked for.
    """

    kind: str
    takes: str
    gives: str
    example: Callable[[], tuple[Any, ...]]
    fits: Callable[..., bool]

    def call(self, method: OwnMethod, *arguments: Any) -> Any:
        """What a method gives for these arguments.

        Raises:
            InputError: it raises an error, or gives something else than was asked for.
        """
        try:
            found = method.load()(*arguments)
        except InputError:
            raise
        except Exception as error:
            told = _told(error, method.file)
            raise InputError(f"method {method.function}: {told}; expected {self.gives}") from error
        if not self._fits(found, arguments):
            raise InputError(f"method {method.function}: gave {_described(found)}; expected {self.gives}")
        return found

    def _fits(self, found: Any, arguments: tuple[Any, ...]) -> bool:
        try:
            return bool(self.fits(found, *arguments))
        except (TypeError, ValueError):  # nothing that can be an array
            return False


def find_methods(references: Iterable[str], role: Role, taken: Mapping[str, str]) -> tuple[OwnMethod, ...]:
    """The functions of that name, each tried out on a small case.

    taken: name -> label of the paper's own methods.

    Raises:
        InputError: a function that is not there, or that does not fit the role; a name or label that is taken.
    """
    found, seen = [], {*taken, *taken.values()}
    for reference in references:
        method = find_method(reference)
        _try_out(role, method, method.fingerprint())
        for word in dict.fromkeys((method.function, method.label)):
            if word in seen:
                raise InputError(f"method {reference}: another one is called {word!r}; expected a name of its own")
        seen |= {method.function, method.label}
        found.append(method)
    return tuple(found)


def find_method(reference: str) -> OwnMethod:
    """The function of that name; its file is found, and not imported yet.

    Raises:
        InputError: no such file or module, or a text of another form.
    """
    place, _, function = reference.rpartition(":")
    if not (place and function.isidentifier()):
        raise InputError(f"method {reference!r}: names no function; expected {FORM}")
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise InputError(f"method {reference!r}: no such file; expected {FORM}")
        return OwnMethod(function=function, file=str(Path(place).resolve()))
    file, package = _source(place, reference)
    above = str(file.parents[package.count(".") + 1 if package else 0])
    if above not in sysconfig.get_paths().values():  # what is installed every process finds
        importable(above)
    return OwnMethod(function=function, file=str(file), package=package)


def _source(module: str, reference: str) -> tuple[Path, str]:
    """A module's file, and the package that it lies in."""
    try:
        found = find_spec(module)
    except Exception:  # a package above it is not there, or fails
        found = None
    if found is None or not (found.origin or "").endswith(".py"):
        raise InputError(f"method {reference!r}: no such module in Python; expected {FORM}")
    return Path(found.origin).resolve(), found.parent


@lru_cache
def _try_out(role: Role, method: OwnMethod, content: str) -> None:
    """Once for each content of a file, and before anything runs."""
    function, example = method.load(), role.example()
    try:
        inspect.signature(function).bind(*example)
    except TypeError as error:
        takes = inspect.signature(function)
        told = f"method {method.function}: takes {takes}; expected ({role.takes}), as a {role.kind} does"
        raise InputError(told) from error
    except ValueError:  # a function of a compiled module does not tell what it takes
        pass
    role.call(method, *example)


def own_labels(specs: Iterable[Spec]) -> dict[str, str]:
    """Name -> label of the methods of one's own among runs, in the runs' order."""
    return {method.function: method.label for method in own_methods(specs)}


def own_methods(specs: Iterable[Spec]) -> Sequence[OwnMethod]:
    """The methods of one's own among runs, each once."""
    return list(dict.fromkeys(spec.own for spec in specs if isinstance(spec, OwnRun)))


def _told(error: Exception, file: str) -> str:
    """An error of somebody's code in one line, with the line of their file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" in line {lines[-1]}" if lines else ""
    return f"raised {type(error).__name__}{where}: {' '.join(str(error).split())}"


def _described(found: Any) -> str:
    shape = getattr(found, "shape", None)
    return type(found).__name__ + ("" if shape is None else f" of shape {tuple(shape)} and type {found.dtype}")
