"""The house: one direction from floor to floor, no circle, papers apart from each other and of one shape."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from nlcore.papers import BUILT_IN

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nlcore"
FLOORS = (
    ("errors", "files", "generators", "devices", "places", "rows", "suite", "torchvision_compat", "yaml_text"),
    ("losses", "noise", "correction", "transition", "scorers", "metrics"),
    ("training",),
    ("data",),
    ("runs",),
    ("report",),
    ("papers",),
    ("app",),
)
MODULES = ("protocol", "runs", "study", "tables", "figures", "claims", "words")
FILES = ("profiles.yaml", "readings.yaml", *(f"contract/{name}.yaml" for name in ("artefacts", "published", "claims")))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(module: str) -> set[str]:
    """Modules of nlcore that a module imports, wherever in it, but for imports that only type checkers see."""
    tree, found = ast.parse(SOURCES[module].read_text()), set()
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else node.module for name in inner}
    return {name for name in found if name in SOURCES} - {module}


GRAPH = {module: imports(module) for module in SOURCES}


def floor_of(module: str) -> int | None:
    top = module.split(".")[1]
    return next((number for number, names in enumerate(FLOORS) if top in names), None)


def test_every_module_stands_on_a_floor():
    assert [module for module in SOURCES if module != "nlcore" and floor_of(module) is None] == []


def test_nothing_imports_upward():
    wrong = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if "nlcore" not in (module, other) and floor_of(other) > floor_of(module)
    ]
    assert wrong == []


def test_there_is_no_circle():
    TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names it


@pytest.mark.parametrize("paper", BUILT_IN)
def test_a_paper_reaches_into_no_other(paper):
    others = {name for name in BUILT_IN if name != paper}
    for module in SOURCES:
        if module.startswith(f"nlcore.papers.{paper}"):
            assert not {other for other in GRAPH[module] if other.split(".")[2:3] and other.split(".")[2] in others}


@pytest.mark.parametrize("paper", BUILT_IN)
def test_the_papers_have_one_shape(paper):
    folder = PACKAGE / "papers" / paper
    assert [name for name in MODULES if not (folder / f"{name}.py").is_file()] == []
    assert [name for name in FILES if not (folder / name).is_file()] == []


def test_the_builder_of_the_embedded_set_is_on_no_papers_path():
    """A change to how the set was once made must not invalidate results that only read it."""
    seen, waiting = set(), [f"nlcore.papers.{paper}.study" for paper in BUILT_IN]
    while waiting:
        module = waiting.pop()
        if module in GRAPH and module not in seen:
            seen.add(module)
            waiting += GRAPH[module]
    assert "nlcore.data.embedded_build" not in seen


@pytest.mark.parametrize(
    "module, unwanted",
    [
        ("nlcore.app.doctor", {"torch", "pandas", "papermill", "matplotlib"}),  # to tell that one of them is missing
        ("nlcore.scorers", {"torch", "pandas", "sklearn", "scipy", "matplotlib", "cleanlab"}),  # own labels
        ("nlcore.app.scoring", {"torch", "sklearn", "matplotlib", "cleanlab"}),
        ("nlcore.training", {"torchvision", "timm"}),  # heads on features, in every worker
        ("nlcore.papers.galc_slr.runs", {"torchvision", "timm", "matplotlib", "papermill"}),
    ],
)
def test_what_is_slow_to_load_is_loaded_where_it_is_used(module, unwanted):
    code = f"import sys, {module}; print(*sorted({unwanted} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.split() == []


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--colour"]])
def test_help_and_mistyped_options_are_answered_at_once(arguments):
    unwanted = {"torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "cleanlab", "papermill"}
    code = f"""
import contextlib, io, sys
from nlcore.app.cli import main
with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(told):
    main({arguments})
print(len(told.getvalue()) > 0, *sorted({unwanted} & set(sys.modules)))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.split() == ["True"]
