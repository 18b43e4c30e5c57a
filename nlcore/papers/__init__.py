"""The papers: one package each, of one shape (`nlcore.papers.paper`), and the only register of them.

A paper of one's own needs no change here: `docs/add_a_paper.md`. It is found by the entry point group `nlcore.papers`
of an installed package, or as a folder named in the environment variable NLCORE_PAPERS (several with the system's path
separator; `run_all.py --paper-folder`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from nlcore.errors import InputError
from nlcore.papers.paper import Paper
from nlcore.places import importable

BUILT_IN = ("multi_al", "missing_label_al", "cleanlab_ema", "galc_slr", "teacher_student")  # in the batch's order
FOLDERS = "NLCORE_PAPERS"


def papers() -> dict[str, Paper]:
    """All papers by id: the five of the suite, then those that were added.

    Raises:
        InputError: a folder or an entry point that holds no paper.
    """
    return {paper.id: paper for paper in (*map(_built_in, BUILT_IN), *_installed(), *_in_folders())}


def paper(id: str) -> Paper:
    """The paper of that id.

    Raises:
        InputError: there is none; names those there are.
    """
    known = papers()
    if id not in known:
        raise InputError(f"paper {id!r}: unknown; expected one of {', '.join(known)}")
    return known[id]


def add_folder(folder: str | Path) -> None:
    """Let this process, and those it begins, find the paper whose package is this folder."""
    named = [*filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)), str(Path(folder).resolve())]
    os.environ[FOLDERS] = os.pathsep.join(dict.fromkeys(named))
    papers()


def _built_in(name: str) -> Paper:
    return import_module(f"{__name__}.{name}").PAPER


def _installed() -> Iterator[Paper]:
    for point in entry_points(group="nlcore.papers"):
        yield _checked(point.load(), f"entry point {point.value}")


def _in_folders() -> Iterator[Paper]:
    for name in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        folder = Path(name)
        if not (folder / "__init__.py").is_file():
            raise InputError(f"paper folder {folder}: no __init__.py in it; expected a paper's package")
        importable(str(folder.parent))
        yield _checked(getattr(import_module(folder.name), "PAPER", None), f"paper folder {folder}")


def _checked(found: object, where: str) -> Paper:
    if not isinstance(found, Paper):
        raise InputError(f"{where}: no PAPER in it; expected a nlcore.papers.paper.Paper")
    return found
