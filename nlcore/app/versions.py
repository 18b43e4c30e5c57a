"""Versions of Python and of packages, beside what pyproject.toml asks for and what constraints.txt was tested with.

No package is imported: versions are read from what pip left beside it.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from nlcore.app.findings import FINE, MISSING, OLD, OTHER, Finding
from nlcore.places import CHECKOUT

# Those that results depend on, and that the notebooks run in; another is shown where it is missing or too old.
SHOWN = (
    "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pandas", "cleanlab", "pycocotools", "matplotlib",
    "papermill", "jupyterlab",
)  # fmt: skip
CLASSIFIER = "Programming Language :: Python :: 3."
INSTALL = "make install installs it into .venv; so does pip install --constraint constraints.txt --editable '.[suite]'"


@dataclass(frozen=True)
class Stated:
    """What the project asks for (`python`, `packages`), and which versions it was tested with.

    Packages are named as pip names them in the end: lower case, with hyphens.
    """

    python: SpecifierSet
    packages: Mapping[str, SpecifierSet]
    tested_pythons: tuple[str, ...] = ()  # such as "3.12"
    tested: Mapping[str, str] | None = None  # None: installed without the checkout, and so without constraints.txt


def stated(checkout: Path | None = CHECKOUT, *, extras: tuple[str, ...] = ()) -> Stated:
    """What the checkout's files ask for, or the installed package where there is no checkout.

    Args:
        checkout: the folder of pyproject.toml and constraints.txt.
        extras: optional dependencies that are asked for too, such as "ray".
    """
    project = _installed_project() if checkout is None else _project(checkout)
    listed = list(project["dependencies"])
    for extra in extras:
        listed += project["optional-dependencies"].get(extra, [])
    classifiers = [line for line in project.get("classifiers", []) if line.startswith(CLASSIFIER)]
    named = [one for one in map(Requirement, listed) if one.name != "nlcore"]  # an extra may name another one
    return Stated(
        SpecifierSet(project["requires-python"]),
        {canonicalize_name(one.name): one.specifier for one in named},
        tuple(line.rpartition(" ")[2] for line in classifiers),
        None if checkout is None else _pins((checkout / "constraints.txt").read_text(encoding="utf-8")),
    )


def check_versions(asked: Stated) -> Iterator[Finding]:
    """Python, the packages of SHOWN, and whatever else is missing or too old."""
    yield _check_python(asked)
    for name in dict.fromkeys((*SHOWN, *asked.packages)):
        if name in asked.packages:
            finding = _check_package(name, asked)
            if name in SHOWN or finding.blocks:
                yield finding


def judge(found: str | None, bounds: SpecifierSet, tested: str | None) -> str:
    """The word for a version: missing, too old, other than tested, or fine.

    Args:
        found: the version that is installed, None where none is.
        bounds: what pyproject.toml asks for.
        tested: the version that constraints.txt pins; None: it pins none, and any within the bounds is fine.

    >>> judge("2.4.6+cpu", SpecifierSet(">=2.0"), "2.4.6"), judge("1.9", SpecifierSet(">=2.0"), "2.4.6")
    ('fine', 'too old')
    """
    if found is None:
        return MISSING
    if not bounds.contains(found, prereleases=True):
        return OLD
    same = tested is None or SpecifierSet(f"=={tested}").contains(found, prereleases=True)
    return FINE if same else OTHER


def _check_python(asked: Stated) -> Finding:
    found = platform.python_version()
    word = judge(found, asked.python, None)
    short = ".".join(map(str, sys.version_info[:2]))
    if word == FINE and asked.tested_pythons and short not in asked.tested_pythons:
        word = OTHER
    tested = f", tested {', '.join(asked.tested_pythons)}" if asked.tested_pythons else ""
    get = "" if word != OLD else "make PYTHON=python3.11 reproduce, with any Python that is new enough"
    return Finding("Python", found, f"{asked.python}{tested}", word, get, blocks=word == OLD)


def _check_package(name: str, asked: Stated) -> Finding:
    bounds, tested = asked.packages[name], (asked.tested or {}).get(name)
    found = _version(name)
    word = judge(found, bounds, tested)
    blocks = word in (MISSING, OLD)
    expected = f"{bounds}, tested {tested}" if tested else str(bounds)
    return Finding(name, found or "none", expected, word, INSTALL if blocks else "", blocks)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _project(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _installed_project() -> dict[str, Any]:
    """The same fields of a package that pip installed; its extras are marked in one list of requirements."""
    found, listed = metadata("nlcore"), list(map(Requirement, requires("nlcore") or []))
    extras = found.get_all("Provides-Extra") or []
    plain = [one for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return {
        "requires-python": found["Requires-Python"] or "",
        "classifiers": found.get_all("Classifier") or [],
        "dependencies": list(map(_bare, plain)),
        "optional-dependencies": {
            extra: [_bare(one) for one in listed if one not in plain and one.marker.evaluate({"extra": extra})]
            for extra in extras
        },
    }


def _bare(one: Requirement) -> str:
    return f"{one.name}{one.specifier}"


def _pins(text: str) -> dict[str, str]:
    """Name -> version, of lines NAME==VERSION."""
    pairs = (line.split("==") for line in text.split())
    return {canonicalize_name(name): pinned for name, pinned in pairs}
